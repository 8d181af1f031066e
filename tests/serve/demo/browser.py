"""Headless Chromium as a person's hands and eyes on the demo page."""

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks import demo_browser

PATIENCE_SECONDS = 20.0
# Shapes on a pad of side 1, unlike each other in any size and place.
SHAPES = {
    "cross": [[(0.2, 0.5), (0.8, 0.5)], [(0.5, 0.2), (0.5, 0.8)]],
    "corner": [[(0.2, 0.2), (0.2, 0.8), (0.8, 0.8)]],
    "slope": [[(0.2, 0.8), (0.8, 0.2)]],
    "square": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
    "zigzag": [[(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)]],
}


class DemoPage:
    """The page in a browser.

    Args:
        driver: of the browser.
        url: of the page.
    """

    def __init__(self, driver, url):
        self.driver = driver
        self.size(1180, 1150)
        driver.get(url)
        self.until(lambda: len(self.all(".pads .drawing")) == 3, "three pads")

    def size(self, width, height, scale=1, dark=False):
        """Sets the window's inner size, and light or dark."""
        demo_browser.show(self.driver, width, height, scale, dark)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.driver.execute_script(
            "return document.querySelector(arguments[0]).textContent", selector
        )

    def until(self, condition, what):
        """Waits until a condition holds, and returns what it is."""
        wait = WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.02)
        return wait.until(lambda driver: condition(), f"waited for: {what}")

    def pads(self):
        """The pads: those of the classes, then the query's."""
        return self.all(".drawing")

    def draw(self, pad, shape, pointer="mouse", lift=True, size=1.0):
        """Draws a shape on a pad, by mouse, finger or pen."""
        # Elements are pointed at from their middle.
        side = pad.size["width"]
        moves = ActionChains(self.driver, duration=10)
        if pointer != "mouse":
            moves = ActionChains(self.driver, duration=10, devices=[PointerInput(pointer, pointer)])
        for stroke in SHAPES[shape]:
            places = [[round((part - 0.5) * size * side) for part in point] for point in stroke]
            moves.move_to_element_with_offset(pad, *places[0]).click_and_hold()
            for place in places[1:]:
                moves.move_to_element_with_offset(pad, *place)
            if lift:
                moves.release()
        moves.perform()

    def press(self, *keys):
        """Presses keys one after another, wherever the focus is."""
        moves = ActionChains(self.driver)
        for key in keys:
            moves.send_keys(key)
        moves.perform()

    def undo_by_keys(self):
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("z").key_up(
            Keys.CONTROL
        ).perform()

    def ink(self, pad):
        """How many pixels of a pad are drawn on."""
        return self.driver.execute_script(
            "const c = arguments[0]; const d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 127; "
            "return n",
            pad,
        )

    def shares(self):
        """What the bars say: {letter: per cent, or None}."""
        rows = self.driver.execute_script(
            "return [...document.querySelectorAll('.bar')].map((row) => "
            "[row.querySelector('.badge').textContent, row.querySelector('.share').textContent])"
        )
        numbers = {">99 %": 100, "<1 %": 0}
        return {
            letter: (numbers[said] if said in numbers else int(said[:-2])) if "%" in said else None
            for letter, said in rows
        }

    def winner(self):
        """The letter that the page answers, or None."""
        verdict = self.text("#verdict")
        return verdict[6] if verdict.startswith("It is ") else None

    def complaints(self):
        """What the browser's console holds against the page."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
