"""A partial download, kept beside its target as NAME.part, with a record of the file that the rest must belong to."""

import email.message
import errno
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from converter.errors import PytsnError
from converter.files import explain_os_error, open_without_waiting, put_in_place
from pytsn.runtime.unfinished import changes, read_record, write_record
from pytsn.weights.addresses import recorded, shown

LARGEST = 1 << 31  # bytes; no caffemodel can have more
_SPARE = 1 << 20  # bytes left free on the disk


#: headers of a response, of any mapping type
Headers = Mapping[str, str] | email.message.Message


class PartFile:
    """The part received so far of the file at ``path``, fetched from ``address``.

    NAME.part.json beside it holds the address (its secrets as a hash) and the server's ETag, Last-Modified and size, so
    that bytes of two versions of a file are never joined.
    """

    def __init__(self, path: str | os.PathLike, address: str) -> None:
        self.target, self.address = Path(path), address
        self.path, self._record_path = Path(f"{path}.part"), Path(f"{path}.part.json")
        self._record = self._read_record()

    def _read_record(self) -> dict:
        record = read_record(self._record_path) or {}
        return {} if changes(record, recorded(self.address), ["address", "address_sha256"]) else record

    @property
    def length(self) -> int:
        """Bytes received so far."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def size(self) -> int | None:
        """Bytes of the whole file; None if the server did not say."""
        size = self._record.get("size")
        return size if isinstance(size, int) and size >= 0 else None

    @property
    def is_whole(self) -> bool:
        return self.size is not None and self.length == self.size

    def range_headers(self) -> dict[str, str]:
        """Headers that request the rest, if the file is still the same; {} requests all of it."""
        validator = self._record.get("etag") or self._record.get("modified")
        if not isinstance(validator, str) or not self.length or (self.size is not None and self.length > self.size):
            return {}
        return {"Range": f"bytes={self.length}-", "If-Range": validator}

    def continues(self, headers: Headers) -> bool:
        """Whether a 206 response with these headers is the rest of this same file."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if not found or int(found[1]) != self.length or found[2] not in ("*", str(self.size)):
            return False
        given = validators(headers)
        return all(given[key] in (None, self._record.get(key)) for key in given)

    def begin(self, headers: Headers, size: int | None) -> None:
        """Discards the received bytes and starts again, for a file of ``size`` bytes with these headers."""
        self.open(append=False).close()  # emptied first: the new record must never be beside old bytes
        self._record = {**recorded(self.address), "size": size, **validators(headers)}
        write_record(self._record_path, self._record)

    def open(self, append: bool = True) -> BinaryIO:
        """Opens the part for ``write``. Raises PytsnError for a disk error."""
        try:
            return open(self.path, "ab" if append else "wb", buffering=0, opener=open_without_waiting)
        except OSError as error:
            raise self.disk_error(error) from None

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Appends ``data``. Raises PytsnError if the disk is full or the file is too large."""
        if file.tell() + len(data) > LARGEST:
            raise PytsnError(f"{shown(self.address)}: more than 2 GiB came: that is no caffemodel")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]  # an almost full disk may write only a part
        except OSError as error:
            raise self.disk_error(error) from None

    def require_room(self, size: int | None, have: int = 0) -> None:
        """Raises PytsnError if ``size`` bytes, of which ``have`` are already stored, do not fit on the disk."""
        if size is None:
            return
        if size > LARGEST:
            raise PytsnError(f"{shown(self.address)}: {size:,} bytes: no caffemodel has more than 2 GiB")
        free = shutil.disk_usage(self.path.parent).free
        if free < size - have + _SPARE:  # the stored bytes are either kept or freed
            raise PytsnError(f"{self.target}: the disk is full: {size - have:,} bytes are to come, {free:,} are free")

    def disk_error(self, error: OSError) -> PytsnError:
        """The disk error as a one-line PytsnError."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            kept = f"{self.length:,} bytes are kept in {self.path}"
            return PytsnError(f"{self.target}: the disk is full; {kept}: make room and run again")
        return explain_os_error(error, error.filename or self.path)

    def discard(self) -> None:
        """Removes the part and its record."""
        self._record = {}
        for path in (self.path, self._record_path):
            path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Syncs the part to disk and moves it to ``path``."""
        try:
            put_in_place(self.path, path)
        except OSError as error:
            raise self.disk_error(error) from None
        self._record_path.unlink(missing_ok=True)


def validators(headers: Headers) -> dict[str, str | None]:
    """The headers that identify a file's version. Weak ETags (``W/``) do not count: equal ones may differ in bytes."""
    etag = headers.get("ETag")
    return {"etag": None if etag and etag.startswith("W/") else etag, "modified": headers.get("Last-Modified")}
