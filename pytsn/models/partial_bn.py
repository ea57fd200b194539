"""Partial BN (ECCV paper, section 3.2): all BN layers except the first keep their statistics, slope and bias.

In Caffe this is ``frozen: true`` on the layers. It survives every ``train()`` call of the surrounding module, which
calls ``hold_frozen``.
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
    """Freezes all normalisation layers except the first; with ``partial`` False all of them learn, whatever the
    prototxt says. Returns the frozen modules, for hold_frozen. Call it before converter.frozen_bn.fold_frozen_bn."""
    layers = normalisations(base)
    frozen = layers[1:] if partial else []
    for layer in layers:
        _freeze(layer, layer in frozen)
    scales = _scales_of(base, frozen) if isinstance(base, CaffeNet) else []
    for scale in _scales_of(base, layers) if isinstance(base, CaffeNet) else []:
        _freeze(scale, scale in scales)  # also unfreezes, for a base that another TSN used before
    hold_frozen([*frozen, *scales])
    return [*frozen, *scales]


def hold_frozen(frozen: Iterable[nn.Module]) -> None:
    """Makes frozen layers use their statistics and need no gradient, whatever was set since."""
    for module in frozen:
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)


def _freeze(layer: nn.Module, frozen: bool) -> None:
    # BN reads this mark; pytsn/training/solver_blobs.py gives such a layer no learning rate
    layer.frozen = frozen  # type: ignore[assignment]  # torch's own layers get this mark too
    if isinstance(layer, BatchNorm):
        layer.use_global_stats = True if frozen else None
    for parameter in layer.parameters():
        parameter.requires_grad_(not frozen)


def _scales_of(net: CaffeNet, layers: list[nn.Module]) -> list[nn.Module]:
    """The Scale layers with the slope and bias of these BatchNorm layers."""
    tops = {step.tops[0] for step, module in net.layers() if module in layers and isinstance(module, BatchNorm)}
    return [module for step, module in net.layers() if isinstance(module, Scale) and step.bottoms[0] in tops]
