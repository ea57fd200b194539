"""Stretches of a net in which every layer treats each sample on its own, so that cores can share a batch.

Only unfrozen BN is an exception: the cores add up its statistics (converter/core_norm.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from converter.core_filters import Unit
from converter.core_nodes import Node, join_siblings, merge, pool_first, project_first
from converter.graph import Step
from converter.layers.conv import Convolution
from converter.layers.norm import BN
from converter.layers.shape import Concat

#: an entry of Graph.plan with the layer's module: module, step, ids to free after it
Entry = tuple[nn.Module, Step, tuple[str, ...]]

_SAMPLEWISE = frozenset({"BN", "Concat", "Convolution", "LRN", "Pooling", "ReLU"})


@dataclass
class Stretch:
    """Consecutive layers. inputs: values read that were made before; outputs: values needed after; units: the layers
    with weights."""

    entries: list[Entry]
    samplewise: bool
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)


def stretches(entries: Sequence[Entry]) -> list[Stretch]:
    """The plan's entries cut into stretches that cores can share and the rest, in order."""
    found: list[Stretch] = []
    for entry in entries:
        samplewise = _is_samplewise(*entry[:2])
        if not found or found[-1].samplewise != samplewise:
            found.append(Stretch([], samplewise))
        found[-1].entries.append(entry)
    for stretch in found:
        if stretch.samplewise and any(isinstance(module, Convolution) for module, _, _ in stretch.entries):
            _complete(stretch)
        else:
            stretch.samplewise = False
    return found


def _is_samplewise(module: nn.Module, step: Step) -> bool:
    if step.param.type not in _SAMPLEWISE or len(step.tops) != 1:
        return False
    if isinstance(module, BN):
        return module.folded or module.frozen or module.training or not torch.is_grad_enabled()
    if isinstance(module, Convolution):
        return len(step.bottoms) == 1
    return not isinstance(module, Concat) or module.axis != 0


def _complete(stretch: Stretch) -> None:
    """Fills in inputs, outputs, nodes and units."""
    made: dict[str, None] = {}
    for _, step, _ in stretch.entries:
        stretch.inputs += [value for value in step.bottoms if value not in made and value not in stretch.inputs]
        made.update(dict.fromkeys(step.tops))
    freed = {value for _, _, free in stretch.entries for value in free}
    stretch.outputs = [value for value in made if value not in freed]
    nodes = [Node(module, step.bottoms, step.tops, step.label) for module, step, _ in stretch.entries]
    kept = frozenset(stretch.outputs)
    stretch.nodes = join_siblings(project_first(pool_first(merge(nodes, kept), kept), kept))
    seen = set(kept)
    for node in reversed(stretch.nodes):
        node.free = tuple(dict.fromkeys(value for value in (*node.bottoms, *node.tops) if value not in seen))
        seen.update(node.free)
    stretch.units = list(dict.fromkeys(node.unit for node in stretch.nodes if node.learns))
