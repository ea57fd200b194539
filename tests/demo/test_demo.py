"""The demo's parts: what its videos show, its flow images, its nets and their training, and all of it end to end."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from converter.net import load_net
from converter.proto import read_net, read_solver
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.frame_folders import make_videos, parse_directory
from pytsn.data.frame_images import load_cv2
from pytsn.data.splits import parse_split_file
from pytsn.demo import videos
from pytsn.demo.dataset import plan_dataset, write_splits, write_videos
from pytsn.demo.nets import FEATURE_BLOB, SCORE_BLOB, STREAMS, deploy_prototxt, train_val_prototxt
from pytsn.demo.run import clear_folder
from pytsn.demo.summary import evaluate, fusion_wins
from pytsn.demo.training import stream_files, write_training_files
from pytsn.demo.weights import edge_filters
from pytsn.flow.quantise import quantise_flow
from pytsn.runtime.locks import only_user

TOOL = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


def clip(shape: str, motion: str, seed: int = 0, frames: int = 9) -> videos.Clip:
    return videos.Clip("v_x_g01_c01", shape, motion, frames, (seed,))


# By hand: 255 * (v + 20) / 40. No motion gives 127.5, which rounds to the even 128; 10 gives 191.25, -10 gives 63.75,
# 8 gives 178.5 (even: 178), 4/255 gives 127.6; beyond 20 is clipped.
@pytest.mark.parametrize(
    ("flow", "grey"),
    [
        (0.0, 128),
        (20.0, 255),
        (-20.0, 0),
        (99.0, 255),
        (-99.0, 0),
        (10.0, 191),
        (-10.0, 64),
        (4 / 255, 128),
        (8.0, 178),
    ],
)
def test_flow_mapping(flow, grey):
    assert quantise_flow(np.array([flow], np.float32)) == grey


def test_flow_mapping_rounds_half_to_even():
    exact = (np.arange(255) + 0.5) * 40 / 255 - 20  # real numbers right between two grey values
    values = 255 * (exact + 20) / 40
    ties = values == np.arange(255) + 0.5  # those that stay ties in binary
    assert ties.sum() > 100  # the test has something to look at
    assert (quantise_flow(exact)[ties] % 2 == 0).all()


def test_clips_are_determined_by_seed_and_differ_otherwise():
    first, again, other = (videos.render(clip("Star", "Rocks", seed)) for seed in (3, 3, 4))
    assert first.shape == (9, videos.HEIGHT, videos.WIDTH, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_plan_has_every_class_and_no_clip_twice():
    plan = plan_dataset("x", 3, 2, 9, 0)
    assert len(plan.train) == 3 * 16
    assert len(plan.test) == 2 * 16
    assert len({each.seed for each in plan.train + plan.test}) == 5 * 16
    assert len({each.name for each in plan.train + plan.test}) == 5 * 16


@pytest.mark.parametrize(
    ("motion", "moving"), [("Slides", (1, 0, 0)), ("Rises", (0, -1, 0)), ("Falls", (0, 1, 0)), ("Rocks", (0, 0, 1))]
)
def test_only_the_named_motion_moves(motion, moving):
    for seed in range(8):
        path = videos.trajectory(clip("Disc", motion, seed, 31), np.random.default_rng(seed))
        assert tuple(np.ptp(path, axis=0) > 1e-9) == tuple(bool(part) for part in moving)
        if moving[1]:  # image rows count downwards
            assert np.sign(path[-1, 1] - path[0, 1]) == moving[1]


def test_frames_look_alike_in_all_motions():
    """Mean and spread of place and tilt over many clips agree between the motions: a frame does not tell its motion."""
    place = {
        motion: np.concatenate(
            [videos.trajectory(clip("Disc", motion, seed, 31), np.random.default_rng(seed)) for seed in range(400)]
        )
        for motion in videos.MOTIONS
    }
    # (31 * 400, 3). 400 clips, spreads of about 60 and 30 pixels and 13 degrees: a mean is known to 3, 1.5 and 0.6,
    # and the bounds are three of these; a trajectory that started at its clip's place would be off by 45 pixels.
    for points in place.values():
        assert (abs(points.mean(axis=0) - (170, 128, 0)) < (9, 6, 2.5)).all()
        assert (abs(points.std(axis=0) / place["Slides"].std(axis=0) - 1) < 0.12).all()


def test_dataset_is_read_as_ucf101(tmp_path):
    dataset = plan_dataset(tmp_path, 1, 1, 3, seed=5)
    write_videos(dataset)
    folders = [str(tmp_path / "videos"), str(tmp_path / "frames")]
    size = ["--new_width", "34", "--new_height", "26", "--algorithm", "dis", "--num_worker", "1"]
    assert run_command("build-of", [*folders, *size]) == 0
    split = parse_split_file("ucf101", write_splits(dataset))[0]
    assert [name for name, _ in split.train] == [each.name for each in dataset.train]
    found = make_videos(split.test, parse_directory(str(tmp_path / "frames")))
    assert [video.label for video in found] == list(range(16))
    assert {(video.rgb_count, video.flow_count) for video in found} == {(2, 2)}
    assert [video.name for video in found] == [f"v_{name}_g02_c01" for name in videos.CLASSES]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_deploy_net(stream, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(deploy_prototxt(stream, 7))
    net = load_net(path)
    assert net.outputs == (SCORE_BLOB,)
    assert net.inputs == {"data": (1, stream.channels, 224, 224)}
    assert net.blob_shapes[FEATURE_BLOB] == (1, stream.widths[-1], 1, 1)
    assert net.blob_shapes[SCORE_BLOB] == (1, 7)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_deploy_net_is_the_trained_net_on_larger_pixels(stream, tmp_path):
    """Frames of half the size, every pixel drawn as 2x2: the deploy net's scores, averaged over a video's snippets, are
    the scores of the train_val net with the same weights."""
    deploy, train_val = tmp_path / "deploy.prototxt", tmp_path / "train_val.prototxt"
    deploy.write_text(deploy_prototxt(stream, 5))
    train_val.write_text(train_val_prototxt(stream, 5, tmp_path / "a.txt", tmp_path / "b.txt", 2, 0.4))
    net = load_net(deploy, generator=torch.Generator().manual_seed(0))
    for name, buffer in net.named_buffers():
        if name.endswith("running_var"):  # a new BN has none yet
            buffer.copy_(torch.linspace(0.5, 2, len(buffer)))
    save_caffemodel(tmp_path / "net.caffemodel", net)
    whole = load_net(train_val, tmp_path / "net.caffemodel", phase="TEST")
    snippets = torch.randn(2 * 3, stream.channels, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        large = snippets.repeat_interleave(2, 2).repeat_interleave(2, 3)  # (6, C, 112, 112) -> (6, C, 224, 224)
        scores = net(large)[SCORE_BLOB].reshape(2, 3, 5).mean(1)
        data = snippets.reshape(2, 3 * stream.channels, 112, 112)
        found = whole({"data": data, "label": torch.tensor([4, 1])}, blobs=("pool_fc", "loss"))
    assert found["pool_fc"].shape == (2, 1, 1, 5)
    # the same sums of float32 on maps of another size
    torch.testing.assert_close(found["pool_fc"].reshape(2, 5), scores, rtol=1e-4, atol=1e-5 * float(scores.abs().max()))
    loss = -scores.double().log_softmax(1)[[0, 1], [4, 1]].mean()
    torch.testing.assert_close(found["loss"].double().reshape(()), loss, rtol=1e-4, atol=0)


def test_training_files_start_where_they_say(tmp_path):
    """rgb starts from edge filters that stay (learning rate 0), flow from none; solvers name lists and nets that train
    can read, and a seed that fits."""
    for modality, given in (("rgb", True), ("flow", False)):
        files = stream_files(tmp_path, modality, 30)
        written = write_training_files(files, 16, tested=33, seed=2**70 + 5)
        assert all(path.is_file() for path in written)
        assert (files.start in written) == given == (files.start is not None)
        solver = read_solver(files.solver)
        assert (solver.net, solver.max_iter, solver.random_seed) == (str(files.train_val), 30, 5)
        assert list(solver.test_iter) == [3]  # batches of 16 that cover 33 videos
        assert solver.snapshot_prefix + "_iter_30.caffemodel" == str(files.snapshot)
        conv1 = next(layer for layer in read_net(files.train_val).layer if layer.name == "conv1")
        assert conv1.param[0].lr_mult == (0 if given else 1)
    start = load_net(stream_files(tmp_path, "rgb", 30).deploy, stream_files(tmp_path, "rgb", 30).start)
    np.testing.assert_array_equal(start.conv1.weight.detach().numpy(), edge_filters(16, 5))


def test_edge_filters_ignore_colour_and_see_edges():
    filters = edge_filters(8, 7)
    assert filters.shape == (8, 3, 7, 7)
    np.testing.assert_allclose(filters.sum(axis=(2, 3)), 0, atol=1e-6)
    step = np.zeros((3, 7, 7), np.float32)
    step[:, :, 4:] = 100  # brighter to the right: filter 0 looks that way, filter 4 the other, 2 and 6 along the edge
    response = (filters * step).sum(axis=(1, 2, 3))
    assert response.argmax() == 0
    assert response.argmin() == 4
    np.testing.assert_allclose(response[[2, 6]], 0, atol=1e-4)
    np.testing.assert_allclose(response[:4], -response[4:], atol=1e-4)


def test_summary_counts_shape_and_motion_apart():
    labels = np.array([0, 5, 10, 15, 15])  # DiscSlides, SquareRises, TriangleFalls, StarRocks twice
    predicted = np.array([1, 5, 2, 15, 3])  # motion wrong, right, shape wrong, right, shape wrong
    result = evaluate("rgb", np.eye(16)[predicted], labels)
    assert (result.shape, result.motion) == (0.6, 0.8)
    assert result.accuracy == pytest.approx((0 + 1 + 0 + 0.5) / 4)  # mean over the four classes that have videos
    assert result.confusion[15, 3] == result.confusion[15, 15] == 1
    assert result.confusion.sum() == 5
    right = evaluate("fused", np.eye(16)[labels], labels)
    assert fusion_wins([result, result, right])
    assert not fusion_wins([result, right, right])


def test_folder_of_others_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert run_command("demo", ["--quick", "-o", str(tmp_path)]) == 2
    assert "holds files that are not a demo's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_folder_of_an_earlier_demo_is_emptied(tmp_path):
    root = tmp_path / "demo"
    clear_folder(root)
    (root / "frames").mkdir()
    (root / "frames" / "old.jpg").write_bytes(b"x")
    clear_folder(root)
    assert sorted(path.name for path in root.iterdir()) == [".pytsn-demo", "models"]


_RGB_WEIGHTS = ("models/demo_rgb_start.caffemodel", "train_rgb/demo_rgb_iter_240.caffemodel")


@pytest.mark.slow
def test_quick_demo_end_to_end(tmp_path):
    """The fused accuracy beats both streams on videos that neither net has seen; each stream does what it can and
    not what it cannot: chance of the half it does not see is 25 %.

    Rounding (threads, libraries) makes another course of training, as another seed does. Of training
    seeds 0 to 5 fused is 40 to 59 points above the better stream, rgb's shapes are 87 to 100 % right, its motions 21 to
    32 %, flow's motions 96 to 100 %; of seed 0, with another order of sums, 56 points, 100 %, 31 % and 97 %. No bound
    is nearer than two wrong videos of 32 to any of these.
    """
    root = tmp_path / "demo"
    # a process of its own, as users have it: it chooses how torch's threads wait before torch loads
    command = [sys.executable, str(TOOL), "--quick", "-o", str(root)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    out = run.stdout
    streams = json.loads((root / "results.json").read_text())["streams"]
    accuracy = {name: stream["accuracy"] for name, stream in streams.items()}
    assert accuracy["fused"] > max(accuracy["rgb"], accuracy["flow"]) + 0.15
    assert streams["rgb"]["shape_accuracy"] > 0.8
    assert streams["rgb"]["motion_accuracy"] < 0.55
    assert streams["flow"]["motion_accuracy"] > 0.9
    start, end = (load_net(root / "models/demo_rgb_deploy.prototxt", root / path) for path in _RGB_WEIGHTS)
    assert torch.equal(start.conv1.weight, end.conv1.weight)  # given, and left alone
    assert not torch.equal(start.conv2.weight, end.conv2.weight)
    assert f"Accuracy {accuracy['rgb'] * 100:.02f}%" in out  # what eval-net printed, and what the report counted
    assert f"Accuracy {accuracy['flow'] * 100:.02f}%" in out
    assert f"Final accuracy {accuracy['fused'] * 100:02f}%" in out
    for name in ("rgb_start.caffemodel", "rgb.safetensors", "rgb.onnx", "flow.onnx", "flow_deploy.prototxt"):
        assert (root / "models" / f"demo_{name}").stat().st_size > 500
    for name in (
        "train_rgb/loss.png",
        "train_rgb/accuracy.png",
        "train_flow/loss.png",
        "confusion.png",
        "confusion_rgb.png",
        "confusion_flow.png",
        "confusion_fused.png",
    ):
        assert min(load_cv2().imread(str(root / name)).shape[:2]) > 500
    for name in ("rgb", "flow", "fused"):
        assert np.array(streams[name]["confusion"]).sum() == 32
        assert f"{name:<8}{accuracy[name]:>10.1%}" in (root / "results.txt").read_text()


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path, capsys):
    """It would empty the folder under the first one."""
    (tmp_path / ".pytsn-demo").touch()
    with only_user(tmp_path, "this test"):
        before = sorted(tmp_path.iterdir())
        assert run_command("demo", ["-o", str(tmp_path)]) == 2
        assert sorted(tmp_path.iterdir()) == before
    assert f"error: {tmp_path}: another demo is at work there" in capsys.readouterr().err
