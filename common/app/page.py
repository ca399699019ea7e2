"""A page in the browser: draw a digit or drop a picture, and see what the network makes of it.

Werkzeug, which TensorBoard brings, serves it. Nothing is written to disk, and nothing is loaded from another host.
"""

import base64
import contextlib
import io
import ipaddress
import json
import logging
import socket
import threading
from pathlib import Path

from common.app import drawing
from common.app.classifier import prepared
from common.app.server import CHUNK, HEADERS, RETRY_SECONDS, VISITORS, Handler, Server
from common.command_line import ROOT
from common.errors import UserError

from PIL import Image
from werkzeug import Request, Response, exceptions
from werkzeug.serving import get_interface_ip

MAX_BYTES = 20_000_000  # of a picture
MAX_BYTES_AT_ONCE = 100_000_000  # of all pictures that are being sent: bounds the memory
AT_ONCE = 2  # pictures that are decoded: bounds the memory
TURN_SECONDS = 30  # that a picture waits for its turn
LOCAL = ["127.0.0.1", "localhost"]
ERRORS = {413: f"the picture is larger than {MAX_BYTES // 10**6} MB", 503: "too many pictures at once; try again"}
FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
MIME_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".jpg": "image/jpeg"}


def serve(task, classifier, network_input, host, port):
    """Serves the page until Ctrl-C, to any number of visitors at once.

    Raises UserError if the address cannot be had.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    try:  # here, as Werkzeug would print its own lines and exit
        listening = socket.create_server((host, port), backlog=VISITORS)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "a port is 0 to 65535"
        raise UserError(f"cannot serve http://{host}:{port}: {reason}; choose another --port or --host") from None
    address = listening.getsockname()[0]
    local = ipaddress.ip_address(address).is_loopback
    app = application(task, classifier, network_input, [*LOCAL, host, address] if local else None)
    server = Server(host, port, app, Handler, fd=listening.fileno())
    if not local:
        print("everyone who can reach this machine may send pictures: there is no password and no encryption")
    shown = get_interface_ip(socket.AF_INET) if host == "0.0.0.0" else host  # noqa: S104 (the user's wish)
    print(f"http://{shown}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
    server.serve_forever()


def application(task, classifier, network_input, hosts=None):
    """The WSGI application: the page's files, its examples, and POST /classify, which takes a picture's bytes.

    hosts: the names by which it may be called, any if None: a page for this machine alone is not for other sites that
    are open in its browser.
    """
    examples = sorted((ROOT / "docs" / "examples" / task).glob("*.jpg")) if classifier.about.dataset == task else []
    about = {
        "task": task,
        "title": classifier.about.title,
        "classes": classifier.about.class_names,
        "examples": [example.name for example in examples],
    }
    free, uploads = threading.BoundedSemaphore(AT_ONCE), Uploads()

    @contextlib.contextmanager
    def turn():
        if not free.acquire(timeout=TURN_SECONDS):
            raise exceptions.ServiceUnavailable
        try:
            yield
        finally:
            free.release()

    def respond(request):
        path, host = request.path, request.host  # which is checked here
        if request.headers.get("Origin", f"http://{host}").partition("://")[1:] != ("://", host):
            raise exceptions.Forbidden
        if path == "/classify":
            if request.method != "POST":
                raise exceptions.MethodNotAllowed(["POST"])
            if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":  # browsers tell it beside Origin
                raise exceptions.Forbidden
            if request.content_length is None:
                raise exceptions.LengthRequired
            with uploads.file(request) as file, turn():  # in this order: others need not wait for a slow line
                return _json(_classify(file, classifier, network_input))
        if request.method not in ("GET", "HEAD"):
            raise exceptions.MethodNotAllowed(["GET"])
        if path == "/about":
            return _json(about)
        if path in FILES:
            return _file(Path(__file__).with_name(FILES[path]))
        for example in examples:
            if path == f"/examples/{example.name}":
                return _file(example)
        raise exceptions.NotFound

    @Request.application
    def app(request):
        request.max_content_length = MAX_BYTES
        request.trusted_hosts = hosts
        try:
            response = respond(request)
        except UserError as error:
            response = _json({"error": str(error)}, 400)
        except exceptions.HTTPException as error:
            response = _json({"error": ERRORS.get(error.code, error.name)}, error.code)
        response.headers.update(HEADERS)
        if response.status_code == 503:
            response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response

    return app


class Uploads:
    """The pictures that visitors send, which together have no more than MAX_BYTES_AT_ONCE."""

    def __init__(self):
        self._lock, self._bytes = threading.Lock(), 0

    @contextlib.contextmanager
    def file(self, request):
        """The body of a request as a binary file. Raises ServiceUnavailable if all of them would have too much."""
        file, size = io.BytesIO(), 0
        try:
            while chunk := request.stream.read(CHUNK):
                with self._lock:
                    self._bytes += len(chunk)
                    size += len(chunk)
                    if self._bytes > MAX_BYTES_AT_ONCE:
                        raise exceptions.ServiceUnavailable
                file.write(chunk)
            yield file
        finally:
            with self._lock:
                self._bytes -= size


def _classify(file, classifier, network_input):
    image, views = prepared(file, "this file", network_input)
    [answer] = classifier.classify([image], [views])
    items = [
        {"probabilities": [round(float(p), 4) for p in probabilities], "seen": _data_url(drawing.tiled(view))}
        for view, probabilities in zip(views, answer.probabilities, strict=True)
    ]
    if answer.saliency is not None:
        for item, view, saliency in zip(items, views, answer.saliency, strict=True):
            item["decided"] = _data_url(drawing.overlay(view[0], saliency))
    return {"answer": str(answer), "sure": answer.sure, "items": items}


def _data_url(pixels):
    """uint8 [height, width, channels] as a PNG file in an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _json(value, status=200):
    return Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")


def _file(path):
    return Response(path.read_bytes(), mimetype=MIME_TYPES[path.suffix])
