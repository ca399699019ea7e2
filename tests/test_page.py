"""The page: its requests, and drawing and uploading in a real browser."""

import contextlib
import io
import json
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.app import classifier, page, trained
from common.training import runs
from mnist import picture_to_input
from mnist.forward import forward

import conftest
import numpy as np
import pytest
from PIL import Image, ImageDraw
from werkzeug import exceptions
from werkzeug.serving import make_server
from werkzeug.test import Client

PRETRAINED = conftest.ROOT / "checkpoints" / "mnist" / runs.PRETRAINED
CHROME = shutil.which("chromium") or shutil.which("google-chrome")
THREE = [  # a stroke, -1 to 1
    (-0.35, -0.7), (0.1, -0.85), (0.4, -0.55), (0.3, -0.2), (0.0, -0.05), (0.35, 0.1), (0.45, 0.5), (0.1, 0.85),
    (-0.4, 0.7),
]  # fmt: skip


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def three(size=300):
    image = Image.new("RGB", (size, size), "white")
    points = [(size / 2 + x * size * 0.35, size / 2 + y * size * 0.4) for x, y in THREE]
    ImageDraw.Draw(image).line(points, fill="black", width=size // 14, joint="curve")
    return image


@pytest.fixture(scope="module")
def network():
    run = runs.read(PRETRAINED)
    checkpoint = next(PRETRAINED.glob("*.index")).with_suffix("")
    return classifier.Classifier(trained.Network(forward, run, checkpoint, conftest.CPU))


@pytest.fixture
def client(network):
    return Client(page.application("mnist", network, picture_to_input.digit))


def test_picture_is_classified(client):
    response = client.post("/classify", data=png(three()))
    assert response.status_code == 200
    found = json.loads(response.text)
    [item] = found["items"]
    assert found["answer"] == "3" and found["sure"]
    assert np.argmax(item["probabilities"]) == 3 and sum(item["probabilities"]) == pytest.approx(1, abs=0.01)
    seen = Image.open(urllib.request.urlopen(item["seen"]))
    assert seen.size == (28, 28) and np.asarray(seen).max() == 255


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"notes on numbers", 400, "this file is not a picture that can be read"),
        (b"", 411, "Length Required"),
        (png(three())[:900], 400, "this file cannot be read"),
        (png(Image.new("RGB", (60, 60), "white")), 400, "this file shows no ink"),
        (png(Image.new("1", (11000, 11000))), 400, "this file has 11000×11000 pixels, more than"),
        (b"x" * (page.MAX_BYTES + 1), 413, "the picture is larger than 20 MB"),
    ],
    ids=["text", "empty", "cut", "blank", "pixels", "bytes"],
)
def test_what_is_no_picture_gets_a_friendly_line(client, data, status, message):
    response = client.post("/classify", data=data)
    assert response.status_code == status and json.loads(response.text)["error"].startswith(message)


def test_paths_and_headers(client):
    about = json.loads(client.get("/about").text)
    assert about["task"] == "mnist" and about["classes"][3] == "3" and len(about["examples"]) >= 3
    for path in ("/", "/page.css", "/page.js", *(f"/examples/{name}" for name in about["examples"])):
        response = client.get(path)
        assert response.status_code == 200 and response.data
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert path.startswith("/examples") or not re.search(rb"https?:|[\"'(]//", response.data)
    assert client.get("/classify").status_code == 405
    for path in ("/page.py", "/examples/../page.py", "/run.json"):
        assert client.get(path).status_code == 404


def test_other_sites_and_names_are_refused(network):
    local = Client(page.application("mnist", network, picture_to_input.digit, page.LOCAL))
    data = png(three())
    assert local.post("/classify", data=data).status_code == 200
    assert local.post("/classify", data=data, headers={"Origin": "http://localhost"}).status_code == 200
    assert local.post("/classify", data=data, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert local.post("/classify", data=data, headers={"Origin": "http://[bad"}).status_code == 403
    assert local.get("/about", headers={"Host": "elsewhere.example"}).status_code == 400


def test_visitors_at_once_get_their_own_answers(client, network):
    pictures = [png(three(size)) for size in (120, 200, 300, 450)]
    alone = [client.post("/classify", data=data).text for data in pictures]
    assert len(set(alone)) == 4
    app = page.application("mnist", network, picture_to_input.digit)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: Client(app).post("/classify", data=pictures[i % 4]).text, range(40)))
    assert found == [alone[i % 4] for i in range(40)]


def test_two_pictures_are_decoded_at_once_and_no_more(client, monkeypatch):
    inside, most, lock, prepared = 0, [], threading.Lock(), page.prepared

    def slow(*args):
        nonlocal inside
        with lock:
            inside += 1
            most.append(inside)
        time.sleep(0.1)
        with lock:
            inside -= 1
        return prepared(*args)

    monkeypatch.setattr(page, "prepared", slow)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post("/classify", data=png(three())).status_code, range(6)))
    assert answers == [200] * 6 and max(most) == page.AT_ONCE == 2


def test_a_visitor_who_says_nothing_is_let_go(client, monkeypatch):
    assert page.Handler.timeout == 60
    monkeypatch.setattr(page.Handler, "timeout", 0.3)
    server = make_server("127.0.0.1", 0, client.application, threaded=True, request_handler=page.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as silent:
        assert silent.recv(1) == b""  # closed by the server
    server.shutdown()


def test_pictures_of_too_many_bytes_at_once_are_refused(client, monkeypatch):
    data = png(three())
    monkeypatch.setattr(page, "MAX_BYTES_AT_ONCE", len(data))
    for _ in range(3):  # what was held is free again
        refused = client.post("/classify", data=data + b"x")
        assert refused.status_code == 503
        assert json.loads(refused.text) == {"error": "too many pictures at once; try again"}
        assert json.loads(client.post("/classify", data=data).text)["answer"] == "3"


@pytest.fixture
def address(program):
    """The address of the page, served by the real program."""
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", 0)
    while not (line := process.stdout.readline()).startswith("http"):
        assert line, process.stderr.read()
    return line.split()[0]


@pytest.mark.slow
def test_slow_uploads_keep_nobody_waiting(address):
    place = address.removeprefix("http://").rstrip("/").split(":")
    slow = [socket.create_connection(place) for _ in range(page.AT_ONCE + 1)]
    for one in slow:
        one.sendall(b"POST /classify HTTP/1.1\r\nHost: " + ":".join(place).encode() + b"\r\nContent-Length: 9\r\n\r\nx")
    answer = urllib.request.urlopen(f"{address}/classify", png(three()), timeout=30)
    assert json.load(answer)["answer"] == "3"
    for one in slow:
        one.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to see the memory of a process")
def test_unfinished_uploads_hold_a_bounded_memory(program):
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", 0)
    while not (line := process.stdout.readline()).startswith("http"):
        assert line, process.stderr.read()

    def memory():
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 2**20  # GiB

    before = memory()
    place = line.split()[0].removeprefix("http://")
    uploads = []
    for _ in range(40):
        uploads.append(socket.create_connection(place.split(":"), timeout=10))
        head = f"POST /classify HTTP/1.1\r\nHost: {place}\r\nContent-Length: {page.MAX_BYTES}\r\n\r\n"
        with contextlib.suppress(OSError):  # it may be refused before it is whole
            uploads[-1].sendall(head.encode() + b"x" * (page.MAX_BYTES - 1))
    time.sleep(1)
    held = memory() - before
    assert 0.04 < held < 2.5 * page.MAX_BYTES_AT_ONCE / 2**30
    for one in uploads:
        one.close()
    time.sleep(1)
    assert json.load(urllib.request.urlopen(f"http://{place}/classify", png(three()), timeout=30))["answer"] == "3"


@pytest.mark.slow
def test_port_in_use_is_one_line(program, address):
    port = address.rsplit(":", 1)[1].rstrip("/")
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", port)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1
    assert err.startswith("error: cannot serve") and "choose another --port" in err


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
def test_draw_upload_and_click(browser, address, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains

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
    conftest.draw_seven(tmp_path / "seven.png")
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
    assert all(name.startswith((address.rstrip("/"), "data:", "blob:")) for name in loaded)


@pytest.mark.slow
@pytest.mark.parametrize("browser", [(1100, 900)], ids=["desktop"], indirect=True)
def test_busy_server_is_asked_again_and_the_visitor_told(browser, client, monkeypatch):
    monkeypatch.setattr(page, "RETRY_SECONDS", 1)
    busy, classify = threading.Event(), page._classify

    def classify_if_free(*args):
        if busy.is_set():
            raise exceptions.ServiceUnavailable
        return classify(*args)

    monkeypatch.setattr(page, "_classify", classify_if_free)
    server = page.Server("127.0.0.1", 0, client.application, page.Handler)
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
def test_finger_drop_and_paste(browser, address, tmp_path):
    browser.get(address)
    canvas = browser.find_element("id", "canvas")
    box = canvas.rect
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    points = [{"x": middle[0] + x, "y": middle[1] + y} for x, y in points_of_three(canvas)]
    for kind, at in [("touchStart", points[:1]), *(("touchMove", [point]) for point in points[1:]), ("touchEnd", [])]:
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    assert answer(browser, "3") == "3"

    seven = conftest.draw_seven(tmp_path / "seven.png").read_bytes()
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
