"""Layers that move values without changing them, and Softmax, in ONNX. Semantics: converter/layers/shape.py."""

from converter.layers.loss import Softmax
from converter.layers.shape import Concat, Slice
from converter.onnx_layers.nodes import FixedBatch, Nodes, Site

_INT64_MAX = 2**63 - 1


def concat(nodes: Nodes, site: Site) -> None:
    nodes.add("Concat", site.bottoms, site.tops[0], axis=site.layer(Concat).axis)


def slice_(nodes: Nodes, site: Site) -> None:
    module, x = site.layer(Slice), site.bottoms[0]
    size = site.bottom_dims[0][module.axis]
    points = list(module.points)
    if not points:
        if isinstance(size, str):
            raise FixedBatch("it cuts the batch into equal parts")
        points = [part * size // module.tops for part in range(1, module.tops)]
    for top, start, end in zip(site.tops, [0, *points], [*points, _INT64_MAX], strict=True):
        nodes.add("Slice", [x, *(nodes.integers([each]) for each in (start, end, module.axis))], top)


def identity(nodes: Nodes, site: Site) -> None:
    """Dropout in TEST phase, and layers that pass their bottoms on: one for each top, or one for all."""
    bottoms = site.bottoms if len(site.bottoms) > 1 else site.bottoms * len(site.tops)
    for x, top in zip(bottoms, site.tops, strict=True):
        nodes.add("Identity", [x], top)


def reshape(nodes: Nodes, site: Site) -> None:
    nodes.reshape(site.bottoms[0], site.top_dims[0], site.tops[0])


def softmax(nodes: Nodes, site: Site) -> None:
    nodes.add("Softmax", site.bottoms, site.tops[0], axis=site.layer(Softmax).axis)
