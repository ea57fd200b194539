"""Downloads that survive stalls, broken connections and restarts, over HTTP or from a folder; standard library only.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (Range).
"""

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.file_kinds import sniff
from pytsn.runtime.version import __version__
from pytsn.weights.addresses import shown
from pytsn.weights.download_errors import (
    HostGone,
    NotThere,
    StartAgain,
    Trouble,
    connection_trouble,
    http_trouble,
    make_opener,
    reason_of,
)
from pytsn.weights.resume import PartFile

Progress = Callable[[int, int | None], None]  # (bytes so far, total bytes or None)
_CHUNK = 1 << 16
_LONGEST_WAIT = 60.0
_OPENER = make_opener()


@dataclass(frozen=True)
class Patience:
    """stall: seconds without a byte before a connection is given up. tries: number of tries in a row without progress.
    wait: seconds before the second try, doubled each time up to a minute."""

    stall: float = 30.0
    tries: int = 5
    wait: float = 1.0


def fetch(address: str, part: PartFile, patience: Patience, progress: Progress) -> None:
    """Downloads http(s) ``address`` into ``part``, continuing where an earlier run stopped.

    Raises HostGone, NotThere, or PytsnError if the disk is full or the connection keeps failing; received bytes stay.
    """
    best, failures, reached = part.length, 0, False
    while not part.is_whole:
        try:
            return _try_once(address, part, patience, progress)
        except Trouble as trouble:
            if isinstance(trouble, StartAgain):
                part.discard()
            if part.length > best:  # a server that always starts again makes no progress
                best, failures = part.length, 0
            failures, reached = failures + 1, reached or trouble.reached
            if failures >= patience.tries:
                raise _given_up(address, part, trouble, failures, reached) from None
            time.sleep(min(max(patience.wait * 2 ** (failures - 1), trouble.wait), _LONGEST_WAIT))
    return None


def _given_up(address: str, part: PartFile, trouble: Trouble, failures: int, reached: bool) -> PytsnError:
    kept = f"; {part.length:,} bytes are kept in {part.path}, run again to go on" if part.length else ""
    message = f"{shown(address)}: {trouble}, {failures} times in a row{kept}"
    return PytsnError(message) if reached else HostGone(message)


def _try_once(address: str, part: PartFile, patience: Patience, progress: Progress) -> None:
    try:
        with _open(address, part.range_headers(), patience.stall) as response:
            start = _where_to_write(response, part)
            size = part.size
            _receive(response, part, start, progress)
    except (TimeoutError, http.client.HTTPException, OSError) as error:
        raise Trouble(reason_of(error, patience.stall)) from None
    if size is not None and part.length != size:
        raise Trouble(f"the connection ended after {part.length:,} of {size:,} bytes")


def _open(address: str, headers: dict[str, str], stall: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"pytsn/{__version__}", "Accept-Encoding": "identity", **headers}
    try:
        return _OPENER.open(urllib.request.Request(address, headers=headers), timeout=stall)
    except urllib.error.HTTPError as error:
        with error:
            raise http_trouble(address, error) from None
    except urllib.error.URLError as error:
        raise connection_trouble(address, error.reason, stall) from None
    except (http.client.InvalidURL, UnicodeError, ValueError) as error:
        raise NotThere(f"{shown(address)}: not an address ({type(error).__name__})") from None
    except (OSError, http.client.HTTPException) as error:
        raise Trouble(reason_of(error, stall)) from None


def _where_to_write(response: http.client.HTTPResponse, part: PartFile) -> int:
    """Where the response's bytes belong: after the existing part, or at the start if the server sends all of it."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotThere(f"{shown(part.address)}: comes compressed, though that was not asked for")
    if response.status == 206:
        if not part.continues(response.headers):
            raise StartAgain("the file there changed meanwhile")
        part.require_room(part.size, part.length)
        return part.length
    if response.status != 200:
        raise NotThere(f"{shown(part.address)}: HTTP {response.status} {response.reason}")
    length = response.headers.get("Content-Length", "")
    size = int(length) if re.fullmatch(r"\d{1,18}", length) else None
    part.require_room(size, part.length)
    part.begin(response.headers, size)
    return 0


def _receive(response: http.client.HTTPResponse, part: PartFile, start: int, progress: Progress) -> None:
    done = start
    with part.open() as file:
        progress(done, part.size)
        while chunk := response.read1(_CHUNK):
            if done == 0 and (kind := sniff(chunk, part.size or len(chunk))).useless:
                raise NotThere(f"{shown(part.address)}: instead of the file came this: {kind.name}; {kind.advice}")
            part.write(file, chunk)
            done += len(chunk)
            progress(done, part.size)


def copy(source: str | os.PathLike, part: PartFile, progress: Progress) -> None:
    """Copies a local file into ``part``. Raises PytsnError if it cannot be read or the disk is full."""
    try:
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            part.require_room(size)
            part.begin({}, size)
            with part.open() as target:
                done = 0
                while chunk := file.read(_CHUNK * 16):
                    part.write(target, chunk)
                    done += len(chunk)
                    progress(done, size)
    except OSError as error:
        raise part.disk_error(error) from None
