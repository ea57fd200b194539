"""The ablation on the videos of `pytsn demo`: small nets of one, two and three levels, and schedules of a minute.

The nets are the demo's (pytsn/demo/nets.py), for every modality, with dropout before the classifier. As in the demo,
the first filters of rgb nets are fixed: edge filters that ignore colour.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.files import explain_os_error, write_bytes
from converter.proto import parse_net
from pytsn.data.modalities import MODALITIES
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.demo.nets import FEATURE_BLOB, Stream, deploy_prototxt
from pytsn.demo.training import BASE_LR, BATCH, DROPOUT
from pytsn.demo.videos import CLASSES
from pytsn.demo.weights import write_start

#: channels of the levels; the first net also serves the other tables
LEVELS = {"levels3": (16, 32, 64), "levels2": (16, 32), "levels1": (16,)}
_ITERATIONS = ("300", "flow=200", "warped=200")
_SNIPPETS = 5  # of a test: the demo's 24 frames cannot be spread over 25
_FRAME_SIZE = [f"new_{side}={pixels}" for side, pixels in zip(("width", "height"), FRAME_SIZE, strict=True)]
_SEED = 0  # of the start weights, the same in every run


def demo_stream(modality: str, widths: tuple[int, ...]) -> Stream:
    """The demo's stream of a modality, with ``widths`` channels per level."""
    return Stream(modality, widths, conv1_given=not MODALITIES[modality].training.cross_modality)


def with_dropout(text: str, ratio: float) -> str:
    """The demo's deploy prototxt with a Dropout layer before its classifier, the last layer."""
    net = parse_net(text)
    drop = pb.LayerParameter(name="dropout", type="Dropout", bottom=[FEATURE_BLOB], top=[FEATURE_BLOB])
    drop.dropout_param.dropout_ratio = ratio
    layers = [*net.layer]
    del net.layer[:]
    net.layer.extend([*layers[:-1], drop, layers[-1]])
    return text_format.MessageToString(net)


def apply_demo(args: argparse.Namespace) -> None:
    """Fills in, in place, the options that the user has not given; the user's --set comes after the demo's."""
    found = dict(demo_arguments(Path(args.frame_path), Path(args.out)))
    found["set"] = [*found["set"], *(args.set or [])]
    for wish, own in (("net", "init"), ("epochs", "iterations"), ("solver", "iterations"), ("solver", "lr")):
        if getattr(args, wish):
            found.pop(own, None)
    for name, value in found.items():
        if name in ("dataset", "frame_path", "set") or getattr(args, name) is None:
            setattr(args, name, value)


def demo_arguments(demo: Path, out: Path) -> Mapping[str, Any]:
    """Arguments of `pytsn ablation` by name, for a folder that `pytsn demo` made. Writes nets and start weights below
    ``out``. Raises PytsnError for any other folder."""
    if not (demo / "data" / "ucf101_splits" / "classInd.txt").is_file() or not (demo / "frames").is_dir():
        raise PytsnError(f"{demo}: not a folder that `pytsn demo` made: it lacks data/ucf101_splits or frames")
    nets, inits = [], []
    folder = out / "demo_nets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from None
    for name, widths in LEVELS.items():
        for modality in MODALITIES:
            path = folder / f"{name}_{modality}.prototxt"
            write_bytes(
                path, with_dropout(deploy_prototxt(demo_stream(modality, widths), len(CLASSES)), DROPOUT).encode()
            )
            nets.append(f"{name}:{modality}={path}")
        start = folder / f"{name}_rgb_start.caffemodel"
        write_start(start, folder / f"{name}_rgb.prototxt", _SEED)
        inits += [f"{name}:rgb={start}", *(f"{name}:{each}=none" for each in MODALITIES if each != "rgb")]
    warped = demo / "warped"
    return {
        "dataset": "ucf101",
        "title": "Videos of pytsn demo",
        "frame_path": str(demo / "frames"),
        "split_path": str(demo / "data"),
        "warped_path": str(warped) if warped.is_dir() else None,
        "net": nets,
        "init": inits,
        "iterations": [*_ITERATIONS],
        "lr": [str(BASE_LR)],
        "dropout": [str(DROPOUT)],
        "batch_size": BATCH,
        "num_frame_per_video": _SNIPPETS,
        "accumulate": 1,
        "partial_bn": "no",
        "set": ["lr_policy=poly", "power=1", "clip_gradients=-1", *_FRAME_SIZE],
    }
