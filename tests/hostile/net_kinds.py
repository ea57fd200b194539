"""Nets, solvers and the state of a training run, read as ``train`` reads them: up to one iteration."""

import contextlib
import os
import random
from collections.abc import Sequence
from pathlib import Path

import torch

from converter.errors import PytsnError
from converter.layers import base
from converter.net import load_net
from pytsn.training.hardware import Hardware
from pytsn.training.run import Training, TrainOptions
from pytsn.training.settings import plan_solver
from pytsn.training.snapshot import snapshot_paths
from pytsn.training.solver_nets import specs_for_tests
from pytsn.weights.identify import identify
from tests.hostile.kinds import RECORDINGS, TINY, Kind
from tests.hostile.mutations import mutate_encoded, mutate_zip
from tests.training.tiny_videos import make_tiny_run

#: values of a blob. A net may be as large as it says (docs/security.md); this refuses at a size that a fuzz run affords
MOST_VALUES = 1 << 22


class Prototxts(Kind):
    """Nets: of training, of tests, of single layers. Built in both phases, the test's run once where it can be."""

    suffix = ".prototxt"

    def make_samples(self) -> Sequence[bytes]:
        base.MAX_COUNT = MOST_VALUES
        training = [TINY / run / "train_val.prototxt" for run in ("det_fixed", "rgb_step")]
        return [path.read_bytes() for path in [*training, *sorted((RECORDINGS / "layers").glob("*.prototxt"))]]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_encoded(data, rng, self.samples)

    def read(self, path: Path) -> None:
        load_net(path, phase="TRAIN")
        net = load_net(path)
        inputs = net.inputs
        if all(inputs.values()) and sum(torch.Size(shape).numel() for shape in inputs.values()) < 1 << 16:
            net({name: torch.zeros(shape) for name, shape in inputs.items()})


class _Run(Kind):
    """The folder of the tiny run, the current folder from then on, as Caffe's was; a whole snapshot of 2 iterations."""

    def __init__(self, folder: Path) -> None:
        base.MAX_COUNT = MOST_VALUES
        torch.set_num_threads(1)
        os.chdir(make_tiny_run(RECORDINGS, folder / "tiny"))
        self.prefix = str(folder / "whole")
        self.param = plan_solver("rgb_step/solver.prototxt").solver
        self.param.random_seed, self.param.max_iter, self.param.display = 7, 2, 1
        self.param.snapshot, self.param.snapshot_after_train, self.param.snapshot_prefix = 0, False, self.prefix
        with contextlib.closing(Training(self.param, TrainOptions(hardware=Hardware(torch.device("cpu"))))) as training:
            training.solve()
            training.snapshot()
        self.paths = snapshot_paths(self.prefix, 2)
        super().__init__(folder)

    def go_on(self, solverstate: Path) -> None:
        """One more iteration from this state."""
        options = TrainOptions(snapshot=str(solverstate), hardware=Hardware(torch.device("cpu")))
        with contextlib.closing(Training(self.param, options)) as training:
            training.solver.next_rate()
            if training.solver.iteration < 1 << 20:
                self.param.max_iter = max(0, training.solver.iteration) + 1
                training.solve()

    def put(self, folder: Path, **changed: bytes) -> Path:
        """The snapshot's files in ``folder``, some with other bytes; the path of the solverstate."""
        for name in ("caffemodel", "solverstate", "side"):
            source = Path(getattr(self.paths, name))
            (folder / source.name).write_bytes(changed.get(name, source.read_bytes()))
        return folder / Path(self.paths.solverstate).name


class Solvers(_Run):
    """A solver file: planned, its nets built, one iteration."""

    suffix = ".prototxt"

    def make_samples(self) -> Sequence[bytes]:
        runs = ("det_fixed", "det_step_clip", "det_multistep_itersize", "rgb_step")
        return [(TINY / run / "solver.prototxt").read_bytes() for run in runs]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_encoded(data, rng, self.samples)

    def read(self, path: Path) -> None:
        solver = plan_solver(path).solver
        specs_for_tests(solver)
        solver.snapshot, solver.snapshot_after_train, solver.max_iter = 0, False, 1
        solver.iter_size, solver.average_loss = min(solver.iter_size, 3), min(solver.average_loss, 1000)
        solver.test_iter[:] = [min(count, 2) for count in solver.test_iter]
        with contextlib.closing(Training(solver, TrainOptions(hardware=Hardware(torch.device("cpu"))))) as training:
            training.solve()


class Solverstates(_Run):
    """Identified, and gone on from."""

    def make_samples(self) -> Sequence[bytes]:
        return [Path(self.paths.solverstate).read_bytes()]

    def write(self, folder: Path, rng: random.Random) -> Path:
        return self.put(folder, solverstate=self.mutate(self.samples[0], rng))

    def read(self, path: Path) -> None:
        identify(path)
        self.go_on(path)

    def command(self, path: Path) -> list[str] | None:
        return ["identify", str(path)]


class SideFiles(_Run):
    """Gone on from: random numbers, orders of videos, curves, statistics."""

    def make_samples(self) -> Sequence[bytes]:
        return [Path(self.paths.side).read_bytes()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """The archive, or the archive of one process inside it."""
        if rng.random() < 0.4:
            return mutate_zip(data, rng, self.samples)
        return _inner(data, rng)

    def write(self, folder: Path, rng: random.Random) -> Path:
        return self.put(folder, side=self.mutate(self.samples[0], rng))

    def read(self, path: Path) -> None:
        self.go_on(path)


def _inner(data: bytes, rng: random.Random) -> bytes:
    """The side file with the state of its process damaged, as a tree of JSON and arrays, CRCs right."""
    import numpy as np

    from pytsn.training import side_file

    tree = side_file.unpack(data, "whole")
    if rng.random() < 0.5:
        rank = mutate_zip(tree["state"]["ranks"][0].tobytes(), rng)
        tree["state"]["ranks"] = [np.frombuffer(rank, np.uint8)]
        return side_file.pack(tree)
    _spoil(tree["state"], rng)
    with contextlib.suppress(PytsnError, LookupError, TypeError, AttributeError):  # it was the ranks that were spoiled
        own = side_file.unpack(tree["state"]["ranks"][0].tobytes(), "whole")
        _spoil(own, rng)
        tree["state"]["ranks"] = [np.frombuffer(side_file.pack(own), np.uint8)]
    return side_file.pack(tree)


def _spoil(node, rng: random.Random) -> None:
    """One value anywhere in a tree replaced by another that could stand in such a file."""
    import numpy as np

    places = list(_places(node))
    if not places:
        return
    holder, key = rng.choice(places)
    old = holder[key]
    choices = [
        None,
        -1,
        0,
        2**63,
        1e308,
        float("nan"),
        "x",
        [],
        {},
        [[]],
        True,
        np.zeros(0, np.float32),
        np.zeros((2, 2), np.int64),
    ]
    if isinstance(old, np.ndarray):
        choices += (
            [old[:-1], old.reshape(-1)[::-1].copy(), old.astype(np.float64), old * 0, np.full(old.shape, 2**31 - 1)] * 2
            if old.ndim
            else [old + 1]
        )
    if isinstance(old, dict) and old and rng.random() < 0.5:
        del old[rng.choice(sorted(old))]
        return
    holder[key] = choices[rng.randrange(len(choices))]


def _places(node):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)
