"""SIGINT and SIGTERM as a request that a long run honours after a snapshot; and SIGTERM handled like Ctrl-C."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only recorded; a second one has its usual effect.

    ``received``: its number, 0 for none. Outside the main thread signals are unchanged.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread
                break
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        name = signal.Signals(number).name
        print(f"{name}: stopping after this iteration and a snapshot; a second signal stops at once", file=sys.stderr)


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM raises KeyboardInterrupt like Ctrl-C, so workers are ended and their unfinished output
    is removed.

    It surrounds every command (pytsn/cli.py); StopSignals works inside it. Signals are unchanged outside the main
    thread, and if SIGTERM is ignored or handled by non-Python code.
    """
    before = signal.getsignal(signal.SIGTERM)
    ours = before not in (signal.SIG_IGN, None) and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)
