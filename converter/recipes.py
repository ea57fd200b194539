"""Layers as float64 weights that can be folded together: convolutions, and per-channel linear layers."""

from dataclasses import dataclass

import torch
from torch import nn

from converter.graph import Step
from converter.layers.conv import Convolution
from converter.layers.linear import Bias, InnerProduct, Scale
from converter.layers.norm import BN, BatchNorm


@dataclass
class Recipe:
    """A convolution being folded: float64 weights, so that folding rounds only once.

    slope, sizes, flat: as in FusedConv.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    slope: float | None = None
    sizes: tuple[int, ...] = ()
    flat: bool = False

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a convolution that only mixes the channels of one pixel."""
        plain = (self.stride, self.padding, self.groups, self.flat) == ((1, 1), (0, 0), 1, False)
        return plain and self.weight.shape[2:] == (1, 1)


@dataclass(frozen=True)
class BiasRecipe:
    """Bias (C,) float64 and ReLU of a convolution that was moved before a pooling; they stay after the pooling."""

    bias: torch.Tensor
    slope: float | None


def of_convolution(conv: Convolution) -> Recipe:
    """Of a Convolution."""
    weight, bias = _weights(conv)
    return Recipe(weight, bias, conv.stride, conv.padding, conv.dilation, conv.group)


def takes_vectors(product: InnerProduct, shape: tuple[int, ...]) -> bool:
    """Whether this InnerProduct, on a bottom of this shape, equals a 1x1 convolution."""
    return product.axis == 1 and not product.transpose and all(size == 1 for size in shape[2:])


def of_product(product: InnerProduct) -> Recipe:
    """The recipe of an InnerProduct that takes vectors."""
    weight, bias = _weights(product)
    return Recipe(weight[:, :, None, None], bias, (1, 1), (0, 0), (1, 1), 1, flat=True)


def _weights(module: Convolution | InnerProduct) -> tuple[torch.Tensor, torch.Tensor]:
    weight = module.weight.detach().double()
    return weight, weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach().double()


def channel_affine(step: Step, module: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(scale, shift), (C,) float64 or scalars, if the layer computes y = scale * x + shift per channel, else None."""
    if isinstance(module, BN):
        scale = module.weight.double() / (module.running_var.double() + module.eps).sqrt()
        return scale, module.bias.double() - module.running_mean.double() * scale
    if isinstance(module, BatchNorm) and module.use_global_stats is not False:
        factor = module.scale_factor.double()
        factor = torch.where(factor == 0, 0.0, 1 / factor)
        scale = (module.running_var.double() * factor + module.eps).rsqrt()
        return scale, -module.running_mean.double() * factor * scale
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    if (
        isinstance(module, Scale | Bias)
        and len(step.bottoms) == 1
        and _over_channels(getattr(module, module.blob_names[0]), module)
    ):
        scale = module.weight.double() if isinstance(module, Scale) else one
        return scale, module.bias.double() if "bias" in module.blob_names else zero
    return None


def _over_channels(operand: torch.Tensor, module: Scale | Bias) -> bool:
    return operand.dim() == 1 and module.trailing == 2  # (C,) against (N, C, H, W)
