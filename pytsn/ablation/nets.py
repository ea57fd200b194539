"""The nets of an ablation: one deploy prototxt for every modality, with the modality's number of input channels."""

import os
from pathlib import Path

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.files import write_bytes
from converter.proto import filter_net, read_net
from pytsn.ablation.options import NetChoice
from pytsn.data.modalities import find_modality

_CHANNELS = 1  # axis of an input (N, C, H, W)


def with_channels(net: pb.NetParameter, channels: int, source: str) -> None:
    """Sets the number of channels of the net's only input, in place. Filters adapt: Caffe takes their depth from it.

    Raises PytsnError for a net whose input is not a single (N, C, H, W).
    """
    inputs = [layer for layer in net.layer if layer.type == "Input"]
    shapes = [*net.input_shape, *(shape for layer in inputs for shape in layer.input_param.shape)]
    count = len(net.input) + len(inputs)
    if count != 1 or len(shapes) != 1 or len(shapes[0].dim) != 4:
        raise PytsnError(f"{source}: a deploy net with one input (N, C, H, W) was expected, it has {count} inputs")
    shapes[0].dim[_CHANNELS] = channels


def write_net(choice: NetChoice, modality: str, folder: str | os.PathLike) -> str | None:
    """Writes ``NAME-MODALITY.prototxt`` and returns its path; None for the built-in BN-Inception, made by finetune.

    A file given for this modality keeps its channels. Raises PytsnError that names the file.
    """
    source = choice.file(modality)
    if source is None:
        return None
    net = filter_net(read_net(source), "TEST")
    if modality not in choice.files:
        with_channels(net, find_modality(modality).channels, source)
    path = Path(folder) / f"{choice.name}-{modality}.prototxt"
    write_bytes(path, text_format.MessageToString(net).encode())
    return str(path)
