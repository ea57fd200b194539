"""A net as a table: layers, the shapes of their blobs and weights, numbers of parameters."""

from collections.abc import Sequence

from converter.net import CaffeNet

_HEAD = ("layer", "type", "tops", "weights", "parameters")


def inspection_lines(net: CaffeNet) -> list[str]:
    """The table of a net's inputs and layers in running order, and the total, as aligned lines."""
    rows = [_HEAD]
    rows += [(name, "input", _shape(shape), "", "") for name, shape in net.inputs.items()]
    total = 0
    for step, module in net.layers():
        weights = [getattr(module, name) for name in module.blob_names]
        count = sum(tensor.numel() for tensor in weights)
        total += count
        tops = " ".join(_shape(net.value_shapes.get(value)) for value in step.tops)
        shapes = " ".join(_shape(module.caffe_shape(name)) for name in module.blob_names)
        rows.append((step.param.name, step.param.type, tops, shapes, f"{count:,}" if weights else ""))
    layers = len(net.layers())
    return [*aligned(rows), f"{layers} layers, {total:,} parameters ({total * 4 / 1e6:,.1f} MB)"]


def aligned(rows: Sequence[Sequence[str]], right: int = 1) -> list[str]:
    """Rows of cells as lines with aligned columns, two spaces between them; the last ``right`` columns end alike."""
    columns = len(rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    justify = [str.ljust] * (columns - right) + [str.rjust] * right
    return [
        "  ".join(put(cell, width) for put, cell, width in zip(justify, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _shape(shape: tuple[int, ...] | None) -> str:
    """(64, 3, 7, 7) -> 64x3x7x7; a scalar is "scalar", what only data can tell "?"."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape)) or "scalar"
