"""Work beside the flow: reading ahead and writing behind, a bounded number of batches at a time."""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from pytsn.flow.methods import FlowFunction

T = TypeVar("T")
_END = object()
_LOOK_S = 0.1


def ahead(items: Iterable[T], waiting: int) -> Generator[T, None, None]:
    """The items, made by another thread that keeps up to ``waiting`` of them ready. Its errors are raised here; when
    the consumer goes, the thread ends too."""
    ready: queue.Queue = queue.Queue(waiting)
    gone = threading.Event()

    def put(entry: tuple[object, BaseException | None]) -> bool:
        while not gone.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=_LOOK_S)
                return True
        return False

    def make() -> None:
        error = None
        try:
            for item in items:
                if not put((item, None)):
                    return
        except BaseException as caught:  # whatever it is, the consumer has to hear of it
            error = caught
        put((_END, error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        gone.set()
        thread.join()


class InOrder:
    """Runs calls one after the other in a thread, up to ``waiting`` of them behind; 0: at once, in this thread.

    A context: left without error, all calls are done. The first error of a call is raised by a later ``do`` or on
    leaving; the calls that wait behind it may have been run.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting, self._calls = waiting, deque[Future]()
        self._pool = ThreadPoolExecutor(1) if waiting else None

    def do(self, call: Callable[..., object], *arguments: object) -> None:
        """Runs ``call(*arguments)`` now or later; waits while too many are waiting."""
        if self._pool is None:
            call(*arguments)
            return
        while len(self._calls) >= self._waiting:
            self._calls.popleft().result()
        self._calls.append(self._pool.submit(call, *arguments))

    def __enter__(self) -> "InOrder":
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        try:
            while kind is None and self._calls:
                self._calls.popleft().result()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)


def in_threads(flow: FlowFunction, threads: int) -> FlowFunction:
    """The same flow, each batch's pairs shared out among ``threads`` threads.

    Whole pairs rather than rows of one: threads that meet after each of a pair's thousands of small steps stand still
    whenever the machine has other work (measured: 30 times slower on two busy cores).
    """
    if threads == 1:
        return flow
    pool = ThreadPoolExecutor(threads)

    def shared(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        parts = min(threads, len(gray0))
        halves = [np.array_split(gray, parts) for gray in (gray0, gray1)]  # (B, H, W) -> parts x (about B/parts, H, W)
        return np.concatenate(list(pool.map(flow, *halves)))

    return shared
