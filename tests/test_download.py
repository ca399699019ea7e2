"""Downloads from mirrors in trouble: the right file or one clear line, no end of waiting, nothing half-way left."""

import contextlib
import gzip
import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from common.data import download
from common.errors import UserError

import pytest
from conftest import ROOT
from mirrors import (
    CONTENT,
    HEAD,
    LONG,
    cut_off,
    good,
    hangs_after_the_head,
    hangs_before_the_head,
    hangs_in_the_middle,
    head,
    rather_slow,
    redirect,
    reset,
    slow_body,
    slow_chunk_size,
    slow_head,
    without_end,
)  # fmt: skip


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setattr(download, "SLOWEST", 40_000)
    monkeypatch.setattr(download, "LARGEST", 10**6)


@pytest.fixture
def mirror():
    """mirror(answer) starts a web server on this machine and returns its address.

    answer: a function of its handler, which has `send(bytes)`, and `wait(seconds)`: True once the test is over.
    """
    servers, over = [], threading.Event()

    def mirror(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send, self.wait = self.connection.sendall, over.wait
                with contextlib.suppress(OSError):  # who asked is gone
                    answer(self)

            def log_message(self, *args):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield mirror
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def check(path):
    download.check_digest(path, hashlib.md5(CONTENT).hexdigest())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (cut_off, "the connection broke off"),
        (reset, "the connection broke off"),
        (lambda handler: handler.send(head(-1) + CONTENT[:-1]), "other content than the official file"),
        (lambda handler: handler.send(HEAD + CONTENT[:-1] + b"?"), "other content than the official file"),
        (lambda handler: handler.send(head(6, "Content-Type: text/html") + b"log in"), "other content than"),
        (lambda handler: handler.send(b"\x1b[2J\n" * 99), "no connection"),
        (lambda handler: handler.send(b"HTTP/1.0 404 Not Found\r\n\r\n"), "HTTP status 404"),
        (redirect("/again"), "no usable answer: TooManyRedirects"),
        (redirect("file:///etc/passwd"), "no usable answer: InvalidSchema"),
        (redirect("http://[bad"), "no usable answer: "),
        (redirect("http://.."), "no usable answer: "),
        (redirect("http://127.0.0.1:9/"), "no connection"),
        (hangs_before_the_head, "no answer in time"),
        (hangs_after_the_head, "no answer in time"),
        (hangs_in_the_middle, "no answer in time"),
        (slow_head, "no answer in time"),
        (slow_body, "no answer in time"),
        (rather_slow, "no answer in time"),
        (slow_chunk_size, "no answer in time"),
        (without_end, "more than 1,000,000 bytes"),
    ],
)  # fmt: skip
def test_trouble_is_one_line_and_leaves_nothing(mirror, tmp_path, monkeypatch, answer, reason):
    if reason == "no answer in time":
        monkeypatch.setattr(download, "PATIENCE", 0.3)
    url = mirror(answer)
    with pytest.raises(download.DataUnavailable) as error:
        download.fetch(tmp_path / "set" / "file", [url], check)
    said = f"file could not be downloaded from {re.escape(url)} \\({reason}.*\\)"
    assert re.fullmatch(said, str(error.value))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("trouble", [cut_off, slow_body, without_end, redirect("file:///etc/passwd")])
def test_the_next_mirror_is_asked(mirror, tmp_path, monkeypatch, trouble):
    if trouble == slow_body:
        monkeypatch.setattr(download, "PATIENCE", 1)
    path = tmp_path / "set" / "file"
    download.fetch(path, [mirror(trouble), mirror(good)], check)
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]


def test_a_mirror_may_send_elsewhere_and_say_how_the_file_is_compressed(mirror, tmp_path):
    packed, path = gzip.compress(CONTENT), tmp_path / "set" / "file.gz"
    last = mirror(lambda handler: handler.send(head(len(packed), "Content-Encoding: gzip") + packed))
    download.fetch(path, [mirror(redirect(last))], check)
    assert path.read_bytes() == packed


def test_what_comes_with_a_redirect_is_not_read(mirror, tmp_path):
    there, sent = mirror(good), []

    def answer(handler):
        redirect(there)(handler)
        while len(sent) < 1000:  # 66 MB
            handler.send(bytes(2**16))
            sent.append(1)

    download.fetch(tmp_path / "set" / "file", [mirror(answer)], check)
    assert len(sent) < 500


def test_a_gzip_file_that_holds_more_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(2 * 10**6)))
    with pytest.raises(UserError, match="zeros.gz holds more than 1,000,000 bytes"):
        download.read_gzip(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_line_and_not_the_mirrors_fault(mirror, tmp_path):
    path = tmp_path / "set" / "file"
    path.parent.mkdir()
    path.with_name(".downloading-file").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"^cannot write {path}: No space left on device$") as error:
        download.fetch(path, [mirror(good), mirror(good)], check)
    assert not isinstance(error.value, download.DataUnavailable)  # drawn images would not find room, either
    assert not path.parent.exists()


def test_ctrl_c_leaves_nothing(mirror, tmp_path):
    def answer(handler):
        handler.send(HEAD + CONTENT[:20_000])
        os.kill(os.getpid(), signal.SIGINT)
        hangs_before_the_head(handler)

    with pytest.raises(KeyboardInterrupt):
        download.fetch(tmp_path / "set" / "file", [mirror(answer)], check)
    assert not (tmp_path / "set").exists()


@pytest.fixture
def start():
    """start(path, url) downloads in a program of its own: Popen, text pipes."""
    programs = []

    def start(path, url):
        code = "import sys, pathlib; from common.data import download\n"
        code += "download.fetch(pathlib.Path(sys.argv[1]), sys.argv[2:], lambda part: None)"
        words = [sys.executable, "-c", code, path, url]
        programs.append(subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def test_what_a_killed_program_left_is_gone_with_the_next_download(mirror, start, tmp_path):
    path, asked = tmp_path / "set" / "file", threading.Event()

    def answer(handler):
        handler.send(HEAD + CONTENT[:20_000])
        asked.set()
        handler.wait(LONG)

    program = start(path, mirror(answer))
    assert asked.wait(LONG)
    program.kill()
    program.wait()
    assert not path.exists()
    download.fetch(path, [mirror(good)], check)
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]


def test_of_two_programs_one_downloads_and_the_other_waits(mirror, start, tmp_path):
    path, asked, go_on = tmp_path / "set" / "file", [threading.Event()], threading.Event()

    def answer(handler):
        asked[-1].set()
        asked.append(threading.Event())
        handler.send(HEAD + CONTENT[:20_000])
        go_on.wait(LONG)
        handler.send(CONTENT[20_000:])

    url = mirror(answer)
    first = start(path, url)
    assert asked[0].wait(LONG)
    second = start(path, url)
    assert second.stderr.readline().startswith("waiting for another program that is downloading in ")
    go_on.set()
    assert first.wait(LONG) == second.wait(LONG) == 0
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]
    assert len(asked) == 2  # one was asked for, one waits
