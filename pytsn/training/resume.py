"""The state of a run besides weights and history: data cursors, random generators, averages, curves."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from converter.errors import PytsnError
from pytsn.caffe_random.source import RandomSource
from pytsn.runtime.distributed import Processes
from pytsn.training import side_file
from pytsn.training.curves import Curves
from pytsn.training.input.data_layers import DataLayers
from pytsn.training.log_lines import SmoothedLoss
from pytsn.training.snapshot import read_side, side_path
from pytsn.training.solver import CaffeSolver

#: what comes of a tree in which something has another type, shape or size than ``RunState.tree`` gives it
_DAMAGED = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)


class HasData(Protocol):
    """NetRunner, or a substitute that consumes batches."""

    @property
    def data_layers(self) -> DataLayers: ...


@dataclass
class RunState:
    """The parts of a run that a side file (``.pytsnstate``) stores."""

    runners: Sequence[HasData]
    random: RandomSource
    solver: CaffeSolver
    smoothed: SmoothedLoss
    curves: Curves
    processes: Processes

    def tree(self) -> dict:
        """The state of all processes, for a side file. Every process must call it."""
        parts = self.processes.gather_bytes(side_file.pack(self._own()))
        ranks = [np.frombuffer(part, np.uint8) for part in parts]
        return {"loss": self.smoothed.state(), "curves": self.curves.state(), "ranks": ranks}

    def _own(self) -> dict:
        """The state that differs between processes; includes BN's statistics, since each averages its own batches."""
        states = [runner.data_layers.state() for runner in self.runners]
        statistics = [tensor.cpu().numpy() for tensor in self._statistics()]
        return {"feeds": states, "random": self.random.state(), "statistics": statistics}

    def _statistics(self) -> list[torch.Tensor]:
        return [blob.tensor for blob in self.solver.blobs if not isinstance(blob.tensor, nn.Parameter)]

    def restore(self, solverstate: str | os.PathLike, caffemodel: str | os.PathLike) -> str:
        """Restores the side file of a snapshot. Returns "" or why it is not used; then the run continues as Caffe's
        does, with data and random numbers from their start.

        Raises PytsnError for a damaged side file, and for one with other lists of videos.
        """
        tree, reason = read_side(solverstate, caffemodel)
        if tree is None:
            return reason
        try:
            return self._restore(tree, solverstate)
        except _DAMAGED as error:
            side = side_path(solverstate)
            told = f"{type(error).__name__}: {error}"
            raise PytsnError(f"{side}: damaged ({told}); rename it to go on without it") from None

    def _restore(self, tree: dict, solverstate: str | os.PathLike) -> str:
        if len(tree["ranks"]) != self.processes.world:
            return f"the side file was written by {len(tree['ranks'])} processes"
        own = side_file.unpack(tree["ranks"][self.processes.rank].tobytes(), solverstate)
        if len(own["feeds"]) != len(self.runners):
            return f"the side file is of a run with {len(own['feeds']) - 1} test nets"
        try:
            for runner, state in zip(self.runners, own["feeds"], strict=True):
                runner.data_layers.load_state(state)
        except PytsnError as error:
            raise PytsnError(f"{error} (or rename {side_path(solverstate)} and go on without it)") from None
        self.random.load_state(own["random"])
        for tensor, values in zip(self._statistics(), own["statistics"], strict=True):
            if values.shape != tuple(tensor.shape):  # torch would repeat a single number
                raise ValueError(f"statistics of shape {values.shape} for {tuple(tensor.shape)}")
            tensor.copy_(torch.from_numpy(values))
        self.smoothed.load_state(tree["loss"])
        self.curves.load_state(tree["curves"])
        return ""
