"""A browser and a page, where there is a browser."""

import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent)]


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium; the tests are skipped where it or its driver is missing."""
    pytest.importorskip("selenium", reason="no selenium: pip install 'tfmeta[test]'")
    from benchmarks import demo_browser

    if not demo_browser.CHROMIUM or not demo_browser.DRIVER:
        pytest.skip("no `chromium` and `chromedriver` on the PATH (Debian: chromium-driver)")
    driver = demo_browser.open_chromium()
    yield driver
    driver.quit()
