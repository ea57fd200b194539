"""Fine-tuning from list files: a TSN in the training loop of ``pytsn train``, with its data code and update rule.

This module adds the model, validation over the whole list, checkpoints and the best weights.
"""

from converter.core_training import share_batches
from converter.errors import PytsnError
from converter.files import write_bytes
from converter.frozen_bn import fold_frozen_bn
from converter.state_files import read_state
from pytsn.caffe_random.source import random_source
from pytsn.data.modalities import find_modality
from pytsn.finetune.checkpoints import ACCURACY_DIGITS, Checkpoints
from pytsn.finetune.data import data_layer, make_spec, read_lists
from pytsn.finetune.init import start_from
from pytsn.finetune.net import build_tsn, caffe_base, input_shape, tsn_blobs
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.passes import TrainPass, ValidationPass
from pytsn.finetune.resume import check_settings, lasting_settings
from pytsn.finetune.schedule import clip_on, plan_schedule
from pytsn.finetune.summary import summary
from pytsn.runtime.distributed import Processes
from pytsn.training.curves import Curves
from pytsn.training.hardware import Hardware
from pytsn.training.input.data_layers import DataLayers
from pytsn.training.input.reader_pool import ReaderPool
from pytsn.training.loop import Console, TrainLoop
from pytsn.training.resume import RunState
from pytsn.training.snapshot import load_solverstate, not_finite, read_side
from pytsn.training.solver import CaffeSolver, DivergedError


class FinetuneLoop(TrainLoop):
    """TrainLoop, with a validation at the end for any test_interval."""

    def solve(self) -> int:
        stopped = super().solve()
        if not stopped and self.tests and self.param.max_iter % self.param.test_interval:
            self._test_all()
        return stopped


class Finetuning:
    """A run, ready for ``solve()``; close it when done. ``summary``: lines that describe the run.

    ``best``: (accuracy, iteration) of the best validation, (-1, 0) before the first. Raises PytsnError for bad input
    before any training.
    """

    def __init__(
        self,
        options: FinetuneOptions,
        hardware: Hardware,
        workers: int = 0,
        processes: Processes | None = None,
    ) -> None:
        self.options, self.hardware = options, hardware
        self.processes = processes or Processes(device=hardware.device)
        self.row, self.lists = find_modality(options.modality), read_lists(options)
        self.param = plan_schedule(options, self.row, len(self.lists.train), self.processes.world)
        self.checkpoints = Checkpoints(options.out, options.format)
        self.last_checkpoint: str | None = None
        self.best = (-1.0, 0)
        hardware.prepare()
        self.random = random_source(self.param.random_seed, "torch", self.processes)
        self._pool = ReaderPool(workers) if workers else None
        self._data_layers: list[DataLayers] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        options, classes = self.options, self.options.num_classes or self.lists.classes
        spec = make_spec(options, self.row, classes)
        self.plan = build_tsn(options, self.row, spec)
        self.tsn = self.plan.tsn
        self.notes = [*self.plan.notes]
        train, *tests = [self._make_data_layers(phase, spec) for phase in ("TRAIN", "TEST")[: 1 + bool(self.lists.val)]]
        if options.init and not options.resume:
            self.notes += start_from(self.tsn, options.init, options.bn_style)
        found = self.checkpoints.prepare(options.resume) if self.processes.is_first or options.resume else None
        if found:
            self._resume_weights(found)
        self._assemble(train, tests, found)
        self.summary = summary(
            options, self.tsn, self.solver.blobs, self.lists, self.param, self.hardware, self.processes.world
        )

    def _make_data_layers(self, phase: str, spec) -> DataLayers:
        """The data layers of a phase, checked against the net."""
        about, world = self.tsn.about, self.processes
        layer = data_layer(self.options, spec, phase, self.row.images.planes, input_shape(self.tsn))
        ahead = self.random.batches_ahead
        data_layers = DataLayers(
            phase, rng=self.random.data, rank=world.rank, world=world.world, pool=self._pool, ahead=ahead
        )
        self._data_layers.append(data_layers)
        data, _ = data_layers.on_data_layer(layer).values()
        if data[1] != self.options.num_segments * about.channels:
            wanted = f"{self.options.num_segments} segments of {about.channels}"
            raise PytsnError(f"the {phase} data has {data[1]} channels, the net takes {wanted}: look at --set")
        data_layers.layers[layer.name].check_labels(about.num_classes)
        self.notes += data_layers.notes
        return data_layers

    def _assemble(self, train: DataLayers, tests: list[DataLayers], found: str | None) -> None:
        """Moves the net to the device and makes solver and loop; restores a checkpoint if ``found``."""
        self.hardware.move(self.tsn)
        blobs = tsn_blobs(self.tsn)
        fold_frozen_bn(caffe_base(self.tsn))
        share_batches(caffe_base(self.tsn))
        self.tsn.train()
        self.processes.broadcast_([blob.tensor for blob in blobs])
        self.solver = CaffeSolver(self.param, blobs, clip_on(self.options))
        if found:
            load_solverstate(found, self.solver)
        place = (self.hardware, self.processes)
        passes = [ValidationPass(self.tsn, data_layers, *place, self._tested) for data_layers in tests]
        self.param.test_iter.extend(each.batches for each in passes)
        self.curves = Curves()
        runner = TrainPass(self.tsn, train, *place)
        record = self.hardware.record
        self.loop = FinetuneLoop(self.solver, runner, passes, self.curves, Console(), self.checkpoint, record)
        smoothed = self.loop.smoothed
        self.state = RunState([runner, *passes], self.random, self.solver, smoothed, self.curves, self.processes)
        if found:
            self._resume_state(found)

    def _resume_weights(self, solverstate: str) -> None:
        path = self.checkpoints.weights_of(solverstate)
        _, metadata = read_state(path)
        check_settings(path, metadata, self._settings())
        start_from(self.tsn, path)
        self.last_checkpoint = solverstate
        self.notes.append(f"goes on from {solverstate}")

    def _resume_state(self, solverstate: str) -> None:
        weights = self.checkpoints.weights_of(solverstate)
        reason = self.state.restore(solverstate, weights)
        tree, _ = read_side(solverstate, weights)
        if tree:
            self.best = (float(tree["best"][0]), int(tree["best"][1]))
        found = self.checkpoints.found_best()  # a validation after that checkpoint, e.g. the one at the end of a run
        if found[0] > round(self.best[0], ACCURACY_DIGITS):
            self.best = found
        if reason:
            self.notes.append(f"warning: data and random numbers start afresh: {reason}")

    def _settings(self) -> dict[str, str]:
        return lasting_settings(self.options, self.tsn.num_classes)

    def _tested(self, accuracy: float, loss: float) -> None:
        """Keeps the weights of the best validation, the first one if several are equal."""
        if accuracy > self.best[0]:
            self.best = (accuracy, self.solver.iteration)
            if self.processes.is_first:
                self.checkpoints.write_best(
                    self.tsn, self._metadata() | {"accuracy": f"{accuracy:.{ACCURACY_DIGITS}f}"}
                )

    def _metadata(self) -> dict[str, str]:
        return self._settings() | {"iteration": str(self.solver.iteration), "written_by": "pytsn finetune"}

    def checkpoint(self) -> None:
        """Writes a checkpoint. Raises DivergedError for weights that are not finite; the last checkpoint then stays."""
        bad = not_finite(self.tsn)
        if self.processes.max_of(len(bad)):
            where = f"iteration {self.solver.iteration}"
            raise DivergedError(f"{where}: weights are not finite, {', '.join(bad[:3])} ...: no checkpoint written")
        tree = self.state.tree() | {"best": list(self.best)}
        if self.processes.is_first:
            self.last_checkpoint = self.checkpoints.write(self.tsn, self.solver, tree, self._metadata())
            self.loop.console.print(f"Checkpoint of iteration {self.solver.iteration}: {self.checkpoints.last}")
        self.processes.wait()

    def solve(self, console: Console | None = None) -> int:
        """Trains to the end. Returns 0, or the number of the signal that stopped it. Raises DivergedError."""
        self.loop.console = console or Console()
        if self.processes.is_first:
            write_bytes(self.checkpoints.folder / "deploy.prototxt", self.plan.deploy.encode())
            if self.last_checkpoint:  # resumed: the run before may have been killed before it wrote the weights
                self.checkpoints.write_last(self.tsn, self._metadata())
        return self.loop.solve()

    def outcome(self) -> str:
        """The result of the run, in a line."""
        if self.best[0] < 0:
            return f"weights: {self.checkpoints.last}"
        accuracy, iteration = self.best
        return f"best accuracy {accuracy:.4f}, iteration {iteration}: {self.checkpoints.best}"

    def close(self) -> None:
        """Ends the reading processes and leaves the process group."""
        for data_layers in self._data_layers:
            data_layers.close()
        if self._pool:
            self._pool.close()
        self.processes.close()
