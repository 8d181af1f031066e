"""The page in headless Chromium, as a person uses it: mouse, finger, pen, keys, and trouble."""

import pytest

pytest.importorskip("selenium", reason="no selenium: pip install 'tfmeta[test]'")

import stand_in_server
from browser import DemoPage
from selenium.webdriver.common.keys import Keys

CLASSES = ("cross", "corner", "slope")


@pytest.fixture(scope="module")
def port_of_stand_in():
    stand_in = stand_in_server.StandIn()
    with stand_in_server.serving(stand_in.app) as port:
        yield stand_in, port


@pytest.fixture
def stand_in(port_of_stand_in):
    server, _ = port_of_stand_in
    server.requests.clear()
    server.failure = server.key = None
    return server


@pytest.fixture
def page(chromium, stand_in, port_of_stand_in):
    opened = DemoPage(chromium, f"http://127.0.0.1:{port_of_stand_in[1]}/")
    opened.complaints()
    return opened


def draw_classes(page, **how):
    for pad, shape in zip(page.pads(), CLASSES, strict=False):
        page.draw(pad, shape, **how)


@pytest.mark.parametrize("pointer", ["mouse", "touch", "pen"])
def test_who_draws_by_a_pointer_reads_which_class_it_is(page, pointer):
    draw_classes(page, pointer=pointer)
    assert page.winner() is None

    page.draw(page.pads()[-1], "corner", pointer=pointer, size=0.6)

    # What was asked in the middle of the stroke may be answered first.
    page.until(
        lambda: page.winner() == "B" and page.shares()["B"] > 80, "the class that was drawn again"
    )
    shares = page.shares()
    assert list(shares) == ["A", "B", "C"]
    assert sum(shares.values()) in (99, 100, 101)


def test_probabilities_change_while_the_pen_is_down(page, stand_in):
    draw_classes(page)
    query = page.pads()[-1]

    page.draw(query, "slope", lift=False)

    page.until(lambda: page.winner() == "C", "an answer before the pen is lifted")
    asked = len(stand_in.requests)
    page.draw(query, "square", lift=False)
    page.until(lambda: len(stand_in.requests) > asked, "another request")
    page.until(lambda: page.winner() != "C" or page.shares()["C"] < 90, "another answer")
    page.draw(query, "slope")


def test_the_page_works_by_keys_alone(page):
    page.driver.execute_script("document.querySelector('#reset').focus()")
    right, down = Keys.ARROW_RIGHT, Keys.ARROW_DOWN
    for path in ([right] * 6, [down] * 6, [right, down] * 5, [down] * 5):
        # To the next pad: past the buttons of the one before.
        page.press(Keys.TAB)
        while page.driver.switch_to.active_element.get_attribute("class") != "drawing":
            page.press(Keys.TAB)
        page.press(Keys.SPACE, *path, Keys.SPACE)

    page.until(lambda: page.winner() == "B", "the line that was drawn again")
    page.until(lambda: "It is B" in page.text("#spoken"), "the answer in the live region")
    query = page.pads()[-1]
    drawn = page.ink(query)
    page.press(Keys.ENTER, right, right, right, Keys.ENTER)
    assert page.ink(query) > drawn
    page.undo_by_keys()
    page.press(Keys.DELETE)
    page.until(lambda: page.winner() is None, "no answer without a query")


def test_undo_and_clear_take_back_what_was_drawn(page):
    pad = page.pads()[0]
    undo, clear = page.one(".pads .undo"), page.one(".pads .clear")
    assert not undo.is_enabled()
    page.draw(pad, "cross")
    whole = page.ink(pad)

    undo.click()

    assert 0 < page.ink(pad) < whole
    clear.click()
    assert page.ink(pad) == 0
    assert not clear.is_enabled()


def test_undo_while_a_stroke_is_drawn_ends_the_stroke(page):
    pad = page.pads()[0]
    page.draw(pad, "cross")
    page.draw(pad, "slope", lift=False)

    page.undo_by_keys()
    before = page.ink(pad)
    page.draw(pad, "square")

    assert 0 < before < page.ink(pad)
    page.one(".pads .undo").click()
    assert page.ink(pad) == before, "the square was a stroke of its own"
    page.one(".pads .clear").click()
    page.draw(pad, "slope", lift=False)
    page.undo_by_keys()
    assert page.ink(pad) == 0
    page.draw(pad, "cross")
    assert not [complaint for complaint in page.complaints() if "TypeError" in complaint]


def test_the_page_asks_only_for_what_is_missing(page):
    assert page.text("#verdict") == "Draw examples of 2 of A, B, C, or try an example."
    page.draw(page.pads()[0], "cross")
    assert page.text("#verdict") == "Draw an example of B or C, or try an example."
    page.draw(page.pads()[1], "corner")
    assert page.text("#verdict") == "Now draw one of them again."


def test_classes_are_added_up_to_five_and_removed_down_to_two(page, stand_in):
    for _ in range(2):
        page.one("#add").click()
    assert [badge.text for badge in page.all(".pads .badge")] == ["A", "B", "C", "D", "E"]
    assert not page.one("#add").is_displayed()
    for pad, shape in zip(page.pads(), (*CLASSES, "square", "zigzag", "zigzag"), strict=True):
        page.draw(pad, shape)
    page.until(lambda: page.winner() == "E", "the fifth class")

    for letter in ("B", "A", "C"):
        page.one(f"[aria-label='Remove class {letter}']").click()

    page.until(lambda: set(page.shares()) == {"D", "E"}, "two classes")
    page.until(lambda: page.winner() == "E", "the same class of those that are left")
    assert not page.all(".remove")[0].is_displayed()
    assert stand_in.requests[-1]["inputs"]["support_targets"] == [0, 1]


def test_a_class_without_an_example_is_left_out(page, stand_in):
    draw_classes(page)
    page.all(".pads .clear")[1].click()

    page.draw(page.pads()[-1], "slope")

    page.until(lambda: page.winner() == "C", "the third class, the second of those drawn")
    shares = page.shares()  # once: the next answer may come between two looks
    assert shares["B"] is None
    assert shares["A"] + shares["C"] in (99, 100, 101)
    assert len(stand_in.requests[-1]["inputs"]["support_inputs"]) == 2


def test_the_slider_sets_the_inner_steps_and_the_curve_shows_them_all(page, stand_in):
    draw_classes(page)
    page.draw(page.pads()[-1], "cross")
    page.until(lambda: len(page.all("#curve circle")) == 3 * 11, "three lines of eleven points")
    asked = [request["inputs"]["inner_steps"] for request in stand_in.requests]
    assert sorted(asked[-10:]) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]

    page.one("#steps").send_keys(Keys.HOME)

    page.until(lambda: page.shares() == {"A": 33, "B": 33, "C": 33}, "no step taken")
    assert page.text("#steps-value") == "0"
    assert len(stand_in.requests) == len(asked), "the curve's answers are used again"


def test_a_refusal_is_shown_in_the_servers_words_and_ends_when_asked_again(page, stand_in):
    stand_in.failure = (400, "support_inputs must be finite.")
    draw_classes(page)
    page.draw(page.pads()[-1], "cross")
    page.until(lambda: "support_inputs must be finite" in page.text("#notice-text"), "the words")
    assert page.one("#notice").is_displayed()

    stand_in.failure = None
    page.one("#retry").click()

    page.until(lambda: page.winner() == "A", "an answer")
    assert not page.one("#notice").is_displayed()


def test_a_server_that_is_gone_is_told_and_found_again(chromium, page):
    stand_in = stand_in_server.StandIn()
    with stand_in_server.serving(stand_in.app) as port:
        page = DemoPage(chromium, f"http://127.0.0.1:{port}/")
        draw_classes(page)
    page.draw(page.pads()[-1], "cross")
    page.until(lambda: "cannot be reached" in page.text("#notice-text"), "the notice")
    assert "python -m tfmeta.serve --demo" in page.text("#notice-text")

    with stand_in_server.serving(stand_in.app, port):
        page.until(lambda: page.winner() == "A", "the answer, without asking again")
        assert not page.one("#notice").is_displayed()
    page.complaints()


def test_a_server_with_a_key_asks_for_it(page, stand_in):
    stand_in.key = "secret"
    draw_classes(page)
    page.draw(page.pads()[-1], "slope")
    page.until(lambda: page.one("#key-form").is_displayed(), "the field for the key")

    page.one("#key").send_keys("ключ", Keys.ENTER)
    page.until(lambda: "Latin letters" in page.text("#notice-text"), "what is wrong with it")
    assert page.one("#key-form").is_displayed()
    page.one("#key").clear()
    page.one("#key").send_keys("wrong", Keys.ENTER)
    page.until(lambda: "not the server's key" in page.text("#notice-text"), "the refusal")
    page.one("#key").clear()
    page.one("#key").send_keys(" secret ", Keys.ENTER)

    page.until(lambda: page.winner() == "C", "an answer")


def test_an_example_shows_a_newcomer_the_page_at_work(page):
    page.one("#example").click()

    page.until(lambda: "The example's query is another" in page.text("#timing"), "an answer")
    # An answer may come before the first line of the last drawing.
    page.until(lambda: all(page.ink(pad) for pad in page.pads()), "ink on every pad")
    page.one("#reset").click()
    assert not any(page.ink(pad) for pad in page.pads())
    assert page.winner() is None


def test_nothing_comes_from_elsewhere_and_nothing_breaks_the_policy(page, port_of_stand_in):
    page.one("#example").click()
    page.until(lambda: page.winner() is not None, "an answer")

    origins = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)"
    )

    assert set(origins) == {f"http://127.0.0.1:{port_of_stand_in[1]}"}
    assert page.complaints() == []
    blocked = page.driver.execute_script(
        "const script = document.createElement('script'); let ran = true;"
        "try { script.text = 'window.ran = 1'; document.body.append(script); } catch {}"
        "return window.ran === undefined"
    )
    assert blocked


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1180])
def test_the_page_fits_its_window_in_light_and_dark(page, width, dark):
    page.size(width, 900, dark=dark)

    fits = page.driver.execute_script("return document.documentElement.scrollWidth")
    ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert fits <= width
    assert all(pad.size["width"] >= 120 for pad in page.pads())
    assert (ground == "rgb(17, 19, 24)") == dark
