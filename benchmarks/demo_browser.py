"""The demo as a person starts it, and headless Chromium to look at it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from selenium import webdriver

ROOT = Path(__file__).parents[1]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def open_chromium():
    """A headless browser with a log of its console."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # Containers give Chromium neither namespaces nor much shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


def show(driver, width, height, scale=1.0, dark=False):
    """Sets the window's inner size in CSS pixels, their size, and light or dark."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@contextlib.contextmanager
def demo(*flags):
    """Runs `python -m tfmeta.serve --demo` on free ports; yields the page's address."""
    command = [sys.executable, "-m", "tfmeta.serve", "--demo", "--port=0", "--rest_api_port=0"]
    process = subprocess.Popen(
        [*command, "--log_level=ERROR", *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("draw at "):
                yield line.removeprefix("draw at ").strip()
                return
        raise RuntimeError(f"The demo ended with code {process.wait()} before it served its page.")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
