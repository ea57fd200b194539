"""Threads that read ahead, and are not waited for when a read hangs (pytsn/runtime/reading_threads.py)."""

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from pytsn.runtime import reading_threads
from pytsn.runtime.reading_threads import ReadingThreads
from tests.waiting import PATIENCE


def test_results_and_errors_come_in_futures():
    with ReadingThreads(2, "read") as pool:
        futures = [pool.submit(divmod, 7, divisor) for divisor in (2, 0, 5)]
        assert (futures[0].result(), futures[2].result()) == ((3, 1), (1, 2))
        with pytest.raises(ZeroDivisionError):
            futures[1].result()


def test_leaving_waits_for_what_runs_and_cancels_the_rest():
    begun, go_on = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        return "done"

    with ReadingThreads(1, "read") as pool:
        futures: list[Future] = [pool.submit(first), pool.submit(begun.clear)]
        futures[1].add_done_callback(lambda _: go_on.set())  # cancelled, while the first one runs
        assert begun.wait(PATIENCE)
    assert futures[0].result() == "done"
    assert futures[1].cancelled()
    assert begun.is_set()


def test_a_call_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(reading_threads, "PATIENCE_S", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    with ReadingThreads(1, "read") as pool:
        future = pool.submit(lambda: begun.set() or go_on.wait(PATIENCE))
        assert begun.wait(PATIENCE)
    assert not future.done()
    go_on.set()
    assert future.result()


def test_nor_does_the_interpreter_wait_for_it():
    code = (
        "import os, threading\nfrom pytsn.runtime import reading_threads as r\nr.PATIENCE_S = 0.0\n"
        "begun = threading.Event()\n"
        "with r.ReadingThreads(2, 'read') as pool:\n"
        "    pool.submit(lambda: begun.set() or os.read(0, 1))\n"
        "    begun.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        try:
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
