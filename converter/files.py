"""Reads files with one-line errors and writes them whole or not at all."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from converter.errors import PytsnError


def explain_os_error(error: OSError, path: str | os.PathLike) -> PytsnError:
    """An operating-system error about ``path`` as a one-line PytsnError."""
    reasons = {
        FileNotFoundError: "no such file or folder",
        IsADirectoryError: "is a folder, a file was expected",
        NotADirectoryError: "part of the path is a file, not a folder",
        PermissionError: "permission denied",
    }
    return PytsnError(f"{path}: {reasons.get(type(error), error.strerror or str(error))}")


def read_bytes(path: str | os.PathLike) -> bytes:
    """The file's bytes. Raises a PytsnError with the path if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise explain_os_error(error, path) from None


def read_text(path: str | os.PathLike) -> str:
    """The file's text, UTF-8. Raises PytsnError for unreadable and binary files (such as a caffemodel)."""
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PytsnError(
            f"{path}: not a text file (byte {error.start} is not UTF-8); a prototxt was expected?"
        ) from None
    if "\0" in text:
        raise PytsnError(f"{path}: not a text file (it holds NUL bytes)")
    return text


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; fsyncs and renames it there on success, removes it on error.

    Raises PytsnError if the folder does not exist or is not writable, and for a device or pipe such as /dev/null, which
    the rename would replace with a file.
    """
    path = Path(path)
    _refuse_special(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent or ".")
    except OSError as error:
        raise explain_os_error(error, path) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        put_in_place(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_special(path: Path) -> None:
    with contextlib.suppress(OSError):  # does not exist yet; other errors show when the temporary file is made
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise PytsnError(f"{path}: is a device or a pipe; give the name of a file")


def put_in_place(temporary: Path, path: Path) -> None:
    """Syncs the file ``temporary`` to disk and renames it to ``path``. Raises OSError if that fails."""
    mask = os.umask(0)
    os.umask(mask)
    with open(temporary, "rb+") as file:
        os.fchmod(file.fileno(), 0o666 & ~mask)  # mkstemp makes 0600; users expect the mode of open()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes ``data`` to ``path``, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def sha256_of(path: str | os.PathLike) -> str:
    """Hex SHA-256 of the file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)
    except OSError as error:
        raise explain_os_error(error, path) from None


def _digest(file) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
