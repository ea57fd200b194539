"""Layers with weights, except normalisation, in ONNX. Semantics: converter/layers/conv.py and linear.py."""

from converter.layers.conv import Convolution
from converter.layers.linear import Bias, InnerProduct, Scale
from converter.onnx_layers.nodes import Nodes, OnnxStep, Site, static


def convolution(nodes: Nodes, site: Site, op: str = "Conv") -> None:
    module = site.layer(Convolution)
    static(site.bottom_dims[0][1:], "the size of a sample")
    weights = [nodes.weights(site, name) for name in module.blob_names]
    options = {
        "kernel_shape": list(module.kernel),
        "strides": list(module.stride),
        "pads": list(module.padding) * 2,
        "dilations": list(module.dilation),
        "group": module.group,
    }
    for x, top in zip(site.bottoms, site.tops, strict=True):
        nodes.add(op, [x, *weights], top, **options)


def deconvolution(nodes: Nodes, site: Site) -> None:
    convolution(nodes, site, "ConvTranspose")


def inner_product(nodes: Nodes, site: Site) -> None:
    module, x, dims = site.layer(InnerProduct), site.bottoms[0], site.bottom_dims[0]
    static(dims[module.axis :], "the size of its features")
    weights = [nodes.weights(site, name) for name in module.blob_names]
    flat = nodes.add("Flatten", [x], axis=module.axis)  # (A, B, C, H) -> (A * B, C * H) where axis is 2
    plain = module.axis == 1
    y = nodes.add("Gemm", [flat, *weights], site.tops[0] if plain else None, transB=0 if module.transpose else 1)
    if not plain:
        nodes.reshape(y, site.top_dims[0], site.tops[0])


def _operand(nodes: Nodes, site: Site, trailing: int, blob_name: str | None) -> str:
    """The factor or summand of Scale and Bias, with trailing axes of size 1 so that it broadcasts correctly."""
    if blob_name is not None:
        shape, rank = site.weight(blob_name).shape, len(site.bottom_dims[0])
        static(site.bottom_dims[0][rank - trailing - len(shape) : rank - trailing], "the size of its weights")
        return nodes.weights(site, blob_name, shape + (1,) * trailing)
    rank = len(site.bottom_dims[1])
    return (
        nodes.add("Unsqueeze", [site.bottoms[1], nodes.integers(range(rank, rank + trailing))])
        if trailing
        else site.bottoms[1]
    )


def scale(nodes: Nodes, site: Site) -> None:
    module, learned = site.layer(Scale), len(site.bottoms) == 1
    steps: list[OnnxStep] = [("Mul", [_operand(nodes, site, module.trailing, "weight" if learned else None)], {})]
    if "bias" in module.blob_names:
        steps.append(("Add", [_operand(nodes, site, module.trailing, "bias")], {}))
    nodes.chain(site.bottoms[0], site.tops[0], steps)


def bias(nodes: Nodes, site: Site) -> None:
    summand = _operand(nodes, site, site.layer(Bias).trailing, "bias" if len(site.bottoms) == 1 else None)
    nodes.add("Add", [site.bottoms[0], summand], site.tops[0])


def prelu(nodes: Nodes, site: Site) -> None:
    shape = site.weight("weight").shape + (1,) * (len(site.bottom_dims[0]) - 2)  # (C,) -> (C, 1, 1)
    nodes.add("PRelu", [site.bottoms[0], nodes.weights(site, "weight", shape)], site.tops[0])
