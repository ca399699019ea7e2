"""Files from the network: several mirrors, checked content, atomic writes."""

import contextlib
import gzip
import hashlib
import io
import queue
import sys
import threading
import time
import zlib
from pathlib import Path

from common.command_line import shown
from common.errors import UserError, writing

import filelock

PATIENCE = 30  # seconds: a mirror that sends less than SLOWEST in them is given up
SLOWEST = 300_000  # bytes
LARGEST = 200_000_000  # bytes of a file, compressed or not: CIFAR-10's has 170 million
CHUNK = 2**14  # bytes that are waited for at a time
WRONG = "is not the official file: expected MD5 {expected}, found {actual}; delete it to download it again"


class DataUnavailable(UserError):
    """The data is neither in its folder nor to be had from a mirror."""


class _MirrorFailed(Exception):
    """Why a mirror does not give a file, in a few words."""


def read_gzip(path):
    """The bytes of a file, decompressed if its name ends in .gz. Raises UserError if it is not whole."""
    raw = Path(path).read_bytes()
    if not str(path).endswith(".gz"):
        return raw
    try:
        with gzip.open(io.BytesIO(raw)) as file:
            content = file.read(LARGEST + 1)  # a few bytes can hold more than the memory has
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file ({error}); delete it to download it again") from None
    if len(content) > LARGEST:
        raise UserError(f"{path} holds more than {LARGEST:,} bytes; delete it to download it again")
    return content


def check_digest(path, expected):
    """Returns the content of a file, decompressed, if its MD5 or that of the compressed file is the expected one.

    Mirrors may compress the same content in their own way, so either passes. Raises UserError that names the file.
    """
    content = read_gzip(path)
    actual = hashlib.md5(content).hexdigest()
    if expected not in (actual, hashlib.md5(Path(path).read_bytes()).hexdigest()):
        raise UserError(f"{path} {WRONG.format(expected=expected, actual=actual)}")
    return content


def check_file_digest(path, expected):
    """Checks the MD5 of a file as it is. Raises UserError that names the file if it is not the expected one."""
    actual = hashlib.md5(Path(path).read_bytes()).hexdigest()
    if actual != expected:
        raise UserError(f"{path} {WRONG.format(expected=expected, actual=actual)}")


def fetch(path, mirrors, check):
    """Downloads path.name from the first mirror whose file passes check(its path), to path.

    check raises UserError for a wrong file. Nothing appears at path before it is whole and checked. One program
    downloads at a time; others wait, and find the file. Raises DataUnavailable with each mirror's failure, UserError
    where the file cannot be written.
    """
    part = path.with_name(f".downloading-{path.name}")  # one that was killed may have left it
    failures = []
    with locked(path.parent.parent, "downloading"), writing(path):
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            for mirror in mirrors:
                try:
                    _download(mirror + path.name, part)
                    check(part)
                    part.replace(path)
                    return
                except _MirrorFailed as error:
                    failures.append(f"{mirror} ({error})")
                except UserError:
                    failures.append(f"{mirror} (other content than the official file)")
        finally:
            part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # if it is empty
    raise DataUnavailable(f"{path.name} could not be downloaded from {' or '.join(failures)}")


@contextlib.contextmanager
def locked(data_dir, doing):
    """Makes the folder, and lets one program at a time do what `doing` says in it. Raises UserError where it cannot."""
    with writing(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(data_dir / f".{doing}.lock")
        try:
            lock.acquire(timeout=1)  # seconds
        except filelock.Timeout:
            print(f"waiting for another program that is {doing} in {shown(data_dir)}", file=sys.stderr, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(url, part):
    """Raises _MirrorFailed, or OSError where the file cannot be written."""
    from tqdm import tqdm  # here, not above: only a first run downloads

    name = url.rpartition("/")[2]
    with part.open("wb") as file, tqdm(desc=name, unit="B", unit_scale=True, dynamic_ncols=True, disable=None) as bar:
        for chunk in _received(url, bar):
            file.write(chunk)
            bar.update(len(chunk))


def _received(url, bar):
    """Yields what a server sends, and gives the bar its total. Raises _MirrorFailed.

    A thread receives, as no limit of requests counts for a whole answer: the look-up of the name, each redirect and the
    head may take their time, too. One that is given up ends with its next chunk, or with the program.
    """
    chunks, given_up, size = queue.Queue(1000), threading.Event(), 0
    threading.Thread(target=_receive, args=(url, bar, chunks, given_up), daemon=True).start()
    try:
        while True:
            before, until = size, time.monotonic() + PATIENCE
            while (left := until - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    chunk = chunks.get(timeout=left)
                    if isinstance(chunk, Exception):
                        raise _MirrorFailed(_reason(chunk)) from chunk
                    if not chunk:
                        return
                    size += len(chunk)
                    if size > LARGEST:
                        raise _MirrorFailed(f"more than {LARGEST:,} bytes")
                    yield chunk
            if size - before < SLOWEST:
                raise _MirrorFailed("no answer in time, or too slow")
    finally:
        given_up.set()


def _receive(url, bar, chunks, given_up):
    """Puts the chunks of what a server sends, and an empty one at the end; or what was raised."""
    import requests

    try:
        with requests.get(
            url, stream=True, timeout=PATIENCE, headers={"Accept-Encoding": "identity"}, hooks={"response": _go_on}
        ) as response:
            response.raise_for_status()
            bar.total = response.raw.length_remaining
            for chunk in response.raw.stream(CHUNK, decode_content=False):  # a .gz stays one
                if given_up.is_set():
                    return
                chunks.put(chunk)
        chunks.put(b"")
    except Exception as error:  # is raised again where the chunks are awaited
        chunks.put(error)


def _go_on(response, **_):
    if response.is_redirect:
        response.close()  # or requests would read what comes with it, which may have no end


def _reason(error):
    import requests
    import urllib3.exceptions

    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, (requests.RequestException, ValueError)):  # such as a redirect to file://
        return f"no usable answer: {type(error).__name__}"
    if isinstance(error, (urllib3.exceptions.HTTPError, OSError)):
        return "the connection broke off"
    raise error
