"""The weights of layers that run as one on the cores (converter/core_work.py), and their gradients on the way back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from converter.layers.conv import Convolution
from converter.layers.norm import BN

#: a BN, or convolutions that run as one because they have the same bottom
Unit = tuple[Convolution | BN, ...]
#: the gradients of a weight and a bias
Pair = tuple[torch.Tensor | None, torch.Tensor | None]


@dataclass(frozen=True)
class Filters:
    """The weights of a unit. scale: (num_output,), the scale of frozen BN in them; None without."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: torch.Tensor | None = None


def filters_of(unit: Unit) -> Filters:
    """The weights of the unit's layers one after another, with the frozen BN after them."""
    if isinstance(unit[0], BN):
        return Filters(unit[0].weight, unit[0].bias)
    found = [layer.scaled_filters() for layer in unit if isinstance(layer, Convolution)]
    if len(found) == 1:
        return Filters(*found[0])
    weights, biases, scales = zip(*found, strict=True)
    scale = None
    if any(each is not None for each in scales):
        given = zip(weights, scales, strict=True)
        scale = torch.cat([weight.new_ones(len(weight)) if each is None else each for weight, each in given])
    return Filters(torch.cat(weights), None if biases[0] is None else torch.cat(biases), scale)


def sizes(unit: Unit) -> list[int]:
    """The number of channels that each layer of the unit makes."""
    return [len(layer.weight) for layer in unit]


def gradients_of(unit: Unit, filters: Filters, parts: Sequence[Pair]) -> list[Pair]:
    """The gradients of each layer's own weight and bias from those that the parts of a batch have for ``filters``."""
    weight, bias = (_sum(each, filters.scale) for each in zip(*parts, strict=True))
    none = [None] * len(unit)
    split = (none if each is None else each.split(sizes(unit)) for each in (weight, bias))
    return list(zip(*split, strict=True))


def _sum(gradients: Sequence[torch.Tensor | None], scale: torch.Tensor | None) -> torch.Tensor | None:
    """The parts' gradients (num_output, ..) added up in order, times the scale."""
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return None
    total = found[0]
    for other in found[1:]:
        total = total.add_(other)
    return total if scale is None else total.mul_(scale.view(-1, *[1] * (total.dim() - 1)))
