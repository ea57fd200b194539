"""Threads beside the flow: reading ahead and writing behind, with a bounded number of batches."""

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
    """Yields the items, which another thread makes, keeping up to ``waiting`` of them ready. Its errors are raised
    here; the thread ends when the consumer stops."""
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
        except BaseException as caught:  # passed on to the consumer, whatever it is
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
    """Runs calls one after the other in a thread, with up to ``waiting`` pending; 0: at once, in this thread.

    A context: after leaving it without error, all calls are done. The first error of a call is raised by a later ``do``
    or on leaving; pending calls after it may have run.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting, self._calls = waiting, deque[Future]()
        self._pool = ThreadPoolExecutor(1) if waiting else None

    def do(self, call: Callable[..., object], *arguments: object) -> None:
        """Runs ``call(*arguments)`` now or later; blocks while too many are pending."""
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
    """The same flow function with each batch's pairs split among ``threads`` threads.

    Whole pairs rather than rows of one pair: threads that synchronise after each of a pair's thousands of small steps
    stall whenever the machine has other work (measured: 30 times slower on two busy cores).
    """
    if threads == 1:
        return flow
    pool = ThreadPoolExecutor(threads)

    def shared(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        parts = min(threads, len(gray0))
        halves = [np.array_split(gray, parts) for gray in (gray0, gray1)]  # (B, H, W) -> parts x (about B/parts, H, W)
        return np.concatenate(list(pool.map(flow, *halves)))

    return shared
