"""Normalisation in ONNX: BN, BatchNorm, MVN and LRN. Semantics: converter/layers/norm.py and response.py."""

import numpy as np

from converter.layers.norm import BN, BatchNorm
from converter.layers.response import LRN, MVN
from converter.onnx_layers.activation import affine
from converter.onnx_layers.nodes import Nodes, Site, static


def batch_normalization(nodes: Nodes, site: Site) -> None:
    """The fork's BN, with its stored statistics."""
    static(site.bottom_dims[0][1:2], "the number of channels")
    module = site.layer(BN)
    weights = [nodes.weights(site, name) for name in module.blob_names]
    nodes.add("BatchNormalization", [site.bottoms[0], *weights], site.tops[0], epsilon=module.eps)


def bvlc_batch_norm(nodes: Nodes, site: Site) -> None:
    """BVLC's BatchNorm: stored sums over their count, or with ``use_global_stats: false`` the batch's statistics."""
    module, x, rank = site.layer(BatchNorm), site.bottoms[0], len(site.bottom_dims[0])
    if module.use_global_stats is False:
        _normalize(nodes, x, site.tops[0], [axis for axis in range(rank) if axis != 1], inner_eps=module.eps)
        return
    static(site.bottom_dims[0][1:2], "the number of channels")
    channels = module.running_mean.numel()
    factor = float(module.scale_factor) and 1 / float(module.scale_factor)
    stored = [site.weight(name) * np.float32(factor) for name in ("running_mean", "running_var")]
    statistics = [np.ones(channels, np.float32), np.zeros(channels, np.float32), *stored]
    names = [f"{site.key}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    inputs = [nodes.constant(name, values) for name, values in zip(names, statistics, strict=True)]
    if rank == 1:
        x = nodes.add("Unsqueeze", [x, nodes.integers([1])])  # (N,) -> (N, 1)
    y = nodes.add("BatchNormalization", [x, *inputs], site.tops[0] if rank > 1 else None, epsilon=module.eps)
    if rank == 1:
        nodes.add("Squeeze", [y, nodes.integers([1])], site.tops[0])


def _normalize(nodes: Nodes, x: str, top: str, axes: list[int], inner_eps=None, outer_eps=None) -> None:
    """(x - mean) / sqrt(var + inner_eps), or / (sqrt(var) + outer_eps); with neither, x - mean."""
    mean = nodes.add("ReduceMean", [x], axes=axes, keepdims=1)
    if inner_eps is None and outer_eps is None:
        nodes.add("Sub", [x, mean], top)
        return
    centred = nodes.add("Sub", [x, mean])
    deviation = nodes.add("ReduceMean", [nodes.add("Mul", [centred, centred])], axes=axes, keepdims=1)
    if inner_eps is not None:
        deviation = nodes.add("Add", [deviation, nodes.scalar(inner_eps)])
    deviation = nodes.add("Sqrt", [deviation])
    if outer_eps is not None:
        deviation = nodes.add("Add", [deviation, nodes.scalar(outer_eps)])
    nodes.add("Div", [centred, deviation], top)


def mvn(nodes: Nodes, site: Site) -> None:
    module, x, rank = site.layer(MVN), site.bottoms[0], len(site.bottom_dims[0])
    if rank < 4:
        x = nodes.add("Unsqueeze", [x, nodes.integers(range(rank, 4))])  # (N, C) -> (N, C, 1, 1)
    _normalize(nodes, x, site.tops[0], module.axes, outer_eps=module.eps if module.normalize_variance else None)


def lrn(nodes: Nodes, site: Site) -> None:
    module, x, top = site.layer(LRN), site.bottoms[0], site.tops[0]
    if module.across:
        nodes.add("LRN", [x], top, size=module.size, alpha=module.alpha, beta=module.beta, bias=module.k)
        return
    square, pads = nodes.add("Mul", [x, x]), [module.size // 2] * 4
    mean = nodes.add("AveragePool", [square], kernel_shape=[module.size] * 2, pads=pads, count_include_pad=1)
    powers = affine(nodes, module.alpha, 1.0)
    factor = nodes.chain(mean, nodes.fresh(f"{x}~factor"), [*powers, ("Pow", [nodes.scalar(-module.beta)], {})])
    nodes.add("Mul", [x, factor], top)
