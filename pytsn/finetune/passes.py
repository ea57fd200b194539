"""Passes of a TSN over its data: training batches, and validation over the whole list, every video once.

Both give TrainLoop what NetRunner gives it for the nets of a solver file. Letters: N videos, K classes.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from converter import caffe_tsn_pb2 as pb
from converter.core_training import backward
from converter.layers.base import Context
from converter.layers.loss import Accuracy, SoftmaxWithLoss
from pytsn.finetune.net import caffe_base
from pytsn.models.tsn import TSN
from pytsn.runtime.distributed import Processes
from pytsn.training.hardware import Hardware
from pytsn.training.input.data_layers import DataLayers, RawBatch
from pytsn.training.log_lines import Outputs


class TsnPass:
    """A TSN with the data of one VideoData layer; the loss is Caffe's SoftmaxWithLoss of the video's scores."""

    def __init__(self, tsn: TSN, data_layers: DataLayers, hardware: Hardware, processes: Processes) -> None:
        self.tsn, self.data_layers, self.hardware, self.processes = tsn, data_layers, hardware, processes
        self.data_seconds = 0.0
        shapes = [(1, tsn.num_classes), (1,)]
        self.loss = SoftmaxWithLoss(pb.LayerParameter(), shapes, Context())
        self.accuracy = Accuracy(pb.LayerParameter(), shapes, Context())

    def scores(self, raw: RawBatch | None = None) -> tuple[Tensor, Tensor]:
        """Scores (N, K) and labels int64 (N,) of the next batch, or of the batch ``raw`` (DataLayers.next_raw)."""
        layers = self.data_layers
        start = time.perf_counter()
        batch = layers.next_batch(self.hardware.device) if raw is None else layers.blobs(raw)
        self.data_seconds += time.perf_counter() - start if raw is None else 0.0
        data, labels = batch.values()
        with self.hardware.autocast():
            return self.tsn(data), labels


class TrainPass(TsnPass):
    """The training passes for TrainLoop."""

    def forward(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the next batch, a scalar, and the outputs to print."""
        return self.forward_raw(None)

    def forward_raw(self, raw: RawBatch | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The same for the bytes of a batch on the device, as NetRunner.forward_raw."""
        loss = self.loss(*self.scores(raw))
        return loss, {"loss": loss.detach()}

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of the last pass's loss to the weights'."""
        backward(loss, caffe_base(self.tsn))

    def printable(self, outputs: dict[str, Tensor]) -> Outputs:
        """The outputs of one pass, averaged over all processes."""
        loss = outputs["loss"].float().reshape(1).clone()
        self.processes.mean_([loss])
        return {"loss": (loss.cpu().numpy(), 1.0)}


class ValidationPass(TsnPass):
    """The test passes for TrainLoop: ``test`` reads the list from its start, each video once, for any batch size and
    number of processes.

    on_tested: called with accuracy (0 to 1) and mean loss, the same in every process.
    """

    def __init__(self, tsn, data_layers, hardware, processes, on_tested: Callable[[float, float], None]) -> None:
        super().__init__(tsn, data_layers, hardware, processes)
        (self._data,) = data_layers.layers.values()
        self._start, self.on_tested = data_layers.state(), on_tested

    @property
    def batches(self) -> int:
        """Number of batches of one pass, in each process."""
        every = self.data_layers.batch_size * self.processes.world
        return -(-len(self._data.videos) // every)

    def test(self, batches: int, numbers: Callable[[int], Iterable[int]] = range) -> tuple[float, Outputs]:
        """Loss and accuracy over the videos of ``batches`` batches. numbers: as Console.testing."""
        self.data_layers.load_state(self._start)
        self.tsn.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.hardware.device)
        try:
            for index in numbers(batches):
                sums += self._sums(index)
        finally:
            self.tsn.train()
        self.processes.mean_([sums])
        loss, accuracy = (sums[:2] / sums[2]).tolist()
        self.on_tested(accuracy, loss)
        return loss, {"accuracy": (np.array([accuracy]), 0.0), "loss": (np.array([loss]), 1.0)}

    @torch.no_grad()
    def _sums(self, index: int) -> Tensor:
        """Sums over this process's next batch: losses, correct predictions, videos; float64 (3,)."""
        scores, labels = self.scores()
        first = (index * self.processes.world + self.processes.rank) * len(labels)
        count = min(len(labels), len(self._data.videos) - first)  # the rest repeats the list's start
        if count <= 0:
            return torch.zeros(3, dtype=torch.float64, device=scores.device)
        pair = scores[:count].float(), labels[:count]
        means = torch.stack([self.loss(*pair), self.accuracy(*pair), scores.new_ones((), dtype=torch.float32)])
        return means.double() * count
