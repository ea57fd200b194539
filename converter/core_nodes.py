"""The layers of a stretch (converter/core_stretch.py) as nodes, and passes that make fewer or cheaper ones of them.

Every pass takes and returns the nodes in running order; ``kept`` are values that must stay readable. Results change by
rounding only.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.core_filters import Unit
from converter.errors import PytsnError
from converter.layers.activation import Elementwise
from converter.layers.conv import Convolution
from converter.layers.norm import BN
from converter.layers.pooling import Pooling


@dataclass(eq=False)
class Node:
    """A layer in a stretch; label names it in errors.

    rectify: a convolution with the ReLU after it. siblings: convolutions of the same bottom, with a top each, that run
    with it. only: "weight" or "bias" of a convolution that was cut in two. free: values that nothing reads later.
    """

    module: nn.Module
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    label: str
    rectify: bool = False
    siblings: tuple[Convolution, ...] = ()
    only: str = ""
    free: tuple[str, ...] = ()

    @property
    def learns(self) -> bool:
        """Whether it has weights whose gradients the cores add up."""
        return isinstance(self.module, Convolution) or is_shared_norm(self.module)

    @property
    def unit(self) -> Unit:
        """The layers whose weights it uses, if it learns."""
        module: Any = self.module
        return (module, *self.siblings)

    def run(self, *bottoms: torch.Tensor) -> torch.Tensor:
        """The top of a layer without weights. Raises PytsnError."""
        try:
            return self.module(*bottoms)
        except PytsnError as error:
            raise PytsnError(f"{self.label}: {error}") from None


def is_shared_norm(module: nn.Module) -> bool:
    """Whether it is a BN that uses the batch's own statistics now."""
    return isinstance(module, BN) and module.training and not module.frozen


def merge(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """Leaves folded BN out, and puts ReLU into the convolution before it."""
    makers, readers = _makers(nodes), _readers(nodes)
    result: list[Node] = []
    for node in nodes:
        maker = _sole_maker(node, makers, readers, kept)
        if maker and isinstance(maker.module, Convolution) and not maker.rectify and _is_absorbed(node):
            maker.rectify = is_relu(node.module)
            maker.tops = node.tops
            makers[node.tops[0]] = maker
        else:
            result.append(node)
    return result


def _is_absorbed(node: Node) -> bool:
    return is_relu(node.module) or (isinstance(node.module, BN) and node.module.folded)


def pool_first(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """Swaps a ReLU and the MAX pooling after it, so that fewer values are rectified.

    Exact: the largest of rectified values is the rectified largest, and the same pixel gets the gradient unless ReLU
    stops it.
    """
    makers, readers = _makers(nodes), _readers(nodes)
    result: list[Node] = []
    for node in nodes:
        maker = _sole_maker(node, makers, readers, kept)
        if not (maker and _is_rectified(maker) and _takes_largest(node.module)):
            result.append(node)
            continue
        raw = f"{node.tops[0]}#raw"
        if maker.rectify:
            maker.rectify, bottom = False, node.bottoms[0]
        else:
            result.remove(maker)
            bottom = maker.bottoms[0]
        result += [
            replace(node, bottoms=(bottom,), tops=(raw,)),
            Node(nn.ReLU(inplace=True), (raw,), node.tops, maker.label),
        ]
    return result


def project_first(nodes: list[Node], kept: frozenset[str]) -> list[Node]:
    """Swaps size-preserving AVE pooling and a 1x1 convolution to fewer channels after it, so that fewer are pooled; as
    converter/folding.py does for inference. Bias and ReLU stay after the pooling."""
    makers, readers = _makers(nodes), _readers(nodes)
    result: list[Node] = []
    for node in nodes:
        pool = _sole_maker(node, makers, readers, kept)
        if not (pool and _averages_in_place(pool.module) and _narrows(node.module)):
            result.append(node)
            continue
        result.remove(pool)
        wide, pooled = f"{node.tops[0]}#wide", f"{node.tops[0]}#pooled"
        result.append(replace(node, bottoms=pool.bottoms, tops=(wide,), rectify=False, only="weight"))
        result.append(replace(pool, bottoms=(wide,), tops=(pooled,)))
        result.append(replace(node, bottoms=(pooled,), only="bias"))
    return result


def join_siblings(nodes: list[Node]) -> list[Node]:
    """Runs 1x1 convolutions of one bottom as one: the bottom is read once, and its gradient needs no sum."""
    first: dict[tuple, Node] = {}
    result: list[Node] = []
    for node in nodes:
        if not isinstance(node.module, Convolution) or not _is_pointwise(node.module) or node.only:
            result.append(node)
            continue
        key = (node.bottoms[0], node.rectify, node.module.bias is None and node.module.absorbed is None)
        if key in first:
            first[key].siblings += (node.module,)
            first[key].tops += node.tops
        else:
            first[key] = node
            result.append(node)
    return result


def _is_pointwise(module: nn.Module) -> bool:
    """Whether it is a convolution that only mixes the channels of a pixel."""
    if not isinstance(module, Convolution):
        return False
    return (module.kernel, tuple(module.stride), tuple(module.padding), module.group) == ((1, 1), (1, 1), (0, 0), 1)


def _narrows(module: nn.Module) -> bool:
    return isinstance(module, Convolution) and _is_pointwise(module) and len(module.weight) < module.channels


def _averages_in_place(module: nn.Module) -> bool:
    """Whether it is AVE pooling around each pixel."""
    if not isinstance(module, Pooling) or module.method != pb.PoolingParameter.AVE or module.kernel is None:
        return False
    same = all(kernel == 2 * pad + 1 for kernel, pad in zip(module.kernel, module.padding, strict=True))
    return same and tuple(module.stride) == (1, 1)


def _is_rectified(node: Node) -> bool:
    return node.rectify or is_relu(node.module)


def is_relu(module: nn.Module) -> bool:
    """Whether it is the layer max(x, 0)."""
    return isinstance(module, Elementwise) and module.function is F.relu


def _takes_largest(module: nn.Module) -> bool:
    """Whether it is MAX pooling whose windows all hold pixels and whose stride skips none."""
    if not isinstance(module, Pooling) or module.method != pb.PoolingParameter.MAX or module.with_mask:
        return False
    return module.kernel is None or all(k >= s for k, s in zip(module.kernel, module.stride, strict=True))


def _makers(nodes: list[Node]) -> dict[str, Node]:
    return {value: node for node in nodes for value in node.tops}


def _readers(nodes: list[Node]) -> Counter[str]:
    return Counter(value for node in nodes for value in node.bottoms)


def _sole_maker(node: Node, makers: dict[str, Node], readers: Counter[str], kept: frozenset[str]) -> Node | None:
    """What makes the first bottom of a node, if nobody else reads it."""
    value = node.bottoms[0]
    return makers.get(value) if readers[value] == 1 and value not in kept else None
