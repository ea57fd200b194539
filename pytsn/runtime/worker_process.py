"""One worker process. Whatever happens to it, its parent is notified and never waits for ever.

Every pool of the project consists of these (docs/architecture.md, "Processes"). A worker shares only its own pipe with
its parent. concurrent.futures and multiprocessing's queues share locks between their processes: one process killed
while it holds such a lock, or while it starts, can leave all others waiting for ever.

The worker calls ``work = make_work(*arguments)`` once, then ``work(task)`` for each task in order. The parent receives
its messages as ``Said(kind, value)``, in order:

    READY     make_work has returned
    EVENT     ``tell(value)`` was called while a task ran
    RESULT    what work(task) returned
    FAILED    the text of the PytsnError that work(task) raised; the worker goes on with the next task
    REFUSED   the text of the PytsnError that make_work raised; the worker ends
    DIED      a Death, the last message. Also sent after any other exception, which is a bug

Arguments, tasks, events and results are pickled. Workers are new interpreters (CUDA does not survive a fork) with the
parent's module path. They ignore SIGINT and SIGTERM (the parent decides when they end), and they end with the parent,
however it ends: one of their threads waits for the end of the pipe. Their output is kept only for ``Death``.
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
#: number of last lines kept of a worker's output
_LINES = 100
_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: a terminal and a batch system send them to all processes; the parent decides when its workers end
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM)
#: seconds to wait, after a pipe's end, for the process to be gone and its output to be read
_END_S = 5.0


class Said(NamedTuple):
    """A worker's message: see above."""

    kind: str
    value: Any = None


@dataclass(frozen=True)
class Death:
    """The end of a process. status: exit status, or the negative number of the signal that killed it; printed: the last
    lines of its stdout and stderr."""

    pid: int
    status: int
    printed: tuple[str, ...] = ()

    @property
    def signal_name(self) -> str:
        """For example SIGKILL; "" for a process that ended by itself."""
        if self.status >= 0:
            return ""
        return signal.Signals(-self.status).name if -self.status in set(signal.Signals) else str(-self.status)

    @property
    def last_line(self) -> str:
        """The last line it printed, at most 200 characters, or ""."""
        return self.printed[-1].strip()[:200] if self.printed else ""

    def __str__(self) -> str:
        last = f" ({self.last_line})" if self.printed else ""
        if self.signal_name:
            hint = ", out of memory?" if self.signal_name == "SIGKILL" else ""
            return f"worker process {self.pid} was killed by {self.signal_name}{hint}{last}"
        return f"worker process {self.pid} ended with status {self.status}{last}"


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """A context that blocks the parent's signals; a process started in it keeps them blocked until it ignores them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """The parent's end of a worker.

    core_threads: whether numerical libraries get one thread each in it, for work distributed over processes.
    """

    def __init__(self, make_work: Callable, arguments: tuple = (), core_threads: bool = False) -> None:
        self._sending = threading.Lock()
        self._printed: deque[str] = deque(maxlen=_LINES)
        self._pipe, theirs = Pipe()
        with theirs, _held_back():  # closed here, so that the pipe ends with the process
            code = _START.format(path=sys.path, fd=theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, f"{make_work.__module__}.{make_work.__qualname__}"],  # shown by ps
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
        """Sends a task; a worker queues any number. A dead worker also accepts it; ``receive`` reports the death."""
        self._send(task)

    def receive(self) -> Said:
        """Waits for the worker's next message."""
        try:
            return Said(*self._pipe.recv())
        except (EOFError, OSError):  # OSError: it ended in the middle of a message, or with tasks unread
            return Said(DIED, self._death())

    def kill(self) -> None:
        """Ends the process, whatever it is doing; may be called by any thread. ``receive`` reports the end."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process, waits until it is gone and closes the pipe. Do not call ``receive`` afterwards."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._reader.join(_END_S)

    def _send(self, values: object) -> None:
        with self._sending, contextlib.suppress(ConnectionError):  # it has died; ``receive`` reports it
            self._pipe.send(values)

    def _death(self) -> Death:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()  # no effect if it is gone
        status = self._process.wait()
        self._reader.join(_END_S)
        return Death(self.pid, status, tuple(self._printed))

    def _read_prints(self, stdout: IO[bytes]) -> None:
        with stdout as lines:
            for line in lines:
                if text := line.decode(errors="replace").rstrip():
                    self._printed.append(text)


def hear(workers: Iterable[WorkerProcess]) -> list[tuple[WorkerProcess, Said]]:
    """Waits until some of the workers (at least one is needed) have sent messages. Returns one message from each of
    those. A worker that has DIED reports it again each time: leave it out."""
    pipes: dict[Any, WorkerProcess] = {worker._pipe: worker for worker in workers}
    return [(pipes[pipe], pipes[pipe].receive()) for pipe in wait(list(pipes))]


_pipe: Connection | None = None  # in a worker: its end of the pipe
_speaking = threading.Lock()


def tell(event: object) -> None:
    """In a worker, from any of its threads: sends an event to the parent. In any other process: does nothing."""
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
    """Receives everything, so that the parent never waits to send; at the pipe's end the process ends at once."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(pipe.recv_bytes())
    os._exit(0)
