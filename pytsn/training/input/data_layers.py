"""The data layers of a net, which fill its input blobs."""

from collections.abc import Mapping

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.shapes import Shape
from pytsn.training.input.device_copies import DeviceCopies
from pytsn.training.input.video_data import VideoData

#: layer name -> pixels uint8 (N, P, S, S) and labels int64 (N,), on a device
RawBatch = dict[str, tuple[torch.Tensor, torch.Tensor]]


class DataLayers:
    """The VideoData layers of one net. ``on_data_layer`` sets them up while the net is built (converter/net.py).

    phase: TRAIN or TEST. ``options`` are passed to VideoData: rng, rank, world, workers, pool, ahead. ``layers``: layer
    name -> VideoData.
    """

    def __init__(self, phase: str, **options) -> None:
        self.phase, self._options = phase, options
        self.layers: dict[str, VideoData] = {}
        self._copies: dict[str, DeviceCopies] = {}

    def on_data_layer(self, layer: pb.LayerParameter) -> Mapping[str, Shape]:
        """Sets up a data layer and returns the shapes of its tops. Raises PytsnError for types other than VideoData."""
        if layer.type != "VideoData":
            raise PytsnError(f"layer '{layer.name}' ({layer.type}): training reads VideoData layers only")
        data = self.layers[layer.name] = VideoData(layer, self.phase, **self._options)
        self._copies[layer.name] = DeviceCopies(data)
        return dict(zip(data.tops, data.shapes, strict=False))

    @property
    def has_raw(self) -> bool:
        """Whether ``next_raw`` can be used: the mean is one number per channel. With a mean image it cannot, because
        the part of the image under a crop depends on the crop."""
        return all(data.mean.image is None for data in self.layers.values())

    def next_batch(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Blob -> the next batch on the device: data float32 (N, C, S, S), labels int64 (N,). Raises PytsnError."""
        if device.type != "cpu" and self.has_raw:
            return self.blobs(self.next_raw(device))
        batch: dict[str, torch.Tensor] = {}
        for data in self.layers.values():
            batch.update((blob, part.to(device)) for blob, part in zip(data.tops, data.next_batch(), strict=False))
        return batch

    def next_raw(self, device: torch.device) -> RawBatch:
        """The next batch as bytes on the device, a quarter of the float size; ``blobs`` turns them into the net's
        inputs. On a CPU the pixels may be overwritten after the next call. Raises PytsnError."""
        return {name: self._copies[name].next(device) for name in self.layers}

    def send_ahead(self, device: torch.device) -> None:
        """Starts the copy of the next batch to a CUDA device in parallel to its work; waits until the batch is read."""
        for copies in self._copies.values():
            copies.send_ahead(device)

    def blobs(self, raw: RawBatch) -> dict[str, torch.Tensor]:
        """Blob -> data float32 (N, C, S, S), (value - mean) * scale, and labels, from a ``next_raw`` batch on its
        device."""
        batch: dict[str, torch.Tensor] = {}
        for name, (pixels, labels) in raw.items():
            data = self.layers[name]
            values = data.values(pixels).float() - self._copies[name].mean(pixels.device)
            values = values.mul_(data.mean.scale) if data.mean.scale != 1 else values
            batch.update(zip(data.tops, (values, labels), strict=False))
        return batch

    def check_labels(self, net: CaffeNet) -> None:
        """Raises PytsnError for a listed label that is not a class of the net's losses and accuracies."""
        for step, module in net.layers():
            classes = getattr(module, "classes", None)
            for data in self.layers.values():
                if classes is not None and step.param.bottom[1] in data.tops:
                    data.check_labels(classes)

    @property
    def batch_size(self) -> int:
        """Videos per batch, 0 without data layers."""
        return next((data.shape[0] for data in self.layers.values()), 0)

    @property
    def notes(self) -> list[str]:
        """Lines for the user about the data."""
        return [note for data in self.layers.values() for note in data.notes]

    def state(self) -> dict:
        """The data layers' states by layer name, for a side file."""
        return {name: data.state() for name, data in self.layers.items()}

    def load_state(self, state: Mapping) -> None:
        """Restores a result of ``state``. Raises PytsnError if it belongs to other data."""
        for name, data in self.layers.items():
            if name not in state:
                raise PytsnError(f"layer '{name}' (VideoData): the side file does not contain it: rename that file")
            self._copies[name].forget()
            data.load_state(state[name])

    def close(self) -> None:
        """Releases the data layers' resources."""
        for name, data in self.layers.items():
            self._copies[name].close()
            data.close()
