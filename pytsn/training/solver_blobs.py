"""A net's blobs for the solver: in net order, each with its factors on learning rate and weight decay.

Source: Net::AppendParam and GetLearningRateAndWeightDecay of the fork (net.cpp), BNLayer::LayerSetUp (bn_layer.cpp).
"""

from dataclasses import dataclass

import torch
from torch import nn

from converter.layers.base import CaffeLayer
from converter.net import CaffeNet


@dataclass(frozen=True)
class SolverBlob:
    """One blob of the net.

    layer, blob: Caffe layer name and the module's name of the blob. tensor: the parameter or buffer. caffe_shape: its
    shape in files. lr_mult, decay_mult: the factors, 0 for statistics and for the blobs of a frozen BN. owned: False
    for a blob that shares another layer's data (ParamSpec name); it has its own gradient and history.
    """

    layer: str
    blob: str
    tensor: torch.Tensor
    caffe_shape: tuple[int, ...]
    lr_mult: float
    decay_mult: float
    owned: bool = True


def solver_blobs(net: CaffeNet) -> list[SolverBlob]:
    """The blobs of ``net`` in net order, ready for training: parameters require a gradient if their rate is above 0.

    Call it once the net is on its device: shared parameters become two that share memory, as in Caffe, so that each use
    keeps its own gradient.
    """
    found: list[SolverBlob] = []
    seen: set[int] = set()
    for step, module in net.layers():
        specs = step.param.param
        for index, name in enumerate(module.blob_names):
            spec = specs[index] if index < len(specs) else None
            found.append(_solver_blob(step.param.name, module, name, spec, seen))
    return found


def _solver_blob(layer: str, module: CaffeLayer, name: str, spec, seen: set[int]) -> SolverBlob:
    tensor = getattr(module, name)
    lr_mult, decay_mult = (spec.lr_mult, spec.decay_mult) if spec is not None else (1.0, 1.0)
    if not isinstance(tensor, nn.Parameter) or getattr(module, "frozen", False):
        lr_mult, decay_mult = 0.0, 0.0
    owned = id(tensor) not in seen
    if not owned:
        tensor = nn.Parameter(tensor.data)
        setattr(module, name, tensor)
    seen.add(id(tensor))
    if isinstance(tensor, nn.Parameter):
        tensor.requires_grad_(lr_mult > 0)
    return SolverBlob(layer, name, tensor, module.caffe_shape(name), lr_mult, decay_mult, owned)
