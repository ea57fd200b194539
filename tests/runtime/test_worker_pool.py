"""Worker processes that end in the middle of things (pytsn/runtime/worker_pool.py)."""

import array
import contextlib
import fcntl
import os
import termios
import threading
import time
from pathlib import Path

import pytest

from pytsn.runtime.worker_pool import WorkerKilled, ordered_results
from tests.waiting import is_running, wait_for

_LARGE = 16 << 20  # bytes, many times what a pipe takes up at once
_QUESTIONS = {"socket": termios.TIOCOUTQ, "pipe": termios.FIONREAD}
_BEGUN = 8 << 10  # bytes, more than the messages around an answer


def _unread() -> int:
    """Bytes that this process has sent through one of its pipes and that nobody has read yet."""
    found = [0]
    for name in os.listdir("/proc/self/fd"):
        count = array.array("i", [0])
        with contextlib.suppress(OSError):
            kind = os.readlink(f"/proc/self/fd/{name}").partition(":")[0]
            if kind in _QUESTIONS:
                fcntl.ioctl(int(name), _QUESTIONS[kind], count)
        found.append(count[0])
    return max(found)


def _end_while_sending() -> None:
    while _unread() < _BEGUN:
        time.sleep(0.01)
    os._exit(1)


class DiesWhileSending:
    """Task 0 is small; the answer of task 1 is large, and the process ends when a part of it waits to be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, task: int) -> bytes:
        if task == 0:
            return b""
        threading.Thread(target=_end_while_sending, daemon=True).start()
        (self.folder / str(os.getpid())).touch()
        return bytes(_LARGE)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_a_worker_killed_in_the_middle_of_a_result(tmp_path):
    results = ordered_results(DiesWhileSending, [(tmp_path,)], [0, 1])
    assert next(results) == b""
    # nobody reads: the worker is in the middle of its answer when it ends
    wait_for(lambda: os.listdir(tmp_path), "the worker's second task")
    (pid,) = os.listdir(tmp_path)
    wait_for(lambda: not is_running(pid), "the end of the worker")
    with pytest.raises(WorkerKilled, match="was killed"):
        next(results)
