"""The folder in which the pages' commands run: files under the names that the pages use, small where they can be.

demo/           what `pytsn demo` leaves, as far as the pages read it; its two nets are recorded (tests/recordings/demo)
*_deploy.prototxt, *.caffemodel, *.pth      nets of three layers in place of BN-Inception
ucf101_split_1_...caffemodel, found...      BN-Inception with random weights
data/, FRAMES/, UCF-101/, VIDEOS/, *.txt     four videos of two of UCF101's classes
"""

import shutil
from itertools import product
from pathlib import Path

import cv2
import torch

from converter.convert import write_net
from converter.net import load_net
from converter.recording import record_blobs
from converter.weights import save_caffemodel
from pytsn.demo.dataset import plan_dataset, write_splits
from pytsn.demo.training import stream_files, write_training_files
from pytsn.demo.videos import CLASSES, render, write_video
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import WRITERS
from tests.flow.flow_videos import make_video, moving_frames

SHOWN_VIDEO = "v_StarRocks_g12_c01"
_UPDATES = {"rgb": 500, "flow": 240}  # of the demo's nets
_CHANNELS = {"rgb": 3, "flow": 10}
_NET = """
name: "small" input: "data" input_shape {{ dim: 1 dim: {channels} dim: 224 dim: 224 }}
layer {{ name: "conv1/7x7_s2" type: "Convolution" bottom: "data" top: "conv1/7x7_s2" convolution_param {{ num_output: 6
        kernel_size: 7 stride: 16 weight_filler {{ type: "gaussian" std: 0.02 }} }} }}
layer {{ name: "conv1/relu" type: "ReLU" bottom: "conv1/7x7_s2" top: "conv1/7x7_s2" }}
layer {{ name: "inception_3a/output" type: "Pooling" bottom: "conv1/7x7_s2" top: "inception_3a/output"
        pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "global_pool" type: "Pooling" bottom: "inception_3a/output" top: "global_pool"
        pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param {{ num_output: 101 weight_filler {{ type: "gaussian" std: 0.02 }} }} }}
"""
_LOSS = """
input: "label" input_shape { dim: 1 }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc-action" bottom: "label" top: "loss" }
"""


def make_workspace(root: Path, recordings: Path) -> Path:
    """Fills the folder; a few seconds."""
    _make_demo(root / "demo", recordings / "demo")
    _make_small_nets(root)
    _make_bn_inception(root)
    _make_dataset(root)
    return root


def _make_demo(root: Path, recordings: Path) -> None:
    data = plan_dataset(root, 10, 4, 25, 0)
    clip = next(clip for clip in data.test if clip.name == SHOWN_VIDEO)
    data.video(clip).parent.mkdir(parents=True)
    write_video(data.video(clip), render(clip))
    write_splits(data)
    for modality, updates in _UPDATES.items():
        files = stream_files(root, modality, updates)
        write_training_files(files, len(CLASSES), 64, 0)
        shutil.copy(recordings / files.snapshot.name, files.snapshot)
        write_net(load_net(files.deploy, files.snapshot), str(files.converted(".safetensors")), {})


def _make_small_nets(root: Path) -> None:
    for stream, channels in _CHANNELS.items():
        proto = root / f"{stream}_deploy.prototxt"
        proto.write_text(_NET.format(channels=channels))
        net = load_net(proto, generator=torch.Generator().manual_seed(channels))
        save_caffemodel(root / f"{stream}.caffemodel", net)
        write_net(net, str(root / f"{stream}.pth"), {})
    copies = {"deploy.prototxt": "rgb_deploy.prototxt", "net.caffemodel": "rgb.caffemodel"}
    for copy, own in copies.items():
        shutil.copy(root / own, root / copy)
    (root / "train_val.prototxt").write_text(_NET.format(channels=3) + _LOSS)
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 255 - 128
    record_blobs(load_net(root / "deploy.prototxt", root / "net.caffemodel"), {"data": x.numpy()}, root / "forward.npz")


def _make_bn_inception(root: Path) -> None:
    proto = root / "bn_inception.prototxt"
    proto.write_text(WRITERS["deploy"](NetSpec("ucf101", "rgb")))
    net = load_net(proto, generator=torch.Generator().manual_seed(0))
    for name in ("ucf101_split_1_tsn_rgb_reference_bn_inception", "tsn_rgb", "found"):
        save_caffemodel(root / f"{name}.caffemodel", net)
    write_net(net, str(root / "model.safetensors"), {})
    _make_checkpoint_of_another_port(root / "ucf101_bninception_rgb_checkpoint.pth", net)


def _make_dataset(root: Path) -> None:
    """Split files of 101 classes, two of them with a training and a test video; frames; short videos."""
    names = ["Archery", "Bowling", *(f"Class{number}" for number in range(3, 102))]
    splits = root / "data" / "ucf101_splits"
    splits.mkdir(parents=True)
    numbered = "".join(f"{number} {name}\n" for number, name in enumerate(names, start=1))
    (splits / "classInd.txt").write_text(numbered)
    (root / "classInd.txt").write_text(numbered)
    for split in (1, 2, 3):
        trained = "".join(f"{name}/v_{name}_g01_c01.avi {number}\n" for number, name in enumerate(names[:2], start=1))
        (splits / f"trainlist{split:02d}.txt").write_text(trained)
        (splits / f"testlist{split:02d}.txt").write_text("".join(f"{n}/v_{n}_g02_c01.avi\n" for n in names[:2]))
    for seed, (name, group) in enumerate(product(names[:2], (1, 2))):
        _write_frames(root / "FRAMES" / f"v_{name}_g{group:02d}_c01", seed)
        make_video(root / "UCF-101" / name / f"v_{name}_g{group:02d}_c01.avi", 3, seed=seed)
    lines = [f"FRAMES/v_{name}_g02_c01 5 {label}\n" for label, name in enumerate(names[:2])]
    for path in ("rgb_list.txt", "data/ucf101_rgb_val_split_1.txt", "diving_train.txt", "diving_val.txt"):
        (root / path).write_text("".join(lines))
    make_video(root / "VIDEO.avi", 4)
    make_video(root / "VIDEOS" / "Archery" / "v_Archery_g03_c01.avi", 3)
    shutil.copy(root / "VIDEO.avi", root / "diving.mp4")  # decoders go by what is in the file


def _write_frames(folder: Path, seed: int) -> None:
    """Five frames and pairs of 85x64, as `build-of` names them."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(moving_frames(5, 64, 85, seed), start=1):
        cv2.imwrite(str(folder / f"img_{number:05d}.jpg"), frame)
        for axis in (0, 1):
            cv2.imwrite(str(folder / f"flow_{'xy'[axis]}_{number:05d}.jpg"), frame[..., axis])


def _make_checkpoint_of_another_port(path: Path, net) -> None:
    """As tsn-pytorch saves a net of 101 classes: its keys, inside a checkpoint."""
    names = {"fc_action.weight": "module.new_fc.weight", "fc_action.bias": "module.new_fc.bias"}
    state = {names.get(key, f"module.base_model.{key}"): value for key, value in net.state_dict().items()}
    torch.save({"epoch": 80, "arch": "BNInception", "state_dict": state, "best_prec1": 85.0}, path)
