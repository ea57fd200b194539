"""Modules used only in fused nets (converter/fused.py): inference only, no gradients, weights as buffers."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from converter.errors import PytsnError

#: inputs with fewer channels than a vector register holds run faster with plain weights than with packed ones
_PACK_FROM_CHANNELS = 16


class FusedConv(nn.Module):
    """Convolution, then (leaky) ReLU, in one pass: (N, C, H, W) -> (N, num_output, H', W'); flat: (N, C) or
    (N, C, 1, 1) -> (N, num_output).

    weight (num_output, C / group, kernel_h, kernel_w); bias (num_output,) or None; slope: None without ReLU, else its
    negative_slope. sizes: channel counts whose sum is num_output when several convolutions were merged into this one;
    the tops are then views of one tensor, a tuple of (N, size, H', W').

    On a CPU with torch's oneDNN, the ReLU is fused into the convolution and the weights are packed on first use;
    elsewhere plain torch operators are used.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight, bias, stride, padding, dilation, groups, slope=None, sizes=(), flat=False) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.padding, self.dilation, self.groups = list(stride), list(padding), list(dilation), groups
        self.slope, self.sizes, self.flat = slope, list(sizes), flat
        self._packed: torch.Tensor | None = None

    def forward(self, x: torch.Tensor):
        if self.flat:
            x = x.flatten(1)[:, :, None, None]  # (N, C) or (N, C, 1, 1) -> (N, C, 1, 1)
        if x.shape[1] != self.weight.shape[1] * self.groups:
            raise PytsnError(f"bottom must have {self.weight.shape[1] * self.groups} channels, found {x.shape[1]}")
        on_onednn = x.device.type == "cpu" and not torch.compiler.is_compiling() and onednn_fuses(x.dtype)
        y = self._by_onednn(x) if on_onednn else self._by_torch(x)
        if self.flat:
            y = y.flatten(1)
        return y.split(self.sizes, 1) if len(self.sizes) > 1 else y

    def _by_torch(self, x: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return y if self.slope is None else F.leaky_relu_(y, self.slope) if self.slope else y.relu_()

    def _by_onednn(self, x: torch.Tensor) -> torch.Tensor:
        if self._packed is None:
            self._packed = self._pack(x)
        where = (self.stride, self.dilation, self.groups)
        return pointwise(x, self._packed, self.bias, self.padding, *where, self.slope)

    def _pack(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] < _PACK_FROM_CHANNELS:
            return self.weight
        options = (self.padding, self.stride, self.dilation, self.groups, list(x.shape))
        return torch.ops.mkldnn._reorder_convolution_weight(self.weight, *options)

    def _load_from_state_dict(self, *args) -> None:
        self._packed = None
        super()._load_from_state_dict(*args)

    def __getstate__(self):
        return {**self.__dict__, "_packed": None}  # packed tensors cannot be copied or saved


class BiasReLU(nn.Module):
    """x + bias, (C,) over axis 1, then (leaky) ReLU unless slope is None; changes x, (N, C, H, W), in place."""

    bias: torch.Tensor

    def __init__(self, bias: torch.Tensor, slope: float | None) -> None:
        super().__init__()
        self.register_buffer("bias", bias)
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.add_(self.bias[:, None, None])
        return x if self.slope is None else F.leaky_relu_(x, self.slope) if self.slope else x.relu_()


def pointwise(x, weight, bias, padding, stride, dilation, groups, slope) -> torch.Tensor:
    """oneDNN's convolution with (leaky) ReLU, for inference; slope None: without; needs ``onednn_fuses``."""
    relu = "none" if slope is None else "leaky_relu" if slope else "relu"
    scalars = [slope] if slope else []
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, dilation, groups, relu, scalars, ""
    )


@cache
def onednn_fuses(dtype: torch.dtype) -> bool:
    """Whether torch's fused oneDNN convolution works here for this dtype; tested once on a few numbers.

    It is an internal operator of torch's compiler with no promise of stability: hence a trial, not a version check.
    """
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    x = torch.linspace(-2, 3, 2 * 16 * 3 * 4).to(dtype).view(2, 16, 3, 4).contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 16 * 16).to(dtype).view(16, 16, 1, 1)
    try:
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, [0, 0], [1, 1], [1, 1], 1, list(x.shape))
        y = pointwise(x, packed, None, [0, 0], [1, 1], [1, 1], 1, 0.5)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    expected = F.leaky_relu(F.conv2d(x.float(), weight.float()), 0.5)
    return bool((y.float() - expected).abs().max() <= 0.02 * expected.abs().max())  # bf16 keeps 8 bits
