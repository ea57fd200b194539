"""The tiny nets and videos for tests of `pytsn finetune`."""

from pathlib import Path

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.proto import filter_net, read_net
from tests.training.tiny_videos import make_tiny_run

#: what the tiny videos need: lossless frames under their own names
DATA = ("--set=name_pattern=img_%05d.png", "--workers=0", "--device=cpu")


def deploy_of(train_val: Path, path: Path) -> Path:
    """Writes the deploy net of a tiny train_val prototxt: without data, consensus, loss; scores named fc-action."""
    net = filter_net(read_net(train_val), "TEST")
    layers = {layer.name: layer for layer in net.layer}
    crop = layers["data"].transform_param.crop_size
    first = next(index for index, layer in enumerate(net.layer) if layer.type == "Reshape")
    last = next(index for index, layer in enumerate(net.layer) if layer.name == "fc-action")
    kept = net.layer[first + 1 : last + 1]
    kept[0].bottom[:] = ["data"]
    kept[-1].top[:] = ["fc-action"]
    channels = net.layer[first].reshape_param.shape.dim[1]
    deploy = pb.NetParameter(name=net.name, layer=kept, input=["data"])
    deploy.input_shape.add(dim=[1, channels, crop, crop])
    path.write_text(text_format.MessageToString(deploy))
    return path


def make_finetune_run(recordings: Path, folder: Path) -> Path:
    """The tiny runs' folder, with ``deploy.prototxt`` of the rgb net."""
    make_tiny_run(recordings, folder)
    deploy_of(folder / "rgb_step" / "train_val.prototxt", folder / "deploy.prototxt")
    return folder
