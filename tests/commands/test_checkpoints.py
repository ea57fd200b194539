"""A checkpoint of tsn-pytorch, `.pth.tar`, without an ending or with a wrong one, at the commands that read weights."""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from converter.net import load_net
from converter.state_files import read_state
from converter.weights import save_caffemodel
from pytsn.cli import main, run_command
from pytsn.scores.score_file import read_scores
from tests.commands.eval_nets import write_frames
from tests.converter.port_checkpoints import SMALL, as_tsn_pytorch, small_state, tsn_pytorch_file
from tests.data.crop_oracles import frame_crops
from tests.finetune.finetune_runs import DATA
from tests.training.train_runs import START

NAMES = ("ucf101_rgb_model_best.pth.tar", "no_ending", "lies.caffemodel")
ORIGIN = "note: tsn-pytorch checkpoint, epoch 80, best 85.12"
MEANS = "note: trained on pixels minus 104, 117, 128 (Caffe's nets: minus 104, 117, 123)"
COUNT = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """One video's frames, a list of it, the small net, and the same checkpoint under three names."""
    root = tmp_path_factory.mktemp("checkpoints")
    write_frames(root / "frames", {"v": COUNT})
    (root / "list.txt").write_text(f"{root}/frames/v {COUNT} 3\n")
    (root / "deploy.prototxt").write_text(SMALL % 3)
    for name in NAMES:
        tsn_pytorch_file(root / name, as_tsn_pytorch(small_state()), old_layout=name == "no_ending")
    return root


def slow_scores(world: Path, means: tuple[int, ...]) -> np.ndarray:
    """(25, 10, 7) by a plain loop: the renamed weights in the unfused net, crop by crop less the means."""
    net = load_net(world / "deploy.prototxt")
    net.load_state_dict(small_state())
    step = (COUNT - 1) // 24
    rows = []
    for number in range(1, 2 + step * 24, step):
        crops = frame_crops(cv2.imread(f"{world}/frames/v/img_{number:05d}.jpg"), 24).astype(np.float32)
        for plane, mean in enumerate(means):
            crops[:, plane] -= mean
        with torch.no_grad():
            rows.append(net(torch.from_numpy(crops))["fc-action"].numpy())
    return np.stack(rows)


def eval_net(world: Path, weights, *more) -> int:
    files = [world / "deploy.prototxt", weights]
    given = ["custom", 1, "rgb", ".", *files, "--test_list", world / "list.txt", "--device", "cpu", *more]
    return run_command("eval-net", [str(item) for item in given])


@pytest.mark.parametrize("name", NAMES)
def test_eval_net_subtracts_what_the_port_subtracted(name, world, tmp_path, capsys):
    assert eval_net(world, world / name, "--save_scores", tmp_path / "s") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines.count(ORIGIN) == 1
    assert sum(line.startswith(MEANS) for line in lines) == 1
    (found,) = read_scores(tmp_path / "s.npz").scores
    wanted, caffes = slow_scores(world, (104, 117, 128)), slow_scores(world, (104, 117, 123))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert np.abs(found - caffes).max() > 1e-2 * np.abs(wanted).max()


def test_converted_files_score_the_same_and_caffemodels_as_caffe(world, tmp_path, capsys):
    outputs = [item for name in ("c.safetensors", "c.pth", "c.caffemodel") for item in ("-o", str(tmp_path / name))]
    assert run_command("convert", [f"{world}/deploy.prototxt", f"{world}/{NAMES[0]}", *outputs]) == 0
    out = capsys.readouterr().out
    assert ORIGIN in out
    assert out.count("warning: a caffemodel does not record") == 1
    for name, red in (("c.safetensors", 128), ("c.pth", 128), ("c.caffemodel", 123)):
        assert eval_net(world, tmp_path / name, "--save_scores", tmp_path / f"{name}.npz") == 0
        (found,) = read_scores(tmp_path / f"{name}.npz").scores
        wanted = slow_scores(world, (104, 117, red))
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


def test_features_and_predict(world, tmp_path, capsys):
    given = [f"{world}/list.txt", "-o", f"{tmp_path}/f.npz", "--modality", "rgb", "--blob", "fc-action"]
    given += ["--net", f"{world}/deploy.prototxt", f"{world}/{NAMES[0]}", "--crops", "all", "--device", "cpu"]
    assert run_command("features", given) == 0
    err = capsys.readouterr().err
    assert (err.count(ORIGIN), err.count(MEANS)) == (1, 1)
    with np.load(tmp_path / "f.npz") as found:
        wanted = slow_scores(world, (104, 117, 128))
        assert np.abs(found["features_000000"] - wanted).max() <= 1e-5 * np.abs(wanted).max()
    given = ["--rgb", f"{world}/deploy.prototxt", f"{world}/{NAMES[1]}", "--no_picture", "--device", "cpu"]
    assert run_command("predict", [f"{world}/frames/v", *given]) == 0
    err = capsys.readouterr().err
    assert (err.count(ORIGIN), err.count(MEANS)) == (1, 1)


def test_verify_parity_and_identify(world, capsys):
    assert run_command("verify-parity", [f"{world}/deploy.prototxt", f"{world}/{NAMES[0]}"]) == 0
    assert ORIGIN in capsys.readouterr().out
    assert run_command("identify", [f"{world}/no_ending"]) == 1  # for most of BN-Inception's layers are missing
    assert "tsn-pytorch checkpoint, epoch 80, best 85.12" in capsys.readouterr().out


def test_init_flow(world, tmp_path, capsys):
    assert run_command("init-flow", [f"{world}/{NAMES[0]}", "-o", f"{tmp_path}/flow.caffemodel"]) == 2
    assert "the suffix selects an output's format" in capsys.readouterr().err
    assert run_command("init-flow", [f"{world}/{NAMES[0]}", "-o", f"{tmp_path}/flow.safetensors"]) == 0
    state, metadata = read_state(tmp_path / "flow.safetensors")
    mean = small_state()["conv1_7x7_s2.weight"].double().mean(1)
    for plane in range(10):
        np.testing.assert_allclose(state["conv1_7x7_s2.weight"][:, plane], mean, rtol=1e-6, atol=1e-9)
    assert torch.equal(state["fc_action.weight"], small_state()["fc_action.weight"])
    assert (metadata["origin_port"], "means" in metadata) == ("tsn-pytorch", False)
    (tmp_path / "rgb.prototxt").write_text(SMALL % 3)
    net = load_net(tmp_path / "rgb.prototxt")
    net.load_state_dict(small_state())
    save_caffemodel(tmp_path / "rgb", net)
    assert run_command("init-flow", [f"{tmp_path}/rgb", "-o", f"{tmp_path}/both.pth"]) == 0
    both, _ = read_state(tmp_path / "both.pth")
    assert torch.equal(both["conv1_7x7_s2.weight"], state["conv1_7x7_s2.weight"])


def test_finetune_and_train_start_from_what_lies_in_the_file(own_tiny, capsys):
    """The start caffemodel's weights as a checkpoint with more than tensors in it: the same losses, line by line."""
    net = load_net("rgb_step/train_val.prototxt", START, "TRAIN")
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "args": argparse.Namespace(x=1)}, "start.pth.tar")
    shutil.copy(START, "start.pth")
    logs = []
    for start in (START, "start.pth.tar", "start.pth"):
        shutil.rmtree("run", ignore_errors=True)
        more = ["--batch_size=2", "--accumulate=1", "--set=max_iter=2", "--set=display=1", "--seed=3"]
        assert (
            main(["finetune", "list.txt", "--net=deploy.prototxt", f"--init={start}", "--out=run", *DATA, *more]) == 0
        )
        logs.append([line for line in capsys.readouterr().out.splitlines() if "loss" in line])
    assert logs[0]
    assert logs[0] == logs[1] == logs[2]
    logs = []
    for start in (START, "start.pth.tar", "start.pth"):
        more = ["--set=max_iter=2", "--set=test_iter=", "--set=snapshot_prefix=ours", "--workers=0"]
        assert main(["train", "--solver=det_fixed/solver.prototxt", f"--weights={start}", *more]) == 0
        logs.append([line for line in capsys.readouterr().out.splitlines() if "loss" in line])
    assert logs[0]
    assert logs[0] == logs[1] == logs[2]
