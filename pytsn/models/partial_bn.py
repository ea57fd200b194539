"""Partial BN (ECCV paper, section 3.2): all batch normalisation but the first keeps its statistics, slope and bias.

In Caffe that is ``frozen: true`` on the layers. It holds through every ``train()`` call of the module around it, for
that one calls ``hold_frozen``.
"""

from collections.abc import Iterable

from torch import nn

from converter.layers.linear import Scale
from converter.layers.norm import BN, BatchNorm
from converter.net import CaffeNet

_TYPES = (nn.BatchNorm2d, BN, BatchNorm)


def normalisations(base: nn.Module) -> list[nn.Module]:
    """The normalisation layers of a BNInception or CaffeNet, in running order."""
    return [module for module in base.modules() if isinstance(module, _TYPES)]


def set_partial_bn(base: nn.Module, partial: bool) -> list[nn.Module]:
    """Freezes all normalisation layers but the first; ``partial`` False lets all of them learn, whatever the prototxt
    says. Returns the frozen modules, for hold_frozen. Do it before converter.frozen_bn.fold_frozen_bn."""
    layers = normalisations(base)
    frozen = layers[1:] if partial else []
    for layer in layers:
        _freeze(layer, layer in frozen)
    scales = _scales_of(base, frozen) if isinstance(base, CaffeNet) else []
    for scale in _scales_of(base, layers) if isinstance(base, CaffeNet) else []:
        _freeze(scale, scale in scales)  # also back again, for a base that another TSN had
    hold_frozen([*frozen, *scales])
    return [*frozen, *scales]


def hold_frozen(frozen: Iterable[nn.Module]) -> None:
    """Frozen layers normalise by their statistics and ask for no gradient, whatever was set since."""
    for module in frozen:
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)


def _freeze(layer: nn.Module, frozen: bool) -> None:
    # BN acts on it; pytsn/training/solver_blobs.py gives such a layer no learning rate
    layer.frozen = frozen  # type: ignore[assignment]  # a mark that torch's own layers carry too
    if isinstance(layer, BatchNorm):
        layer.use_global_stats = True if frozen else None
    for parameter in layer.parameters():
        parameter.requires_grad_(not frozen)


def _scales_of(net: CaffeNet, layers: list[nn.Module]) -> list[nn.Module]:
    """The Scale layers that hold slope and bias of these BatchNorm layers."""
    tops = {step.tops[0] for step, module in net.layers() if module in layers and isinstance(module, BatchNorm)}
    return [module for step, module in net.layers() if isinstance(module, Scale) and step.bottoms[0] in tops]
