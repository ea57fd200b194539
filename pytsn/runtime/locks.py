"""One piece of work, one process: locks that end with their process, however it ends."""

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

#: in a folder of which one process is the user
LOCK = ".pytsn-lock"
HELD, TAKEN, UNPROTECTED = "held", "taken", "unprotected"
_TAKEN_BY_OTHER = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def hold_lock(path: str) -> Iterator[str]:
    """Tries to be the only one in the context for the lock file ``path``, and yields what came of it: held; taken (by
    another process, which is alive); unprotected (this system or file system has no locks). The file goes afterwards.

    OSError when the file cannot be made.
    """
    handle, state = _acquire(path)
    try:
        yield state
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):  # still locked: nobody else can have made it anew
                os.unlink(path)
            os.close(handle)


@contextlib.contextmanager
def only_user(folder: str | os.PathLike, what: str) -> Iterator[str]:
    """Makes the folder where it is missing and is the only process in the context for it. Yields held or unprotected.

    what: who works there, for the error: ``another ablation``. A folder that was made and is still empty goes
    afterwards. Raises PytsnError when another process, which is alive, is at work there, and when the folder cannot be
    made.
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
