"""Caffe's pooling in ONNX: rounded up by explicit padding at the end, so every runtime uses the same windows."""

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.pooling import Pooling
from converter.onnx_layers.nodes import Nodes, Site, static

_FLT_MAX = float(np.finfo(np.float32).max)
_FLT_MIN = float(np.finfo(np.float32).tiny)


def pooling(nodes: Nodes, site: Site) -> None:
    """MAX, AVE and STOCHASTIC (TEST phase) pooling; see converter/layers/pooling.py for the windows."""
    module = site.layer(Pooling)
    if (
        module.kernel is None
        and len(site.tops) == 1
        and site.param.pooling_param.pool != pb.PoolingParameter.STOCHASTIC
    ):
        is_max = site.param.pooling_param.pool == pb.PoolingParameter.MAX
        nodes.add("GlobalMaxPool" if is_max else "GlobalAveragePool", site.bottoms, site.tops[0])
        return
    size = static(site.bottom_dims[0][2:], "the pooled size")
    windows = module.windows((1, 1, *size))
    make = {pb.PoolingParameter.MAX: _max, pb.PoolingParameter.AVE: _average}.get(
        site.param.pooling_param.pool, _stochastic
    )
    make(nodes, site, windows)


def _grid(windows) -> dict:
    """kernel_shape and strides."""
    return {"kernel_shape": [axis.kernel for axis in windows], "strides": [axis.stride for axis in windows]}


def _pads(windows, start: bool = True) -> list[int]:
    """[top, left, bottom, right]: padding that completes every window; ``start`` False: the start is padded already."""
    return [axis.pad if start else 0 for axis in windows] + [axis.overhang for axis in windows]


def _padded(nodes: Nodes, x: str, pads: list[int], value: float) -> str:
    if not any(pads):
        return x
    return nodes.add(
        "Pad", [x, nodes.integers([0, 0, *pads[:2], 0, 0, *pads[2:]]), nodes.scalar(value)], mode="constant"
    )


def _max(nodes: Nodes, site: Site, windows) -> None:
    x, pads = site.bottoms[0], _pads(windows)
    # runtimes refuse padding as large as the kernel, which is needed if Caffe places a window outside the image
    if any(pad >= axis.kernel for pad, axis in zip(pads, (*windows, *windows), strict=True)):
        if len(site.tops) > 1:
            raise PytsnError("a second top of windows outside of the image has no counterpart in ONNX")
        x, pads = _padded(nodes, x, pads, -_FLT_MAX), [0] * 4
    if len(site.tops) == 1:
        nodes.add("MaxPool", [x], site.tops[0], pads=pads, **_grid(windows))
        return
    _, where = nodes.add_pair("MaxPool", [x], site.tops[0], pads=pads, **_grid(windows))
    area = nodes.integers([windows[0].size * windows[1].size])  # ONNX counts from the first sample's first plane
    nodes.chain(where, site.tops[1], [("Mod", [area], {}), ("Cast", [], {"to": 1})])


def _average(nodes: Nodes, site: Site, windows) -> None:
    """Divides by the window's area in the padded image: padding counts, pixels beyond it do not."""
    x = site.bottoms[0]
    beyond = [max(axis.overhang - axis.pad, 0) for axis in windows]
    if not any(beyond):
        nodes.add("AveragePool", [x], site.tops[0], pads=_pads(windows), count_include_pad=1, **_grid(windows))
        return
    x = _padded(nodes, x, [axis.pad for axis in windows] * 2, 0)
    nodes.add("AveragePool", [x], site.tops[0], pads=[0, 0, *beyond], count_include_pad=0, **_grid(windows))


def _stochastic(nodes: Nodes, site: Site, windows) -> None:
    """Pixels weighted by themselves: sum of squares / sum."""
    whole = nodes.scalar(windows[0].kernel * windows[1].kernel)
    x = _padded(nodes, site.bottoms[0], _pads(windows), 0)
    squares = nodes.add("Mul", [x, x])
    squares, sums = (
        nodes.add("Mul", [nodes.add("AveragePool", [each], **_grid(windows)), whole]) for each in (squares, x)
    )
    nodes.add("Div", [squares, nodes.add("Add", [sums, nodes.scalar(_FLT_MIN)])], site.tops[0])
