"""Two ways to distribute tasks over worker processes (worker_process.py): results in order on demand, and a pool that
works ahead by itself."""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future

from converter.errors import PytsnError
from pytsn.runtime.worker_process import DIED, FAILED, READY, REFUSED, RESULT, Death, Said, WorkerProcess, hear

#: tasks per worker at a time: while it works on one, the next is in its pipe
_DEPTH = 2


class WorkerKilled(PytsnError):
    """A worker process ended without an answer. ``--debug`` shows what it printed."""

    def __init__(self, death: Death, what: str = "worker", advice: str = "try a smaller --num_worker") -> None:
        if death.printed and not death.signal_name:  # its own output says why it ended
            super().__init__(f"a {what} process ended with status {death.status}: {death.last_line}")
        else:
            super().__init__(f"a {what} process was killed (out of memory?): {advice}")
        self.death = death
        if death.printed:
            self.__cause__ = RuntimeError("the process printed:\n" + "\n".join(death.printed))


def ordered_results(make_work: Callable, arguments: Sequence[tuple], tasks: Sequence) -> Generator:
    """work(task) for each task, in the tasks' order, by ``len(arguments)`` processes.

    Worker i calls ``work = make_work(*arguments[i])`` once, then ``work(task)`` for its tasks. Tasks are handed out
    only when the next result is requested, so little work is done ahead. The processes end with the generator, and with
    this process however it ends.

    Raises the PytsnError of a worker, and WorkerKilled.
    """
    workers: dict[WorkerProcess, deque[int]] = {}  # the numbers of each worker's tasks
    try:
        for values in arguments[: len(tasks)]:
            workers[WorkerProcess(make_work, values)] = deque()
        yield from _in_order(workers, tasks)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.end()


def _in_order(workers: dict[WorkerProcess, deque[int]], tasks: Sequence) -> Generator:
    left = deque(enumerate(tasks))
    done: dict[int, object] = {}
    for _ in range(_DEPTH):
        for worker in workers:
            _give(worker, workers[worker], left)
    for number in range(len(tasks)):
        while number not in done:
            for worker, said in hear(worker for worker, numbers in workers.items() if numbers):
                if said.kind == RESULT:
                    done[workers[worker].popleft()] = said.value
                    _give(worker, workers[worker], left)
                elif said.kind in (FAILED, REFUSED):
                    raise PytsnError(said.value)
                elif said.kind == DIED:
                    raise WorkerKilled(said.value)
        yield done.pop(number)


def _give(worker: WorkerProcess, numbers: deque[int], left: deque) -> None:
    if left:
        number, task = left.popleft()
        numbers.append(number)
        worker.give(task)


class TaskPool:
    """``len(arguments)`` workers; any of them takes the next task, while this process does something else.

    Worker i calls ``work = make_work(*arguments[i])`` once, then ``work(task)``. Workers start at the first task and
    end with ``close``, with the pool, and with this process however it ends. For work done ahead: a thread of this
    process hands out the tasks, so the caller must limit how many it submits.
    """

    def __init__(self, make_work: Callable, arguments: Sequence[tuple], core_threads: bool = False) -> None:
        self._dispatcher = _Dispatcher(make_work, arguments, core_threads)
        weakref.finalize(self, self._dispatcher.kill)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes, once they have started."""
        return [worker.pid for worker in self._dispatcher.given]

    def submit(self, task: object) -> Future:
        """Gives the task to the workers. The future yields its result, the PytsnError of the work, or WorkerKilled; it
        can be cancelled before it starts. Raises WorkerKilled if a process has been killed, after which all are
        ended."""
        return self._dispatcher.submit(task)

    def close(self) -> None:
        """Ends the processes, whatever they are doing; unfinished tasks are dropped."""
        self._dispatcher.close()


class _Dispatcher:
    """The state shared by a pool and its thread. It outlives the pool until the thread has ended the processes."""

    def __init__(self, make_work: Callable, arguments: Sequence[tuple], core_threads: bool) -> None:
        self._make_work, self._arguments, self._core_threads = make_work, arguments, core_threads
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future, object]] = deque()
        self._failure: PytsnError | None = None
        self._thread: threading.Thread | None = None
        self.given: dict[WorkerProcess, deque[Future]] = {}  # each worker's tasks, in order

    def submit(self, task: object) -> Future:
        future: Future = Future()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._thread is None:
                self._start()
            self._waiting.append((future, task))
            self._feed()
        return future

    def _start(self) -> None:
        for values in self._arguments:
            self.given[WorkerProcess(self._make_work, values, self._core_threads)] = deque()
        self._thread = threading.Thread(target=self._listen, name="worker pool", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        """Hands out tasks, first to the workers with the fewest."""
        for depth in range(_DEPTH):
            for worker, futures in self.given.items():
                while self._waiting and len(futures) <= depth:
                    future, task = self._waiting.popleft()
                    if future.set_running_or_notify_cancel():
                        futures.append(future)
                        worker.give(task)

    def _listen(self) -> None:
        """Runs in the thread until a process dies or refuses, by itself or because the pool is closed."""
        while self._failure is None:
            for worker, said in hear(self.given):
                if said.kind in (RESULT, FAILED):
                    with self._lock:
                        future = self.given[worker].popleft()
                        self._feed()
                    if said.kind == RESULT:
                        future.set_result(said.value)
                    else:
                        future.set_exception(PytsnError(said.value))
                elif said.kind != READY:
                    self._failure = self._failure or _failure(said)
        self._give_up()

    def _give_up(self) -> None:
        for worker in self.given:
            worker.kill()
        for worker in self.given:
            worker.end()
        with self._lock:
            left = [future for future, _ in self._waiting if future.set_running_or_notify_cancel()]
            self._waiting.clear()
            left += [future for futures in self.given.values() for future in futures]
        for future in left:
            future.set_exception(self._failure)

    def kill(self) -> None:
        """Ends the processes; the thread does the rest. Takes no lock, so it may run during garbage collection."""
        self._failure = self._failure or PytsnError("the pool of worker processes was closed")
        for worker in tuple(self.given):
            worker.kill()

    def close(self) -> None:
        self.kill()
        if self._thread is not None:
            self._thread.join()


def _failure(said: Said) -> PytsnError:
    return PytsnError(said.value) if said.kind == REFUSED else WorkerKilled(said.value)
