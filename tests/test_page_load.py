"""The page under load: visitors who stall, send without end, or are too many."""

import contextlib
import functools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.app import page, server

import psutil
import pytest
from conftest import ROOT, environment
from page_helpers import ABOUT, POST, PRETRAINED, busy, heard, png, sent, started, three
from werkzeug.test import Client


def test_two_pictures_are_decoded_at_once_and_no_more(app, monkeypatch):
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
        answers = list(pool.map(lambda _: Client(app).post("/classify", data=png(three())).status_code, range(6)))
    assert answers == [200] * 6 and max(most) == page.AT_ONCE == 2


def test_a_visitor_who_says_nothing_is_let_go(serving, monkeypatch):
    assert server.Handler.timeout == 60
    monkeypatch.setattr(server.Handler, "timeout", 0.3)
    with socket.create_connection(("127.0.0.1", serving), timeout=20) as silent:
        assert silent.recv(1) == b""  # closed by the server


def test_pictures_of_too_many_bytes_at_once_are_refused(app, monkeypatch):
    client, data = Client(app), png(three())
    monkeypatch.setattr(page, "MAX_BYTES_AT_ONCE", len(data))
    for _ in range(3):  # what was held is free again
        refused = client.post("/classify", data=data + b"x")
        assert refused.status_code == 503
        assert json.loads(refused.text) == {"error": "too many pictures at once; try again"}
        assert json.loads(client.post("/classify", data=data).text)["answer"] == "7"


def test_endless_heads_take_a_bounded_memory(serving):
    before = psutil.Process().memory_info().rss
    for head in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: "):
        for part in (b"X: y" * 2**14 + b"\r\n", b"x" * 2**16):
            answer = sent(serving, head, *[part] * 1600)  # 100 MB
            assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert psutil.Process().memory_info().rss - before < 30e6


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


@pytest.mark.slow
def test_ctrl_c_ends_the_page_though_it_computes():
    """Python aborts if it ends by itself while a thread is within TensorFlow."""
    program = f"""
import runpy, sys
from common.app import trained
import tensorflow.compat.v1 as tf

def probabilities(network, images):
    with tf.Graph().as_default(), tf.Session() as session:
        print("computes", flush=True)
        session.run(tf.while_loop(lambda i: i < 10**9, lambda i: i + 1, [0]))

trained.Network.probabilities = probabilities
sys.argv = ["app.py", "--checkpoint", {str(PRETRAINED)!r}, "--serve", "--port", "0"]
runpy.run_path("mnist/app.py", run_name="__main__")
"""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment(), **options) as process:
        address = next(line for line in process.stdout if line.startswith("http")).split()[0]
        port, data = int(address.rpartition(":")[2]), png(three())
        post = POST + f"Content-Length: {len(data)}\r\n\r\n".encode() + data
        threading.Thread(target=sent, args=[port, post], daemon=True).start()
        assert "computes\n" in process.stdout
        process.send_signal(signal.SIGINT)
        try:
            assert (process.wait(30), process.stderr.read()) == (0, "")
        finally:
            process.kill()  # else the block would wait for it


@pytest.mark.slow
def test_slow_uploads_keep_nobody_waiting(program):
    _, address = started(program)
    place = address.removeprefix("http://").split(":")
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
    process, address = started(program)

    def memory():
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 2**20  # GiB

    before = memory()
    place = address.removeprefix("http://")
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
    assert json.load(urllib.request.urlopen(f"{address}/classify", png(three()), timeout=30))["answer"] == "3"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux to bound another program's handles")
def test_program_survives_visitors_who_stall(program):
    process, address = started(program)
    port, measured = int(address.rpartition(":")[2]), psutil.Process(process.pid)
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
