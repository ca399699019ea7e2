"""What a mirror sends, in order and in trouble: functions of the handler that the fixture mirror describes."""

import numpy as np

CONTENT = np.random.default_rng(0).bytes(50_000)
LONG = 20  # seconds: then a mirror ends its trouble and sends the rest, so that who waits for it gets the file


def head(length, *lines):
    return "\r\n".join(["HTTP/1.0 200 OK", f"Content-Length: {length}", *lines, "", ""]).encode()


HEAD = head(len(CONTENT))


def good(handler):
    handler.send(HEAD + CONTENT)


def slowly(handler, content):
    """A byte each tenth of a second, for LONG."""
    for i in range(10 * LONG):
        handler.send(content[i : i + 1])
        if handler.wait(0.1):
            return
    handler.send(content[10 * LONG :])


def redirect(place):
    return lambda handler: handler.send(f"HTTP/1.0 302 Found\r\nLocation: {place}\r\n\r\n".encode())


def cut_off(handler):
    handler.send(HEAD + CONTENT[:20_000])


def reset(handler):
    handler.send(HEAD + CONTENT[:20_000])
    handler.connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 seconds: RST instead of FIN
    handler.connection.close()


def hangs_before_the_head(handler):
    handler.wait(LONG)
    good(handler)


def hangs_after_the_head(handler):
    handler.send(HEAD)
    handler.wait(LONG)
    handler.send(CONTENT)


def hangs_in_the_middle(handler):
    handler.send(HEAD + CONTENT[:20_000])
    handler.wait(LONG)
    handler.send(CONTENT[20_000:])


def slow_head(handler):
    slowly(handler, head(len(CONTENT), "X: " + "x" * 10 * LONG) + CONTENT)


def slow_body(handler):
    handler.send(HEAD)
    slowly(handler, CONTENT)


def rather_slow(handler):
    handler.send(HEAD)
    for start in range(0, len(CONTENT), 8000):
        handler.wait(0.1)
        handler.send(CONTENT[start : start + 8000])


def slow_chunk_size(handler):
    handler.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    slowly(handler, b"c350;" + b"x" * 10 * LONG + b"\r\n" + CONTENT + b"\r\n0\r\n\r\n")


def without_end(handler):
    handler.send(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(1000):  # 66 MB: no end, but the disk of who tests is spared
        handler.send(bytes(2**16))
