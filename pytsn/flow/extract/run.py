"""Many videos by many worker processes, each held by a pipe of its own: one that is killed, starting or working, takes
nothing with it but its video."""

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from converter.errors import PytsnError
from pytsn.flow.extract.folder import clean_leftovers
from pytsn.flow.extract.worker import FAILED, STOP, Outcome, VideoTask, WorkerSettings

#: deaths of starting workers after which no more are started
_STARTS = 3
_END_S = 5.0

#: event (opened, pairs), what it says, the video's task
Listener = Callable[[str, dict, VideoTask], object]


class _Worker:
    """A worker process; what it sends goes to ``events`` as (worker, message), its end as (worker, None)."""

    def __init__(self, number: int, settings: WorkerSettings, events: queue.SimpleQueue) -> None:
        self.number, self.settings = number, settings
        self.task: VideoTask | None = None
        self.ready = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process lives
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytsn.flow.extract.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            start_new_session=True,  # the terminal's Ctrl-C is for the run, which then ends its workers
        )
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()
        self._send(dataclasses.asdict(settings))

    def _listen(self, events: queue.SimpleQueue) -> None:
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # a line cut short by death
                events.put((self, json.loads(line)))
        self.process.wait()
        events.put((self, None))

    def give(self, task: VideoTask) -> None:
        self.task = task
        self._send(dataclasses.asdict(task))

    def _send(self, values: dict) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died; its end is on the way through ``events``
            self.process.stdin.write(json.dumps(values).encode() + b"\n")
            self.process.stdin.flush()

    def death(self) -> str:
        """How the process ended, in a few words."""
        code = self.process.returncode
        self._errors.seek(0)
        printed = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f" ({printed[-1].strip()[:200]})" if printed else ""
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            hint = ", out of memory?" if name == "SIGKILL" else ""
            return f"its worker process {self.process.pid} was killed by {name}{hint}{last}"
        return f"its worker process {self.process.pid} ended with status {code}{last}"

    def end(self) -> None:
        """Ends the process, now; an idle one ends by itself when its stdin is closed."""
        if self.task is not None or not self.ready:
            self.process.kill()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.close()


class ExtractRun:
    """``workers`` processes that extract ``tasks``; ``settings_of(i)`` are those of worker i."""

    def __init__(
        self,
        tasks: Sequence[VideoTask],
        settings_of: Callable[[int], WorkerSettings],
        workers: int,
        listen: Listener = lambda event, values, task: None,
    ) -> None:
        self._waiting, self._settings_of, self._listener = deque(tasks), settings_of, listen
        self._count = max(1, min(workers, len(tasks)))
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._dead_starts = 0
        self._out = settings_of(0).out

    def outcomes(self) -> Iterator[Outcome]:
        """One outcome a video, as they come. After a STOP outcome, or when no worker is left, the other videos have
        none. Leaving early ends the workers and clears away what they had begun.

        Raises PytsnError when workers refuse their settings or die while they start.
        """
        try:
            for number in range(self._count):
                self._start(number)
            while self._workers:
                worker, message = self._events.get()
                outcome = self._died(worker) if message is None else self._heard(worker, message)
                if outcome is not None:
                    yield outcome
                    if outcome.status == STOP:
                        return
        finally:
            self._end()

    def process_of(self, task: VideoTask) -> subprocess.Popen:
        """The process that works on ``task`` now."""
        return next(worker.process for worker in self._workers.values() if worker.task is task)

    def _start(self, number: int) -> None:
        self._workers[number] = _Worker(number, self._settings_of(number), self._events)

    def _heard(self, worker: _Worker, message: dict) -> Outcome | None:
        event = message.pop("event")
        if event == "refused":
            raise PytsnError(message["reason"])
        if event in ("opened", "pairs"):
            self._listener(event, message, worker.task)
            return None
        outcome = Outcome.from_dict(message["outcome"]) if event == "outcome" else None
        worker.ready, worker.task = True, None
        if self._waiting and (outcome is None or outcome.status != STOP):
            worker.give(self._waiting.popleft())
        else:
            self._retire(worker)
        return outcome

    def _died(self, worker: _Worker) -> Outcome | None:
        if self._workers.get(worker.number) is not worker:
            return None  # retired before
        task, death = worker.task, worker.death()
        self._retire(worker)
        if not worker.ready:
            self._dead_starts += 1
        if self._dead_starts >= _STARTS and not self._workers and self._waiting:
            raise PytsnError(f"worker processes die while they start; of the last one: {death}")
        if self._waiting and self._dead_starts < _STARTS:
            self._start(worker.number)
        if task is None:
            return None
        clean_leftovers(self._out, [task.name])
        return Outcome(task.name, FAILED, reason=f"{task.path}: {death}")

    def _retire(self, worker: _Worker) -> None:
        del self._workers[worker.number]
        worker.end()

    def _end(self) -> None:
        """Ends the workers that are left, e.g. after Ctrl-C."""
        begun = [worker.task.name for worker in self._workers.values() if worker.task is not None]
        for worker in list(self._workers.values()):
            worker.end()
        self._workers.clear()
        with contextlib.suppress(OSError, PytsnError):
            clean_leftovers(self._out, begun)


def _environment() -> dict[str, str]:
    """This process's environment, with the folder of this very package first for imports and one thread a library."""
    package_root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH", "")]))
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **limits, "PYTHONPATH": path}
