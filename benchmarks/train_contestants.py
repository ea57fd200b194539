"""The contestants of benchmarks/train_speed.py: `pytsn train` on a temporary dataset, PyTorch on the same crops."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from contestants import caffe_net
from torch import nn

from converter.proto import read_solver
from converter.weights import save_caffemodel
from pytsn.models import BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import WRITERS
from pytsn.training.hardware import Hardware
from pytsn.training.loop import Console
from pytsn.training.run import Training, TrainOptions

CLASSES, FRAMES = 101, 30


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Dataset:
    """A folder with a solver file (the released UCF101 settings), its net, list and frames, and start weights."""

    spec: NetSpec
    solver: str
    weights: str

    @property
    def crops(self) -> int:
        """Crops per iteration."""
        return self.spec.batch_size * self.spec.num_segments


def write_dataset(folder: Path, modality: str, batch: int, videos: int) -> Dataset:
    """Writes ``videos`` folders with FRAMES JPEG frames of 340x256 (smooth random pictures), the list and prototxts."""
    listed = str(folder / "train.txt")
    spec = NetSpec(
        "ucf101", modality, batch_size=batch, train_list=listed, val_list=listed, test_iter=1, folder=str(folder)
    )
    for kind in ("train_val", "solver"):
        (folder / spec.file_name(kind)).write_text(WRITERS[kind](spec))
    homes = [_write_video(folder / f"v_{index:05d}", spec, index) for index in range(videos)]
    Path(listed).write_text("".join(f"{home} {FRAMES} {index % CLASSES}\n" for index, home in enumerate(homes)))
    weights = str(folder / "start.caffemodel")
    if spec.stream.channels == 3:
        save_caffemodel(weights, caffe_net(CLASSES))  # its BN statistics give activations of normal size
    return Dataset(spec, str(folder / spec.file_name("solver")), weights if Path(weights).exists() else "")


def _write_video(home: Path, spec: NetSpec, seed: int) -> Path:
    home.mkdir()
    random = np.random.default_rng(seed)
    pattern = spec.stream.images.name_pattern
    planes = [pattern.replace("%c", axis) for axis in "xy"] if spec.stream.is_flow else [pattern]
    for frame in range(1, FRAMES + 1):
        for name in planes:
            coarse = random.integers(0, 256, (16, 21) if spec.stream.is_flow else (16, 21, 3), dtype=np.uint8)
            cv2.imwrite(str(home / (name % frame)), cv2.resize(coarse, (340, 256), interpolation=cv2.INTER_CUBIC))
    return home


def training(dataset: Dataset, hardware: Hardware, workers: int) -> Training:
    """The training of `pytsn train` without test passes, snapshots and output; ``loop.step()`` is an iteration."""
    param = read_solver(dataset.solver)
    for name in ("test_iter", "test_interval", "display", "snapshot_after_train"):
        param.ClearField(name)
    weights = (dataset.weights,) if dataset.weights else ()
    options = TrainOptions(weights=weights, hardware=hardware, workers=workers)
    return Training(param, options, console=Console(print=_silent))


class PlainTorch:
    """An iteration in plain PyTorch: BNInception, partial BN, cross entropy of the mean over segments, gradient
    clipping and torch.optim.SGD; ``step(x, labels)`` with x (videos, segments * C, 224, 224)."""

    def __init__(self, dataset: Dataset, hardware: Hardware, state: Mapping[str, torch.Tensor]) -> None:
        """``state``: that of the net in ``training``."""
        self.spec, self.hardware, self.param = dataset.spec, hardware, read_solver(dataset.solver)
        stream = self.spec.stream
        self.net = BNInception(CLASSES, stream.channels, stream.training.dropout)
        self.net.load_state_dict({name.replace("fc.", "fc_action."): value for name, value in state.items()})
        self.net = self.hardware.move(self.net)
        self._freeze()
        self.optimizer = self._optimizer()

    def _freeze(self) -> None:
        """Partial BN: freezes statistics, slopes and biases of all BN layers but the first."""
        for norm in [each for each in self.net.modules() if isinstance(each, nn.BatchNorm2d)][1:]:
            norm.eval().requires_grad_(False)

    def _optimizer(self) -> torch.optim.Optimizer:
        rate, decay = self.param.base_lr, self.param.weight_decay
        named = [(name, each) for name, each in self.net.named_parameters() if each.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [each for name, each in named if name.endswith(".weight")]},
            {"params": [each for name, each in named if name.endswith(".bias")], "lr": 2 * rate, "weight_decay": 0},
        ]
        return torch.optim.SGD(groups, rate, self.param.momentum, weight_decay=decay)

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """Runs one iteration and returns its loss."""
        x = x.reshape(-1, self.spec.stream.channels, *x.shape[2:])  # (N, S * C, H, W) -> (N * S, C, H, W)
        x = x.contiguous(memory_format=self.hardware.memory_format)
        with self.hardware.autocast():
            scores = self.net(x)
        means = scores.float().reshape(-1, self.spec.num_segments, CLASSES).mean(1)  # (N * S, K) -> (N, K)
        loss = F.cross_entropy(means, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.param.clip_gradients)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()
