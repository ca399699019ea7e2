"""Files from the network: several mirrors, checked content, atomic writes."""

import contextlib
import gzip
import hashlib
import os
import sys
import zlib
from pathlib import Path

from common.errors import UserError

WRONG = "is not the official file: expected MD5 {expected}, found {actual}; delete it to download it again"


class DataUnavailable(UserError):
    """The data is neither in its folder nor to be had from a mirror."""


def read_gzip(path):
    """The bytes of a file, decompressed if its name ends in .gz. Raises UserError if it is not whole."""
    raw = Path(path).read_bytes()
    if not str(path).endswith(".gz"):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file ({error}); delete it to download it again") from None


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

    check raises UserError for a wrong file. Nothing appears at path before it is whole and checked. Raises
    DataUnavailable with each mirror's failure.
    """
    import pooch  # here, not above: only a first run downloads
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{os.getpid()}-{path.name}")
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=20)  # seconds
    failures = []
    for mirror in mirrors:
        try:
            download(mirror + path.name, str(part), None)
            check(part)
            part.replace(path)
            return
        except UserError:
            failures.append(f"{mirror} (other content than the official file)")
        except (requests.RequestException, OSError) as error:
            failures.append(f"{mirror} ({_reason(error)})")
        finally:
            part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()  # if it is empty
    raise DataUnavailable(f"{path.name} could not be downloaded from {' or '.join(failures)}")


def _reason(error):
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
