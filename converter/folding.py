"""Rewriting of a net's layers for inference: what a convolution can take in, and which convolutions go together.

Every pass takes and returns a list of nodes in running order. A value (``blob@k``, converter/graph.py) may vanish only
when its one reader is the layer that absorbs it and nobody asked to keep it; so whatever does not match simply stays.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.graph import Step


@dataclass
class Recipe:
    """A convolution in the making: float64 weights, so that folding rounds only once. slope: as FusedConv's."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    slope: float | None = None
    sizes: tuple[int, ...] = ()

    @property
    def is_pointwise(self) -> bool:
        """Whether it mixes the channels of one pixel and nothing else."""
        return self.weight.shape[2:] == (1, 1) and (self.stride, self.padding, self.groups) == ((1, 1), (0, 0), 1)


@dataclass(frozen=True)
class BiasRecipe:
    """What is left of a convolution behind a pooling that was put after it: bias (C,) float64, and the ReLU."""

    bias: torch.Tensor
    slope: float | None


@dataclass(eq=False)
class Node:
    """A layer, or several that became one: values in and out, and the module or the recipe of one."""

    step: Step
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    work: nn.Module | Recipe | BiasRecipe


def start(layers: Iterable[tuple[Step, nn.Module]]) -> list[Node]:
    """The nodes of a net's layers; convolutions of one bottom become recipes."""
    return [Node(step, step.bottoms, step.tops, _recipe(step, module) or module) for step, module in layers]


def _recipe(step: Step, conv: nn.Module) -> Recipe | None:
    if step.param.type != "Convolution" or len(step.bottoms) != 1:
        return None
    weight = conv.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().double()
    return Recipe(weight, bias, tuple(conv.stride), tuple(conv.padding), tuple(conv.dilation), conv.group)


def channel_affine(step: Step, module: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(scale, shift), (C,) float64 or scalars, of a layer that does y = scale * x + shift per channel, else None."""
    kind = step.param.type
    if kind == "BN":
        scale = module.weight.double() / (module.running_var.double() + module.eps).sqrt()
        return scale, module.bias.double() - module.running_mean.double() * scale
    if kind == "BatchNorm" and module.use_global_stats is not False:
        factor = module.scale_factor.double()
        factor = torch.where(factor == 0, 0.0, 1 / factor)
        scale = (module.running_var.double() * factor + module.eps).rsqrt()
        return scale, -module.running_mean.double() * factor * scale
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    if (
        kind in ("Scale", "Bias")
        and len(step.bottoms) == 1
        and _over_channels(getattr(module, module.blob_names[0]), module)
    ):
        scale = module.weight.double() if kind == "Scale" else one
        return scale, module.bias.double() if "bias" in module.blob_names else zero
    return None


def _over_channels(operand: torch.Tensor, module: nn.Module) -> bool:
    return operand.dim() == 1 and module.trailing == 2  # (C,) against (N, C, H, W)


def fold(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """Convolution, then any BN, BatchNorm, Scale and Bias, then ReLU: one recipe."""
    readers = _readers(nodes)
    gone: set[int] = set()
    for node in nodes:
        if not isinstance(node.work, Recipe):
            continue
        while (follower := _only_reader(node.tops[0], readers, kept)) and _absorb(node.work, follower):
            node.tops = follower.tops
            gone.add(id(follower))
    return [node for node in nodes if id(node) not in gone]


def _absorb(recipe: Recipe, node: Node) -> bool:
    if recipe.slope is not None or isinstance(node.work, Recipe) or len(node.tops) != 1:
        return False
    if node.step.param.type == "ReLU":
        recipe.slope = node.step.param.relu_param.negative_slope
        return True
    affine = channel_affine(node.step, node.work)
    if affine is None:
        return False
    scale, shift = (value.detach().expand(len(recipe.bias)) for value in affine)
    recipe.weight = recipe.weight * scale[:, None, None, None]
    recipe.bias = recipe.bias * scale + shift
    return True


def project_before_pooling(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """AVE pooling then a 1x1 convolution to fewer channels: convolve first, pool less, then bias and ReLU.

    Both are linear, one over pixels and one over channels, so they can change places; the bias stays behind the
    pooling, whose padding would dilute it.
    """
    makers = {node.tops[0]: node for node in nodes if node.tops}
    readers = _readers(nodes)
    result: list[Node] = []
    for node in nodes:
        pool = makers.get(node.bottoms[0]) if node.bottoms else None
        if not (pool and _projects(node.work, pool) and _only_reader(pool.tops[0], readers, kept) is node):
            result.append(node)
            continue
        result.remove(pool)
        recipe, top = node.work, node.tops[0]
        wide, pooled = f"{top}#before pooling", f"{top}#before bias"
        bare = replace(recipe, bias=torch.zeros_like(recipe.bias), slope=None)
        result.append(Node(node.step, pool.bottoms, (wide,), bare))
        result.append(Node(pool.step, (wide,), (pooled,), pool.work))
        result.append(Node(node.step, (pooled,), (top,), BiasRecipe(recipe.bias, recipe.slope)))
    return result


def _projects(work, pool: Node) -> bool:
    options = pool.step.param.pooling_param
    average = pool.step.param.type == "Pooling" and options.pool == pb.PoolingParameter.AVE
    if not (average and isinstance(work, Recipe) and work.is_pointwise and not options.global_pooling):
        return False
    return tuple(pool.work.stride) == (1, 1) and work.weight.shape[0] < work.weight.shape[1]


def merge_siblings(nodes: list[Node]) -> list[Node]:
    """1x1 convolutions of one bottom become one wide convolution, run where the first of them stood."""
    families: dict[tuple, list[Node]] = defaultdict(list)
    for node in nodes:
        if isinstance(node.work, Recipe) and node.work.is_pointwise:
            families[node.bottoms[0], node.work.slope].append(node)
    gone: set[int] = set()
    for family in families.values():
        if len(family) < 2:
            continue
        first, recipes = family[0], [node.work for node in family]
        weight, bias = (torch.cat([getattr(recipe, name) for recipe in recipes]) for name in ("weight", "bias"))
        first.work = replace(recipes[0], weight=weight, bias=bias, sizes=tuple(len(recipe.bias) for recipe in recipes))
        first.tops = tuple(node.tops[0] for node in family)
        gone.update(id(node) for node in family[1:])
    return [node for node in nodes if id(node) not in gone]


def _readers(nodes: list[Node]) -> dict[str, list[Node]]:
    readers = defaultdict(list)
    for node in nodes:
        for value in node.bottoms:
            readers[value].append(node)
    return readers


def _only_reader(value: str, readers: dict[str, list[Node]], kept: frozenset[str]) -> Node | None:
    found = readers[value]
    return found[0] if len(found) == 1 and value not in kept else None
