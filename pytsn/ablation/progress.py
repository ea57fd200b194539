"""How long an ablation takes: estimated first from nets timed on a few snippets, then from the pace of the runs."""

import time
from collections.abc import Sequence

import torch

from pytsn.ablation.cell import CellRun
from pytsn.ablation.check import checked_tsn
from pytsn.ablation.run import Ablation
from pytsn.data.snippet_reader import video_ticks
from pytsn.finetune.net import input_shape
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.schedule import effective_batch
from pytsn.runtime.progress import Progress, duration, say
from pytsn.training.hardware import Hardware

_SNIPPETS = {"cpu": 4, "cuda": 32}  # timed at once


class Estimate:
    """Seconds per cell, estimated by timing each net: forward and backward for training, forward for the test.

    No images are read, so the true time is longer. Costs a few passes for every net and modality, and finds errors that
    would stop the runs (pytsn/ablation/check.py).
    """

    def __init__(self, ablation: Ablation) -> None:
        self.ablation = ablation
        self._timed: dict[tuple[str, str], tuple[float, float]] = {}

    def seconds(self, run: CellRun) -> tuple[float, float]:
        """Seconds of the training and of the test."""
        ablation, cell, training = self.ablation, run.cell, run.training
        solver = ablation.schedule(run)
        trained = solver.max_iter * effective_batch(training, solver, 1) * cell.segments
        shown = sum(len(set(video_ticks(video, run.snippets))) for video in run.test)  # a short video repeats its ticks
        tested = shown * ablation.options.crops
        key = (cell.net, cell.modality)
        if key not in self._timed:
            self._timed[key] = _time_snippet(training, ablation.hardware)
        train, test = self._timed[key]
        return trained * train, tested * test


def _time_snippet(training: FinetuneOptions, hardware: Hardware) -> tuple[float, float]:
    """Seconds per snippet, in training and in the test."""
    tsn = hardware.move(checked_tsn(training)).train()
    shape = input_shape(tsn)
    videos = -(-_SNIPPETS[hardware.device.type] // tsn.num_segments)
    x = torch.zeros(videos, tsn.num_segments * shape[1], *shape[2:], device=hardware.device)

    def train() -> None:
        with hardware.autocast():
            tsn(x).float().sum().backward()

    def test() -> None:
        with torch.inference_mode():
            tsn.segment_scores(x)

    trained = _clock(train, hardware.device)
    tsn.eval()
    count = videos * tsn.num_segments
    return trained / count, _clock(test, hardware.device) / count


def _clock(work, device: torch.device) -> float:
    """Seconds per call, the shortest of three: the first calls also set things up."""
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(time.perf_counter() - start)
    return min(spent)


class AblationProgress:
    """A line for each cell on stdout, and progress over all cells on stderr.

    The remaining time follows from the pace so far, with cells weighted by their estimates.
    """

    def __init__(self, runs: Sequence[CellRun], estimates: Sequence[tuple[float, float]]) -> None:
        self._weights = {run.cell: pair for run, pair in zip(runs, estimates, strict=True)}
        self._count, self._total = len(runs), sum(map(sum, estimates))
        self._number, self._before = 0, 0.0
        self._skipped, self._since = 0.0, time.perf_counter()
        self._bar = Progress("runs", self._total)

    def __enter__(self) -> "AblationProgress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def start(self, run: CellRun) -> None:
        """Announces the next cell."""
        self._number += 1
        self._train, self._test = self._weights[run.cell]
        self._fresh = True
        self._bar.describe(f"{self._number}/{self._count} {run.cell.name}")
        changes = run.changes()
        if changes:
            say(f"{run.cell.name}: made with other settings ({', '.join(changes)}): done again")

    def done(self, trained: float, tested: float) -> None:
        """Updates the bar: finished shares of the cell's training and test, 0 to 1."""
        units = trained * self._train + tested * self._test
        more = max(0.0, self._before + units - self._bar.done)
        if self._fresh:  # almost all of it was done by an earlier run
            self._skipped, self._fresh = self._skipped + units, False
            self._bar.skip(more)
        else:
            self._bar.update(more)

    def finish(self, run: CellRun, what: str) -> None:
        """Prints that the cell has ended; ``what``: how."""
        self._before += self._train + self._test
        more = max(0.0, self._before - self._bar.done)
        if self._fresh:
            self._skipped += self._train + self._test
            self._bar.skip(more)
        else:
            self._bar.update(more)
        left = self._left()
        rest = f"; {duration(left)} left" if left else ""
        say(f"[{self._number}/{self._count}] {run.cell.name}: {what}{rest}")

    def _left(self) -> float:
        worked = self._before - self._skipped
        pace = (time.perf_counter() - self._since) / worked if worked > 0 else 1.0
        return pace * (self._total - self._before)
