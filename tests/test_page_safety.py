"""The page under attack: what is no request, other sites, and paths that lead out."""

import http.client
import re

from common.app import page, server
from mnist import picture_to_input

import numpy as np
import pytest
from page_helpers import POST, Sevens, png, sent, three
from werkzeug.test import Client

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


@pytest.mark.parametrize(("host", "open_to_all"), [("0.0.0.0", True), ("localhost", False), ("127.0.0.2", False)])
def test_address_that_others_reach_is_told(monkeypatch, capsys, host, open_to_all):
    monkeypatch.setattr(server.Server, "serve_forever", server.Server.server_close)
    page.serve("mnist", Sevens(), picture_to_input.digit, host, 0)
    out = capsys.readouterr().out
    assert ("no password and no encryption" in out) == open_to_all and out.count("\n") == 1 + open_to_all
