"""Processes that share nothing but a pipe each with the parent: whichever of them is killed, whenever, nobody waits.

concurrent.futures keeps locked queues between its processes; one killed while it holds a lock, or while it starts, can
leave the others and the parent waiting for ever.
"""

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait

from converter.errors import PytsnError

#: tasks a worker has at a time: while it works on one, the next is in its pipe
_DEPTH = 2


class WorkerKilled(PytsnError):
    """A worker process ended without an answer."""


def ordered_results(make_work: Callable, arguments: Sequence[tuple], tasks: Sequence) -> Iterator:
    """work(task) for each task, in the tasks' order, by ``len(arguments)`` processes.

    Worker i calls ``work = make_work(*arguments[i])`` once, then ``work(task)`` for the tasks it is given. Processes
    are started fresh (spawn: CUDA does not survive a fork), so all of these are pickled; a task's pickle must be small
    (64 kB), a result's may be large. They end with the generator, and with this process however it ends.

    Raises the PytsnError of a worker, and WorkerKilled.
    """
    workers = []
    try:
        for values in arguments[: len(tasks)]:
            workers.append(_Worker(make_work, values))
        yield from _in_order(workers, tasks)
    except (EOFError, ConnectionError):
        raise WorkerKilled("a worker process was killed (out of memory?): try a smaller --num_worker") from None
    finally:
        for worker in workers:
            worker.end()


def _in_order(workers: "list[_Worker]", tasks: Sequence) -> Iterator:
    left = deque(enumerate(tasks))
    done: dict[int, object] = {}
    for _ in range(_DEPTH):
        for worker in workers:
            worker.give(left)
    for number in range(len(tasks)):
        while number not in done:
            busy = {worker.pipe: worker for worker in workers if worker.numbers}
            for pipe in wait(list(busy)):
                busy[pipe].take(done)
                busy[pipe].give(left)
        yield done.pop(number)


class _Worker:
    """One process, this end of its pipe, and the numbers of the tasks it has."""

    def __init__(self, make_work: Callable, values: tuple) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.numbers: deque[int] = deque()
        self.process = context.Process(target=_serve, args=(theirs, make_work, values), daemon=True)
        with theirs:  # closed here, so that the end of the process is the end of the pipe
            self.process.start()

    def give(self, left: deque) -> None:
        if left:
            number, task = left.popleft()
            self.numbers.append(number)
            self.pipe.send(task)

    def take(self, done: dict[int, object]) -> None:
        try:
            error, result = self.pipe.recv()
        except OSError:  # killed while it was sending: the pipe ends in the middle of a result
            raise EOFError from None
        if error is not None:
            raise PytsnError(error)
        done[self.numbers.popleft()] = result

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, make_work: Callable, values: tuple) -> None:
    """A worker's life: tasks from the pipe, (error or None, result) into it, until the parent closes it or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            work = make_work(*values)
            while True:
                pipe.send((None, work(pipe.recv())))
        except PytsnError as error:
            pipe.send((str(error), None))
