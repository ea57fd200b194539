"""BN-Inception with the weights of a recipe, which Caffe ran as well (tests/recordings/bn_inception)."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.names import state_name
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt

BN_ORDER = ("weight", "bias", "running_mean", "running_var")  # slope, bias, mean, variance in the caffemodel


def deploy_net(modality: str = "rgb", classes: int = 101) -> pb.NetParameter:
    """The deploy prototxt as `pytsn make-prototxt` writes it, parsed."""
    spec = NetSpec("custom", modality, num_classes=classes)
    return text_format.Parse(deploy_prototxt(spec), pb.NetParameter())


def recipe_state(recordings: Path, net: pb.NetParameter, channels: int) -> dict[str, torch.Tensor]:
    """The state dict of tests/recordings/bn_inception/recipe.py, shapes worked out from the layers of the prototxt."""
    spec = importlib.util.spec_from_file_location("recipe", recordings / "bn_inception" / "recipe.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    state = {}
    for name, kind, shapes in layer_shapes(net, channels):
        blobs = recipe.recipe(name, kind, shapes)
        state |= {f"{state_name(name)}.{key}": torch.from_numpy(b) for key, b in zip(BN_ORDER, blobs, strict=False)}
    return state


def layer_shapes(net: pb.NetParameter, channels: int) -> Iterator[tuple[str, str, list[tuple[int, ...]]]]:
    """(name, type, blob shapes) of each layer with weights, by following channel counts through the graph."""
    width = {"data": channels}
    for layer in net.layer:
        bottom, top = width[layer.bottom[0]], layer.top[0]
        width[top] = bottom
        if layer.type == "Convolution":
            param = layer.convolution_param
            width[top] = param.num_output
            kernel = param.kernel_size[0]
            yield layer.name, layer.type, [(param.num_output, bottom, kernel, kernel), (param.num_output,)]
        elif layer.type == "BN":
            yield layer.name, layer.type, [(1, bottom)] * 4
        elif layer.type == "InnerProduct":
            outputs = layer.inner_product_param.num_output
            yield layer.name, layer.type, [(outputs, bottom), (outputs,)]
        elif layer.type == "Concat":
            width[top] = sum(width[name] for name in layer.bottom)
