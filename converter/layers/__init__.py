"""Caffe's layers as PyTorch modules: ``LAYERS`` maps a layer type to its builder.

A builder takes the layer's parameter, the shapes of its bottoms and a Context, and returns a CaffeLayer. It raises
PytsnError for parameters and shapes that Caffe would refuse; the net adds the layer's name to the message.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from converter import caffe_tsn_pb2 as pb
from converter.layers import activation, conv, linear, loss, norm, pooling, reduce, response, shape
from converter.layers.base import CaffeLayer, Context, Shape, require

__all__ = ["LAYERS", "CaffeLayer", "Context", "LayerType"]

Builder = Callable[[pb.LayerParameter, list[Shape], Context], CaffeLayer]


@dataclass(frozen=True)
class LayerType:
    """A builder and the layer's numbers of bottoms and tops: (least, most). Tops None: as many as bottoms.

    A loss may omit its top; it is returned all the same, and the net names it.
    """

    build: Builder
    bottoms: tuple[int, float] = (1, 1)
    tops: tuple[int, float] | None = (1, 1)

    def __call__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> CaffeLayer:
        bottom_shapes = [tuple(bottom) for bottom in bottom_shapes]
        self._check_number("bottom", len(bottom_shapes), self.bottoms)
        same = (len(bottom_shapes), len(bottom_shapes))
        self._check_number("top", len(param.top), same if self.tops is None else self.tops)
        for bottom in bottom_shapes:
            require(all(bottom), f"a bottom is empty: its shape is {bottom}")
        return self.build(param, bottom_shapes, context).train(context.phase == "TRAIN")

    def _check_number(self, kind: str, found: int, limits: tuple[int, float]) -> None:
        least, most = limits
        wanted = f"{least}" if least == most else f"{least} or more" if most == math.inf else f"{least} to {most}"
        require(least <= found <= most, f"takes {wanted} {kind}{'' if wanted == '1' else 's'}, found {found}")


_ANY, _TWO_OR_MORE = (1, math.inf), (2, math.inf)

LAYERS: dict[str, LayerType] = {
    "AbsVal": LayerType(activation.parameterless(torch.abs)),
    "Accuracy": LayerType(loss.Accuracy, bottoms=(2, 2)),
    "ArgMax": LayerType(reduce.ArgMax),
    "BN": LayerType(norm.BN),
    "BNLL": LayerType(activation.parameterless(activation.bnll)),
    "BatchNorm": LayerType(norm.BatchNorm),
    "BatchReduction": LayerType(reduce.BatchReduction),
    "Bias": LayerType(linear.Bias, bottoms=(1, 2)),
    "Concat": LayerType(shape.Concat, bottoms=_ANY),
    "Convolution": LayerType(conv.Convolution, bottoms=_ANY, tops=None),
    "Deconvolution": LayerType(conv.Deconvolution, bottoms=_ANY, tops=None),
    "Dropout": LayerType(activation.Dropout),
    "ELU": LayerType(activation.elu),
    "Eltwise": LayerType(reduce.Eltwise, bottoms=_TWO_OR_MORE),
    "EuclideanLoss": LayerType(loss.EuclideanLoss, bottoms=(2, 2), tops=(0, 1)),
    "Exp": LayerType(activation.exp),
    "Flatten": LayerType(shape.Flatten),
    "Gather": LayerType(shape.PassThrough, bottoms=_ANY, tops=None),
    "InnerProduct": LayerType(linear.InnerProduct),
    "LRN": LayerType(response.LRN),
    "Log": LayerType(activation.log),
    "MVN": LayerType(response.MVN),
    "PReLU": LayerType(activation.PReLU),
    "Pooling": LayerType(pooling.Pooling, tops=(1, 2)),
    "Power": LayerType(activation.power),
    "ReLU": LayerType(activation.relu),
    "Reduction": LayerType(reduce.Reduction),
    "Reshape": LayerType(shape.Reshape),
    "Scale": LayerType(linear.Scale, bottoms=(1, 2)),
    "Scatter": LayerType(shape.PassThrough, bottoms=_ANY, tops=None),
    "Sigmoid": LayerType(activation.parameterless(torch.sigmoid)),
    "Silence": LayerType(shape.Silence, bottoms=_ANY, tops=(0, 0)),
    "Slice": LayerType(shape.Slice, tops=_ANY),
    "Softmax": LayerType(loss.Softmax),
    "SoftmaxWithLoss": LayerType(loss.SoftmaxWithLoss, bottoms=(2, 2), tops=(0, 2)),
    "Split": LayerType(shape.Split, tops=_ANY),
    "TanH": LayerType(activation.parameterless(torch.tanh)),
    "Threshold": LayerType(activation.threshold),
}
