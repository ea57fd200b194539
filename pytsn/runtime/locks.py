"""One video, one process: locks that end with their process, however it ends."""

import contextlib
import errno
import os
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

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
