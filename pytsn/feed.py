"""The data layers of a net at work: what they give is what the net's input blobs get."""

from collections.abc import Mapping

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.shapes import Shape
from pytsn.video_data import VideoData


class Feed:
    """The VideoData layers of one net.

    ``on_data_layer`` sets them up while the net is built (converter/net.py). ``options`` go to VideoData as they are:
    rng, rank, world, workers.
    """

    def __init__(self, phase: str, **options) -> None:
        self.phase, self._options = phase, options
        self.layers: dict[str, tuple[tuple[str, ...], VideoData]] = {}  # layer name -> tops, data

    def on_data_layer(self, layer: pb.LayerParameter) -> Mapping[str, Shape]:
        """Sets a data layer up and tells the shapes of its tops. Raises PytsnError for other types than VideoData."""
        if layer.type != "VideoData":
            raise PytsnError(f"layer '{layer.name}' ({layer.type}): training reads VideoData layers only")
        data = VideoData(layer, self.phase, **self._options)
        self.layers[layer.name] = (tuple(layer.top), data)
        return dict(zip(layer.top, data.shapes, strict=False))

    def next_batch(self) -> dict[str, torch.Tensor]:
        """Blob name -> the next batch: data float32 (N, C, S, S), labels int64 (N,)."""
        batch: dict[str, torch.Tensor] = {}
        for tops, data in self.layers.values():
            batch.update(zip(tops, map(torch.as_tensor, data.next_batch()), strict=False))
        return batch

    def check_labels(self, net: CaffeNet) -> None:
        """Raises PytsnError for a list with a label that is no class of the net's losses and accuracies."""
        for step, module in net.layers():
            classes = getattr(module, "classes", None)
            blob = step.param.bottom[1] if classes and len(step.param.bottom) > 1 else None
            for tops, data in self.layers.values():
                if blob in tops:
                    data.check_labels(classes)

    def state(self) -> dict:
        """The data layers' states by layer name, for a side file."""
        return {name: data.state() for name, (_, data) in self.layers.items()}

    def load_state(self, state: Mapping) -> None:
        """Takes up what ``state`` returned."""
        for name, (_, data) in self.layers.items():
            data.load_state(state[name])

    def close(self) -> None:
        """Ends the reading processes."""
        for _, data in self.layers.values():
            data.close()
