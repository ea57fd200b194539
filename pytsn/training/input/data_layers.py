"""The data layers of a net at work: what they give is what the net's input blobs get."""

from collections.abc import Mapping

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.shapes import Shape
from pytsn.training.input.video_data import VideoData


class DataLayers:
    """The VideoData layers of one net, which ``on_data_layer`` sets up while the net is built (converter/net.py).

    phase: TRAIN or TEST. ``options`` go to VideoData: rng, rank, world, workers, pool, ahead. ``layers``: layer
    name -> VideoData.
    """

    def __init__(self, phase: str, **options) -> None:
        self.phase, self._options = phase, options
        self.layers: dict[str, VideoData] = {}

    def on_data_layer(self, layer: pb.LayerParameter) -> Mapping[str, Shape]:
        """Sets a data layer up and tells the shapes of its tops. Raises PytsnError for other types than VideoData."""
        if layer.type != "VideoData":
            raise PytsnError(f"layer '{layer.name}' ({layer.type}): training reads VideoData layers only")
        data = self.layers[layer.name] = VideoData(layer, self.phase, **self._options)
        return dict(zip(data.tops, data.shapes, strict=False))

    def next_batch(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Blob -> the next batch on the device: data float32 (N, C, S, S), labels int64 (N,). Raises PytsnError."""
        batch: dict[str, torch.Tensor] = {}
        for data in self.layers.values():
            pair = data.next_batch() if device.type == "cpu" or data.mean.image is not None else _bytes_to(device, data)
            batch.update((blob, tensor.to(device)) for blob, tensor in zip(data.tops, pair, strict=False))
        return batch

    def check_labels(self, net: CaffeNet) -> None:
        """Raises PytsnError for a listed label that is no class of the net's losses and accuracies."""
        for step, module in net.layers():
            classes = getattr(module, "classes", None)
            for data in self.layers.values():
                if classes is not None and step.param.bottom[1] in data.tops:
                    data.check_labels(classes)

    @property
    def batch_size(self) -> int:
        """Videos a batch, 0 without data layers."""
        return next((data.shape[0] for data in self.layers.values()), 0)

    @property
    def notes(self) -> list[str]:
        """Lines for the user about the data."""
        return [note for data in self.layers.values() for note in data.notes]

    def state(self) -> dict:
        """The data layers' states by layer name, for a side file."""
        return {name: data.state() for name, data in self.layers.items()}

    def load_state(self, state: Mapping) -> None:
        """Takes up what ``state`` returned. Raises PytsnError when it is of other data."""
        for name, data in self.layers.items():
            if name not in state:
                raise PytsnError(f"layer '{name}' (VideoData): the side file knows nothing of it: rename that file")
            data.load_state(state[name])

    def close(self) -> None:
        """Gives back what the data layers hold."""
        for data in self.layers.values():
            data.close()


def _bytes_to(device: torch.device, data: VideoData) -> tuple[torch.Tensor, torch.Tensor]:
    """The next batch, sent as bytes (a quarter of the floats) and made float32, (value - mean) * scale, over there."""
    pixels, labels = data.next_uint8()
    mean = torch.from_numpy(data.mean.values).to(device)[:, None, None]
    if device.type == "cuda":
        pixels, labels = pixels.pin_memory(), labels.pin_memory()  # copies: the layer reuses its memory
    values = data.values(pixels.to(device, non_blocking=True)).float() - mean
    return values * data.mean.scale, labels.to(device, non_blocking=True)
