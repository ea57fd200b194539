"""Training on a CPU with one part of the batch a core, forward and backward.

Torch's own threads split every operator and wait for each other after it; here a core runs whole stretches of layers on
its part (converter/core_stretch.py), with oneDNN's convolutions and with ReLU inside them. The gradients of the parts
are added in a fixed order. Values differ from the plain net's by rounding only.
"""

import torch
from torch.autograd.function import once_differentiable

from converter.core_stretch import Entry, Stretch, stretches
from converter.core_threads import CoreThreads, core_threads
from converter.core_work import Work
from converter.net import CaffeNet, run_layers

#: largest part of a batch, relative to an equal share, with which sharing is faster than torch's own threads
_MOST_UNEVEN = 1.15


class ByCores:
    """Runs a net's float32 batches on a CPU; ``share_batches`` attaches it."""

    def serves(self, values: dict[str, torch.Tensor]) -> bool:
        """Whether it can run these inputs; torch's autocast and compiler need the layers themselves."""
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return False
        return all(
            value.device.type == "cpu" and value.dtype in (torch.float32, torch.int64) for value in values.values()
        )

    def run(self, entries: list[Entry], values: dict[str, torch.Tensor]) -> None:
        """Runs the layers on ``values``, id -> tensor, and adds theirs."""
        cores = core_threads(torch.get_num_threads())
        for stretch in stretches(entries):
            if not stretch.samplewise or not (parts := _parts(stretch, values, cores.count)):
                run_layers(stretch.entries, values)
                continue
            outputs = _run_stretch(stretch, [values[value] for value in stretch.inputs], parts, cores)
            values.update(zip(stretch.outputs, outputs, strict=True))
            for _, _, free in stretch.entries:
                for value in free:
                    values.pop(value, None)


def share_batches(net: CaffeNet) -> None:
    """Lets the net's forward and backward share each batch out to the cores, from the next forward on. For a net whose
    gradients are only taken once."""
    net.by_cores = ByCores()


def _parts(stretch: Stretch, values: dict[str, torch.Tensor], cores: int) -> int:
    """Into how many parts the batch is cut; 0: the stretch must run whole."""
    sizes = {len(values[value]) for value in stretch.inputs}
    if len(sizes) != 1 or any(values[value].dim() != 4 for value in stretch.inputs):
        return 0
    (size,) = sizes
    parts = min(cores, size)
    return parts if parts and -(-size // parts) * cores <= size * _MOST_UNEVEN else 0


def _run_stretch(stretch: Stretch, inputs: list[torch.Tensor], parts: int, cores: CoreThreads) -> list[torch.Tensor]:
    learning = list(
        dict.fromkeys(each for node in stretch.nodes if node.learns for each in (node.module, *node.siblings))
    )
    parameters = [getattr(module, name) for module in learning for name in ("weight", "bias")]
    given = [*inputs, *parameters]
    needs = [torch.is_grad_enabled() and value is not None and value.requires_grad for value in given]
    return list(_Shared.apply(Work(stretch, learning, len(inputs), parts, cores), needs, *given))


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
