"""Prints log lines on stdout, and a progress bar with ETA on stderr if that is a terminal."""

import os
import sys
from datetime import datetime

from tqdm import tqdm


class ProgressLog:
    """A context that prints lines and shows progress towards ``max_iter``; silent if ``active`` is False.

    ``glog``: each line starts as in Caffe, with date, time, process and source line; some old parsers need this.
    """

    def __init__(self, max_iter: int, active: bool = True, glog: bool = False) -> None:
        self._active, self._glog = active, glog
        self._bar = tqdm(total=max_iter, unit="iteration", disable=None if active else True)
        self._started = False

    def __enter__(self) -> "ProgressLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def print(self, line: str) -> None:
        """Prints one line and flushes, so that a piped log can be followed."""
        if not self._active:
            return
        line = glog_prefix(datetime.now()) + line if self._glog else line
        if self._bar.disable:
            print(line, flush=True)
        else:
            self._bar.write(line, file=sys.stdout)

    def done(self, iteration: int) -> None:
        """Sets the number of finished iterations; those before the first call belong to an earlier run."""
        if not self._started:
            self._bar.initial = self._bar.n = iteration - 1
            self._started = True
        self._bar.update(iteration - self._bar.n)


def glog_prefix(now: datetime) -> str:
    """glog's prefix of an info line of solver.cpp: ``I1122 09:05:00.000000  4242 solver.cpp:1] ``."""
    return f"I{now:%m%d %H:%M:%S.%f} {os.getpid():5d} solver.cpp:1] "
