"""Locks that allow one process per piece of work and end with their process, however it ends."""

import contextlib
import errno
import os
from collections.abc import Iterator

from converter.errors import PytsnError
from converter.files import explain_os_error

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

#: lock file in a folder that only one process may use
LOCK = ".pytsn-lock"
HELD, TAKEN, UNPROTECTED = "held", "taken", "unprotected"
#: what a user is told of a place that is unprotected
NO_LOCKS = "this file system has no locks: let only one run at a time write there"
_TAKEN_BY_OTHER = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def hold_lock(path: str) -> Iterator[str]:
    """A context that tries to lock the file ``path`` and yields the result: held; taken (by another running process);
    unprotected (this system or file system has no locks). Removes the file afterwards.

    Raises OSError if the file cannot be created.
    """
    handle, state = _acquire(path)
    try:
        yield state
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):  # still locked: nobody else can have created it again
                os.unlink(path)
            os.close(handle)


@contextlib.contextmanager
def only_user(folder: str | os.PathLike, what: str) -> Iterator[str]:
    """A context for exclusive use of a folder, which is created if missing. Yields held or unprotected.

    what: the user named in the error, such as ``another ablation``. Afterwards removes the folders that it created and
    that are still empty. Raises PytsnError if another running process uses the folder, or if it cannot be created.
    """
    with contextlib.ExitStack() as stack:
        for missing in reversed(_missing_folders(folder)):
            stack.callback(_remove_empty, missing)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder) from None
        refusal = f"{folder}: {what} is at work there; wait for its end, or name another folder"
        yield stack.enter_context(_held(os.path.join(folder, LOCK), folder, refusal))


@contextlib.contextmanager
def only_writer(prefix: str, refusal: str) -> Iterator[str]:
    """A context for exclusive use of the files whose paths start with ``prefix``, in a folder that exists. Yields held
    or unprotected.

    Raises PytsnError(refusal) if another running process uses the prefix.
    """
    folder, name = os.path.split(prefix)
    lock = os.path.join(folder, f".{name}{LOCK}" if name else LOCK)
    with _held(lock, folder or ".", refusal) as state:
        yield state


@contextlib.contextmanager
def _held(lock: str, place: str | os.PathLike, refusal: str) -> Iterator[str]:
    """hold_lock; a lock that is taken raises PytsnError(refusal), one that cannot be created names ``place``."""
    with contextlib.ExitStack() as stack:
        try:
            state = stack.enter_context(hold_lock(lock))
        except OSError as error:
            raise explain_os_error(error, place) from None
        if state == TAKEN:
            raise PytsnError(refusal)
        yield state


def _missing_folders(folder: str | os.PathLike) -> list[str]:
    """The folder and those above it that are not there, innermost first."""
    missing, path = [], os.path.abspath(folder)
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # not empty, or not made
        os.rmdir(folder)


def _acquire(path: str) -> tuple[int | None, str]:
    if fcntl is None:
        return None, UNPROTECTED
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in _TAKEN_BY_OTHER:
                return None, TAKEN
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None, UNPROTECTED
        if _same_file(handle, path):
            return handle, HELD
        os.close(handle)  # the file was removed by its last holder between our opening and locking it


def _same_file(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
