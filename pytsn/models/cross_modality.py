"""Start weights for flow and RGB difference from an RGB net (ECCV paper, section 3.2; TPAMI paper, section 4.2)."""

import os

import numpy as np

from converter.caffemodel import Caffemodel, LayerBlobs, read_caffemodel, write_caffemodel
from converter.errors import PytsnError

RGB_CHANNELS = 3


def inflate_weights(weight: np.ndarray, channels: int) -> np.ndarray:
    """First-layer filters for another number of input planes: (O, 3, kh, kw) -> (O, channels, kh, kw), float32.

    Every plane gets the mean of the filter over the three colours, summed in float64.
    """
    mean = weight.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)  # (O, 3, kh, kw) -> (O, 1, kh, kw)
    return np.repeat(mean, channels, axis=1)


def find_first_layer(model: Caffemodel, name: str | None = None) -> LayerBlobs:
    """The convolution that sees the image: the one named, or the first. Raises PytsnError unless it takes 3 planes."""
    found = [layer for layer in model.layers if layer.type == "Convolution" and name in (None, layer.name)]
    if not found:
        raise PytsnError(f"{model.source}: holds no Convolution layer{f' named {name!r}' if name else ''}")
    shape = found[0].blobs[0].shape
    if len(shape) != 4 or shape[1] != RGB_CHANNELS:
        raise PytsnError(
            f"{model.source}: layer '{found[0].name}' has filters of shape {shape}; (O, 3, kh, kw) of an RGB net were"
            " expected"
        )
    return found[0]


def write_flow_start(
    rgb: str | os.PathLike, out: str | os.PathLike, channels: int = 10, layer: str | None = None
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Writes ``rgb``, a caffemodel, with its first layer fitted to ``channels`` planes; other weights keep their bytes.

    Returns the layer's name, old shape and new shape. Raises PytsnError for a file that is no RGB net.
    """
    if channels < 1:
        raise PytsnError(f"{channels} input planes: at least 1 is needed (10 for flow, 15 for RGB difference)")
    model = read_caffemodel(rgb)
    first = find_first_layer(model, layer)
    blobs = {item.name: [blob.array() for blob in item.blobs] for item in model.layers}
    old = blobs[first.name][0]
    blobs[first.name][0] = inflate_weights(old, channels)
    write_caffemodel(out, model.net, blobs)
    return first.name, old.shape, blobs[first.name][0].shape
