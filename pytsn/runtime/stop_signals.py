"""SIGINT and SIGTERM as a wish that a long run can grant when in order, after a snapshot; and SIGTERM as Ctrl-C."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only noted; a second one acts as it always does.

    ``received``: its number, 0 for none. Outside the main thread signals stay as they are.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

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
        print(f"{name}: stops after this iteration and a snapshot; once more stops at once", file=sys.stderr)


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM acts as Ctrl-C does: workers are ended, what they had begun is cleared away."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
