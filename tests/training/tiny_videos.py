"""The six videos of the tiny runs, made by their formulas, in a folder that looks as Caffe's current folder did."""

import importlib.util
import os
import shutil
from pathlib import Path

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.proto import filter_net, read_net


def make_tiny_run(recordings: Path, folder: Path) -> Path:
    """``folder`` with lists, prototxts and recordings of tests/recordings/tiny, the frames, a deploy.prototxt of the
    rgb net and an empty folder ours/ for snapshots."""
    shutil.copytree(recordings / "tiny", folder)
    spec = importlib.util.spec_from_file_location("tiny_frames", folder / "frames.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(str(folder / "frames"))
    deploy_of(folder / "rgb_step" / "train_val.prototxt", folder / "deploy.prototxt")
    (folder / "ours").mkdir()
    return folder


def copy_tiny_run(source: Path, folder: Path) -> Path:
    """A copy that may be changed. Its frames are links: unlink one before writing another in its place."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("frames"))
    shutil.copytree(source / "frames", folder / "frames", copy_function=os.link)
    return folder


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


def video_layer(text: str) -> pb.LayerParameter:
    """A VideoData layer with tops data and label; ``text`` gives its video_data_param and transform_param."""
    layer = pb.LayerParameter(name="data", type="VideoData", top=["data", "label"])
    return text_format.Parse(text, layer)


_RGB = """video_data_param { source: "SOURCE" batch_size: 2 new_length: LENGTH num_segments: 3 modality: RGB
  name_pattern: "img_%05d.png" } transform_param { crop_size: 40 SCALE }"""


def rgb_layer(source: object, length: int = 1, extra: str = "") -> pb.LayerParameter:
    """A VideoData layer of 3 rgb segments, 40x40 pixels, batches of 2."""
    return video_layer(_RGB.replace("SOURCE", str(source)).replace("LENGTH", str(length)).replace("SCALE", extra))
