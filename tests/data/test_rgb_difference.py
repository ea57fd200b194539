"""RGB difference in evaluation, training and prototxts, against loops over frames that cv2 reads."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.caffemodel import read_caffemodel, write_caffemodel
from converter.errors import PytsnError
from converter.net import load_net
from converter.proto import parse_net
from converter.weights import save_caffemodel
from pytsn.caffe_random.generator import CaffeRng
from pytsn.cli import run_command
from pytsn.data.rgb_difference import frame_differences
from pytsn.data.snippet_reader import SnippetOptions, read_snippet, video_ticks
from pytsn.data.snippet_ticks import frame_ticks
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.models import BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt, solver_prototxt, train_val_prototxt
from pytsn.scores.score_file import read_scores
from pytsn.training.input.data_layers import DataLayers
from pytsn.training.input.video_data import VideoData
from tests.converter.nets import build
from tests.training.tiny_videos import video_layer

SIZE = 24
NET = """
input: "data" input_shape { dim: 1 dim: %d dim: 24 dim: 24 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 5
        stride: 3 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc-action" type: "InnerProduct" bottom: "pool" top: "fc-action" inner_product_param { num_output: 4
        weight_filler { type: "gaussian" std: 1 } } }
"""
COUNTS = {"short": 4, "long": 45}


def by_loop(frames, kind):
    """int frames F x (H, W, 3) -> float32 (3 (F - 1), H, W), one pixel plane after the other."""
    planes = []
    for before, after in pairwise(frames):
        for colour in range(3):
            change = after[:, :, colour].astype(int) - before[:, :, colour].astype(int)
            planes.append(abs(change) if kind == "absolute" else change)
    return np.array(planes, np.float32)


@pytest.mark.parametrize("kind", ["signed", "absolute"])
@pytest.mark.parametrize("colours", [1, 3])
def test_differences(kind, colours):
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 256, (2, 5 * 4 * colours, 7, 9), np.uint8)  # 5 segments of 4 frames
    found = frame_differences(torch.from_numpy(planes), 4, 5, kind)
    assert found.dtype == torch.float32
    assert found.shape == (2, 5 * 3 * colours, 7, 9)
    for video in range(2):
        for segment in range(5):
            for step in range(3):
                for colour in range(colours):
                    first = planes[video, (segment * 4 + step) * colours + colour].astype(int)
                    second = planes[video, (segment * 4 + step + 1) * colours + colour].astype(int)
                    wanted = abs(second - first) if kind == "absolute" else second - first
                    np.testing.assert_array_equal(found[video, (segment * 3 + step) * colours + colour], wanted)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two videos of noise, a list of them, and a net of 15 planes with random weights."""
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    for name, count in COUNTS.items():
        (root / "frames" / name).mkdir(parents=True)
        for index in range(1, count + 1):
            cv2.imwrite(f"{root}/frames/{name}/img_{index:05d}.jpg", rng.integers(0, 256, (30, 40, 3), np.uint8))
            for axis in "xy":  # counted, never read
                (root / "frames" / name / f"flow_{axis}_{index:05d}.jpg").touch()
    (root / "list.txt").write_text("".join(f"{name} {count} {count % 4}\n" for name, count in COUNTS.items()))
    for channels in (3, 10, 15, 18):
        (root / f"net{channels}.prototxt").write_text(NET % channels)
        save_caffemodel(root / f"net{channels}.caffemodel", build(NET % channels))
    return root


def evaluate(world, *more, modality="rgbdiff", channels=15):
    files = [f"{world}/net{channels}.prototxt", f"{world}/net{channels}.caffemodel"]
    own = ["--device", "cpu", "--test_list", f"{world}/list.txt", *map(str, more)]
    return run_command("eval-net", ["custom", "1", modality, f"{world}/frames", *files, *own])


def slow_scores(world, name, kind):
    """Six frames from each tick on, the last one repeated, resized; ten crops, subtracted; one net call a tick."""
    net, count = build(NET % 15), COUNTS[name]
    step = (count - 6) // 24
    ticks = list(range(1, 2 + step * 24, step)) if step > 0 else [1] * 25
    assert len(ticks) == 25
    rows = []
    for tick in ticks:
        names = [f"{world}/frames/{name}/img_{min(count, tick + k):05d}.jpg" for k in range(6)]
        frames = [cv2.resize(cv2.imread(path), (340, 256)) for path in names]
        crops = []
        for top, left in ((0, 0), (0, 316), (232, 0), (232, 316), (116, 158)):
            crops.append([frame[top : top + SIZE, left : left + SIZE] for frame in frames])
        crops += [[frame[:, ::-1] for frame in crop] for crop in crops]
        data = np.stack([by_loop(crop, kind) for crop in crops])
        assert data.shape == (10, 15, SIZE, SIZE)
        with torch.no_grad():
            rows.append(net(torch.from_numpy(data))["fc-action"].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("signed", []), ("absolute", ["--rgbdiff", "absolute"]), ("signed", ["--num_worker", 2, "--batch_size", 3])],
)
def test_scores_are_those_of_a_plain_loop(world, tmp_path, capsys, kind, more):
    """45 frames: ticks 1 to 25 and the first six frames of each; 4 frames: the last one twice more."""
    assert evaluate(world, "--save_scores", tmp_path / "s", *more) == 0
    capsys.readouterr()
    file = read_scores(tmp_path / "s.npz")
    assert file.names == tuple(COUNTS)
    for name, scores in zip(file.names, file.scores, strict=True):
        want = slow_scores(world, name, kind)
        assert scores.shape == want.shape == (25, 10, 4)
        # Fused ReLU and other layouts change the order of sums of 375 products: a few 1e-6 of the largest.
        assert np.abs(scores - want).max() <= 1e-5 * np.abs(want).max()


def test_ticks_leave_room_for_six_frames():
    for count in range(2, 400):
        ticks = frame_ticks(count, 25, 6)
        assert ticks[-1] + 5 <= max(count, 6)
    assert frame_ticks(54, 25, 6) == list(range(1, 50, 2))
    assert frame_ticks(53, 25, 6) == list(range(1, 26))


def test_a_snippet_is_six_frames_as_bytes(world):
    video = Video("short", 0, f"{world}/frames/short", 4, 0)
    planes, size, path = read_snippet(video, 1, SnippetOptions("rgbdiff"))
    assert (planes.shape, planes.dtype, size) == ((18, 256, 340), np.uint8, (30, 40))
    assert path.endswith("short/img_00001.jpg")
    for place, number in enumerate((1, 2, 3, 4, 4, 4)):
        frame = cv2.resize(cv2.imread(f"{world}/frames/short/img_{number:05d}.jpg"), (340, 256))
        np.testing.assert_array_equal(planes[3 * place : 3 * place + 3], frame.transpose(2, 0, 1))


def test_the_score_file_tells_which_differences(world, tmp_path, capsys):
    """So --resume refuses to mix them; other modalities' settings stay what they were."""
    for modality, channels, more in (("rgbdiff", 15, ["--rgbdiff", "absolute"]), ("rgb", 3, [])):
        assert evaluate(world, "--save_scores", tmp_path / modality, *more, modality=modality, channels=channels) == 0
    settings = [read_scores(tmp_path / f"{modality}.npz").settings for modality in ("rgbdiff", "rgb")]
    assert settings[0]["rgbdiff"] == "absolute"
    assert "rgbdiff" not in settings[1]


@pytest.mark.parametrize(
    ("modality", "channels", "more", "message"),
    [
        ("rgbdiff", 3, [], "net3.prototxt: takes 3 planes, modality rgbdiff gives 15"),
        ("rgbdiff", 18, [], "net18.prototxt: takes 18 planes, modality rgbdiff gives 15"),
        ("rgb", 15, [], "net15.prototxt: takes 15 planes, modality rgb gives 3"),
        ("flow", 15, [], "net15.prototxt: takes 15 planes, modality flow gives 10"),
        ("rgb", 3, ["--rgbdiff", "absolute"], "--rgbdiff absolute goes with modality rgbdiff, not rgb"),
    ],
)
def test_what_does_not_fit_is_one_line(world, capsys, modality, channels, more, message):
    assert evaluate(world, *more, modality=modality, channels=channels) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_single_frame_has_no_difference(world, tmp_path, capsys):
    """Named with the missing videos; --allow_missing goes on without it."""
    (tmp_path / "list.txt").write_text("short 4 0\nlong 1 1\n")
    assert evaluate(world, "--test_list", tmp_path / "list.txt") == 2
    assert "1 of 2 videos has fewer than 2 frames in" in capsys.readouterr().err
    assert evaluate(world, "--test_list", tmp_path / "list.txt", "--allow_missing") == 0
    with pytest.raises(PytsnError, match=r"video 'one' \(folder\): rgbdiff needs at least 2 frames, it has 1"):
        video_ticks(Video("one", 0, "folder", 1, 1), SnippetOptions("rgbdiff"))


def test_planes_that_do_not_fit_the_net(world):
    net = ActionNet(f"{world}/net15.prototxt", f"{world}/net15.caffemodel", NetOptions(device="cpu"))
    assert (net.modality, net.is_flow, net.channels, net.planes) == ("rgbdiff", False, 15, 18)
    with pytest.raises(PytsnError, match=r"snippets of \(15,\) planes, the net takes 18"):
        net.score_snippets(np.zeros((2, 15, 256, 340), np.uint8))
    with pytest.raises(PytsnError, match="rgbdiff 'both': one of signed, absolute"):
        ActionNet(f"{world}/net15.prototxt", f"{world}/net15.caffemodel", NetOptions(device="cpu", rgbdiff="both"))


LAYER = """video_data_param { source: "list.txt" batch_size: 3 new_length: 4 num_segments: 2 modality: RGBDIFF
  name_pattern: "img_%05d.png" shuffle: true }
transform_param { crop_size: 50 mirror: true scale: 0.5 multi_scale: true fix_crop: true scale_ratios: [1, 0.6, 0.4]
}"""
LISTED = [("v0", 40, 0), ("v1", 12, 0), ("v2", 60, 1), ("v3", 26, 1), ("v4", 32, 2), ("v5", 51, 2)]


def samples_by_loops(rng, count, phase, kind):
    """The layer's samples one by one, from raw outputs: transform seed, shuffle seed, frame seed, transform seed, and a
    transform seed more for each batch after. A segment is 5 frames; 4 differences of them, times the scale 0.5."""
    seeded, listed = rng.raw, list(LISTED)
    seeded()
    names, frames = CaffeRng(seeded()), CaffeRng(seeded())
    frames.raws(2)
    names.shuffle(listed)
    samples, cursor = [], 0
    for index in range(count):
        if index % 3 == 0:
            transform = CaffeRng(seeded())
        video, length, label = listed[cursor]
        average = length // 2
        offsets = [
            (frames.raw() % (average - 4) if phase == "TRAIN" else (average - 4) // 2) + segment * average
            for segment in range(2)
        ]
        mirror, height, width, top, left = transform.raw() % 2, 50, 50, 39, 60  # the centre of 128 x 170
        if phase == "TRAIN":
            sizes = [(h, w) for h in (128, 76, 50) for w in (128, 76, 50) if {h, w} != {128, 50}]  # 51 snaps to 50
            height, width = sizes[transform.raw() % 7]
            down, right = (128 - height) // 4, (170 - width) // 4
            places = [(0, 0), (0, 4 * right), (4 * down, 0), (4 * down, 4 * right), (2 * down, 2 * right)]
            top, left = places[transform.raw() % 5]
        planes = []
        for offset in offsets:
            images = [cv2.imread(f"frames/{video}/img_{offset + 1 + k:05d}.png") for k in range(5)]
            images = [cv2.resize(image[top : top + height, left : left + width], (50, 50)) for image in images]
            images = [image[:, ::-1] if mirror else image for image in images]
            planes.append(by_loop(images, kind) * np.float32(0.5))
        samples.append((np.concatenate(planes), label))
        cursor = (cursor + 1) % 6
        if cursor == 0:
            names.shuffle(listed)
    return samples


@pytest.mark.parametrize("kind", ["signed", "absolute"])
@pytest.mark.parametrize(("phase", "workers"), [("TRAIN", 0), ("TRAIN", 2), ("TEST", 0)])
def test_training_batches_are_those_of_a_plain_loop(tiny, phase, workers, kind):
    """Frames, crops and mirrors are drawn as for RGB of one frame more; 3 videos, 2 * 4 * 3 planes."""
    text = LAYER.replace("RGBDIFF", "RGBDIFF_ABSOLUTE") if kind == "absolute" else LAYER
    layer = VideoData(video_layer(text), phase, CaffeRng(11), workers=workers)
    assert layer.shape == layer.shapes[0] == (3, 24, 50, 50)
    assert layer.pixel_shape == (3, 30, 50, 50)
    wanted = samples_by_loops(CaffeRng(11), 12, phase, kind)
    for batch in range(4):
        data, labels = layer.next_batch()
        assert (data.dtype, tuple(data.shape)) == (torch.float32, layer.shape)
        assert labels.tolist() == [label for _, label in wanted[3 * batch : 3 * batch + 3]]
        np.testing.assert_array_equal(data, np.stack([planes for planes, _ in wanted[3 * batch : 3 * batch + 3]]))
    layer.close()


def test_pixels_become_data_on_the_device_as_here(tiny):
    """next_uint8 gives the frames; the path by which bytes go to a GPU makes the same floats of them."""
    here, pixels = (VideoData(video_layer(LAYER), "TRAIN", CaffeRng(4)) for _ in range(2))
    there = DataLayers("TRAIN", rng=CaffeRng(4))
    there.on_data_layer(video_layer(LAYER))
    for _ in range(2):
        data, labels = here.next_batch()
        found, found_labels = there.blobs(there.next_raw(torch.device("cpu"))).values()
        assert torch.equal(found, data)
        assert torch.equal(found_labels, labels)
        frames, _ = pixels.next_uint8()
        assert (frames.dtype, tuple(frames.shape)) == (torch.uint8, (3, 30, 50, 50))
        assert torch.equal(pixels.values(frames) * 0.5, data)


def test_rgb_draws_as_a_difference_of_its_frames(tiny):
    """The frames that are read are those of modality RGB with new_length one more."""
    rgb = LAYER.replace("RGBDIFF", "RGB").replace("new_length: 4", "new_length: 5")
    differences, plain = (VideoData(video_layer(text), "TRAIN", CaffeRng(9)) for text in (LAYER, rgb))
    for _ in range(3):
        np.testing.assert_array_equal(differences.next_uint8()[0], plain.next_uint8()[0])


def test_grey_differences(tiny):
    text = LAYER.replace("shuffle: true", "grayscale: true").replace("mirror: true", "")
    layer = VideoData(video_layer(text), "TEST", CaffeRng(2))
    data, _ = layer.next_batch()
    assert tuple(data.shape) == (3, 8, 50, 50)  # 2 segments of 4 differences
    first, second = (cv2.imread(f"frames/v0/img_{n:05d}.png", 0)[39:89, 60:110].astype(int) for n in (9, 10))
    np.testing.assert_array_equal(data[0, 0], (second - first) / 2)  # (20 - 5 + 1) // 2 = 8 frames come before


def test_short_videos(tiny):
    """2 frames listed: the last one repeats and its differences are 0; 1 frame: refused by list and line."""
    (tiny / "listed.txt").write_text("frames/v0 40 0\nlonely 2 1\n")
    (tiny / "lonely").mkdir(exist_ok=True)
    for number in (1, 2):
        (tiny / f"lonely/img_{number:05d}.png").write_bytes((tiny / f"frames/v1/img_{number:05d}.png").read_bytes())
    text = (
        LAYER.replace("list.txt", "listed.txt").replace("shuffle: true", "").replace("batch_size: 3", "batch_size: 2")
    )
    layer = VideoData(video_layer(text), "TEST", CaffeRng(1))
    assert layer.notes[0].endswith("; 1 with fewer frames repeat their last one")
    data, _ = layer.next_batch()
    sample = data[1].unflatten(0, (2, 4, 3))
    assert sample[:, 0].abs().sum() > 0
    assert sample[:, 1:].abs().sum() == 0
    (tiny / "listed.txt").write_text("frames/v0 40 0\nlonely 1 1\n")
    with pytest.raises(PytsnError, match=r"listed\.txt, line 2: video 'lonely' has 1 frame; a difference takes two"):
        VideoData(video_layer(text), "TEST", CaffeRng(1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale: 0.5", "mean_value: [104, 117, 123]", "a mean with modality RGBDIFF: it cancels in the differences"),
        ("scale: 0.5", 'mean_file: "mean.binaryproto"', "a mean with modality RGBDIFF"),
        ("scale: 0.5", "is_flow: true", "is_flow with modality RGBDIFF"),
        ("img_%05d", "img_%c_%05d", "name_pattern 'img_%c_%05d.png' must hold one number"),
    ],
)
def test_what_differences_cannot_have(tiny, old, new, message):
    with pytest.raises(PytsnError, match=message):
        VideoData(video_layer(LAYER.replace(old, new)), "TRAIN", CaffeRng(1))


def test_a_mean_of_0_is_none(tiny):
    plain, zero = (
        VideoData(video_layer(text), "TRAIN", CaffeRng(3)).next_batch()[0]
        for text in (LAYER, LAYER.replace("scale: 0.5", "mean_value: 0 scale: 0.5"))
    )
    assert torch.equal(plain, zero)


def test_a_state_goes_on(tiny):
    layer, other = (VideoData(video_layer(LAYER), "TRAIN", CaffeRng(seed)) for seed in (6, 7))
    layer.next_batch()
    other.load_state(layer.state())
    assert torch.equal(layer.next_batch()[0], other.next_batch()[0])


def test_prototxts():
    """15 planes from rgb's lists, on rgb's schedule; scale ratios, dropout, rates and clipping as in the authors' later
    code."""
    spec = NetSpec("hmdb51", "rgbdiff", num_segments=7, split=2)
    net = parse_net(train_val_prototxt(spec), "train_val")
    layers = {layer.name: layer for layer in net.layer}
    for data, phase in zip(net.layer[:2], ("train", "val"), strict=True):
        video, transform = data.video_data_param, data.transform_param
        assert video.modality == pb.VideoDataParameter.RGBDIFF
        assert (video.new_length, video.num_segments, video.name_pattern) == (5, 7, "img_%05d.jpg")
        assert video.source == f"data/hmdb51_rgb_{phase}_split_2.txt"
        assert not transform.mean_value
        assert not transform.is_flow
    assert np.allclose(net.layer[0].transform_param.scale_ratios, (1, 0.875, 0.75))
    assert net.layer[0].transform_param.mirror
    assert list(layers["reshape_data"].reshape_param.shape.dim) == [-1, 15, 224, 224]
    assert [param.lr_mult for param in layers["conv1/7x7_s2"].param] == [1, 2]
    assert layers["dropout"].dropout_param.dropout_ratio == pytest.approx(0.8)
    deploy = text_format.Parse(deploy_prototxt(spec), pb.NetParameter())
    assert list(deploy.input_dim) == [1, 15, 224, 224]
    ours, rgb = (
        text_format.Parse(solver_prototxt(NetSpec("hmdb51", modality, split=2)), pb.SolverParameter())
        for modality in ("rgbdiff", "rgb")
    )
    assert (ours.base_lr, ours.clip_gradients, ours.stepsize) == pytest.approx((0.001, 40, 1000))
    assert ours.snapshot_prefix == "models/hmdb51_split_2_tsn_rgbdiff_bn_inception"
    assert ours.net == "models/hmdb51/tsn_bn_inception_rgbdiff_train_val.prototxt"
    for field in ("net", "snapshot_prefix"):
        rgb.ClearField(field)
        ours.ClearField(field)
    assert ours == rgb


def test_the_written_nets_load_and_start_from_an_rgb_net(tiny, tmp_path, capsys):
    """make-prototxt rgbdiff, init-flow --channels 15: the train_val net takes the differences of a VideoData layer, and
    the deploy net is BNInception of 15 planes."""
    lists = ["--train_list", "list.txt", "--val_list", "list.txt", "--batch_size", "2", "--num_segments", "2"]
    assert run_command("make-prototxt", ["own", "rgbdiff", "--num_classes", "3", "-o", str(tmp_path), *lists]) == 0
    rgb = parse_net(deploy_prototxt(NetSpec("own", "rgb", num_classes=3)), "rgb")
    (tmp_path / "rgb.prototxt").write_text(text_format.MessageToString(rgb))
    save_caffemodel(tmp_path / "rgb.caffemodel", load_net(tmp_path / "rgb.prototxt"))
    start = tmp_path / "start.caffemodel"
    assert run_command("init-flow", [f"{tmp_path}/rgb.caffemodel", "-o", str(start), "--channels", "15"]) == 0
    capsys.readouterr()
    deploy = tmp_path / "tsn_bn_inception_rgbdiff_deploy.prototxt"
    net = ActionNet(str(deploy), str(start), NetOptions(device="cpu"))
    assert (net.channels, net.num_classes, net.crop_size) == (15, 3, 224)
    (old,), (new,) = (
        [layer.blobs[0].array() for layer in read_caffemodel(path).layers if layer.name == "conv1/7x7_s2"]
        for path in (tmp_path / "rgb.caffemodel", start)
    )
    assert new.shape == (64, 15, 7, 7)
    mean = old.astype(np.float64).mean(axis=1).astype(np.float32)
    np.testing.assert_array_equal(new, np.stack([mean] * 15, axis=1))
    state, module = load_net(deploy, start).state_dict(), BNInception(3, in_channels=15)
    module.load_state_dict(state)

    shapes = {}

    def on_data_layer(layer):
        layer.video_data_param.name_pattern = "img_%05d.png"
        layer.transform_param.crop_size = 224
        layer.video_data_param.new_width, layer.video_data_param.new_height = 340, 256
        shapes[layer.name] = VideoData(layer, "TRAIN", CaffeRng(1)).shapes
        return dict(zip(("data", "label"), shapes[layer.name], strict=True))

    path = tmp_path / "tsn_bn_inception_rgbdiff_train_val.prototxt"
    train = load_net(path, start, phase="TRAIN", on_data_layer=on_data_layer)
    assert shapes == {"data": [(2, 30, 224, 224), (2,)]}
    assert train.blob_shapes["reshape_data"] == (4, 15, 224, 224)
    plain = load_net(path, start, phase="TRAIN")  # the shapes that converter/graph.py gives by the fields alone
    assert plain.blob_shapes["data"] == (2, 30, 224, 224)


TRAINED = """
layer { name: "data" type: "VideoData" top: "data" top: "label" video_data_param { source: "list.txt" batch_size: 3
        new_length: LENGTH num_segments: 2 modality: MODALITY name_pattern: "img_%05d.png" shuffle: true }
        transform_param { crop_size: 40 mirror: true multi_scale: true fix_crop: true } }
layer { name: "fold" type: "Reshape" bottom: "data" top: "fold" reshape_param { shape { dim: [-1, PLANES, 40, 40] } } }
FIRST
layer { name: "conv" type: "Convolution" bottom: "changes" top: "conv" convolution_param { num_output: 5 kernel_size: 7
        stride: 4 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 3
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "snippets" type: "Reshape" bottom: "fc" top: "snippets" reshape_param { shape { dim: [-1, 1, 2, 3] } } }
layer { name: "mean" type: "Pooling" bottom: "snippets" top: "mean"
        pooling_param { pool: AVE kernel_h: 2 kernel_w: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "mean" bottom: "label" top: "loss" softmax_param { axis: 3 } }
"""
SUBTRACTS = """
layer { name: "differ" type: "Convolution" bottom: "fold" top: "changes" param { lr_mult: 0 decay_mult: 0 }
        convolution_param { num_output: 6 kernel_size: 1 bias_term: false weight_filler { type: "constant" } } }"""
SOLVER = """net: "NAME.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 8 display: 1 momentum: 0.9
weight_decay: 0.0005 random_seed: 5 solver_mode: CPU snapshot_prefix: "NAME" """


def test_training_on_differences_is_training_behind_a_layer_that_subtracts(tiny, capsys):
    """`pytsn train` with RGBDIFF, and with RGB frames behind a fixed convolution whose weights are -1 and 1."""
    text = TRAINED.replace("LENGTH", "2").replace("PLANES", "6").replace("MODALITY", "RGBDIFF").replace("FIRST", "")
    (tiny / "differences.prototxt").write_text(text.replace('bottom: "changes"', 'bottom: "fold"'))
    text = TRAINED.replace("LENGTH", "3").replace("PLANES", "9").replace("MODALITY", "RGB").replace("FIRST", SUBTRACTS)
    (tiny / "frames.prototxt").write_text(text)
    weights = np.zeros((6, 9, 1, 1), np.float32)
    for plane in range(6):
        weights[plane, [plane, plane + 3], 0, 0] = -1, 1
    net = parse_net(f'layer {{ name: "x" type: "Input" top: "fold" }} {SUBTRACTS}', "differ")
    write_caffemodel(tiny / "differ.caffemodel", net, {"differ": [weights]})
    logs, blobs = {}, {}
    for name in ("differences", "frames"):
        (tiny / f"{name}_solver.prototxt").write_text(SOLVER.replace("NAME", name))
        own = ["--weights=differ.caffemodel"] if name == "frames" else []
        assert run_command("train", [f"--solver={name}_solver.prototxt", "--workers", "0", *own]) == 0
        lines = capsys.readouterr().out.splitlines()
        logs[name] = [float(line.split("loss = ")[1].split()[0]) for line in lines if ", loss = " in line]
        layers = read_caffemodel(tiny / f"{name}_iter_8.caffemodel").layers
        blobs[name] = [blob.array() for layer in layers if layer.name in ("conv", "fc") for blob in layer.blobs]
    assert len(logs["frames"]) == 8 + 1  # before each update, and at the end
    assert len(set(logs["frames"])) == 9
    # The same sums of whole numbers enter the same layers; only the order of the sums may differ.
    np.testing.assert_allclose(logs["differences"], logs["frames"], rtol=1e-5)
    for found, wanted in zip(blobs["differences"], blobs["frames"], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
