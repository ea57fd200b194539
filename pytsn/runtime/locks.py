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

    what: the user named in the error, such as ``another ablation``. Afterwards removes a folder that it created and
    that is still empty. Raises PytsnError if another running process uses the folder, or if it cannot be created.
    """
    made = not os.path.isdir(folder)
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, exist_ok=True)
            if made:
                stack.callback(_remove_empty, folder)
            state = stack.enter_context(hold_lock(os.path.join(folder, LOCK)))
        except OSError as error:
            raise explain_os_error(error, folder) from None
        if state == TAKEN:
            raise PytsnError(f"{folder}: {what} is at work there; wait for its end, or name another folder")
        yield state


def _remove_empty(folder: str | os.PathLike) -> None:
    with contextlib.suppress(OSError):  # not empty
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
