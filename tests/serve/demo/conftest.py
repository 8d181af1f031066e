"""A browser and a page, where there is a browser."""

import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent)]


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium; the tests are skipped where it or its driver is missing."""
    pytest.importorskip("selenium", reason="no selenium: pip install 'tfmeta[test]'")
    import browser

    if not browser.CHROMIUM or not browser.DRIVER:
        pytest.skip("no `chromium` and `chromedriver` on the PATH (Debian: chromium-driver)")
    driver = browser.open_chromium()
    yield driver
    driver.quit()
