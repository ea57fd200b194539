"""Worker processes that end in the middle of things (pytsn/runtime/worker_pool.py)."""

import os
import threading
import time

import pytest

from pytsn.runtime.worker_pool import WorkerKilled, ordered_results

_LARGE = 16 << 20  # bytes, many times what a pipe takes up at once


class DiesWhileSending:
    """Task 0 is small; the answer of task 1 is large, and the process ends while it waits for somebody to read it."""

    def __call__(self, task: int) -> bytes:
        if task == 0:
            return b""
        threading.Timer(0.3, os._exit, (1,)).start()
        return bytes(_LARGE)


def test_a_worker_killed_in_the_middle_of_a_result():
    results = ordered_results(DiesWhileSending, [()], [0, 1])
    assert next(results) == b""
    time.sleep(1.5)  # nobody reads: the worker is in the middle of its answer when it ends
    with pytest.raises(WorkerKilled, match="was killed"):
        next(results)
