"""Rewrites a net's layers for inference: which layers a convolution absorbs, and which convolutions are merged.

Every pass takes and returns a list of nodes in running order. A value (``blob@k``, converter/graph.py) may disappear
only if its one reader is the layer that absorbs it and it is not in ``kept``; whatever does not match stays as it is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.graph import Step
from converter.layers.conv import Convolution
from converter.layers.linear import InnerProduct
from converter.layers.pooling import Pooling
from converter.recipes import BiasRecipe, Recipe, channel_affine, of_convolution, of_product, takes_vectors


@dataclass(eq=False)
class Node:
    """A layer, or several merged into one: input and output values, and its module or recipe."""

    step: Step
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    work: nn.Module | Recipe | BiasRecipe


def start(layers: Iterable[tuple[Step, nn.Module]], shapes: Mapping[str, tuple[int, ...]]) -> list[Node]:
    """The nodes of a net's layers; convolutions with one bottom, and InnerProducts of vectors, become recipes.

    InnerProducts are included because torch's own product sums in another order when the batch or the number of threads
    changes, and oneDNN's convolution does not: scores then do not depend on how the crops are split.
    """
    nodes = []
    for step, module in layers:
        recipe = None
        if step.param.type == "Convolution" and isinstance(module, Convolution) and len(step.bottoms) == 1:
            recipe = of_convolution(module)
        elif isinstance(module, InnerProduct) and takes_vectors(module, shapes[step.bottoms[0]]):
            recipe = of_product(module)
        nodes.append(Node(step, step.bottoms, step.tops, recipe or module))
    return nodes


def fold(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """Folds a convolution, any BN, BatchNorm, Scale and Bias after it, then ReLU, into one recipe."""
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
    if recipe.slope is not None or not isinstance(node.work, nn.Module) or len(node.tops) != 1:
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
    """Swaps size-preserving AVE pooling and a 1x1 convolution to fewer channels after it, so fewer channels are pooled.

    Both are linear, one over pixels and one over channels, so they can be swapped. Bias and ReLU stay after the
    pooling, whose zero padding would dilute the bias.
    """
    makers = {node.tops[0]: node for node in nodes if node.tops}
    readers = _readers(nodes)
    result: list[Node] = []
    for node in nodes:
        pool = makers.get(node.bottoms[0]) if node.bottoms else None
        recipe = node.work
        if not (pool and isinstance(recipe, Recipe) and _projects(recipe, pool)) or (
            _only_reader(pool.tops[0], readers, kept) is not node
        ):
            result.append(node)
            continue
        result.remove(pool)
        top = node.tops[0]
        wide, pooled = f"{top}#before pooling", f"{top}#before bias"
        bare = replace(recipe, bias=torch.zeros_like(recipe.bias), slope=None)
        result.append(Node(node.step, pool.bottoms, (wide,), bare))
        result.append(Node(pool.step, (wide,), (pooled,), pool.work))
        result.append(Node(node.step, (pooled,), (top,), BiasRecipe(recipe.bias, recipe.slope)))
    return result


def _projects(recipe: Recipe, pool: Node) -> bool:
    window = pool.work
    if not isinstance(window, Pooling) or window.kernel is None:  # None: global pooling
        return False
    if pool.step.param.pooling_param.pool != pb.PoolingParameter.AVE or not recipe.is_pointwise:
        return False
    same_size = all(kernel == 2 * pad + 1 for kernel, pad in zip(window.kernel, window.padding, strict=True))
    return same_size and tuple(window.stride) == (1, 1) and recipe.weight.shape[0] < recipe.weight.shape[1]


def merge_siblings(nodes: list[Node]) -> list[Node]:
    """Merges 1x1 convolutions of one bottom into one wide convolution in the place of the first."""
    families: dict[tuple, list[tuple[Node, Recipe]]] = defaultdict(list)
    for node in nodes:
        if isinstance(node.work, Recipe) and node.work.is_pointwise:
            families[node.bottoms[0], node.work.slope].append((node, node.work))
    gone: set[int] = set()
    for family in families.values():
        if len(family) < 2:
            continue
        first, recipes = family[0][0], [recipe for _, recipe in family]
        weight, bias = (torch.cat([getattr(recipe, name) for recipe in recipes]) for name in ("weight", "bias"))
        first.work = replace(recipes[0], weight=weight, bias=bias, sizes=tuple(len(recipe.bias) for recipe in recipes))
        first.tops = tuple(node.tops[0] for node, _ in family)
        gone.update(id(node) for node, _ in family[1:])
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
