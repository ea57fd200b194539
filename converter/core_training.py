"""Training on a CPU with one part of the batch a core, forward and backward.

Torch's own threads split every operator and wait for each other after it; here a core runs whole stretches of layers on
its part (converter/core_stretch.py), with oneDNN's convolutions and with ReLU inside them. The gradients of the parts
are added in a fixed order. Values differ from the plain net's by rounding only.
"""

from contextlib import nullcontext

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from converter.core_stretch import Entry, Stretch, stretches
from converter.core_threads import CoreThreads, core_threads, one_thread
from converter.core_work import Work
from converter.layers.conv import Convolution
from converter.layers.norm import BN
from converter.net import CaffeNet, run_layers

#: largest part of a batch, relative to an equal share, with which sharing is faster than torch's own threads
_MOST_UNEVEN = 1.15
#: numbers that one core reads in well under a millisecond
_LIGHT = 1 << 20


class ByCores:
    """Runs a net's float32 batches on a CPU; ``share_batches`` attaches it.

    ``alone``: whether the last batch left nothing but light layers to torch's own threads.
    """

    def __init__(self) -> None:
        self.alone = False
        self._stretches: list[Stretch] = []
        self._cut_for: tuple = ()

    def serves(self, values: dict[str, torch.Tensor]) -> bool:
        """Whether it can run these inputs; torch's autocast and compiler need the layers themselves."""
        self.alone = False
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return False
        return all(
            value.device.type == "cpu" and value.dtype in (torch.float32, torch.int64) for value in values.values()
        )

    def run(self, entries: list[Entry], values: dict[str, torch.Tensor]) -> None:
        """Runs the layers on ``values``, id -> tensor, and adds theirs."""
        cores = core_threads(torch.get_num_threads())
        self.alone = True
        for stretch in self._cut(entries):
            if stretch.samplewise and (parts := _parts(stretch, values, cores.count)):
                outputs = _run_stretch(stretch, [values[value] for value in stretch.inputs], parts, cores)
                values.update(zip(stretch.outputs, outputs, strict=True))
                for _, _, free in stretch.entries:
                    for value in free:
                        values.pop(value, None)
                self.alone &= parts > 1 or cores.count == 1
            elif _is_light(stretch, values):
                with one_thread():
                    run_layers(stretch.entries, values)
            else:
                run_layers(stretch.entries, values)
                self.alone = False

    def _cut(self, entries: list[Entry]) -> list[Stretch]:
        """The stretches of the layers, found anew when a layer runs in another way than last time."""
        state = (torch.is_grad_enabled(), *((module, free, *_mode(module)) for module, _, free in entries))
        if state != self._cut_for:
            self._stretches, self._cut_for = stretches(entries), state
        return self._stretches


def _mode(module: nn.Module) -> tuple[bool, ...]:
    """What the cut depends on besides the order of layers."""
    return (module.training, module.frozen, module.folded) if isinstance(module, BN) else ()


def _is_light(stretch: Stretch, values: dict[str, torch.Tensor]) -> bool:
    """Whether one core runs the layers as soon as several: they read few numbers."""
    read = [values[value] for _, step, _ in stretch.entries for value in step.bottoms if value in values]
    weights = [weight for module, _, _ in stretch.entries for weight in module.parameters()]
    without = not any(isinstance(module, Convolution) for module, _, _ in stretch.entries)
    return without and sum(tensor.numel() for tensor in (*read, *weights)) <= _LIGHT


def share_batches(net: CaffeNet) -> None:
    """Lets the net's forward and backward share each batch out to the cores, from the next forward on. For a net whose
    gradients are only taken once."""
    net.by_cores = ByCores()


def backward(loss: torch.Tensor, net: CaffeNet) -> None:
    """``loss.backward()`` for a loss of the net's last batch. Torch's own threads keep still if they have nothing heavy
    to do, as they would take time from the cores' threads."""
    with one_thread() if net.by_cores and net.by_cores.alone else nullcontext():
        loss.backward()


def _parts(stretch: Stretch, values: dict[str, torch.Tensor], cores: int) -> int:
    """Into how many parts the batch is cut: one a core; 1 if it runs whole, on torch's own threads; 0 if the layers
    must run one by one."""
    sizes = {len(values[value]) for value in stretch.inputs}
    if len(sizes) != 1 or any(values[value].dim() != 4 for value in stretch.inputs):
        return 0
    (size,) = sizes
    parts = min(cores, size)
    return parts if parts and -(-size // parts) * cores <= size * _MOST_UNEVEN else min(1, size)


def _run_stretch(stretch: Stretch, inputs: list[torch.Tensor], parts: int, cores: CoreThreads) -> list[torch.Tensor]:
    layers = [layer for unit in stretch.units for layer in unit]
    parameters = [getattr(layer, name) for layer in layers for name in ("weight", "bias")]
    given = [*inputs, *parameters]
    needs = [torch.is_grad_enabled() and value is not None and value.requires_grad for value in given]
    return list(_Shared.apply(Work(stretch, parts, cores), needs, *given))


class _Shared(torch.autograd.Function):
    """A stretch as one operation of autograd: apply(work, needs, *given) -> outputs."""

    @staticmethod
    def forward(ctx, work, needs, *given):
        ctx.work = work
        return tuple(work.forward(given, needs))

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        return None, None, *ctx.work.backward(gradients)
