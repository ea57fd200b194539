"""Elementwise layers in ONNX. Semantics: converter/layers/activation.py."""

import math
from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from converter.onnx_layers.nodes import Nodes, OnnxStep, Site


def unary(op: str) -> Callable[[Nodes, Site], None]:
    """The maker of a layer that is one ONNX operator."""
    return lambda nodes, site: simple(nodes, site, (op, [], {}))


def simple(nodes: Nodes, site: Site, *steps: OnnxStep) -> None:
    """Writes a layer of one bottom and one top as these steps (see Nodes.chain)."""
    nodes.chain(site.bottoms[0], site.tops[0], steps)


def affine(nodes: Nodes, factor: float, summand: float) -> list[OnnxStep]:
    """Steps for x * factor + summand."""
    steps: list[OnnxStep] = [] if factor == 1 else [("Mul", [nodes.scalar(factor)], {})]
    return steps if summand == 0 else [*steps, ("Add", [nodes.scalar(summand)], {})]


def relu(nodes: Nodes, site: Site) -> None:
    slope = site.param.relu_param.negative_slope
    simple(nodes, site, ("LeakyRelu", [], {"alpha": slope}) if slope else ("Relu", [], {}))


def elu(nodes: Nodes, site: Site) -> None:
    simple(nodes, site, ("Elu", [], {"alpha": site.param.elu_param.alpha}))


def threshold(nodes: Nodes, site: Site) -> None:
    limit = nodes.scalar(site.param.threshold_param.threshold)
    simple(nodes, site, ("Greater", [limit], {}), ("Cast", [], {"to": TensorProto.FLOAT}))


def power(nodes: Nodes, site: Site) -> None:
    options = site.param.power_param
    exponent, factor, shift = options.power, options.scale, options.shift
    if exponent == 0 or factor == 0:  # a constant, whatever the bottom holds; NaN times 0 would give NaN
        value = np.full(1, np.power(np.float64(shift), exponent), np.float32)
        size = nodes.add("Shape", [site.bottoms[0]])
        nodes.add("Expand", [nodes.constant(f"{site.key}.constant", value), size], site.tops[0])
        return
    steps = affine(nodes, factor, shift)
    simple(nodes, site, *steps, *([] if exponent == 1 else [("Pow", [nodes.scalar(exponent)], {})]))


def exp(nodes: Nodes, site: Site) -> None:
    options = site.param.exp_param
    log_base = 1.0 if options.base == -1 else math.log(options.base)
    simple(nodes, site, *affine(nodes, options.scale * log_base, options.shift * log_base), ("Exp", [], {}))


def log(nodes: Nodes, site: Site) -> None:
    options = site.param.log_param
    inverse = 1.0 if options.base == -1 else 1 / math.log(options.base)
    simple(nodes, site, *affine(nodes, options.scale, options.shift), ("Log", [], {}), *affine(nodes, inverse, 0))
