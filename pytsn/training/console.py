"""Prints log lines on stdout, and shows progress with the time to go on stderr."""

import os
from collections.abc import Iterator
from datetime import datetime

from pytsn.runtime.progress import Progress, say, track


class ProgressLog:
    """A context that prints lines and shows progress towards ``max_iter``; silent if ``active`` is False.

    ``glog``: each line starts as in Caffe, with date, time, process and source line; some old parsers need this.
    """

    def __init__(self, max_iter: int, active: bool = True, glog: bool = False) -> None:
        self._active, self._glog = active, glog
        self._progress = Progress("training", max_iter, "iteration", active)
        self._started = False

    def __enter__(self) -> "ProgressLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.close()

    def print(self, line: str) -> None:
        """Prints one line and flushes, so that a piped log can be followed."""
        if self._active:
            say(glog_prefix(datetime.now()) + line if self._glog else line)

    def done(self, iteration: int) -> None:
        """Sets the number of finished iterations. Those before the first call belong to an earlier run, and the first
        itself, in which much is set up, to no pace."""
        if not self._started:
            self._progress.begin(iteration)
            self._started = True
        self._progress.reach(iteration)

    def testing(self, batches: int) -> Iterator[int]:
        """The numbers of a test pass's batches, with progress of its own."""
        return track(range(batches), "testing", unit="batch", leave=False, active=self._active)


def glog_prefix(now: datetime) -> str:
    """glog's prefix of an info line of solver.cpp: ``I1122 09:05:00.000000  4242 solver.cpp:1] ``."""
    return f"I{now:%m%d %H:%M:%S.%f} {os.getpid():5d} solver.cpp:1] "
