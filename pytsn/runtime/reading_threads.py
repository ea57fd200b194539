"""Threads that read files, and do not keep the process from ending while a read hangs.

concurrent.futures waits for its threads for ever, when a pool is left and once more when the interpreter ends. A file
system that no longer answers then outlives Ctrl-C.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
#: seconds to wait for calls that run when the pool is left; far more than any read, or the flow of a snippet, takes
PATIENCE_S = 10.0


class ReadingThreads:
    """``count`` threads that run calls in the order given. A context: leaving it cancels the calls that have not begun,
    and waits for the others, but no longer than PATIENCE_S."""

    def __init__(self, count: int, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"{name}_{k}", daemon=True) for k in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Runs ``function(*arguments)`` in a thread; the future has its result or its error."""
        future: Future[Result] = Future()
        self._calls.put(_Call(future, function, arguments))
        return future

    def __enter__(self) -> "ReadingThreads":
        return self

    def __exit__(self, *exception: object) -> None:
        self._cancel_waiting()
        for _ in self._threads:
            self._calls.put(None)
        end = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _cancel_waiting(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            if call is not None:
                call.future.cancel()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            del call  # it holds the result, which may be large, and the next call may be long in coming


class _Call:
    def __init__(self, future: Future, function: Callable[..., object], arguments: tuple) -> None:
        self.future, self._function, self._arguments = future, function, arguments

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function(*self._arguments)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
