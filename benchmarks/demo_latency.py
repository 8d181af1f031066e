"""Measures how soon the demo's answer follows the pen.

    python -m benchmarks.demo_latency [--write]

It starts the demo, draws examples and a query by the mouse in headless Chromium, and takes, for
each answer, the time from the mouse's move to the first frame that shows it: in a browser that
draws, asks and shows on the same machine as the server. Beside it the plain request over REST,
one after another, for several numbers of inner steps. `--write` stores the figures in
results/demo_latency.json.
"""

import http.client
import json
import math
import os
import sys
import time
import urllib.parse

import numpy as np
from absl import app, flags
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from benchmarks import demo_browser, demo_tensors, report

_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/demo_latency.json.")
_MODEL = flags.DEFINE_string("model_base_path", None, "Another model than the shipped one.")
_ANSWERS = flags.DEFINE_integer("answers", 400, "Answers to the pen to measure.", 10)
RESULT = demo_browser.ROOT / "results" / "demo_latency.json"
STEPS = (0, 1, 3, 5, 10)
REQUESTS = 200  # for each number of steps
WARM = 20
MOVES = 60  # of the mouse for a drawing
MOVE_MILLISECONDS = 16  # between them: a frame
COLLECT = """
window.taken = [];
document.addEventListener("answer", ({ detail }) => {
  const begin = performance.now() - detail.milliseconds;
  requestAnimationFrame(() => setTimeout(() => window.taken.push(performance.now() - begin)));
});
"""


def main(argv):
    del argv
    flag = [f"--model_base_path={_MODEL.value}"] if _MODEL.value else []
    record = {"command": report.command("benchmarks.demo_latency", sys.argv[1:])}
    record["load_average_before"] = os.getloadavg()
    with demo_browser.demo(*flag) as url:
        record["rest_request"] = [rest(url, steps) for steps in STEPS]
        driver = demo_browser.open_chromium()
        try:
            record["pen_to_picture"] = draw_to_answer(driver, url)
        finally:
            driver.quit()
    record["machine"] = report.machine()
    print(json.dumps(record, indent=1))
    if _WRITE.value:
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


def rest(url, steps):
    """Milliseconds of requests as the page sends them, one after another, 3 classes."""
    supports, queries, _ = demo_tensors.of_examples(3, range(1))
    inputs = {
        "support_inputs": supports[0].tolist(),
        "support_targets": [0, 1, 2],
        "query_inputs": [queries[0].tolist()],
        "inner_steps": steps,
        "inner_rate_scale": 1.0,
    }
    body = json.dumps({"signature_name": "adapt_and_predict_with", "inputs": inputs})
    connection, taken = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc), []
    for _ in range(WARM + REQUESTS):
        begin = time.perf_counter()
        connection.request("POST", "/v1/models/omniglot:predict", body)
        answer = connection.getresponse()
        said = answer.read()
        taken.append(1000 * (time.perf_counter() - begin))
        if answer.status != 200:
            raise RuntimeError(said.decode())
    connection.close()
    return {"inner_steps": steps, **summary(taken[WARM:])}


def draw_to_answer(driver, url):
    """Milliseconds from a move of the mouse to the frame that shows its answer."""
    demo_browser.show(driver, 1120, 1100)
    driver.get(url)
    pads = driver.find_elements(By.CLASS_NAME, "drawing")
    for turns, pad in zip((0.5, 1, 2), pads, strict=False):
        spiral(driver, pad, turns)
    spiral(driver, pads[-1], 1)  # the first answers warm caches up
    time.sleep(2)
    driver.execute_script(COLLECT)
    clear = driver.find_element(By.CSS_SELECTOR, "#query .clear")
    taken = []
    while len(taken) < _ANSWERS.value:
        clear.click()
        spiral(driver, pads[-1], 1 + len(taken) % 3 / 2)
        time.sleep(0.5)
        taken = driver.execute_script("return window.taken")
    return {"answers": len(taken), "inner_steps": 5, "classes": 3, **summary(taken)}


def spiral(driver, pad, turns):
    """Draws a line by the mouse, a move a frame."""
    side = pad.size["width"]
    moves = ActionChains(driver, duration=MOVE_MILLISECONDS)
    for i in range(MOVES + 1):
        angle, radius = 2 * math.pi * turns * i / MOVES, 0.4 * side * (1 - 0.7 * i / MOVES)
        moves.move_to_element_with_offset(
            pad, round(radius * math.cos(angle)), round(radius * math.sin(angle))
        )
        if i == 0:
            moves.click_and_hold()
    moves.release().perform()


def summary(milliseconds):
    """Percentiles, in milliseconds."""
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    return {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1)}


if __name__ == "__main__":
    app.run(main)
