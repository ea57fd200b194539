"""Elementwise layers, and Dropout. Output shape = input shape; the builders read the parameters."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.fillers import Stream
from converter.layers.base import CaffeLayer, Context, Shape, check_axes, require

Function = Callable[[torch.Tensor], torch.Tensor]


class Elementwise(CaffeLayer):
    """A function of each value."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def parameterless(function: Function) -> Callable[[pb.LayerParameter, list[Shape], Context], Elementwise]:
    """The builder of a layer that only applies this function."""
    return partial(_build_parameterless, function)


def _build_parameterless(function: Function, param: pb.LayerParameter, shapes: list[Shape], context: Context):
    return Elementwise(function)


def relu(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """max(x, 0) + negative_slope * min(x, 0); at 0 the gradient is negative_slope. Source: relu_layer.cpp."""
    slope = param.relu_param.negative_slope
    return Elementwise(partial(F.leaky_relu, negative_slope=slope) if slope else F.relu)


def elu(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """x above 0, alpha * (exp(x) - 1) below. Source: BVLC Caffe 1.0, elu_layer.cpp."""
    return Elementwise(partial(F.elu, alpha=param.elu_param.alpha))


def bnll(x: torch.Tensor) -> torch.Tensor:
    """log(1 + exp(x)), which equals x in float32 from 50 on. Source: bnll_layer.cpp."""
    return F.softplus(x, threshold=50)


def power(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """(shift + scale * x)^power; a constant without gradient if scale or power is 0. Source: power_layer.cpp."""
    options = param.power_param
    exponent, scale, shift = options.power, options.scale, options.shift
    if exponent == 0 or scale == 0:
        value = torch.tensor(shift, dtype=torch.float64).pow(exponent).item()  # IEEE: 0^0 = 1, 0^-1 = inf
        return Elementwise(partial(torch.full_like, fill_value=value))
    return Elementwise(partial(_power, exponent=exponent, scale=scale, shift=shift))


def _power(x: torch.Tensor, exponent: float, scale: float, shift: float) -> torch.Tensor:
    y = x if scale == 1 else x * scale
    y = y if shift == 0 else y + shift
    return y if exponent == 1 else y.pow(exponent)


def _log_of_base(base: float) -> float:
    require(base == -1 or (base > 0 and math.isfinite(base)), f"base must be above 0, or -1 for e; found {base:g}")
    return 1.0 if base == -1 else math.log(base)


def exp(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """base^(shift + scale * x); base -1 means e. With a shift the fork gets this wrong ((-1)^shift), BVLC does not.
    Raises PytsnError for a base that is not above 0. Source: exp_layer.cpp."""
    log_base = _log_of_base(param.exp_param.base)
    return Elementwise(partial(_exp, scale=param.exp_param.scale * log_base, shift=param.exp_param.shift * log_base))


def _exp(x: torch.Tensor, scale: float, shift: float) -> torch.Tensor:
    return (x * scale + shift).exp()


def log(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """Logarithm of shift + scale * x to a base; -1 means e. Raises PytsnError for a base that is 1 or not above 0.
    Source: log_layer.cpp."""
    log_base = _log_of_base(param.log_param.base)
    require(log_base != 0, "base must not be 1")
    scale, shift = param.log_param.scale, param.log_param.shift
    return Elementwise(partial(_log, log_base=log_base, scale=scale, shift=shift))


def _log(x: torch.Tensor, log_base: float, scale: float, shift: float) -> torch.Tensor:
    return (x * scale + shift).log() / log_base


def threshold(param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> Elementwise:
    """1 above the threshold, else 0; no gradient. Source: threshold_layer.cpp."""
    return Elementwise(partial(_above, threshold=param.threshold_param.threshold))


def _above(x: torch.Tensor, threshold: float) -> torch.Tensor:
    return (x > threshold).to(x.dtype)


class PReLU(CaffeLayer):
    """max(x, 0) + slope * min(x, 0) with a learned slope. Bottom (N, C, ..).

    Blob: weight (C,), or () with ``channel_shared``; 0.25 unless filled otherwise. Source: prelu_layer.cpp.
    """

    weight: nn.Parameter

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        prelu = param.prelu_param
        check_axes(bottom_shapes[0], 2, 32)
        shape = () if prelu.channel_shared else (bottom_shapes[0][1],)
        filler = prelu.filler if prelu.HasField("filler") else pb.FillerParameter(value=0.25)
        self.add_parameter("weight", shape, filler, context)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.prelu(x, self.weight)


class Dropout(CaffeLayer):
    """In training, drops each value with probability ``dropout_ratio`` and divides the rest by 1 - dropout_ratio;
    otherwise the identity. Draws from PyTorch's default generator, or from ``stream`` if set: with Caffe's generator
    (converter/fillers.py, Stream) it drops the same values as Caffe. Source: dropout_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.ratio = param.dropout_param.dropout_ratio
        require(0 <= self.ratio < 1, f"dropout_ratio must lie in [0, 1), found {self.ratio:g}")
        self.stream: Stream | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stream is None or not self.training:
            return F.dropout(x, self.ratio, self.training)
        kept = torch.from_numpy(self.stream.bernoulli(x.numel(), 1 - self.ratio)).view(x.shape)
        return x * (kept.to(x.dtype) * (1 / (1 - self.ratio))).to(x.device)
