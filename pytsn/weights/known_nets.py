"""Recognises the net of a file's layers, and whether BN-Inception is complete, by names, counts and shapes."""

import re
from collections.abc import Sequence

from converter.caffemodel import LayerBlobs
from converter.names import state_name
from converter.text_table import amount
from pytsn.models.inception_table import FEATURES, convolutions

BN_INCEPTION = "BN-Inception"
#: names of score layers: TSN's, its Kinetics nets', then those of ports and of nets trained on images
_SCORE_NAMES = ("fc_action", "new_fc", "last_linear", "fc", "classifier", "fc8", "loss3_classifier", "prob")
#: ResNet -> number of convolutions: three per bottleneck, the first one, and four projections
_RESNETS = {"ResNet-50": 53, "ResNet-101": 104, "ResNet-152": 155, "ResNet-200": 203}
_FEW = 5  # up to this many layers of the wrong shape are damage; more mean another net with the same names


def net_of(layers: Sequence[LayerBlobs]) -> str | None:
    """The net's name, None if it is unknown."""
    names = {state_name(layer.name) for layer in layers}
    kernels = [layer.blobs[0].shape for layer in layers if layer.type == "Convolution" and layer.blobs]
    products = sum(layer.type == "InnerProduct" for layer in layers)
    if "conv1_7x7_s2" in names and not any("5x5" in name for name in names):
        return BN_INCEPTION if _misshapen(layers) is not None else None
    if any(re.search(r"inception_3a_5x5$", name) for name in names):
        return "GoogLeNet"
    if len(kernels) in (94, 96) and any(shape[-2:] in ((1, 7), (7, 1)) for shape in kernels):
        return "Inception V3"
    if kernels and kernels[0][-2:] == (7, 7) and products == 1:
        near = [net for net, count in _RESNETS.items() if abs(count - len(kernels)) <= 2]
        return near[0] if near else None
    plain = {(13, 3): "VGG-16", (16, 3): "VGG-19", (5, 3): _five_layers(kernels)}
    return plain.get((len(kernels), products))


def _five_layers(kernels: Sequence[tuple[int, ...]]) -> str | None:
    sizes: dict[tuple[int, ...], str] = {
        (7, 7): "CNN-M (ClarifaiNet of the two-stream papers)",
        (11, 11): "CaffeNet or AlexNet",
    }
    return sizes.get(kernels[0][-2:]) if kernels else None


def score_layer(layers: Sequence[LayerBlobs]) -> LayerBlobs | None:
    """The layer with the class scores: an InnerProduct with a usual name, else the last InnerProduct."""
    products = [layer for layer in layers if layer.type == "InnerProduct" and layer.blobs]
    for name in _SCORE_NAMES:
        for layer in reversed(products):
            if state_name(layer.name).lower() == name:
                return layer
    return products[-1] if products else None


def input_channels(layers: Sequence[LayerBlobs]) -> int | None:
    """Channels of the net's input, as read by the first convolution."""
    for layer in layers:
        if layer.type == "Convolution" and layer.blobs and len(layer.blobs[0].shape) >= 4:
            return layer.blobs[0].shape[1]
    return None


def bn_inception_gaps(layers: Sequence[LayerBlobs]) -> list[str]:
    """What these layers lack of BN-Inception, or have in another shape; one line each, none if it is complete."""
    names = {state_name(layer.name) for layer in layers}
    expected = [state_name(conv.name) for conv in convolutions(3)]
    if any(layer.type == "BN" for layer in layers):  # BVLC's BatchNorm and Scale have various names
        expected = [name for conv in expected for name in (conv, f"{conv}_bn")]
    missing = [name for name in expected if name not in names]
    lines = list(_misshapen(layers) or ())
    if missing:
        of = f"of BN-Inception's {len(expected)} convolutions and BN layers"
        lines.append(
            f"{amount(len(missing), f'{of} is', f'{of} are')} missing, the first is '{missing[0]}';"
            f" the file's last layer is '{layers[-1].name}'"
        )
    return lines


def _misshapen(layers: Sequence[LayerBlobs]) -> list[str] | None:
    """Layers with BN-Inception's names but other shapes; None if there are so many that it is another net."""
    shapes = _expected_shapes(input_channels(layers) or 3)
    lines, known = [], 0
    for layer in layers:
        wanted = shapes.get(state_name(layer.name))
        if wanted is None or layer.type not in ("Convolution", "BN"):
            continue
        known += 1
        found = [blob.shape for blob in layer.blobs]
        if [_squeezed(shape) for shape in found] != [_squeezed(shape) for shape in wanted]:
            lines.append(f"layer '{layer.name}' has the shapes {_listed(found)}, BN-Inception has {_listed(wanted)}")
    return None if len(lines) > _FEW and len(lines) > known // 4 else lines


def _expected_shapes(in_channels: int) -> dict[str, list[tuple[int, ...]]]:
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for conv in convolutions(in_channels):
        weight = (conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
        shapes[state_name(conv.name)] = [weight, (conv.out_channels,)]
        shapes[state_name(f"{conv.name}_bn")] = [(conv.out_channels,)] * 4
    return shapes


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)  # old files pad to four axes with ones


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " ".join("x".join(map(str, shape)) or "scalar" for shape in shapes[:6]) or "none"


def score_gap(net: str | None, layer: LayerBlobs | None) -> str:
    """What is wrong with the score layer of a BN-Inception; "" if nothing is, or if there is none."""
    if net != BN_INCEPTION or layer is None or layer.blobs[0].shape[-1] == FEATURES:
        return ""
    return f"score layer '{layer.name}' reads {layer.blobs[0].shape[-1]} features, BN-Inception gives {FEATURES}"
