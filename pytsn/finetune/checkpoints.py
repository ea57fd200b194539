"""The files that fine-tuning writes to its folder.

``last.safetensors`` and ``best.safetensors`` (or .pth): weights for eval-net and convert, with ``deploy.prototxt``.
``state/iter_N.*``: the newest checkpoint, three files like a snapshot (training/snapshot.py). ``last`` follows it, and
then the older checkpoint is removed. A run that is killed in between leaves both to the one that resumes it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from converter import state_files
from converter.errors import PytsnError
from converter.files import explain_os_error
from converter.names import state_name
from pytsn.models.consensus import Weighted
from pytsn.models.tsn import TSN
from pytsn.training import snapshot
from pytsn.training.snapshot import SnapshotPaths
from pytsn.training.solver import CaffeSolver

FORMATS = ("safetensors", "pth")
ACCURACY_DIGITS = 6  # decimals of the accuracy recorded in ``best``
#: segment weights with a smaller sum are not divided by it: that would only magnify noise
_SMALLEST_SUM = 1e-3
_STATE = re.compile(r"iter_(\d+)\.solverstate")


def file_state(tsn: TSN) -> dict[str, Tensor]:
    """The weights as stored in files: the base net under the keys of converted files, then those of the consensus."""
    own = {f"consensus.{key}": tensor for key, tensor in tsn.consensus.state_dict().items()}
    return {**tsn.base.state_dict(), **own}


def state_for_tests(tsn: TSN) -> dict[str, Tensor]:
    """``file_state`` for nets that are tested with the plain average over snippets, as in eval-net.

    Learned segment weights need not sum to 1. If the sum is negative, the classifier has learned scores of the opposite
    sign, and their average would rank the classes upside down. So the classifier is multiplied by the sum, and the
    segment weights are divided by it: the TSN's scores stay the same.
    """
    state = file_state(tsn)
    if not isinstance(tsn.consensus, Weighted):
        return state
    total, layer = tsn.consensus.weight.detach().sum(), state_name(tsn.about.classifier)
    if f"{layer}.weight" not in state or total.abs() < _SMALLEST_SUM:
        return state
    scaled = {key: value * total for key, value in state.items() if key.rpartition(".")[0] == layer}
    return {**state, **scaled, "consensus.weight": state["consensus.weight"] / total}


class Checkpoints:
    """The folder of one run. Every file is written whole or not at all; only rank 0 writes."""

    def __init__(self, folder: str | os.PathLike, suffix: str = "safetensors") -> None:
        self.folder, self._suffix = Path(folder), suffix
        self.last, self.best = (str(self.folder / f"{name}.{suffix}") for name in ("last", "best"))

    def prepare(self, resume: bool) -> str | None:
        """Makes the folder. Returns the solverstate to continue from, None without ``resume``.

        Raises PytsnError when there is no checkpoint to resume, or when the folder holds a run that would be
        overwritten.
        """
        found = self.newest()
        if resume and found is None:
            raise PytsnError(
                f"{self.folder}: no checkpoint to go on from (state/iter_N.solverstate): leave out --resume"
            )
        if not resume and (found or os.path.exists(self.last)):
            raise PytsnError(f"{self.folder}: holds a run already: --resume goes on, another --out starts afresh")
        try:
            (self.folder / "state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from None
        if found is not None:
            self._remove_others(found)  # a run may have been killed before it could
        return found

    def newest(self) -> str | None:
        """The solverstate of the last complete checkpoint, None if there is none."""
        found = [match for name in self._names() if (match := _STATE.fullmatch(name))]
        newest = max(found, key=lambda match: int(match[1]), default=None)
        return newest and str(self.folder / "state" / newest[0])

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder / "state")
        except OSError:
            return []

    def weights_of(self, solverstate: str) -> str:
        """Path of the weights of a checkpoint. Raises PytsnError when the file is missing."""
        stem = os.path.splitext(solverstate)[0]
        for suffix in (self._suffix, *FORMATS):
            if os.path.isfile(f"{stem}.{suffix}"):
                return f"{stem}.{suffix}"
        raise PytsnError(f"{solverstate}: its weights, {stem}.{self._suffix}, are not there: put them beside it")

    def write(self, tsn: TSN, solver: CaffeSolver, tree: Mapping, metadata: Mapping[str, str]) -> str:
        """Writes a checkpoint of this iteration, and ``last``. Returns the path of the solverstate."""
        stem = str(self.folder / "state" / f"iter_{solver.iteration}")
        paths = SnapshotPaths(f"{stem}.{self._suffix}", f"{stem}.solverstate", f"{stem}.pytsnstate")
        state_files.write_state(paths.caffemodel, file_state(tsn), metadata)
        snapshot.write_state(paths, solver, tree)
        self.write_last(tsn, metadata)
        self._remove_others(paths.solverstate)
        return paths.solverstate

    def write_last(self, tsn: TSN, metadata: Mapping[str, str]) -> None:
        """Writes ``last``, the weights of the newest checkpoint."""
        state_files.write_state(self.last, state_for_tests(tsn), metadata)

    def _remove_others(self, solverstate: str) -> None:
        """Removes all other checkpoints, and unfinished files of a killed run (.iter_)."""
        stem = os.path.splitext(os.path.basename(solverstate))[0]
        others = (name for name in self._names() if os.path.splitext(name)[0] != stem)
        for name in sorted(others, key=lambda name: not _STATE.fullmatch(name)):
            if name.lstrip(".").startswith("iter_"):  # without its solverstate, the rest of a checkpoint is ignored
                (self.folder / "state" / name).unlink(missing_ok=True)

    def found_best(self) -> tuple[float, int]:
        """Accuracy and iteration recorded in ``best``; (-1, 0) if there is none."""
        if not os.path.isfile(self.best):
            return -1.0, 0
        _, metadata = state_files.read_state(self.best)
        try:
            return float(metadata["accuracy"]), int(metadata["iteration"])
        except (KeyError, TypeError, ValueError):
            return -1.0, 0

    def write_best(self, tsn: TSN, metadata: Mapping[str, str]) -> None:
        """Writes ``best``, the weights with the best validation accuracy so far."""
        state_files.write_state(self.best, state_for_tests(tsn), metadata)
