"""The page under attack and load: what is no request, other sites, and visitors who stall or are too many."""

import contextlib
import functools
import http.client
import json
import re
import socket
import threading
import time
from types import SimpleNamespace

from common.app import page, server
from mnist import picture_to_input

import numpy as np
import psutil
import pytest
from test_page import PRETRAINED, png, three
from werkzeug.test import Client

ABOUT = b"GET /about HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Sevens:
    """A network that always answers 7."""

    about = SimpleNamespace(dataset="mnist", title="a network", class_names=[*"0123456789"])

    def classify(self, images, views):
        return [self]

    probabilities, saliency, sure = np.eye(10)[[7]], None, True

    def __str__(self):
        return "7"


@pytest.fixture
def app():
    return page.application("mnist", Sevens(), picture_to_input.digit, page.LOCAL)


@pytest.fixture
def serving(app, capfd):
    """The port of the page, served by a thread; nothing but answers may come of what is sent there."""
    running = server.Server("127.0.0.1", 0, app, server.Handler)
    thread = threading.Thread(target=running.serve_forever, args=[0.02])
    thread.start()
    yield running.port
    answer = sent(running.port, ABOUT)
    running.shutdown()
    thread.join()
    assert answer.startswith(b"HTTP/1.1 200")  # it is still alive
    assert "Traceback" not in capfd.readouterr().err


def sent(port, *parts, end=False):
    """What the server answers to bytes until it closes. end: nothing more will come, as it is told."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as visitor:
        with contextlib.suppress(ConnectionError):  # it may have heard enough
            for part in parts:
                visitor.sendall(part)
            if end:
                visitor.shutdown(socket.SHUT_WR)
        return heard(visitor)


def heard(visitor):
    """What a visitor hears until the server closes or, with bytes of the visitor unread, resets."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while data := visitor.recv(2**16):
            answer += data
    return answer


def busy(port, connections):
    """Visitors who send half a head."""
    stalled = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(connections)]
    for one in stalled:
        one.sendall(b"GET / HT")
    return stalled


NO_REQUESTS = {
    "random": np.random.default_rng(1).bytes(3000) + b"\n\r\n",
    "null bytes": b"\0" * 500 + b"\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03" + b"\n" * 30,
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/0.9, told": b"GET / HTTP/0.9\r\nHost: 127.0.0.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET / HTTP/x.y\r\nHost: 127.0.0.1\r\n\r\n",
    "many words": b"GET / HTTP/1.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "much in headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + (b"X: " + b"y" * 60_000 + b"\r\n") * 90 + b"\r\n",
    "no header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nhidden\r\nOrigin: http://x\r\n\r\n",
    "header with a space": b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: elsewhere.example\r\n\r\n",
    "negative": POST + b"Content-Length: -1\r\n\r\nx",
    "no number": POST + b"Content-Length: 1_0\r\n\r\nx",
    "huge": POST + b"Content-Length: 99999999999999\r\n\r\nx",
    "5,000 digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "chunked": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked, of a length": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "unknown encoding": POST + b"Content-Length: 1\r\nTransfer-Encoding: gzip, identity\r\n\r\nx",
    "no length": POST + b"\r\nx",
    "CRLF in the path": b"GET /about\r\nX: y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "null byte in the path": b"GET /\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "absolute URI": b"GET http://elsewhere.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "broken URI": b"GET http://[bad HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "CONNECT": b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "unknown method": b"__class__ / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "cut upload": POST + b"Content-Length: 9\r\n\r\nx",
    "cut head": b"GET / HTTP/1.1\r\nHost",
    "nothing": b"",
}


def test_what_is_no_request_is_refused_and_ends_nothing(serving):
    for name, data in NO_REQUESTS.items():
        answer = sent(serving, data, end=True)
        assert re.match(rb"HTTP/1.1 (4\d\d|505) |$", answer), (name, answer[:200])
        assert not answer or b"\r\nX-Content-Type-Options: nosniff\r\n" in answer, name
        assert b"Python" not in answer and b"Werkzeug" not in answer, name


def test_endless_heads_take_a_bounded_memory(serving):
    before = psutil.Process().memory_info().rss
    for head in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: "):
        for part in (b"X: y" * 2**14 + b"\r\n", b"x" * 2**16):
            answer = sent(serving, head, *[part] * 1600)  # 100 MB
            assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert psutil.Process().memory_info().rss - before < 30e6


def test_other_sites_cannot_send_pictures(app):
    client, data = Client(app), png(three())
    host = {"Host": "localhost:7860"}
    for headers, status in [
        ({}, 200),
        ({"Origin": "http://localhost:7860", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:8888"}, 403),  # of the same machine
        ({"Origin": "http://localhost:7860.elsewhere.example"}, 403),
        ({"Origin": "http://localhost:7860, http://elsewhere.example"}, 403),
        ({"Origin": "http://elsewhere.example//localhost:7860"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ]:
        assert client.post("/classify", data=data, headers=host | headers).status_code == status, headers
    assert client.get("/", headers=host | {"Sec-Fetch-Site": "cross-site"}).status_code == 200  # a link to the page


def test_names_of_other_sites_do_not_reach_the_page(app):
    for host in (
        "elsewhere.example", "localhost.elsewhere.example", "elsewhere.example:7860", "127.0.0.1.elsewhere.example",
        "localhost@elsewhere.example", "elsewhere.example#localhost", "[::1]", "0.0.0.0", "2130706433", "", "a b", "é",
    ):  # fmt: skip
        assert Client(app).get("/about", headers={"Host": host}).status_code == 400, host
    anywhere = Client(page.application("mnist", Sevens(), picture_to_input.digit))
    for headers in ({"Host": "a b", "Origin": "null"}, {"Host": "", "Origin": "null"}):
        assert anywhere.post("/classify", data=png(three()), headers=headers).status_code in (400, 403)


@pytest.mark.parametrize("prefix", ["/", "/examples/", "//", "/examples"])
def test_no_path_leads_out(serving, prefix):
    up = ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "..%252f", "..%c0%af", "..%00/", "....//", "..;/"]
    for step in up:
        for file in ("page.py", "etc/passwd"):
            for path in (prefix + step * depth + file for depth in (1, 7)):
                answer = sent(serving, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 404") and len(answer) < 2000, path


def test_nothing_that_is_sent_becomes_a_header(serving):
    for path in (b"%0d%0aX-Own:%20y", b"examples/a%0aX-Own:y", b"?a=%0d%0aX-Own:y", b"about%E5%98%8A%E5%98%8DX-Own:y"):
        for more in (b"Origin: http://127.0.0.1%0d%0aX-Own: y", b"X: a\r\n X-Own: y", b"X: \rX-Own: y"):
            head = sent(serving, b"GET /" + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + more + b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 ") and b"X-Own" not in head.partition(b"\r\n\r\n")[0]


def test_every_answer_has_the_headers_that_browsers_heed(serving):
    for method, path, status in [("GET", "/", 200), ("GET", "/nowhere", 404), ("PUT", "/", 405), ("GET", "*", 400)]:
        connection = http.client.HTTPConnection("127.0.0.1", serving, timeout=20)
        connection.request(method, path)
        answer = connection.getresponse()
        assert answer.status == status
        for name, value in {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "deny",
            "X-Permitted-Cross-Domain-Policies": "none",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store, max-age=0",
        }.items():
            assert answer.headers.get_all(name) == [value]
        assert "camera=()" in answer.headers["Permissions-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers
        connection.close()


def test_head_that_comes_a_byte_at_a_time_is_let_go(serving, monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", serving), timeout=20) as slow, pytest.raises(ConnectionError):
        for _ in range(500):  # 10 s; it gives up long before
            slow.sendall(b"X")
            time.sleep(0.02)


def test_upload_that_comes_a_byte_at_a_time_is_let_go(serving, monkeypatch):
    monkeypatch.setattr(server.Handler, "timeout", 0.5)
    with socket.create_connection(("127.0.0.1", serving), timeout=20) as slow, pytest.raises(ConnectionError):
        slow.sendall(POST + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(500):
            slow.sendall(b"x")
            time.sleep(0.02)


def test_visitors_beyond_the_places_hear_at_once_when_to_come_again(app, monkeypatch):
    monkeypatch.setattr(server, "VISITORS", 3)
    monkeypatch.setattr(server, "REFUSED", 2)
    running = server.Server("127.0.0.1", 0, app, server.Handler)
    threading.Thread(target=running.serve_forever, args=[0.02], daemon=True).start()
    threads = threading.active_count()
    stalled = busy(running.port, 40)
    for one in stalled[3:]:  # the first three have a place
        head, _, body = heard(one).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and f"\r\nRetry-After: {server.RETRY_SECONDS}\r\n".encode() in head
        assert json.loads(body) == {"error": "too many visitors at once; try again"}
    assert threading.active_count() <= threads + 5
    post = POST + b"Content-Length: 3000000\r\n\r\n"
    assert sent(running.port, post, b"x" * 3_000_000).startswith(b"HTTP/1.1 503")  # though it sends on
    for one in stalled:
        one.close()
    while (answer := sent(running.port, ABOUT)).startswith(b"HTTP/1.1 503"):
        time.sleep(0.02)
    assert answer.startswith(b"HTTP/1.1 200")
    running.shutdown()


def test_system_without_more_threads_is_survived(serving, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(server.VISITORS + server.REFUSED + 1):
            assert sent(serving, ABOUT).startswith(b"HTTP/1.1 503")


def test_picture_that_waits_too_long_for_its_turn_is_refused(app, monkeypatch):
    monkeypatch.setattr(page, "TURN_SECONDS", 0.1)
    inside, leave, prepared = threading.Semaphore(0), threading.Event(), page.prepared

    def slow(*args):
        inside.release()
        leave.wait(20)
        return prepared(*args)

    monkeypatch.setattr(page, "prepared", slow)
    client, data = Client(app), png(three())
    post = functools.partial(client.post, "/classify", data=data)
    waiting = [threading.Thread(target=post) for _ in range(page.AT_ONCE)]
    for one in waiting:
        one.start()
        inside.acquire()
    refused = post()
    assert refused.status_code == 503 and refused.headers["Retry-After"] == str(server.RETRY_SECONDS)
    leave.set()
    for one in waiting:
        one.join()
    assert post().status_code == 200


@pytest.mark.parametrize(("host", "open_to_all"), [("0.0.0.0", True), ("localhost", False), ("127.0.0.2", False)])
def test_address_that_others_reach_is_told(monkeypatch, capsys, host, open_to_all):
    monkeypatch.setattr(server.Server, "serve_forever", server.Server.server_close)
    page.serve("mnist", Sevens(), picture_to_input.digit, host, 0)
    out = capsys.readouterr().out
    assert ("no password and no encryption" in out) == open_to_all and out.count("\n") == 1 + open_to_all


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux to bound another program's handles")
def test_program_survives_visitors_who_stall(program):
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", 0)
    while not (line := process.stdout.readline()).startswith("http"):
        assert line, process.stderr.read()
    port, measured = int(line.split()[0].rpartition(":")[2]), psutil.Process(process.pid)
    measured.rlimit(psutil.RLIMIT_NOFILE, (1024, 1024))
    threads = measured.num_threads()
    stalled = busy(port, 900)
    data = png(three())
    post = POST + b"Content-Length: %d\r\n\r\n" % len(data) + data
    assert sent(port, post).startswith(b"HTTP/1.1 503")
    assert measured.num_threads() <= threads + server.VISITORS + server.REFUSED
    assert measured.num_fds() <= 1000
    while (answer := sent(port, post)).startswith(b"HTTP/1.1 503"):  # until those who stall are let go
        time.sleep(0.2)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["answer"] == "3"
    for one in stalled:
        one.close()
    process.terminate()
    assert "Traceback" not in process.communicate()[1]
