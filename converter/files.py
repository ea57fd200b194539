"""Reads files with one-line errors and writes them whole or not at all."""

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from converter.errors import PytsnError

#: bytes that are taken from a pipe: more than weights have
LARGEST_PIPED = 1 << 30
_NO_FILE = "is a pipe, a socket or a device; a file was expected"


def explain_os_error(error: OSError, path: str | os.PathLike) -> PytsnError:
    """An operating-system error about ``path`` as a one-line PytsnError."""
    reasons = {
        FileNotFoundError: "no such file or folder",
        IsADirectoryError: "is a folder, a file was expected",
        NotADirectoryError: "part of the path is a file, not a folder",
        PermissionError: "permission denied",
    }
    return PytsnError(f"{path}: {reasons.get(type(error), error.strerror or str(error))}")


def open_regular(path: str | os.PathLike) -> BufferedReader:
    """Opens a file of data, whose place a pipe, a socket or a device may have taken: nobody waits for a writer, and
    nothing endless is read. Raises OSError if it cannot be opened, PytsnError if it is no regular file."""
    file = _open_at_once(path)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise PytsnError(f"{path}: {_NO_FILE}")
    return file


def _open_at_once(path: str | os.PathLike) -> BufferedReader:
    try:
        return open(path, "rb", opener=open_without_waiting)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise PytsnError(f"{path}: {_NO_FILE}") from None
        raise


def open_without_waiting(path: str, flags: int) -> int:
    """An opener for ``open``: a pipe without anybody at its other end would block for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def read_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a file, or of a pipe such as a shell makes of ``<(command)``, which somebody must be writing to.

    Raises a PytsnError with the path if it cannot be read: a socket, a device, a pipe without a writer among them.
    """
    try:
        with _open_at_once(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode):
                return file.read()
            if stat.S_ISFIFO(mode):
                return _read_pipe(file, path)
    except OSError as error:
        raise explain_os_error(error, path) from None
    raise PytsnError(f"{path}: {_NO_FILE}")


def _read_pipe(file: BufferedReader, path: str | os.PathLike) -> bytes:
    os.set_blocking(file.fileno(), True)
    data = file.read(LARGEST_PIPED + 1)
    if len(data) > LARGEST_PIPED:
        raise PytsnError(f"{path}: more than {LARGEST_PIPED >> 20} MB came out of this pipe; name a file")
    if not data:
        raise PytsnError(f"{path}: a pipe that nothing comes out of: nobody writes to it")
    return data


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
    """Hex SHA-256 of the file, "" for a pipe: what came out of it is gone. Raises PytsnError for anything else."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return ""
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)
    except OSError as error:
        raise explain_os_error(error, path) from None


def _digest(file) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
