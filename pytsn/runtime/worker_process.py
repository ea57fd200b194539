"""One worker process: whatever happens to it, whenever, its parent hears of it and never waits in vain.

Every pool of the project is made of these (docs/architecture.md, "Processes"). A worker shares nothing with its parent
but a pipe of its own. concurrent.futures and multiprocessing's queues keep locks between their processes: one process
killed while it holds such a lock, or while it starts, can leave all others waiting for ever.

In the worker, ``work = make_work(*arguments)`` is called once, then ``work(task)`` for each task in turn. What a worker
says comes to the parent as ``Said(kind, value)``, in order:

    READY     make_work is through
    EVENT     ``tell(value)`` was called while a task ran
    RESULT    what work(task) returned
    FAILED    the text of the PytsnError that work(task) raised; the worker goes on with the next task
    REFUSED   the text of the PytsnError that make_work raised; the worker ends
    DIED      a Death, the last that is said. Also the end after any other exception: such a one is a defect

Arguments, tasks, events and results are pickled. Workers are started fresh (CUDA does not survive a fork) and find
modules where the parent does. They ignore SIGINT and SIGTERM (the parent decides when they end), and they end with the
parent, however it ends: a thread of theirs waits for the end of the pipe. What they print is kept for ``Death`` alone.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any, NamedTuple

from converter.errors import PytsnError

READY, EVENT, RESULT, FAILED, REFUSED, DIED = "ready", "event", "result", "failed", "refused", "died"
_START = "import sys; sys.path[:] = {path!r}; from pytsn.runtime.worker_process import _serve; _serve({fd})"
#: lines that a worker printed, of which the last ones are kept
_LINES = 100
_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: a terminal and a batch system send them to all processes; the parent decides what becomes of its workers
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM)
#: seconds for a process whose pipe has ended to be gone, and for what it printed to be read
_END_S = 5.0


class Said(NamedTuple):
    """What a worker says: see above."""

    kind: str
    value: Any = None


@dataclass(frozen=True)
class Death:
    """How a process ended. status: exit status, or the negative number of the signal that killed it; printed: the last
    lines of its stdout and stderr."""

    pid: int
    status: int
    printed: tuple[str, ...] = ()

    @property
    def signal_name(self) -> str:
        """SIGKILL, say; "" for a process that ended by itself."""
        if self.status >= 0:
            return ""
        return signal.Signals(-self.status).name if -self.status in set(signal.Signals) else str(-self.status)

    @property
    def last_line(self) -> str:
        """What it printed last, at most 200 characters, or ""."""
        return self.printed[-1].strip()[:200] if self.printed else ""

    def __str__(self) -> str:
        last = f" ({self.last_line})" if self.printed else ""
        if self.signal_name:
            hint = ", out of memory?" if self.signal_name == "SIGKILL" else ""
            return f"worker process {self.pid} was killed by {self.signal_name}{hint}{last}"
        return f"worker process {self.pid} ended with status {self.status}{last}"


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """A context in which signals for the parent wait; a process that it starts lets them wait until it ignores them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """The parent's end of a worker.

    core_threads: whether numerical libraries get one thread each in it, for work that is shared out over processes.
    """

    def __init__(self, make_work: Callable, arguments: tuple = (), core_threads: bool = False) -> None:
        self._sending = threading.Lock()
        self._printed: deque[str] = deque(maxlen=_LINES)
        self._pipe, theirs = Pipe()
        with theirs, _held_back():  # closed here, so that the end of the process is the end of the pipe
            code = _START.format(path=sys.path, fd=theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, f"{make_work.__module__}.{make_work.__qualname__}"],  # named in ps
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(_THREAD_LIMITS if core_threads else (), "1")},
                pass_fds=[theirs.fileno()],
            )
        self._reader = threading.Thread(target=self._read_prints, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self._send((make_work, arguments))

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, task: object) -> None:
        """Sends a task; a worker takes any number, in turn. One that has died takes it too: ``receive`` tells."""
        self._send(task)

    def receive(self) -> Said:
        """The next that the worker says; waits for it."""
        try:
            return Said(*self._pipe.recv())
        except (EOFError, OSError):  # OSError: it ended in the middle of a message, or with tasks unread
            return Said(DIED, self._death())

    def kill(self) -> None:
        """Ends the process, whatever it is doing; may be called by any thread. ``receive`` will tell."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process, waits until it is gone and closes the pipe. Nobody may ``receive`` any more."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._reader.join(_END_S)

    def _send(self, values: object) -> None:
        with self._sending, contextlib.suppress(ConnectionError):  # it has died; ``receive`` will tell
            self._pipe.send(values)

    def _death(self) -> Death:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()  # nothing happens to one that is gone
        status = self._process.wait()
        self._reader.join(_END_S)
        return Death(self.pid, status, tuple(self._printed))

    def _read_prints(self, stdout: IO[bytes]) -> None:
        with stdout as lines:
            for line in lines:
                if text := line.decode(errors="replace").rstrip():
                    self._printed.append(text)


def hear(workers: Iterable[WorkerProcess]) -> list[tuple[WorkerProcess, Said]]:
    """Waits until some of the workers (at least one is needed) have said something, and returns one thing of each of
    those. A worker that has DIED says so again each time: leave it out."""
    pipes: dict[Any, WorkerProcess] = {worker._pipe: worker for worker in workers}
    return [(pipes[pipe], pipes[pipe].receive()) for pipe in wait(list(pipes))]


_pipe: Connection | None = None  # in a worker: its end
_speaking = threading.Lock()


def tell(event: object) -> None:
    """In a worker, from any of its threads: sends an event to the parent. In any other process: nothing happens."""
    if _pipe is not None:
        _say(EVENT, event)


def _say(kind: str, value: object = None) -> None:
    assert _pipe is not None, "only a worker has something to say"
    with _speaking:
        _pipe.send((kind, value))


def _serve(fd: int) -> None:
    """A worker's life."""
    global _pipe
    for number in _FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_THE_PARENT)
    os.set_inheritable(fd, False)
    _pipe = Connection(fd)
    messages: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(_pipe, messages), daemon=True).start()
    try:
        make_work, arguments = pickle.loads(messages.get())
        work = make_work(*arguments)
    except PytsnError as error:
        _say(REFUSED, str(error))
        return
    _say(READY)
    while True:
        task = pickle.loads(messages.get())
        try:
            _say(RESULT, work(task))
        except PytsnError as error:
            _say(FAILED, str(error))


def _listen(pipe: Connection, messages: queue.SimpleQueue) -> None:
    """Takes up all that comes, so that the parent never waits to send; at the pipe's end the process ends at once."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(pipe.recv_bytes())
    os._exit(0)
