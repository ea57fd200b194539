"""VideoData against the batches Caffe made, and its order, resuming, processes and refusals."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import load_net
from pytsn.caffe_random.generator import CaffeRng
from pytsn.data.video_list import ListedVideo, read_video_list
from pytsn.training.input.reader_pool import ReaderPool
from pytsn.training.input.video_data import VideoData
from tests.places import ROOT
from tests.training.tiny_videos import rgb_layer, video_layer
from tests.waiting import is_running, wait_for


def build(case, rng, phases=("TRAIN", "TEST"), **options):
    """The data layers of a case, set up while its nets are built: the train net first, as the solver does."""
    layers = {}

    def on_data_layer(layer):
        layers[phase] = VideoData(layer, phase, rng, **options)
        return dict(zip(layers[phase].tops, layers[phase].shapes, strict=True))

    for phase in phases:
        load_net(f"{case}/train_val.prototxt", phase=phase, generator=rng, on_data_layer=on_data_layer)
    return [layers[phase] for phase in phases]


CASES = {"rgb_step": (7, 1), "rgb_itersize": (3, 3)}  # random_seed, and iter_size, which data layers know nothing of


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("case", CASES)
def test_batches_are_caffes(tiny, case, workers):
    """Every byte of what Caffe's layers made in a seeded run: shuffled names, segments, crops, mirrors. Dropout drew
    from the same generator after each TRAIN batch: 18 values for each of 3 segments."""
    rng = CaffeRng(CASES[case][0])
    train, test = build(case, rng, workers=workers)
    with np.load(tiny / case / "batches.npz") as recorded:
        wanted = dict(recorded)
    assert train.shape == wanted["train_data"].shape[1:]
    for data, labels in zip(wanted["test_data"], wanted["test_label"], strict=True):
        found, found_labels = test.next_uint8()
        np.testing.assert_array_equal(found, data)
        np.testing.assert_array_equal(found_labels, labels)
    for data, labels in zip(wanted["train_data"], wanted["train_label"], strict=True):
        found, found_labels = train.next_uint8()
        np.testing.assert_array_equal(found, data)
        np.testing.assert_array_equal(found_labels, labels)
        assert found_labels.dtype == torch.int64
        rng.bernoulli(train.shape[0] * 3 * 18, 0.5)
    train.close()
    test.close()


def test_next_batch_takes_the_mean_off(tiny):
    (plain,), (whole,) = (build("rgb_step", CaffeRng(7), ["TRAIN"]) for _ in range(2))
    for _ in range(2):
        data, labels = whole.next_batch()
        wanted, wanted_labels = plain.next_uint8()
        mean = np.tile(np.float32([104, 117, 123]), 3)[:, None, None]
        np.testing.assert_array_equal(data, wanted.numpy().astype(np.float32) - mean)
        assert data.dtype == torch.float32
        assert torch.equal(labels, wanted_labels)


def test_data_without_randomness(tiny):
    """det_*: every list line has one frame a segment, so a batch is the frames themselves, resized to 64x64."""
    (train,) = build("det_fixed", CaffeRng(1), ["TRAIN"])
    for batch in range(3):
        data, labels = train.next_uint8()
        videos = [(4 * batch + row) % 6 for row in range(4)]
        assert labels.tolist() == [(0, 0, 1, 1, 2, 2)[video] for video in videos]
        for row, video in zip(data.numpy(), videos, strict=True):
            for segment in range(3):
                image = cv2.resize(cv2.imread(f"frames/v{video}/img_{segment + 1:05d}.png"), (64, 64))
                np.testing.assert_array_equal(row[3 * segment : 3 * segment + 3], image.transpose(2, 0, 1))


FLOW = """video_data_param { source: "list.txt" batch_size: 3 new_length: 4 num_segments: 2 modality: FLOW
  name_pattern: "flow_%c_%05d.png" shuffle: true }
transform_param { crop_size: 50 mirror: true is_flow: true mean_value: 128 scale: 0.5 }"""


def flow_by_loops(rng, count, phase):
    """The FLOW layer's samples one by one, from raw outputs: transform seed, shuffle seed, frame seed, transform seed,
    and a transform seed more for each batch after."""
    seeded = rng.raw
    seeded()
    listed = [("v0", 40, 0), ("v1", 12, 0), ("v2", 60, 1), ("v3", 26, 1), ("v4", 32, 2), ("v5", 51, 2)]
    names = CaffeRng(seeded())
    frames = CaffeRng(seeded())
    frames.raws(2)
    names.shuffle(listed)
    samples, cursor = [], 0
    for index in range(count):
        if index % 3 == 0:
            transform = CaffeRng(seeded())
        video, length, label = listed[cursor]
        average, planes = length // 2, []
        offsets = [
            (frames.raw() % (average - 3) if phase == "TRAIN" else (average - 3) // 2) + segment * average
            for segment in range(2)
        ]
        mirror = transform.raw() % 2
        top = transform.raw() % (128 - 49) if phase == "TRAIN" else (128 - 50) // 2
        left = transform.raw() % (170 - 49) if phase == "TRAIN" else (170 - 50) // 2
        for number in [offset + 1 + k for offset in offsets for k in range(4)]:
            for axis in "xy":
                plane = cv2.imread(f"frames/{video}/flow_{axis}_{number:05d}.png", 0)[top : top + 50, left : left + 50]
                if mirror:
                    plane = plane[:, ::-1]
                planes.append(255 - plane if mirror and axis == "x" else plane)
        samples.append((np.stack(planes), label))
        cursor += 1
        if cursor == len(listed):
            cursor = 0
            names.shuffle(listed)
    return samples


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_flow_against_loops(tiny, phase):
    samples = flow_by_loops(CaffeRng(21), 15, phase)
    layer = VideoData(video_layer(FLOW), phase, CaffeRng(21))
    assert layer.shape == (3, 16, 50, 50)
    for batch in range(5):
        data, labels = layer.next_batch()
        for row, label, (wanted, wanted_label) in zip(data, labels, samples[3 * batch : 3 * batch + 3], strict=True):
            np.testing.assert_array_equal(row, (wanted.astype(np.float32) - 128) * np.float32(0.5))
            assert label == wanted_label


@pytest.mark.parametrize("ahead", [1, 3])
def test_more_batches_ahead_are_the_same_batches(tiny, ahead):
    """Nobody else draws from the generator here, so taking the seeds earlier changes nothing."""
    layer = VideoData(video_layer(FLOW), "TRAIN", CaffeRng(21), workers=2, ahead=ahead)
    samples = flow_by_loops(CaffeRng(21), 15, "TRAIN")
    for batch in range(5):
        data, _ = layer.next_uint8()
        np.testing.assert_array_equal(data, np.stack([wanted for wanted, _ in samples[3 * batch : 3 * batch + 3]]))
    layer.close()


def plans_of(layer, batches):
    """What the batches are made of, without reading them."""
    found = []
    for _ in range(batches):
        found.append(layer._take()[2])
    return found


def test_ranks_read_every_batch_once(tiny):
    """Rank r of 3 reads the batches r, r + 3, ... of one process, in the same shuffled order; an epoch is 6 videos."""
    text = FLOW.replace("batch_size: 3", "batch_size: 1")
    one = plans_of(VideoData(video_layer(text), "TRAIN", CaffeRng(5)), 18)
    videos = [[plan.folder for plan in plans] for plans in one]
    for rank in range(3):
        part = plans_of(VideoData(video_layer(text), "TRAIN", CaffeRng(5), rank=rank, world=3), 6)
        assert [[plan.folder for plan in plans] for plans in part] == videos[rank::3]
    assert videos[:6] != videos[6:12]  # shuffled again


@pytest.mark.parametrize(("ahead", "world"), [(1, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("workers", [0, 2])
def test_state_goes_on_with_the_same_batches(tiny, ahead, world, workers):
    options = {"ahead": ahead, "world": world, "rank": world - 1, "workers": workers}
    rng = CaffeRng(21)
    layer = VideoData(video_layer(FLOW), "TRAIN", rng, **options)
    for _ in range(3):
        layer.next_uint8()
    state, global_state = layer.state(), rng.state()
    wanted = [tuple(t.clone() for t in layer.next_uint8()) for _ in range(7)]
    layer.close()
    other_rng = CaffeRng(99)
    other = VideoData(video_layer(FLOW), "TRAIN", other_rng, **options)
    other.next_uint8()
    other_rng.set_state(global_state)
    other.load_state(state)
    np.testing.assert_equal(other.state(), state)
    for data, labels in wanted:
        found, found_labels = other.next_uint8()
        assert torch.equal(found, data)
        assert torch.equal(found_labels, labels)
    other.close()


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (3, 2)])
def test_a_state_of_another_reading_ahead(tiny, before, after):
    """The seeds already taken go to the batches they were taken for, even if they have to be saved once more."""
    rng = CaffeRng(21)
    layer = VideoData(video_layer(FLOW), "TRAIN", rng, ahead=before)
    layer.next_uint8()
    state, global_state = layer.state(), rng.state()
    wanted = plans_of(layer, 6)
    for restarts in (1, 2):
        layer = VideoData(video_layer(FLOW), "TRAIN", rng, workers=1, ahead=after)
        rng.set_state(global_state)
        layer.load_state(state)
        assert plans_of(layer, restarts) == wanted[:restarts]
        state, global_state, wanted = layer.state(), rng.state(), wanted[restarts:]
        layer.close()
    assert len(wanted) == 3


def test_state_without_any_draws(tiny):
    (layer,) = build("det_fixed", CaffeRng(1), ["TEST"])
    layer.next_uint8()
    state = layer.state()
    wanted, _ = layer.next_uint8()
    (other,) = build("det_fixed", CaffeRng(1), ["TEST"])
    other.load_state(state)
    assert torch.equal(other.next_uint8()[0], wanted)


def test_a_state_of_another_list_is_refused(tiny):
    layer = VideoData(video_layer(FLOW), "TRAIN", CaffeRng(1))
    state = layer.state()
    (tiny / "short.txt").write_text("frames/v0 40 0\n")
    other = VideoData(video_layer(FLOW.replace("list.txt", "short.txt")), "TRAIN", CaffeRng(1))
    with pytest.raises(PytsnError, match=r"short.txt: 1 video, but the saved state is of 6"):
        other.load_state(state)
    with pytest.raises(PytsnError, match="saved state is damaged"):
        layer.load_state({"cursor": 0})


def test_without_a_generator_runs_differ(tiny):
    seeds = [VideoData(video_layer(FLOW), "TRAIN").state()["seeds"][0] for _ in range(2)]
    assert seeds[0] != seeds[1]  # one chance in 2^32 to fail


def test_what_a_layer_draws_while_it_is_made(tiny):
    """Transform seed (twice), shuffle seed, frame seed; those that are not needed are not drawn."""
    variants = {FLOW: 4, FLOW.replace("shuffle: true", ""): 3, FLOW.replace("mirror: true", ""): 4}
    for text, count in variants.items():
        rng = CaffeRng(3)
        VideoData(video_layer(text), "TRAIN", rng)
        assert rng.raw() == CaffeRng(3).raws(count + 1)[count]
    rng = CaffeRng(3)
    VideoData(video_layer(FLOW.replace("mirror: true", "")), "TEST", rng)
    assert rng.raw() == CaffeRng(3).raws(3)[2]


def test_short_videos_start_at_frame_1(tiny):
    """v1 has 12 frames: 4 a segment, fewer than 5. Caffe divides by zero while it sets up a layer whose first video is
    such, else takes offset 0; here it is always offset 0, and a note says so."""
    (tiny / "list_short.txt").write_text("frames/v1 12 0\nframes/v0 40 0\n")
    layer = VideoData(rgb_layer("list_short.txt", 5), "TRAIN", CaffeRng(1))
    assert layer.notes == [
        "list_short.txt: 1 video is too short for 3 segments of 5 frames, first 'frames/v1' (12 frames, line 1): all "
        "segments start at frame 1"
    ]
    plans = plans_of(layer, 1)[0]
    assert plans[0].frames == (1, 2, 3, 4, 5) * 3
    assert plans[1].frames != (1, 2, 3, 4, 5) * 3
    assert VideoData(rgb_layer("list.txt"), "TRAIN", CaffeRng(1)).notes == []


def test_videos_shorter_than_a_snippet_repeat_their_last_frame(tiny):
    """Caffe looks for frame 13 of v1 for ever. Listed as shorter than it is (9 of 12), it has what a snippet needs."""
    (tiny / "list_shorter.txt").write_text("frames/v0 40 0\nframes/v1 12 0\n")
    layer = VideoData(rgb_layer("list_shorter.txt", 14), "TRAIN", CaffeRng(1))
    assert layer.notes[0].endswith("; 1 with fewer frames repeat their last one")
    assert plans_of(layer, 1)[0][1].frames == (*range(1, 13), 12, 12) * 3
    (tiny / "list_shorter.txt").write_text("frames/v0 40 0\nframes/v1 9 0\n")
    layer = VideoData(rgb_layer("list_shorter.txt", 12), "TRAIN", CaffeRng(1))
    assert plans_of(layer, 1)[0][1].frames == tuple(range(1, 13)) * 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_and_a_broken_frame(tiny, workers, tmp_path):
    for video in ("a", "b"):
        os.makedirs(tmp_path / video)
        for number in range(1, 4):
            image = np.full((44, 45, 3), 30 * number, np.uint8)
            cv2.imwrite(str(tmp_path / video / f"img_{number:05d}.png"), image)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a 3 0\n{tmp_path}/b 3 1\n")
    (tmp_path / "b" / "img_00002.png").unlink()
    layer = VideoData(rgb_layer(tmp_path / "list.txt"), "TRAIN", CaffeRng(1), workers=workers)
    with pytest.raises(PytsnError, match=r"b/img_00002\.png: no such file"):
        layer.next_batch()
    layer.close()
    whole = (tmp_path / "b" / "img_00001.png").read_bytes()
    (tmp_path / "b" / "img_00002.png").write_bytes(whole[:-20])
    layer = VideoData(rgb_layer(tmp_path / "list.txt"), "TRAIN", CaffeRng(1), workers=workers)
    with pytest.raises(PytsnError, match=r"b/img_00002\.png: the image is cut short"):
        layer.next_batch()
    layer.close()


def test_layers_that_share_a_pool_one_after_the_other(tiny):
    """The second layer's memory may come to lie where the first one's lay; the processes must not mix them up."""
    wanted, _ = VideoData(video_layer(FLOW), "TRAIN", CaffeRng(8)).next_uint8()
    pool = ReaderPool(1)
    for seed in (7, 8):
        layer = VideoData(video_layer(FLOW), "TRAIN", CaffeRng(seed), pool=pool)
        data = layer.next_uint8()[0].clone()
        layer.close()
    pool.close()
    assert torch.equal(data, wanted)


def test_a_killed_reader(tiny):
    pool = ReaderPool(2)
    layer = VideoData(rgb_layer("list.txt"), "TRAIN", CaffeRng(1), pool=pool)
    layer.next_uint8()
    for process in pool.pids:
        os.kill(process, signal.SIGKILL)
    with pytest.raises(PytsnError, match="a reading process was killed"):
        plans_of(layer, 3)  # a batch may have been read already
    pool.close()


SCRIPT = """
if __name__ == "__main__":
    import sys
    from pytsn.training.input.video_data import VideoData
    from tests.training.tiny_videos import rgb_layer
    layer = VideoData(rgb_layer("list.txt"), "TRAIN", workers=2)
    layer.next_uint8()
    print(*layer._pool.pids, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_readers_end_with_a_killed_run(tiny, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        readers = process.stdout.readline().split()
        assert readers
        assert all(is_running(reader) for reader in readers)
        process.kill()
    wait_for(lambda: not any(is_running(reader) for reader in readers), "the end of a killed run's readers")


def test_labels_outside_the_classes(tiny):
    layer = VideoData(rgb_layer("list.txt"), "TEST", CaffeRng(1))
    layer.check_labels(3)
    with pytest.raises(PytsnError, match=r"list.txt, line 5: label 2 of video 'frames/v4', but the net has 2 classes"):
        layer.check_labels(2)


def write_mean(path, values):
    blob = pb.BlobProto(num=1, channels=values.shape[0], height=values.shape[1], width=values.shape[2])
    blob.data.extend(values.ravel().tolist())
    path.write_bytes(blob.SerializeToString())


@pytest.mark.parametrize("scaled", [False, True])
def test_mean_file(tiny, tmp_path, scaled):
    """The mean under the crop, mirrored with it; under multi_scale always its upper left corner."""
    mean = np.random.default_rng(0).uniform(0, 200, (9, 128, 170)).astype(np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    extra = "mirror: true scale: 0.25 " + ("multi_scale: true " if scaled else "")
    plain = VideoData(rgb_layer("list.txt", 1, extra), "TRAIN", CaffeRng(4))
    layer = VideoData(
        rgb_layer("list.txt", 1, f'{extra} mean_file: "{tmp_path}/mean.binaryproto"'), "TRAIN", CaffeRng(4)
    )
    mirrored = 0
    for _ in range(4):
        data, _ = layer.next_batch()
        bytes_, _, plans = plain._take()
        for row, wanted, plan in zip(data.numpy(), bytes_.numpy(), plans, strict=True):
            top, left = (0, 0) if scaled else (plan.draws[0] % 89, plan.draws[1] % 131)
            part = mean[:, top : top + 40, left : left + 40]
            part = part[..., ::-1] if plan.mirror else part
            np.testing.assert_array_equal(row, (wanted.astype(np.float32) - part) * np.float32(0.25))
            mirrored += plan.mirror
    assert 0 < mirrored < 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FLOW.replace("batch_size: 3", ""), "layer 'data' .VideoData.: batch_size is missing"),
        (FLOW.replace("num_segments: 2", "num_segments: 0"), "num_segments and new_length must be above 0"),
        (FLOW.replace("list.txt", "lost.txt"), r"lost\.txt: no such file"),
        (FLOW.replace("_%c_", "_"), "name_pattern 'flow_%05d.png' must hold %c for x and y and one number"),
        (FLOW.replace("%05d", ""), "name_pattern"),
        (FLOW.replace("crop_size: 50", "crop_size: 500"), "frames of 170x128 pixels are smaller than crop_size 500"),
        (FLOW.replace("mean_value: 128", "mean_value: [1, 2, 3]"), "3 mean_values for 16 channels"),
        (FLOW.replace("mean_value: 128", 'mean_value: 1 mean_file: "m"'), "both given"),
        (FLOW.replace("mean_value: 128", 'mean_file: "list.txt"'), "list.txt: not a mean file|does not fit"),
    ],
)
def test_layers_that_cannot_work(tiny, text, message):
    with pytest.raises(PytsnError, match=message):
        VideoData(video_layer(text), "TRAIN", CaffeRng(1))


def test_a_list(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a/b 3 0\n\n  c\t40   7  \n")
    assert read_video_list(path) == [ListedVideo("a/b", 3, 0, 1), ListedVideo("c", 40, 7, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.txt: the list holds no videos"),
        ("a 3 0\nb 4\n", "list.txt, line 2: 'folder frames label' expected, found 2 fields: 'b 4'"),
        ("b 0\n", "line 1: 'folder frames label' expected, found 2 fields: 'b 0'"),
        ("a b 3.5 0\n", "line 1: frames and label must be whole numbers"),
        ("a 3 x\n", "line 1: frames and label must be whole numbers"),
        ("a 3 0\nb 0 1\n", "line 2: video 'b' has 0 frames"),
        ("a 3 -1\n", "line 1: label -1 of video 'a'"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(PytsnError, match=message):
        read_video_list(path)
