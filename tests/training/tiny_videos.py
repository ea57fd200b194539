"""The six videos of the tiny runs, made by their formulas, in a folder that looks as Caffe's current folder did."""

import importlib.util
import shutil
from pathlib import Path

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb


def make_tiny_run(recordings: Path, folder: Path) -> Path:
    """``folder`` with lists, prototxts and recordings of tests/recordings/tiny, and the frames."""
    shutil.copytree(recordings / "tiny", folder)
    spec = importlib.util.spec_from_file_location("tiny_frames", folder / "frames.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(str(folder / "frames"))
    return folder


def video_layer(text: str) -> pb.LayerParameter:
    """A VideoData layer with tops data and label; ``text`` gives its video_data_param and transform_param."""
    layer = pb.LayerParameter(name="data", type="VideoData", top=["data", "label"])
    return text_format.Parse(text, layer)
