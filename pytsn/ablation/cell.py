"""One cell of an ablation: a training run with `pytsn finetune`'s code, then the test; both kept in the cell's folder.

FOLDER/cell.json     settings that the scores depend on, and the state of the cell
FOLDER/train         output of finetune: deploy.prototxt, last.safetensors; train.log beside it
FOLDER/scores.npz    scores of the test videos: (T, 1, K) each, the mean over the crops

A test uses other and more snippets than the S of training, so their scores are averaged. Weights from finetune are made
for that, also with a weighted consensus (pytsn/finetune/checkpoints.py: state_for_tests).
A finished cell is reused as long as its settings are the same; a stopped one continues where it was.
"""

import contextlib
import gc
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from converter.files import explain_os_error
from converter.net import load_net
from pytsn.ablation.plan import Cell
from pytsn.ablation.resume import (
    DONE,
    STARTED,
    TRAINED,
    differences,
    read_cell,
    training_settings,
    videos_hash,
    write_cell,
)
from pytsn.data.frame_size import default_frame_size
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.score_videos import EvalOptions, score_videos
from pytsn.finetune.checkpoints import Checkpoints
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.run import Finetuning
from pytsn.models.snippet_net import describe
from pytsn.runtime.unfinished import as_recorded
from pytsn.scores.resume import ScoreStore
from pytsn.scores.score_file import read_scores
from pytsn.training.hardware import Hardware
from pytsn.training.loop import Console


class Stopped(Exception):
    """A signal stopped the run; finished work is kept."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class CellRun:
    """A cell, ready to run. test: the test videos; snippets, crops: of the test; precision: of the training; signal:
    returns the number of the signal that asked to stop, else 0."""

    def __init__(
        self,
        cell: Cell,
        root: Path,
        training: FinetuneOptions,
        test: list[Video],
        snippets: SnippetOptions,
        crops: int,
        precision: str = "fp32",
    ) -> None:
        self.cell, self.folder, self.test = cell, root / cell.name, test
        self.training = replace(training, out=str(self.folder / "train"))
        self.snippets, self.crops, self.precision = snippets, crops, precision
        self.signal: Callable[[], int] = lambda: 0
        self.settings = self._settings()

    def _settings(self) -> dict:
        """Everything that the scores depend on, except the machine."""
        own = training_settings(self.training) | {"test": videos_hash(self.test), "crops": self.crops}
        own |= {"snippets": asdict(self.snippets), "cell": asdict(self.cell)}
        own |= {"precision": self.precision} if self.precision != "fp32" else {}
        return as_recorded(own)

    def record(self) -> dict:
        """The content of cell.json; empty if there is none. Raises PytsnError for a folder that is not a cell's."""
        return read_cell(self.folder)

    def changes(self) -> list[str]:
        """Names of the settings that differ from the recorded run; empty if there is none."""
        return differences(self.record(), self.settings)

    def is_done(self) -> bool:
        """Whether the scores exist and were made with these settings."""
        record = self.record()
        return record.get("state") == DONE and not self.changes() and (self.folder / "scores.npz").is_file()

    def scores(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Scores and labels of a finished cell: V arrays float32 (T, 1, K), int64 (V,)."""
        file = read_scores(self.folder / "scores.npz")
        return file.scores, file.labels

    def run(self, hardware: Hardware, workers: int, done: Callable[[float, float], None]) -> dict:
        """Trains and tests, except for what is done already. done: called with the finished shares of training and
        test (0 to 1).

        Returns the record. Raises Stopped, DivergedError and PytsnError.
        """
        state = self._prepare()
        seconds = dict(self.record().get("seconds", {}))
        for step, name, work in ((STARTED, TRAINED, self._train), (TRAINED, DONE, self._score)):
            if state != step:
                continue
            start = time.perf_counter()
            try:
                work(hardware, workers, done)
            finally:
                seconds[name] = seconds.get(name, 0) + time.perf_counter() - start
                self._write(state, seconds)
                gc.collect()  # frees the net: a training run refers to itself, so it would stay on the device
            state = name
            self._write(state, seconds)
        shutil.rmtree(self.folder / "train" / "state", ignore_errors=True)  # no longer needed for resuming
        return self.record()

    def _prepare(self) -> str:
        """Removes results made with other settings. Returns the state of the cell."""
        if self.changes():
            shutil.rmtree(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from None
        state = self.record().get("state", STARTED)
        if state == DONE:
            state = TRAINED  # the scores are gone
        self._write(state, self.record().get("seconds", {}))
        return state

    def _write(self, state: str, seconds: Mapping[str, float]) -> None:
        write_cell(self.folder, state, seconds, self.settings)

    def _train(self, hardware: Hardware, workers: int, done: Callable[[float, float], None]) -> None:
        resume = Checkpoints(self.training.out).newest() is not None
        if not resume:
            shutil.rmtree(self.training.out, ignore_errors=True)  # without a checkpoint the files are useless
        options = replace(self.training, resume=resume)
        with (
            open(self.folder / "train.log", "a", encoding="utf-8") as log,
            contextlib.closing(Finetuning(options, hardware, workers)) as training,
        ):
            for line in (*training.notes, *training.summary):
                print(line, file=log)
            total = training.param.max_iter
            console = Console(lambda line: print(line, file=log), self.signal, lambda count: done(count / total, 0))
            if stopped := training.solve(console):
                raise Stopped(stopped)

    def _score(self, hardware: Hardware, workers: int, done: Callable[[float, float], None]) -> None:
        names, labels = [each.name for each in self.test], [each.label for each in self.test]
        store = ScoreStore(self.folder / "scores.npz", names, labels, self.settings, resume=True)
        train = self.folder / "train"
        deploy, weights = str(train / "deploy.prototxt"), str(train / "last.safetensors")
        score = describe(load_net(deploy), self.training.score_name).score  # the blob that was trained
        options = NetOptions(str(hardware.device), score_name=score, crops=self.crops)
        net = ActionNet(deploy, weights, options)
        todo = store.todo()
        waiting = [self.test[index] for index in todo]
        snippets = replace(self.snippets, frame_size=default_frame_size(net.crop_size))
        scored = score_videos(net, waiting, EvalOptions(options, snippets))
        with contextlib.closing(scored):
            for count, (index, (_, scores)) in enumerate(zip(todo, scored, strict=True), start=1):
                store.add(index, scores.mean(axis=1, keepdims=True))  # (T, C, K) -> (T, 1, K)
                done(1, (len(self.test) - len(todo) + count) / len(self.test))
                if stopped := self.signal():
                    raise Stopped(stopped)
        store.finish()
