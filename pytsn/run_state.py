"""What a run knows beside weights and history: data cursors, random generators, averages, curves."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from converter.errors import PytsnError
from pytsn import side_state
from pytsn.distributed import Processes
from pytsn.random_source import RandomSource
from pytsn.snapshot import read_side, side_path
from pytsn.solver import CaffeSolver
from pytsn.train_log import SmoothedLoss
from pytsn.train_pass import NetRunner
from pytsn.train_records import Records


@dataclass
class RunState:
    """The parts of a run that a side file (``.pytsnstate``) keeps."""

    runners: Sequence[NetRunner]
    random: RandomSource
    solver: CaffeSolver
    smoothed: SmoothedLoss
    records: Records
    processes: Processes

    def tree(self) -> dict:
        """The state of all processes, for a side file; every process must call it."""
        parts = self.processes.gather_bytes(side_state.pack(self._own()))
        ranks = [np.frombuffer(part, np.uint8) for part in parts]
        return {"loss": self.smoothed.state(), "curves": self.records.state(), "ranks": ranks}

    def _own(self) -> dict:
        """What differs between processes; BN's statistics do, because each averages its own batches."""
        feeds = [runner.feed.state() for runner in self.runners]
        statistics = [tensor.cpu().numpy() for tensor in self._statistics()]
        return {"feeds": feeds, "random": self.random.state(), "statistics": statistics}

    def _statistics(self) -> list[torch.Tensor]:
        return [blob.tensor for blob in self.solver.blobs if not isinstance(blob.tensor, nn.Parameter)]

    def restore(self, solverstate: str | os.PathLike, caffemodel: str | os.PathLike) -> str:
        """Takes up the side file of a snapshot. Returns "" or why it is not used: then the run goes on as Caffe's does,
        with data and random numbers from their start.

        Raises PytsnError for a damaged side file, and for one of other lists of videos.
        """
        tree, reason = read_side(solverstate, caffemodel)
        if tree is None:
            return reason
        if len(tree["ranks"]) != self.processes.world:
            return f"the side file was written by {len(tree['ranks'])} processes"
        own = side_state.unpack(tree["ranks"][self.processes.rank].tobytes(), solverstate)
        if len(own["feeds"]) != len(self.runners):
            return f"the side file is of a run with {len(own['feeds']) - 1} test nets"
        try:
            for runner, state in zip(self.runners, own["feeds"], strict=True):
                runner.feed.load_state(state)
        except PytsnError as error:
            raise PytsnError(f"{error} (or rename {side_path(solverstate)} and go on without it)") from None
        self.random.load_state(own["random"])
        for tensor, values in zip(self._statistics(), own["statistics"], strict=True):
            tensor.copy_(torch.from_numpy(values))
        self.smoothed.load_state(tree["loss"])
        self.records.load_state(tree["curves"])
        return ""
