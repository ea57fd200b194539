"""Initial weights for flow and RGB difference from an RGB net (ECCV paper, section 3.2; TPAMI paper, section 4.2)."""

import os

import numpy as np

from converter.caffemodel import Caffemodel, LayerBlobs, read_caffemodel, write_caffemodel
from converter.errors import PytsnError
from converter.file_kinds import is_state_file, writes_state
from converter.names import state_name

RGB_CHANNELS = 3


def inflate_weights(weight: np.ndarray, channels: int) -> np.ndarray:
    """First-layer filters for another number of input planes: (O, 3, kh, kw) -> (O, channels, kh, kw), float32.

    Every plane gets the filter's mean over the three colours, summed in float64.
    """
    mean = weight.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)  # (O, 3, kh, kw) -> (O, 1, kh, kw)
    return np.repeat(mean, channels, axis=1)


def find_first_layer(model: Caffemodel, name: str | None = None) -> LayerBlobs:
    """The convolution that reads the image: the named one, or the first. Raises PytsnError unless it takes 3 planes."""
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
    """Writes ``rgb`` with its first layer adapted to ``channels`` planes; other weights keep their bytes.

    A caffemodel becomes a caffemodel, or a .safetensors or .pth by the suffix of ``out``; a converted file or a port's
    checkpoint becomes a .safetensors or .pth. Returns the layer's name, old shape and new shape. Raises PytsnError for
    a file that is not an RGB net.
    """
    if channels < 1:
        raise PytsnError(f"{channels} input planes: at least 1 is needed (10 for flow, 15 for RGB difference)")
    if writes_state(out):
        return _write_state_start(rgb, out, channels, layer)
    if is_state_file(rgb):
        raise PytsnError(
            f"{out}: {rgb} is a PyTorch file, which has no layer types: write a .safetensors or .pth"
            " (the suffix selects an output's format); `pytsn convert` makes a caffemodel of it with the flow net's"
            " prototxt"
        )
    model = read_caffemodel(rgb)
    first = find_first_layer(model, layer)
    blobs = {item.name: [blob.array() for blob in item.blobs] for item in model.layers}
    old = blobs[first.name][0]
    blobs[first.name][0] = inflate_weights(old, channels)
    write_caffemodel(out, model.net, blobs)
    return first.name, old.shape, blobs[first.name][0].shape


def _write_state_start(rgb, out, channels: int, layer: str | None) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    import torch

    from converter.state_files import write_state
    from converter.weights import read_any_weights

    state, metadata = read_any_weights(rgb)
    wanted = f"{state_name(layer)}.weight" if layer else None
    key = next((key for key, value in state.items() if value.dim() == 4 and wanted in (None, key)), None)
    if key is None or state[key].shape[1] != RGB_CHANNELS:
        found = f"'{key}' has filters of shape {tuple(state[key].shape)}" if key else "no convolution"
        raise PytsnError(f"{rgb}: {found}{f' named {layer!r}' if layer and not key else ''}; an RGB net was expected")
    old = tuple(state[key].shape)
    state[key] = torch.from_numpy(inflate_weights(state[key].float().numpy(), channels))
    kept = {name: text for name, text in metadata.items() if name.startswith(("origin_", "source_"))}
    write_state(out, state, {"format_version": "1", **kept})  # drops the means, which were those of colours
    return key.removesuffix(".weight"), old, tuple(state[key].shape)
