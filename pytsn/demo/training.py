"""The files of the demo's training: prototxts, solvers, start weights, and their paths.

<root>/models/demo_<modality>_deploy.prototxt, ..._train_val.prototxt, ..._solver.prototxt, demo_rgb_start.caffemodel
<root>/lists/ucf101_<modality>_train_split_1.txt, ..._val_split_1.txt    (build-file-list writes them)
<root>/train_<modality>/demo_<modality>_iter_<N>.caffemodel, loss.png, accuracy.png    (train writes them)
"""

from dataclasses import dataclass
from pathlib import Path

from converter.files import write_bytes
from pytsn.demo.nets import STREAMS, Stream, deploy_prototxt, train_val_prototxt
from pytsn.models.prototxt_text import Word, field

BATCH = 16  # videos
DROPOUT = 0.5
BASE_LR = 0.05
#: a solver's seed has 64 bits; Caffe's generator uses 32 of them
_SEEDS = 2**32


@dataclass(frozen=True)
class StreamFiles:
    """The paths of one stream's files; ``iterations`` is part of the snapshots' names."""

    root: Path
    stream: Stream
    iterations: int

    def _path(self, folder: str, name: str) -> Path:
        return self.root / folder / name.format(self.stream.modality)

    @property
    def deploy(self) -> Path:
        return self._path("models", "demo_{}_deploy.prototxt")

    @property
    def train_val(self) -> Path:
        return self._path("models", "demo_{}_train_val.prototxt")

    @property
    def solver(self) -> Path:
        return self._path("models", "demo_{}_solver.prototxt")

    @property
    def start(self) -> Path | None:
        """The weights to start from; None: random weights from the fillers and the solver's seed."""
        return self._path("models", "demo_{}_start.caffemodel") if self.stream.conv1_given else None

    @property
    def snapshot_folder(self) -> Path:
        return self.root / f"train_{self.stream.modality}"

    @property
    def snapshot(self) -> Path:
        """The last snapshot of the training."""
        return self.snapshot_folder / f"demo_{self.stream.modality}_iter_{self.iterations}.caffemodel"

    def converted(self, end: str) -> Path:
        """The snapshot in another format with suffix ``end``."""
        return self._path("models", "demo_{}" + end)

    def file_list(self, part: str) -> Path:
        """part: train or val."""
        return self._path("lists", "ucf101_{}_" + part + "_split_1.txt")


def stream_files(root: Path, modality: str, iterations: int) -> StreamFiles:
    """The files of the stream of a modality."""
    return StreamFiles(root, STREAMS[modality], iterations)


def write_training_files(files: StreamFiles, num_classes: int, tested: int, seed: int) -> list[Path]:
    """Writes prototxts, solver and start weights. ``tested``: videos per test pass. Returns the paths."""
    seed %= _SEEDS
    for folder in (files.deploy.parent, files.snapshot_folder):
        folder.mkdir(parents=True, exist_ok=True)
    lists = files.file_list("train"), files.file_list("val")
    texts = {
        files.deploy: deploy_prototxt(files.stream, num_classes),
        files.train_val: train_val_prototxt(files.stream, num_classes, *lists, BATCH, DROPOUT),
        files.solver: solver_prototxt(files, -(-tested // BATCH), seed),
    }
    for path, text in texts.items():
        write_bytes(path, text.encode())
    if files.start is None:
        return list(texts)
    from pytsn.demo.weights import write_start

    write_start(files.start, files.deploy, seed)
    return [*texts, files.start]


def solver_prototxt(files: StreamFiles, test_iter: int, seed: int) -> str:
    """The solver: the learning rate falls linearly to 0, with four test passes. With a random_seed all random numbers
    are Caffe's own, and a run on a CPU is reproducible."""
    shown = max(files.iterations // 10, 1)
    settings = {
        "net": str(files.train_val),
        "test_iter": test_iter,
        "test_interval": max(files.iterations // 4, 1),
        "test_initialization": False,
        "base_lr": BASE_LR,
        "lr_policy": "poly",
        "power": 1.0,
        "max_iter": files.iterations,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "display": shown,
        "average_loss": shown,
        "snapshot_prefix": str(files.snapshot_folder / f"demo_{files.stream.modality}"),
        "solver_mode": Word("CPU"),
        "random_seed": seed,
    }
    return "".join(f"{field(*item)}\n" for item in settings.items())
