"""Takes the README's picture of the demo page at work.

    python -m benchmarks.demo_picture [--model_base_path=DIR] [--out=results/demo.png]

It starts the demo, opens it in headless Chromium, and tries the page's own example. `--dark` and
`--width=360` show what else a person may see.
"""

import time
from pathlib import Path

from absl import app, flags
from PIL import Image
from selenium.webdriver.common.by import By

from benchmarks import demo_browser

_OUT = flags.DEFINE_string("out", "results/demo.png", "Where to store the picture.")
_MODEL = flags.DEFINE_string("model_base_path", None, "Another model than the shipped one.")
_WIDTH = flags.DEFINE_integer("width", 1120, "Of the window, in CSS pixels.", 200)
_DARK = flags.DEFINE_bool("dark", False, "In dark colours.")
_SEED = flags.DEFINE_integer("seed", 337, "Of the example.", 0)
SCALE = 1.5
COLOURS = 256
PATIENCE_SECONDS = 60
POINTS = 3 * 11  # of the curve: three classes, 0 to 10 inner steps


def main(argv):
    del argv
    flag = [f"--model_base_path={_MODEL.value}"] if _MODEL.value else []
    with demo_browser.demo(*flag) as url:
        driver = demo_browser.open_chromium()
        try:
            take(driver, url, Path(_OUT.value))
        finally:
            driver.quit()


def take(driver, url, path):
    """Stores the page with an example that has been answered."""
    demo_browser.show(driver, _WIDTH.value, 900, SCALE, _DARK.value)
    driver.get(url)
    # The page draws its examples by chance; a picture wants the same ones each time.
    driver.execute_script(f"Math.random = () => {_SEED.value} / 2 ** 32")
    driver.find_element(By.ID, "example").click()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(driver.find_elements(By.CSS_SELECTOR, "#curve circle")) < POINTS:
        if time.monotonic() > deadline:
            raise TimeoutError(driver.find_element(By.ID, "notice-text").text or "no answer")
        time.sleep(0.05)
    driver.execute_script("document.activeElement.blur()")
    height = driver.execute_script(
        "return Math.ceil(document.querySelector('main').getBoundingClientRect().bottom) + 24"
    )
    demo_browser.show(driver, _WIDTH.value, height, SCALE, _DARK.value)
    driver.save_screenshot(str(path))
    # Flat colours: a palette makes the file a third as large.
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    app.run(main)
