"""Pictures for the page, and visitors who speak to its server byte by byte."""

import contextlib
import io
import socket
from types import SimpleNamespace

from common.training import runs

import numpy as np
from conftest import ROOT
from PIL import Image, ImageDraw

PRETRAINED = ROOT / "checkpoints" / "mnist" / runs.PRETRAINED
THREE = [  # a stroke, -1 to 1
    (-0.35, -0.7), (0.1, -0.85), (0.4, -0.55), (0.3, -0.2), (0.0, -0.05), (0.35, 0.1), (0.45, 0.5), (0.1, 0.85),
    (-0.4, 0.7),
]  # fmt: skip
ABOUT = b"GET /about HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def three(size=300):
    image = Image.new("RGB", (size, size), "white")
    points = [(size / 2 + x * size * 0.35, size / 2 + y * size * 0.4) for x, y in THREE]
    ImageDraw.Draw(image).line(points, fill="black", width=size // 14, joint="curve")
    return image


class Sevens:
    """A network that always answers 7."""

    about = SimpleNamespace(dataset="mnist", title="a network", class_names=[*"0123456789"])

    def classify(self, images, views):
        return [self]

    probabilities, saliency, sure = np.eye(10)[[7]], None, True

    def __str__(self):
        return "7"


def started(program):
    """The page, served by the real program: its process and its address."""
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", 0)
    while not (line := process.stdout.readline()).startswith("http"):
        assert line, process.stderr.read()
    return process, line.split()[0].rstrip("/")


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
