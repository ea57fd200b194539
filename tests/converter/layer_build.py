"""Build layers from snippets of prototxt: shared by the tests of the layers."""

import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.layers import LAYERS, CaffeLayer, Context


def layer_param(text: str, bottoms: int = 1, tops: int = 1) -> pb.LayerParameter:
    """The layer ``{ name: "layer" <text> }`` with that many bottoms b0, b1, .. and tops t0, t1, .."""
    param = text_format.Parse(text, pb.LayerParameter(name="layer"))
    param.bottom.extend(f"b{i}" for i in range(bottoms))
    param.top.extend(f"t{i}" for i in range(tops))
    return param


def build(text: str, *shapes: tuple[int, ...], tops: int = 1, phase: str = "TEST", seed: int = 0) -> CaffeLayer:
    """The module of the layer ``text`` on bottoms of these shapes, in the mode of its phase."""
    param = layer_param(text, len(shapes), tops)
    return LAYERS[param.type](param, list(shapes), Context(phase, torch.Generator().manual_seed(seed)))


def outputs(result) -> tuple[torch.Tensor, ...]:
    """What a forward returned, always as a tuple."""
    return result if isinstance(result, tuple) else (result,)
