"""Werkzeug's threaded server, bounded: in visitors at once, and in the bytes and seconds that a request may take.

Waitress would hold whole pictures, on the disk too, before the page could count their bytes. It and Cheroot bound the
seconds between two bytes, but not those of a whole request.
"""

import contextlib
import io
import json
import re
import socket
import threading
import time
from http import HTTPStatus

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

VISITORS = 400  # at once: with two handles each at most, below the 1,024 that systems allow
REFUSED = 100  # at once, that are told so with care; more are told, too, but may not hear it
RETRY_SECONDS = 2  # after which those who were refused may come again
HEAD_BYTES, HEAD_SECONDS = 2**16, 5  # of a request without its picture
LINGER = 1  # seconds in which what is still on its way is read
CHUNK = 2**16  # bytes that are read at a time
FEATURES = (
    "accelerometer autoplay camera clipboard-read clipboard-write display-capture encrypted-media fullscreen gamepad "
    "geolocation gyroscope hid idle-detection keyboard-map magnetometer microphone midi payment picture-in-picture "
    "publickey-credentials-get screen-wake-lock serial sync-xhr usb xr-spatial-tracking"
)
HEADERS = {  # the browser itself refuses what is not from here; the list is that of OWASP's Secure Headers Project
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "deny",
    "X-Content-Type-Options": "nosniff",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES.split()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store, max-age=0",
}


class Server(ThreadedWSGIServer):
    """Has a thread for each of VISITORS. Those who come later get at once a 503 that says when to come again."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._places = [
            (threading.BoundedSemaphore(VISITORS), self.process_request_thread),
            (threading.BoundedSemaphore(REFUSED), self._refuse),
        ]

    def process_request(self, request, client_address):
        for places, work in self._places:
            if places.acquire(blocking=False):
                thread = threading.Thread(target=self._work, args=(places, work, request, client_address), daemon=True)
                try:
                    return thread.start()
                except RuntimeError:  # the system has no more threads
                    places.release()
        request.settimeout(0)
        for step in (lambda: request.recv(CHUNK), lambda: request.send(BUSY)):  # an answer is lost if bytes are unread
            with contextlib.suppress(OSError):
                step()
        return self.close_request(request)

    def _work(self, places, work, *args):
        try:
            work(*args)
        finally:
            places.release()

    def _refuse(self, request, client_address):
        request.settimeout(LINGER)
        with contextlib.suppress(OSError):
            request.sendall(BUSY)
        self.shutdown_request(request)

    def shutdown_request(self, request):
        """Closes once the visitor has, or after LINGER: an answer is lost if what the visitor sends is not read."""
        until = time.monotonic() + LINGER
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                request.settimeout(left)
                if not request.recv(CHUNK):
                    break
        self.close_request(request)


class Handler(WSGIRequestHandler):
    timeout = 60  # seconds for a picture on its way here, and for an answer on its way back

    def setup(self):
        super().setup()
        self.rfile = InChunks(Incoming(self.connection, min(HEAD_SECONDS, self.timeout)))

    def parse_request(self):
        """Refuses also what is no request to this page: of two meanings, for a proxy, or of unknown length."""
        if not super().parse_request():
            return False
        hosts, lengths = (self.headers.get_all(name, []) for name in ("Host", "Content-Length"))
        plain = len(hosts) == 1 and len(lengths) < 2 and all(re.fullmatch("[0-9]{1,15}", length) for length in lengths)
        whole = not self.headers.get_payload()  # that is where a line that is no header ends up, and all after it
        if not plain or not whole or not self.path.startswith("/") or self.request_version < "HTTP/1.0":
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        else:
            self.rfile.raw.allow(self.timeout)
            return True
        return False

    def send_error(self, code, message=None, explain=None):
        self.close_connection = True
        self.wfile.write(_answer(HTTPStatus(code), HTTPStatus(code).phrase))

    def send_response(self, code, message=None):
        """Without the names and versions of programs."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def log_error(self, *args):
        """Not a line for each request that is none."""


class InChunks(io.BufferedReader):
    """Werkzeug would take 10 MB at a time of what has been refused."""

    def read(self, size):
        return super().read(min(size, CHUNK))


class Incoming(io.RawIOBase):
    """What a visitor sends, of HEAD_BYTES within seconds at first. Raises an OSError beyond that."""

    def __init__(self, connection, seconds):
        self.connection = connection
        self.allow(seconds, HEAD_BYTES)

    def allow(self, seconds, size=float("inf")):
        """From now on as many seconds and bytes."""
        self.until, self.left = time.monotonic() + seconds, size

    def readable(self):
        return True

    def readinto(self, buffer):
        seconds = self.until - time.monotonic()
        if seconds <= 0 or self.left <= 0:
            raise ConnectionAbortedError
        before = self.connection.gettimeout()
        self.connection.settimeout(seconds)
        try:
            received = self.connection.recv_into(buffer)
        finally:
            self.connection.settimeout(before)
        self.left -= received
        return received


def _answer(status, error, **headers):
    """The bytes of an answer that says what is wrong."""
    body = json.dumps({"error": error})
    headers |= {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close", **HEADERS}
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
    return "\r\n".join(lines).encode()


BUSY = _answer(
    HTTPStatus.SERVICE_UNAVAILABLE, "too many visitors at once; try again", **{"Retry-After": RETRY_SECONDS}
)
