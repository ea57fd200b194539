"""Computes shapes of tops from shapes of bottoms, without data.

Most layers have a rule in the table; the others run on tensors without storage (torch's meta device). The table
exists because the first meta run imports torch's compiler, which takes two seconds.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from converter.errors import PytsnError
from converter.layers.conv import Convolution
from converter.layers.linear import InnerProduct
from converter.layers.loss import SoftmaxWithLoss
from converter.layers.pooling import Pooling
from converter.layers.shape import Concat, Reshape

Shape = tuple[int, ...]


def _convolution(module: Convolution, bottoms: list[Shape]) -> list[Shape]:
    channels = module.weight.shape[0]  # (O, C / group, kh, kw); Deconvolution has the first two swapped
    return [(n, channels, module.output_size(0, h), module.output_size(1, w)) for n, _, h, w in bottoms]


def _pooling(module: Pooling, bottoms: list[Shape]) -> list[Shape]:
    rows, columns = module.windows(bottoms[0])
    return [(*bottoms[0][:2], rows.count, columns.count)] * (2 if module.with_mask else 1)


def _inner_product(module: InnerProduct, bottoms: list[Shape]) -> list[Shape]:
    return [(*bottoms[0][: module.axis], module.weight.shape[1 if module.transpose else 0])]


def _concat(module: Concat, bottoms: list[Shape]) -> list[Shape]:
    first, axis = bottoms[0], module.axis
    return [(*first[:axis], sum(shape[axis] for shape in bottoms), *first[axis + 1 :])]


def _same(module: nn.Module, bottoms: list[Shape]) -> list[Shape]:
    return [bottoms[0]]


def _reshape(module: Reshape, bottoms: list[Shape]) -> list[Shape]:
    return [module.top_shape(bottoms[0])]


def _number(module: nn.Module, bottoms: list[Shape]) -> list[Shape]:
    return [()]


def _softmax_loss(module: SoftmaxWithLoss, bottoms: list[Shape]) -> list[Shape]:
    return [(), bottoms[0]][: max(1, module.tops)]


#: each rule gets the module that converter/layers builds for its type
_RULES: dict[str, Callable[[Any, list[Shape]], list[Shape]]] = {
    "AbsVal": _same,
    "Accuracy": _number,
    "BN": _same,
    "BNLL": _same,
    "BatchNorm": _same,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _same,
    "ELU": _same,
    "Eltwise": _same,
    "EuclideanLoss": _number,
    "Exp": _same,
    "InnerProduct": _inner_product,
    "LRN": _same,
    "Log": _same,
    "PReLU": _same,
    "Pooling": _pooling,
    "Power": _same,
    "ReLU": _same,
    "Reshape": _reshape,
    "Scale": _same,
    "Sigmoid": _same,
    "Softmax": _same,
    "SoftmaxWithLoss": _softmax_loss,
    "TanH": _same,
}


def top_shapes(layer_type: str, module: nn.Module, bottoms: list[Shape]) -> list[Shape]:
    """The shapes of the layer's tops. Raises PytsnError if one would be empty."""
    rule = _RULES.get(layer_type)
    shapes = rule(module, bottoms) if rule else by_running(module, bottoms)
    for shape in shapes:
        if 0 in shape:
            raise PytsnError(f"makes an empty blob of shape {shape} from {', '.join(map(str, bottoms))}")
    return shapes


def by_running(module: nn.Module, bottoms: list[Shape]) -> list[Shape]:
    """The same, found by running the module on tensors without storage."""
    state = {key: value.to("meta") for key, value in (*module.named_parameters(), *module.named_buffers())}
    inputs = tuple(torch.empty(shape, device="meta") for shape in bottoms)
    with torch.no_grad():
        tops = torch.func.functional_call(module, state, inputs) if state else module(*inputs)
    return [tuple(top.shape) for top in (tops if isinstance(tops, tuple) else (tops,))]
