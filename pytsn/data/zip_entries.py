"""Entries of zip archives, read by many threads and processes at once.

An archive's directory is cached, and its file is opened for each entry, so threads and forked processes share no open
file. A replaced archive is detected by its size, time or inode.
"""

import os
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import NamedTuple

from converter.errors import PytsnError
from converter.files import explain_os_error, open_regular

#: number of cached directories, at about 0.3 KB per entry
_CACHED = 32
#: no image is larger: an entry with a larger size is damaged
_LARGEST = 1 << 28
#: bytes before an entry's name, and room for the name and the extra field
_HEADER, _NAME_AND_EXTRA = 30, 128
_AGAIN = "extract the frames of this video again"
#: errors that zipfile raises for bytes that are not an archive
NOT_A_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error, OSError)


class Entry(NamedTuple):
    """An entry's offset in its archive, packed and unpacked size, CRC-32, compression method, and whether encrypted."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int
    encrypted: bool


def zip_directory(archive: str) -> dict[str, Entry]:
    """The archive's entries by name. Raises PytsnError that names the archive when it is missing, truncated or not a
    zip."""
    try:
        state = os.stat(archive)
    except OSError as error:
        raise explain_os_error(error, archive) from None
    return _read_directory(archive, (state.st_mtime_ns, state.st_size, state.st_ino))


def read_entry(archive: str, name: str) -> bytes:
    """The entry's bytes, unpacked. Raises PytsnError that names archive and entry when the entry is missing, damaged
    (length or CRC), encrypted, or neither stored nor deflated."""
    directory = zip_directory(archive)
    if name not in directory:
        raise PytsnError(f"{archive}: holds no entry {name} ({len(directory)} entries); {_AGAIN}")
    where, entry = f"{archive}, entry {name}", directory[name]
    if entry.encrypted or entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        how = "encrypted" if entry.encrypted else f"packed by method {entry.method}"
        raise PytsnError(f"{where}: is {how}; stored and deflated entries can be read: pack it again")
    data = _unpack(_packed_bytes(archive, entry), entry)
    if data is None:
        raise PytsnError(f"{where}: is damaged (its length or CRC does not fit); {_AGAIN}")
    return data


@lru_cache(maxsize=_CACHED)
def _read_directory(archive: str, stamp: tuple[int, ...]) -> dict[str, Entry]:
    try:
        with open_regular(archive) as file, zipfile.ZipFile(file) as opened:
            return {item.filename: _entry(item) for item in opened.infolist()}
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise explain_os_error(error, archive) from None
    except NOT_A_ZIP as error:
        raise PytsnError(f"{archive}: cut short, or no zip archive ({error}); {_AGAIN}") from None


def _entry(item: zipfile.ZipInfo) -> Entry:
    encrypted = bool(item.flag_bits & 1)
    return Entry(item.header_offset, item.compress_size, item.file_size, item.CRC, item.compress_type, encrypted)


def _packed_bytes(archive: str, entry: Entry) -> bytes | None:
    """The entry's packed bytes; None if the file does not hold all of them."""
    try:
        with open_regular(archive).detach() as file:  # no buffer: it would be copied
            there = os.fstat(file.fileno()).st_size  # memory is taken for all that is asked for
            size = min(entry.packed, _LARGEST, there)
            file.seek(max(entry.offset, 0))
            read = file.read(_HEADER + _NAME_AND_EXTRA + size)  # all at once, as a rule
            if len(read) < _HEADER or not read.startswith(b"PK\3\4"):
                return None
            start = _HEADER + sum(struct.unpack_from("<HH", read, 26))  # the entry's name and extra field come first
            packed = read[start : start + size]
            if len(packed) < size:
                file.seek(max(entry.offset, 0) + start)
                packed = file.read(size)
    except OSError as error:
        raise explain_os_error(error, archive) from None
    return packed if len(packed) == entry.packed else None


def _unpack(packed: bytes | None, entry: Entry) -> bytes | None:
    """The entry's unpacked bytes; None if they are damaged."""
    if packed is None or entry.size > _LARGEST:
        return None
    try:
        stored = entry.method == zipfile.ZIP_STORED
        data = packed if stored else zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
    except zlib.error:
        return None
    return data if len(data) == entry.size and zlib.crc32(data) == entry.crc else None
