"""Forward passes of a net over its data layers, on a device, in a precision."""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch

from converter.core_training import backward, share_batches
from converter.frozen_bn import fold_frozen_bn
from converter.net import CaffeNet
from pytsn.runtime.distributed import Processes
from pytsn.training.hardware import Hardware
from pytsn.training.input.data_layers import DataLayers, RawBatch
from pytsn.training.log_lines import Outputs, output_names

#: the objective, a scalar, and the printed blobs
Result = tuple[torch.Tensor, dict[str, torch.Tensor]]


class NetRunner:
    """A net with its data; each pass takes the next batch. ``data_seconds``: total time spent waiting for data."""

    def __init__(self, net: CaffeNet, data_layers: DataLayers, hardware: Hardware, processes: Processes) -> None:
        self.net, self.data_layers, self.hardware, self.processes = net, data_layers, hardware, processes
        self.data_seconds = 0.0
        self._outputs = output_names(net)
        self._blobs = tuple(dict.fromkeys([*self._outputs, *net.loss_weights]))
        fold_frozen_bn(net)
        share_batches(net)

    def forward(self) -> Result:
        """Runs the next batch. Returns the objective, a scalar, and the blobs that Caffe prints."""
        start = time.perf_counter()
        batch = self.data_layers.next_batch(self.hardware.device)
        self.data_seconds += time.perf_counter() - start
        return self._compute(batch)  # planar: the first layer folds segments; convolutions follow their weights' format

    def forward_raw(self, raw: RawBatch) -> Result:
        """The same for a batch of bytes on the device (DataLayers.next_raw); never waits for the device."""
        return self._compute(self.data_layers.blobs(raw))

    def _compute(self, batch: dict[str, torch.Tensor]) -> Result:
        with self.hardware.autocast():
            blobs = self.net(batch, self._blobs)
        loss = self.net.total_loss(blobs) if self.net.loss_weights else torch.zeros((), device=self.hardware.device)
        return loss, {name: blobs[name].detach() for name in self._outputs}

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the gradients of the last pass's objective to the weights'."""
        backward(loss, self.net)

    def test(self, batches: int, numbers: Callable[[int], Iterable[int]] = range) -> tuple[float, Outputs]:
        """Mean objective and mean outputs over that many batches and all processes. numbers: as Console.testing."""
        total: list[torch.Tensor] = []
        with torch.no_grad():
            for _ in numbers(batches):
                loss, outputs = self.forward()
                values = [loss.float().reshape(1), *(blob.float().reshape(-1) for blob in outputs.values())]
                total = [a + b for a, b in zip(total, values, strict=True)] if total else values
        self.processes.mean_(total)
        means = [(values / batches).cpu().numpy() for values in total]
        return float(means[0][0]), self._weighted(means[1:])

    def printable(self, outputs: dict[str, torch.Tensor]) -> Outputs:
        """The outputs of one pass, averaged over all processes."""
        values = [blob.float().reshape(-1).clone() for blob in outputs.values()]
        self.processes.mean_(values)
        return self._weighted([tensor.cpu().numpy() for tensor in values])

    def _weighted(self, values: list[np.ndarray]) -> Outputs:
        return {
            name: (array, self.net.loss_weights.get(name, 0.0))
            for name, array in zip(self._outputs, values, strict=True)
        }
