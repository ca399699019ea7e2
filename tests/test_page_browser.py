"""The page in a real browser: drawing, uploading, clicking."""

import shutil
import threading

from common.app import page

import pytest
from helpers import draw_seven
from page_helpers import THREE, started
from werkzeug import exceptions

CHROME = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(params=[(1100, 900), (390, 800)], ids=["desktop", "phone"])
def browser(request):
    if not CHROME or not shutil.which("chromedriver"):
        pytest.skip("no chromium and chromedriver to draw with")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    width, height = request.param
    flags = "headless=new no-sandbox disable-gpu disable-dev-shm-usage no-first-run disable-background-networking"
    for flag in (*flags.split(), "disable-component-update", "disable-sync", f"window-size={width},{height}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def answer(browser, ends=("",)):
    """The answer that the page shows, once it shows one that starts like one of `ends`."""
    from selenium.webdriver.support.ui import WebDriverWait

    def shown(driver):
        text = driver.find_element("id", "answer").text
        return text if text.startswith(ends) and text else False

    return WebDriverWait(browser, 20).until(shown)


def points_of_three(canvas):
    """The stroke on the canvas: points from its middle, in pixels."""
    size = canvas.size["height"]
    return [(int(x * size * 0.35), int(y * size * 0.42)) for x, y in THREE]


@pytest.mark.slow
def test_draw_upload_and_click(browser, program, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains

    _, address = started(program)
    browser.get(address)
    canvas = browser.find_element("id", "canvas")
    points = points_of_three(canvas)
    pen = ActionChains(browser, duration=30).move_to_element_with_offset(canvas, *points[0]).click_and_hold()
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        pen.move_by_offset(x1 - x0, y1 - y0)
    pen.perform()
    assert answer(browser)  # before the stroke ends
    ActionChains(browser).release().perform()
    assert answer(browser, "3") == "3"
    bars = browser.find_elements("css selector", ".bar.best b")
    assert [bar.text for bar in bars] == ["3"]
    assert len(browser.find_elements("css selector", "#items img")) == 2

    browser.find_element("id", "clear").click()
    assert browser.find_element("id", "answer").text == ""
    draw_seven(tmp_path / "seven.png")
    browser.find_element("id", "file").send_keys(str(tmp_path / "seven.png"))
    assert answer(browser, "7") == "7"

    (tmp_path / "text.png").write_text("not a picture")
    browser.find_element("id", "file").send_keys(str(tmp_path / "text.png"))
    assert answer(browser, "this file").startswith("this file is not a picture that can be read")

    for button, digit in zip(browser.find_elements("css selector", "#examples button"), "7548", strict=True):
        button.click()
        assert answer(browser, digit) == digit
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # nothing to scroll sideways
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert all("400" in error for error in errors)  # the text file's
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith((address, "data:", "blob:")) for name in loaded)


@pytest.mark.slow
@pytest.mark.parametrize("browser", [(1100, 900)], ids=["desktop"], indirect=True)
def test_busy_server_is_asked_again_and_the_visitor_told(browser, app, monkeypatch):
    monkeypatch.setattr(page, "RETRY_SECONDS", 1)
    busy, classify = threading.Event(), page._classify

    def classify_if_free(*args):
        if busy.is_set():
            raise exceptions.ServiceUnavailable
        return classify(*args)

    monkeypatch.setattr(page, "_classify", classify_if_free)
    server = page.Server("127.0.0.1", 0, app, page.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser.get(f"http://127.0.0.1:{server.port}")
    seven, five = browser.find_elements("css selector", "#examples button")[:2]
    busy.set()
    seven.click()
    assert answer(browser, "the server is busy") == "the server is busy; asking again in 1 s"
    busy.clear()
    assert answer(browser, "7") == "7"
    busy.set()
    five.click()
    assert answer(browser, "the server is busy")
    assert answer(browser, "too many") == "too many pictures at once; try again"
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("browser", [(390, 800)], ids=["phone"], indirect=True)
def test_finger_drop_and_paste(browser, program, tmp_path):
    browser.get(started(program)[1])
    canvas = browser.find_element("id", "canvas")
    box = canvas.rect
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    points = [{"x": middle[0] + x, "y": middle[1] + y} for x, y in points_of_three(canvas)]
    for kind, at in [("touchStart", points[:1]), *(("touchMove", [point]) for point in points[1:]), ("touchEnd", [])]:
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    assert answer(browser, "3") == "3"

    seven = draw_seven(tmp_path / "seven.png").read_bytes()
    for kind, transfer in (("drop", "DragEvent"), ("paste", "ClipboardEvent")):
        browser.find_element("id", "clear").click()
        browser.execute_script(
            """
            const [bytes, kind, event, field] = arguments, data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "seven.png", { type: "image/png" }));
            document.dispatchEvent(new window[event](kind, { [field]: data, bubbles: true, cancelable: true }));
            """,
            list(seven), kind, transfer, {"drop": "dataTransfer", "paste": "clipboardData"}[kind],
        )
        assert answer(browser, "7") == "7"
