"""A training run from a solver file: builds, restores and starts everything.

Source: tools/caffe.cpp (train) and Solver::Init of the fork; the imported modules name their own sources.
"""

from dataclasses import dataclass, field

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.norm import BN
from converter.net import CaffeNet
from converter.solverstate import read_solverstate
from converter.weights import load_any_weights, load_weights, save_caffemodel
from pytsn.caffe_random.source import random_source
from pytsn.runtime.distributed import Processes
from pytsn.training.curves import Curves
from pytsn.training.hardware import Hardware
from pytsn.training.input.data_layers import DataLayers
from pytsn.training.input.reader_pool import ReaderPool
from pytsn.training.loop import Console, TrainLoop
from pytsn.training.overrides import Override
from pytsn.training.passes import NetRunner
from pytsn.training.resume import RunState
from pytsn.training.snapshot import find_learned_net, load_solverstate, not_finite, snapshot_paths, write_state
from pytsn.training.solver import CaffeSolver, DivergedError
from pytsn.training.solver_blobs import solver_blobs
from pytsn.training.solver_nets import NetSpec, check_processes, share_weights, specs_for_tests, train_spec

#: --bn_variance -> BN.unbiased_running_var (converter/layers/norm.py)
BN_VARIANCES = {"auto": None, "biased": False, "unbiased": True}


@dataclass(frozen=True)
class TrainOptions:
    """The options of a run besides its solver file.

    weights: caffemodels or converted files to start from, loaded in order; snapshot: a solverstate to resume. rng:
    "caffe" repeats Caffe's random numbers if the solver has a random_seed. clip_on: "sum" (Caffe) or "mean" over
    iter_size. bn_variance: the variance that an unfrozen BN averages; "auto" as in Caffe and cuDNN. overrides: of data
    layers.
    """

    weights: tuple[str, ...] = ()
    snapshot: str | None = None
    hardware: Hardware = field(default_factory=Hardware)
    workers: int = 0
    rng: str = "caffe"
    clip_on: str = "sum"
    bn_variance: str = "auto"
    overrides: tuple[Override, ...] = ()
    tensorboard: str | None = None


class Training:
    """A run, ready for ``solve()``. Close it when done.

    ``param``: the solver, overrides applied. Raises PytsnError for settings that cannot run, before any training.
    """

    def __init__(
        self,
        param: pb.SolverParameter,
        options: TrainOptions,
        processes: Processes | None = None,
        console: Console | None = None,
    ) -> None:
        if options.weights and options.snapshot:
            raise PytsnError("give --snapshot to go on from, or --weights to start from, not both")
        self.param, self.options, self.console = param, options, console or Console()
        self.processes = processes or Processes(device=options.hardware.device)
        self.last_snapshot: str | None = options.snapshot
        self.random = random_source(param.random_seed, options.rng, self.processes)
        self.curves = Curves(options.tensorboard if self.processes.is_first else None)
        options.hardware.prepare()
        self._pool = ReaderPool(options.workers) if options.workers else None
        self.runners = self._build()
        self.train, self.tests = self.runners[0], self.runners[1:]
        learned_net = self._load_weights()
        self.solver = self._move_and_share()
        if options.snapshot:
            load_solverstate(options.snapshot, self.solver)
        record = options.hardware.record
        self.loop = TrainLoop(self.solver, self.train, self.tests, self.curves, self.console, self.snapshot, record)
        self.state = RunState(self.runners, self.random, self.solver, self.loop.smoothed, self.curves, self.processes)
        self._not_restored = (
            self.state.restore(options.snapshot, learned_net) if options.snapshot and learned_net else ""
        )

    def _build(self) -> list[NetRunner]:
        """The training net and the test nets with their data, in the order in which Caffe draws random numbers."""
        overrides, runners = self.options.overrides, []
        for spec in [train_spec(self.param, overrides), *specs_for_tests(self.param, overrides)]:
            net, data_layers = self._build_net(spec)
            runners.append(NetRunner(net, data_layers, self.options.hardware, self.processes))
        for runner in runners:
            runner.data_layers.check_labels(runner.net)
            for note in runner.data_layers.notes:
                self.console.print(f"note: {note}")
        return runners

    def _build_net(self, spec: NetSpec) -> tuple[CaffeNet, DataLayers]:
        rank, world = self.processes.rank, self.processes.world
        check_processes(spec, world)
        ahead = self.random.batches_ahead
        data_layers = DataLayers(spec.phase, rng=self.random.data, rank=rank, world=world, pool=self._pool, ahead=ahead)
        try:
            net = CaffeNet(
                spec.param, spec.phase, generator=self.random.fillers, on_data_layer=data_layers.on_data_layer
            )
        except PytsnError as error:
            raise PytsnError(f"{spec.source}: {error}") from None
        self.random.attach(net)
        for module in net.modules():
            if isinstance(module, BN):
                module.unbiased_running_var = BN_VARIANCES[self.options.bn_variance]
        return net, data_layers

    def _load_weights(self) -> str | None:
        """Loads weights from files. Returns the caffemodel of a resumed solverstate."""
        for path in self.options.weights:
            self.console.print(f"Finetuning from {path}")
            for line in load_any_weights(self.train.net, path).lines():
                self.console.print(f"    {line}")
            for runner in self.tests:
                load_any_weights(runner.net, path)
        if not self.options.snapshot:
            return None
        self.console.print(f"Resuming from {self.options.snapshot}")
        learned_net = find_learned_net(read_solverstate(self.options.snapshot), self.options.snapshot)
        load_weights(self.train.net, learned_net).require_complete()
        return learned_net

    def _move_and_share(self) -> CaffeSolver:
        """Moves the nets to the device; shares the training net's weights with the test nets and all processes."""
        for runner in self.runners:
            self.options.hardware.move(runner.net)
        blobs = solver_blobs(self.train.net)
        for runner in self.tests:
            share_weights(runner.net, self.train.net)
        self.processes.broadcast_([blob.tensor for blob in blobs])
        return CaffeSolver(self.param, blobs, self.options.clip_on)

    def solve(self) -> int:
        """Trains to the end. Returns 0, or the number of the signal that stopped it (train_loop.py)."""
        self.console.print(f"Solving {self.train.net.param.name}")
        self.console.print(f"Learning Rate Policy: {self.param.lr_policy}")
        if self.options.snapshot:
            self.console.print(f"Restoring previous solver status from {self.options.snapshot}")
            self.console.print("SGDSolver: restoring history")
            if self._not_restored:
                self.console.print(f"Data and random numbers start afresh, as in Caffe: {self._not_restored}")
        return self.loop.solve()

    def snapshot(self) -> None:
        """Writes a snapshot; only rank 0 writes. Raises PytsnError if it cannot be written (earlier snapshots stay as
        they are), and DivergedError for weights that are not finite."""
        paths = snapshot_paths(self.param.snapshot_prefix, self.solver.iteration)
        bad = not_finite(self.train.net)
        if self.processes.max_of(len(bad)):
            raise DivergedError(f"{paths.caffemodel}: not written: weights are not finite, {', '.join(bad[:3])} ...")
        tree = self.state.tree()
        if self.processes.is_first:
            self.console.print(f"Snapshotting to {paths.caffemodel}")
            save_caffemodel(paths.caffemodel, self.train.net)
            self.console.print(f"Snapshotting solver state to {paths.solverstate}")
            write_state(paths, self.solver, tree)
            self.last_snapshot = paths.solverstate
        self.processes.wait()

    def close(self) -> None:
        """Ends reading processes, flushes curves, leaves the process group."""
        for runner in self.runners:
            runner.data_layers.close()
        if self._pool:
            self._pool.close()
        self.curves.close()
        self.processes.close()
