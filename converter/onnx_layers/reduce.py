"""Layers that combine or reduce values, in ONNX. Semantics: converter/layers/reduce.py."""

import math
from itertools import pairwise

import numpy as np
from onnx import TensorProto

from converter import caffe_tsn_pb2 as pb
from converter.layers.reduce import ArgMax, BatchReduction, Eltwise, Reduction
from converter.onnx_layers.activation import affine, simple
from converter.onnx_layers.nodes import Dims, Nodes, OnnxStep, Site, static

_INT64_MAX = 2**63 - 1
_Reduction, _Eltwise = pb.ReductionParameter, pb.EltwiseParameter


def eltwise(nodes: Nodes, site: Site) -> None:
    module, top = site.layer(Eltwise), site.tops[0]
    if module.operation == _Eltwise.MAX:
        nodes.add("Max", site.bottoms, top)
    elif module.operation == _Eltwise.PROD:
        nodes.chain(site.bottoms[0], top, [("Mul", [other], {}) for other in site.bottoms[1:]])
    else:
        terms = zip(site.bottoms, module.coeff, strict=True)
        nodes.add("Sum", [x if c == 1 else nodes.add("Mul", [x, nodes.scalar(c)]) for x, c in terms], top)


_REDUCERS = {
    _Reduction.SUM: "ReduceSum",
    _Reduction.ASUM: "ReduceL1",
    _Reduction.SUMSQ: "ReduceSumSquare",
    _Reduction.MEAN: "ReduceMean",
}


def _reduce(nodes: Nodes, operation: pb.ReductionParameter.ReductionOp, axes: list[int], keepdims: int) -> OnnxStep:
    """The step that reduces these axes: in opset 17 only ReduceSum takes them as an input."""
    if operation == _Reduction.SUM:
        return ("ReduceSum", [nodes.integers(axes)], {"keepdims": keepdims})
    return (_REDUCERS[operation], [], {"axes": axes, "keepdims": keepdims})


def reduction(nodes: Nodes, site: Site) -> None:
    module = site.layer(Reduction)
    axes = list(range(module.axis, len(site.bottom_dims[0])))
    step = _reduce(nodes, module.operation, axes, 0)
    simple(nodes, site, step, *affine(nodes, module.coeff, 0))


def batch_reduction(nodes: Nodes, site: Site) -> None:
    module, x = site.layer(BatchReduction), site.bottoms[0]
    axis = module.axis
    if module.pos:
        x = _diagonal(nodes, x, site.bottom_dims[0], axis)
    if module.pieces is None:
        _reduce_axis(nodes, x, site, 0, site.tops[0])
        return
    edges = np.cumsum([0, *module.pieces])
    parts = [
        nodes.add("Slice", [x, nodes.integers([start]), nodes.integers([end]), nodes.integers([axis])])
        for start, end in pairwise(edges)
    ]
    nodes.add("Concat", [_reduce_axis(nodes, part, site, 1) for part in parts], site.tops[0], axis=axis)


def _diagonal(nodes: Nodes, x: str, dims: Dims, axis: int) -> str:
    """(.., T, T, ..) -> (.., T, ..)"""
    (size,) = static(dims[axis : axis + 1], "the size of its diagonal")
    merged = nodes.reshape(x, (*dims[:axis], size * size, *dims[axis + 2 :]))
    return nodes.add("Gather", [merged, nodes.integers([i * (size + 1) for i in range(size)])], axis=axis)


def _reduce_axis(nodes: Nodes, x: str, site: Site, keepdims: int, top: str | None = None) -> str:
    module = site.layer(BatchReduction)
    operation = module.operation
    if operation == _Reduction.TOPK:
        x, operation = nodes.add_pair("TopK", [x, nodes.integers([module.k])], axis=module.axis)[0], _Reduction.MEAN
    op, inputs, attributes = _reduce(nodes, operation, [module.axis], keepdims)
    return nodes.add(op, [x, *inputs], top, **attributes)


def arg_max(nodes: Nodes, site: Site) -> None:
    """Among equal values the larger index comes first; TopK prefers the smaller, so it gets the values reversed."""
    module, x, top = site.layer(ArgMax), site.bottoms[0], site.tops[0]
    axis = 1 if module.axis is None else module.axis
    if module.axis is None:
        x = nodes.add("Flatten", [x], axis=1)
    dims = site.bottom_dims[0]
    (count,) = static(
        (math.prod(static(dims[1:], "its size")),) if module.axis is None else dims[axis : axis + 1], "axis"
    )
    ends = (nodes.integers([each]) for each in (-1, -_INT64_MAX, axis, -1))
    values, places = nodes.add_pair("TopK", [nodes.add("Slice", [x, *ends]), nodes.integers([module.top_k])], axis=axis)
    if module.axis is not None and module.out_max_val:
        nodes.add("Identity", [values], top)
        return
    indices = nodes.add("Cast", [nodes.add("Sub", [nodes.integers([count - 1]), places])], to=TensorProto.FLOAT)
    if module.axis is not None:
        nodes.add("Identity", [indices], top)
        return
    tops = [indices, values] if module.out_max_val else [indices]
    columns = [nodes.add("Unsqueeze", [each, nodes.integers([1, 3])]) for each in tops]  # (N, k) -> (N, 1, k, 1)
    nodes.add("Concat", columns, top, axis=1)
