"""The fast evaluation forward: a CaffeNet rewritten for inference. Same blobs, fewer layers, different rounding."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from converter.errors import PytsnError
from converter.folding import Node, fold, merge_siblings, project_before_pooling, start
from converter.fused_layers import BiasReLU, FusedConv
from converter.graph import Graph, Step
from converter.net import CaffeNet
from converter.recipes import BiasRecipe, Recipe
from converter.tf32x3 import SplitConv

#: the precision of weights, blobs and products; on CUDA only: tf32 rounds the factors of each product to 10 bits,
#: tf32x3 splits them into two such parts
PRECISIONS = {"fp32": torch.float32, "tf32x3": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


class FusedNet(CaffeNet):
    """A CaffeNet for inference only; ``fuse`` makes it.

    ``fused(x, blobs=...)`` returns what the CaffeNet does, as float32 tensors without gradients, for the blobs that are
    left (``blob_names``). Gone are the blobs of convolutions that absorbed their BN, Scale or ReLU, and of poolings
    swapped with a projection. Asking for one raises a PytsnError that names it; ``fuse(net, keep=(blob,))`` keeps it.
    """

    def __init__(self, net: CaffeNet, nodes: list[Node], precision: str, channels_last: bool, compiled: bool) -> None:
        nn.Module.__init__(self)  # the layers come from the nodes, not from the prototxt
        self.param, self.phase, self.loss_weights = net.param, net.phase, dict(net.loss_weights)
        self.precision, self.channels_last = precision, channels_last
        self._shapes, self._plans = net.value_shapes, {}
        made = {f"{blob}@0" for blob in net.inputs}.union(*(node.tops for node in nodes))
        final = {blob: value for blob, value in net.graph.final.items() if value in made}
        splits = {name: value for name, value in net.graph.splits.items() if value in made}
        steps = [Step(node.step.param, node.bottoms, node.tops) for node in nodes]
        self.graph = Graph(net.inputs, steps, final, list(net.outputs), splits)
        self.folded = frozenset(net.graph.final) - set(final)
        self._add_modules([self._module(node) for node in nodes])
        self.eval().requires_grad_(False)
        self._compiled = torch.compile(super().forward) if compiled else None

    def _module(self, node: Node) -> nn.Module:
        dtype, work = PRECISIONS[self.precision], node.work
        if isinstance(work, BiasRecipe):
            return BiasReLU(work.bias.to(dtype), work.slope)
        if not isinstance(work, Recipe):
            return copy.deepcopy(work).to(dtype)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        weight = work.weight.to(dtype).contiguous(memory_format=layout)
        options = (work.stride, work.padding, work.dilation, work.groups, work.slope, work.sizes, work.flat)
        plain = work.groups == 1 and set(work.dilation) == {1}
        kind = SplitConv if self.precision == "tf32x3" and plain else FusedConv
        return kind(weight, work.bias.to(dtype), *options)

    def _add_modules(self, modules: list[nn.Module]) -> None:
        """Adds them under the layers' names, with a number where one layer became several modules."""
        self.module_names = []
        for index, (step, module) in enumerate(zip(self.graph.steps, modules, strict=True)):
            self.module_names.append(f"{index:03d} {step.param.name}".replace(".", "_"))
            self.add_module(self.module_names[-1], module)

    @torch.no_grad()
    def forward(self, x: torch.Tensor | Mapping[str, torch.Tensor], blobs: Iterable[str] | None = None) -> dict:
        """Like CaffeNet.forward. x may have any memory layout and is copied to channels-last if needed.

        On CUDA, TF32 products of PyTorch's are on (tf32) or off (all others) while it runs, whatever torch's flags.
        """
        wanted = tuple(self.outputs if blobs is None else [blobs] if isinstance(blobs, str) else blobs)
        for blob in wanted:
            if blob in self.folded:
                raise PytsnError(f"blob '{blob}' was folded away: ask the unfused net, or fuse with keep=('{blob}',)")
        if wanted not in self._plans:
            self._plans[wanted] = self.graph.plan(wanted)
        with _tf32(self.precision == "tf32"):
            values = (self._compiled or super().forward)(_map(self._prepared, x), wanted)
        return {blob: value.float() for blob, value in values.items()}

    def _prepared(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 4:
            return x  # labels and the like stay exact
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return x.to(PRECISIONS[self.precision]).contiguous(memory_format=layout)


def fuse(
    net: CaffeNet,
    *,
    keep: Iterable[str] = (),
    precision: str = "fp32",
    channels_last: bool = True,
    reorder: bool = True,
    compiled: bool = False,
) -> FusedNet:
    """Makes a fast copy of ``net`` (phase TEST) for inference; ``net`` is unchanged. Move it with ``.to(device)``.

    Rewrites these sequences of layers and leaves the rest:
      - Convolution, then BN / BatchNorm / Scale / Bias with stored statistics, then (leaky) ReLU: one convolution, its
        weights computed in float64 and rounded once;
      - 1x1 convolutions of one bottom: one wide convolution;
      - InnerProduct of vectors, then ReLU: also one convolution, so a crop's scores do not depend on batch and threads;
      - AVE pooling at stride 1, then a narrowing 1x1 convolution: the convolution first (not with ``reorder=False``).

    keep: blobs that must stay readable. precision: "fp32"; "tf32x3" and "tf32" differ from it on CUDA only; "bf16"
    keeps weights and blobs in bfloat16. channels_last: blobs are (N, H, W, C) in memory. compiled: use torch.compile,
    which needs a compiler and about a minute, and has no tf32x3 (fp32 then). Raises PytsnError for a net of phase
    TRAIN, an unknown blob or precision.
    """
    if precision not in PRECISIONS:
        raise PytsnError(f"precision '{precision}': one of {', '.join(PRECISIONS)} was expected")
    if net.phase != "TEST" or net.training:
        raise PytsnError("only a net of phase TEST in eval mode can be fused: load it with phase='TEST'")
    kept = frozenset(net.graph.value_of(blob) for blob in keep)
    nodes = fold(start(net.layers(), net.value_shapes), kept)
    if reorder:
        nodes = project_before_pooling(nodes, kept)
    return FusedNet(net, merge_siblings(nodes), precision, channels_last, compiled)


def _map(function, x):
    return {blob: function(value) for blob, value in x.items()} if isinstance(x, Mapping) else function(x)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32 in products and convolutions on CUDA, then restores torch's flags."""
    if not torch.cuda.is_available():
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
