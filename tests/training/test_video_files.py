"""Training from lists that name video files, and frames of another size: samples of an extraction, what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.caffe_random.generator import CaffeRng
from pytsn.cli import run_command
from pytsn.finetune.data import data_layer, make_spec
from pytsn.finetune.options import FinetuneOptions
from pytsn.flow.extract.video import ExtractSettings, extract_video
from pytsn.training.frame_size import frame_size_overrides
from pytsn.training.input.video_data import VideoData
from tests.flow.flow_videos import decode, make_sound, make_video
from tests.training.tiny_videos import video_layer

COUNTS = (19, 12, 9, 25)
LAYER = """video_data_param { source: "%s" batch_size: 4 new_length: %d num_segments: 3 modality: %s
  name_pattern: "%s" shuffle: true %s } transform_param { crop_size: %d mirror: true %s }"""
MORE = "multi_scale: true fix_crop: true more_fix_crop: true"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """videos.txt and frames.txt: the same videos as files and as folders of frames, at 340x256 and at 100x80."""
    root = tmp_path_factory.mktemp("world")
    lists: dict[str, list[str]] = {"videos": [], "frames": [], "small": []}
    for number, count in enumerate(COUNTS):
        video = make_video(root / "videos" / f"{number}.avi", count, seed=number)
        lists["videos"].append(f"{video} {count - 1} {number % 2}\n")
        for name, size in (("frames", (340, 256)), ("small", (100, 80))):
            folder = root / name / str(number)
            folder.mkdir(parents=True)
            settings = ExtractSettings(algorithm="dis", preset="", width=size[0], height=size[1])
            still = np.zeros((1, size[1], size[0], 2), np.float32)
            extract_video(str(video), str(folder), settings, lambda gray0, _, still=still: still[[0] * len(gray0)], 4)
            lists[name].append(f"{folder} {count - 1} {number % 2}\n")
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("".join(lines))
    return root


def batches(text: str, phase: str = "TRAIN", count: int = 3, workers: int = 0) -> list:
    data = VideoData(video_layer(text), phase, CaffeRng(7), workers=workers)
    try:
        return [[part.clone().numpy() for part in data.next_uint8()] for _ in range(count)]
    finally:
        data.close()


def assert_alike(found: list, wanted: list) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("modality", "length"), [("RGB", 1), ("RGBDIFF", 5)])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_samples_are_those_of_an_extraction(world, modality, length, phase):
    """The same draws, the same bytes."""
    layers = [
        LAYER % (world / f"{name}.txt", length, modality, "img_%05d.jpg", "", 112, MORE)
        for name in ("videos", "frames")
    ]
    assert_alike(*(batches(text, phase) for text in layers))


def test_samples_of_the_size_that_is_asked_for(world):
    """As build-of --new_width 100 --new_height 80 wrote them, not resized twice."""
    size = "new_width: 100 new_height: 80"
    layers = [LAYER % (world / f"{name}.txt", 1, "RGB", "img_%05d.jpg", size, 60, MORE) for name in ("videos", "small")]
    assert_alike(*(batches(text) for text in layers))


def test_grey_samples_in_reading_processes(world):
    layers = [
        LAYER % (world / f"{name}.txt", 1, "RGB", "img_%05d.jpg", "grayscale: true", 112, "")
        for name in ("videos", "frames")
    ]
    assert_alike(batches(layers[0], workers=1), batches(layers[1]))


def test_flow_is_refused(world):
    text = LAYER % (world / "videos.txt", 5, "FLOW", "flow_%c_%05d.jpg", "", 112, "is_flow: true")
    with pytest.raises(PytsnError, match=r"videos\.txt, line 1: .*0\.avi' is a video file, and training would compute"):
        VideoData(video_layer(text), "TRAIN", CaffeRng(7))


@pytest.mark.parametrize("count", [" 0", ""], ids=["0", "as in mmaction2"])
def test_files_without_a_count_are_counted(world, tmp_path, count):
    lines = [line.rsplit(maxsplit=2) for line in (world / "videos.txt").read_text().splitlines()]
    (tmp_path / "list.txt").write_text("".join(f"{path}{count} {label}\n" for path, _, label in lines))
    layers = [
        LAYER % (source, 1, "RGB", "img_%05d.jpg", "", 112, "")
        for source in (tmp_path / "list.txt", world / "videos.txt")
    ]
    assert_alike(*(batches(text) for text in layers))
    make_sound(tmp_path / "sound.avi")
    with open(tmp_path / "list.txt", "a") as file:
        file.write(f"{tmp_path}/sound.avi{count} 0\n")
    with pytest.raises(PytsnError, match=r"list\.txt, line 5: .*sound\.avi: OpenCV finds no video stream"):
        batches(layers[0])


def test_counts_that_do_not_go(world, tmp_path):
    video = world / "videos" / "2.avi"
    layer = LAYER % (tmp_path / "list.txt", 1, "RGB", "img_%05d.jpg", "", 112, "")
    (tmp_path / "list.txt").write_text(f"{video} 90 0\n")
    with pytest.raises(PytsnError, match=r"2\.avi: ends before image \d+ \(a video of N frames has N - 1 images\)"):
        batches(layer, "TEST")


def test_crops_that_do_not_fit_into_the_default_size(world):
    """299: frames of 454x342, as the tests of such nets have them."""
    text = LAYER % (world / "videos.txt", 1, "RGB", "img_%05d.jpg", "", 299, "")
    ((pixels, _),) = batches(text.replace("shuffle: true", ""), "TEST", 1)
    image = cv2.resize(decode(world / "videos" / "0.avi")[4], (454, 342))  # 18 images: 4 of 1 to 6
    image = cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels[0, :3], image[21:320, 77:376].transpose(2, 0, 1))


def options(world, **more) -> FinetuneOptions:
    return FinetuneOptions(str(world / "videos.txt"), str(world / "run"), **more)


@pytest.mark.parametrize(
    ("crop", "text", "size"),
    [
        (224, None, (0, 0)),
        (256, None, (0, 0)),
        (299, None, (454, 342)),
        (299, "400x300", (400, 300)),
        (224, "340x256", (340, 256)),
    ],
)
def test_frame_size_of_finetune(world, crop, text, size):
    from pytsn.data.modalities import find_modality

    chosen = options(world, overrides=frame_size_overrides(text))
    spec = make_spec(chosen, find_modality("rgb"), 2)
    for phase in ("TRAIN", "TEST"):
        param = data_layer(chosen, spec, phase, 3, (1, 3, crop, crop)).video_data_param
        assert (param.new_width, param.new_height) == size


NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 112 dim: 112 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 7
        stride: 7 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc-action" type: "InnerProduct" bottom: "pool" top: "fc-action" inner_product_param { num_output: 2
        weight_filler { type: "xavier" } } }
"""


def test_finetune_from_video_files_equals_that_from_frames(world, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    for name in ("videos", "frames"):
        lists = (str(world / f"{name}.txt"), "--val_list", str(world / f"{name}.txt"))
        more = (
            "--net",
            str(tmp_path / "net.prototxt"),
            "--epochs",
            "2",
            "--batch_size",
            "2",
            "--accumulate",
            "1",
            "--seed",
            "3",
        )
        assert (
            run_command("finetune", [*lists, "-o", str(tmp_path / name), *more, "--device", "cpu", "--workers", "0"])
            == 0
        )
    from converter.state_files import read_state

    ours, theirs = (read_state(tmp_path / name / "last.safetensors")[0] for name in ("videos", "frames"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor.numpy(), theirs[name].numpy(), err_msg=name)
