"""A net as a table: layers, the shapes of their blobs and weights, numbers of parameters."""

from converter.net import CaffeNet
from converter.text_table import aligned, amount, shape_text

_HEAD = ("layer", "type", "tops", "weights", "parameters")


def inspection_lines(net: CaffeNet) -> list[str]:
    """The table of a net's inputs and layers in running order with the totals, as aligned lines."""
    rows = [_HEAD]
    rows += [(name, "input", shape_text(shape), "", "") for name, shape in net.inputs.items()]
    total = 0
    for step, module in net.layers():
        weights = [getattr(module, name) for name in module.blob_names]
        count = sum(tensor.numel() for tensor in weights)
        total += count
        tops = " ".join(shape_text(net.value_shapes.get(value)) for value in step.tops)
        shapes = " ".join(shape_text(module.caffe_shape(name)) for name in module.blob_names)
        rows.append((step.param.name, step.param.type, tops, shapes, f"{count:,}" if weights else ""))
    layers = len(net.layers())
    return [*aligned(rows), f"{amount(layers, 'layer')}, {amount(total, 'parameter')} ({total * 4 / 1e6:,.1f} MB)"]
