"""Extracts many videos in many worker processes (pytsn/runtime/worker_process.py). If one is killed, while starting or
working, only its video is lost, and the worker is replaced."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from pytsn.flow.extract.folder import clean_leftovers
from pytsn.flow.extract.worker import FAILED, STOP, Outcome, VideoTask, WorkerSettings, make_extractor
from pytsn.runtime.worker_process import DIED, EVENT, REFUSED, RESULT, Death, Said, WorkerProcess, hear

#: deaths of starting workers after which no more are started
_STARTS = 3

#: event (opened, pairs), its values, the video's task
Listener = Callable[[str, dict, VideoTask], object]


@dataclass
class _State:
    """number: of the worker's settings; ready: whether it has started; task: the video it works on."""

    number: int
    ready: bool = False
    task: VideoTask | None = None


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
        self._workers: dict[WorkerProcess, _State] = {}
        self._dead_starts = 0
        self._out = settings_of(0).out

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Yields one outcome per video, as they finish. After a STOP outcome, or when no worker is left, the other
        videos have none. Leaving early ends the workers and removes their unfinished folders.

        Raises PytsnError if workers refuse their settings or die while they start.
        """
        try:
            for number in range(self._count):
                self._start(number)
            while self._workers:
                for worker, said in hear(self._workers):
                    outcome = self._died(worker, said.value) if said.kind == DIED else self._heard(worker, said)
                    if outcome is not None:
                        yield outcome
                        if outcome.status == STOP:
                            return
        finally:
            self._end()

    def process_of(self, task: VideoTask) -> WorkerProcess:
        """The process that works on ``task`` now."""
        return next(worker for worker, state in self._workers.items() if state.task is task)

    def _start(self, number: int) -> None:
        worker = WorkerProcess(make_extractor, (self._settings_of(number),), core_threads=True)
        self._workers[worker] = _State(number)

    def _heard(self, worker: WorkerProcess, said: Said) -> Outcome | None:
        state = self._workers[worker]
        if said.kind == REFUSED:
            raise PytsnError(said.value)
        if said.kind == EVENT:
            event, values = said.value
            if state.task is not None:
                self._listener(event, values, state.task)
            return None
        outcome = said.value if said.kind == RESULT else None  # else it is ready
        state.ready, state.task = True, None
        if self._waiting and (outcome is None or outcome.status != STOP):
            state.task = self._waiting.popleft()
            worker.give(state.task)
        else:
            self._retire(worker)
        return outcome

    def _died(self, worker: WorkerProcess, death: Death) -> Outcome | None:
        state = self._workers[worker]
        self._retire(worker)
        if not state.ready:
            self._dead_starts += 1
        if self._dead_starts >= _STARTS and not self._workers and self._waiting:
            raise PytsnError(f"worker processes die while they start; the last one: its {death}")
        if self._waiting and self._dead_starts < _STARTS:
            self._start(state.number)
        if state.task is None:
            return None
        clean_leftovers(self._out, [state.task.name])
        return Outcome(state.task.name, FAILED, reason=f"{state.task.path}: its {death}")

    def _retire(self, worker: WorkerProcess) -> None:
        del self._workers[worker]
        worker.end()

    def _end(self) -> None:
        """Ends the remaining workers, e.g. after Ctrl-C."""
        begun = [state.task.name for state in self._workers.values() if state.task is not None]
        for worker in list(self._workers):
            self._retire(worker)
        with contextlib.suppress(OSError, PytsnError):
            clean_leftovers(self._out, begun)
