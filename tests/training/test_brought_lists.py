"""VideoData on lists and folders as users bring them: the pixels are those of the original's names, bit for bit."""

import os
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from converter.proto import filter_net, read_net
from pytsn.caffe_random.generator import CaffeRng
from pytsn.cli import main
from pytsn.training.input.video_data import VideoData
from pytsn.training.overrides import override_net, pattern_overrides
from tests.training.tiny_videos import video_layer
from tests.training.train_runs import arguments, log_of

COUNTS = {"v0": 40, "v1": 12, "v3": 26}
MODALITIES = {
    "RGB": ("RGB new_length: 2", "img_%05d.png"),
    "FLOW": ("FLOW new_length: 3", "flow_%c_%05d.png"),
    "RGBDIFF": ("RGBDIFF new_length: 2", "img_%05d.png"),
}


def from_zero(tiny_videos, root, rgb="img_{:05d}.png", flow="flow_{}_{:05d}.png"):
    """Hard links to the tiny videos' frames, numbered from 0."""
    for name, count in COUNTS.items():
        (root / name).mkdir(parents=True)
        for number in range(1, count + 1):
            for kind in ("img", "flow_x", "flow_y"):
                new = rgb.format(number - 1) if kind == "img" else flow.format(kind[-1], number - 1)
                os.link(tiny_videos / "frames" / name / f"{kind}_{number:05d}.png", root / name / new)
    return root


def zips_from_zero(tiny_videos, root):
    from_zero(tiny_videos, root)
    for name in COUNTS:
        with zipfile.ZipFile(root / f"{name}.zip", "w") as out:
            for path in (root / name).iterdir():
                out.write(path, path.name)
        shutil.rmtree(root / name)
    return root


def write_list(path, root, **folders) -> str:
    """A line a video; ``folders``: what is written in place of its path."""
    rows = (
        f"{folders.get(name, f'{root}/{name}')} {count} {index % 3}\n"
        for index, (name, count) in enumerate(COUNTS.items())
    )
    path.write_text("".join(rows))
    return str(path)


def make(source, modality, phase="TRAIN", pattern=None, workers=0) -> VideoData:
    words, own = MODALITIES[modality]
    text = f"""video_data_param {{ source: "{source}" batch_size: 2 num_segments: 2 modality: {words}
        name_pattern: "{pattern or own}" shuffle: true }}
        transform_param {{ crop_size: 50 mirror: true multi_scale: true }}"""
    return VideoData(video_layer(text), phase, CaffeRng(5), workers=workers)


def batches(layer, count=4) -> list[np.ndarray]:
    found = [layer.next_uint8()[0].numpy().copy() for _ in range(count)]
    layer.close()
    return found


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("make_folders", [from_zero, zips_from_zero])
def test_numbers_from_0(tiny_videos, tmp_path, modality, make_folders):
    wanted = make(write_list(tmp_path / "one.txt", tiny_videos / "frames"), modality)
    assert not any("numbered" in note for note in wanted.notes)
    root = make_folders(tiny_videos, tmp_path / "zero")
    for phase, workers in (("TRAIN", 0), ("TRAIN", 2), ("TEST", 0)):
        if phase == "TEST":
            wanted = make(tmp_path / "one.txt", modality, phase)
        found = make(write_list(tmp_path / "zero.txt", root), modality, phase, workers=workers)
        note = f"{tmp_path}/zero.txt: frames are numbered from 0 (each folder is asked when it is read)"
        assert found.notes[0] == note or found.notes[-1] == note
        if workers == 0:
            expected = batches(wanted)
        for one, other in zip(expected, batches(found), strict=True):
            np.testing.assert_array_equal(one, other)


def test_folders_of_both_kinds_in_one_list(tiny_videos, tmp_path):
    root = from_zero(tiny_videos, tmp_path / "zero")
    wanted = batches(make(write_list(tmp_path / "one.txt", tiny_videos / "frames"), "RGB"))
    for mixed in ({"v0": f"{tiny_videos}/frames/v0"}, {"v3": f"{tiny_videos}/frames/v3"}):
        found = batches(make(write_list(tmp_path / "mixed.txt", root, **mixed), "RGB"))
        for one, other in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_short_videos_repeat_their_last_frame(tiny_videos, tmp_path):
    """v1 has files 0 to 11; a snippet of 14 stops at 11, one listed with 9 frames has the 12 it needs."""
    root = from_zero(tiny_videos, tmp_path / "zero")
    for listed, length, numbers in ((12, 14, [*range(12), 11, 11]), (9, 12, list(range(12)))):
        (tmp_path / "list.txt").write_text(f"{root}/v1 {listed} 0\n")
        text = f"""video_data_param {{ source: "{tmp_path}/list.txt" batch_size: 1 new_length: {length} modality: RGB
            name_pattern: "img_%05d.png" num_segments: 1 }}"""
        (found,) = batches(VideoData(video_layer(text), "TEST", CaffeRng(1)), 1)
        images = [cv2.imread(f"{root}/v1/img_{number:05d}.png").transpose(2, 0, 1) for number in numbers]
        np.testing.assert_array_equal(found[0], np.concatenate(images))


def test_a_list_that_promises_too_much(tiny_videos, tmp_path):
    root = from_zero(tiny_videos, tmp_path / "zero")
    (tmp_path / "list.txt").write_text(f"{root}/v1 600 0\n")
    message = (
        r"v1/img_0\d+\.png: no such file or folder; the folder has 12 such images, img_00000\.png to img_00011\.png"
    )
    with pytest.raises(PytsnError, match=message):
        batches(make(tmp_path / "list.txt", "RGB", "TEST"))


def test_names_of_another_case_and_with_spaces(tiny_videos, tmp_path):
    root = from_zero(tiny_videos, tmp_path / "My frames")
    wanted = batches(make(write_list(tmp_path / "one.txt", tiny_videos / "frames"), "FLOW"))
    layer = make(write_list(tmp_path / "list.txt", root, v1=f"{root}/V1", v3=f"{root}/V3/"), "FLOW")
    assert layer.notes[:2] == [
        f"{tmp_path}/list.txt: 3 paths hold spaces, first '{root}/v0' (line 1): read as they are, but Caffe would end "
        "the list there",
        f"{tmp_path}/list.txt: 2 names differ from their folders in case alone and are taken for them, first 'V1' for "
        "'v1'",
    ]
    for one, other in zip(wanted, batches(layer), strict=True):
        np.testing.assert_array_equal(one, other)
    (root / "v1").rename(root / "vI")
    (root / "vi").mkdir()
    with pytest.raises(PytsnError, match=r"layer 'data' .*'VI' has no folder of that name, and two that differ"):
        make(write_list(tmp_path / "list.txt", root, v1=f"{root}/VI"), "FLOW")


NET = """layer { name: "a" type: "VideoData" top: "a" top: "b"
        video_data_param { modality: RGB name_pattern: "x%d.jpg" } }
layer { name: "c" type: "VideoData" top: "c" top: "d" video_data_param { modality: FLOW } }"""


def test_patterns_go_to_the_layers_that_read_such_images(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    net = filter_net(read_net(tmp_path / "net.prototxt"), "TRAIN")
    override_net(net, "TRAIN", pattern_overrides("f%06d.png", "%c%d.png"))
    assert [layer.video_data_param.name_pattern for layer in net.layer] == ["f%06d.png", "%c%d.png"]
    override_net(net, "TRAIN", pattern_overrides(None, None))
    override_net(net, "TEST", pattern_overrides("g%d.png", None))
    assert [layer.video_data_param.name_pattern for layer in net.layer] == ["g%d.png", "%c%d.png"]
    with pytest.raises(PytsnError, match=r"--flow_pattern flow_%05d\.jpg: a file name with %c"):
        pattern_overrides(None, "flow_%05d.jpg")


def test_a_run_on_other_names_is_the_same_run(own_tiny, capsys):
    """`train` with --frame_pattern on frames numbered from 0: the log of the original's names, digit by digit."""
    wanted = log_of(run(capsys, "rgb_step"))
    for path in sorted((own_tiny / "frames").glob("*/img_*.png")):
        path.rename(path.with_name(f"frame{int(path.stem[4:]) - 1}.png"))
    captured = run(capsys, "rgb_step", "--frame_pattern=frame%d.png")
    assert log_of(captured) == wanted
    assert "frames are numbered from 0" in captured


def run(capsys, case, *more) -> str:
    assert main(["train", *arguments(case, "ours/s", "--set=max_iter=2", *more)]) == 0
    return capsys.readouterr().out


def test_frames_smaller_than_the_crop(tmp_path):
    """HMDB51 at its own size: video, both sizes and the two fields; in every video, not only the first."""
    for name, width in (("a", 340), ("b", 176)):
        (tmp_path / name).mkdir()
        for number in (1, 2):
            cv2.imwrite(f"{tmp_path}/{name}/img_{number:05d}.png", np.zeros((256, width, 3), np.uint8))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a 2 0\n{tmp_path}/b 2 1\n")
    text = """video_data_param { source: "LIST" batch_size: 2 num_segments: 2 modality: RGB name_pattern: "img_%05d.png"
        MORE } transform_param { crop_size: 224 }""".replace("LIST", f"{tmp_path}/list.txt")
    message = (
        f"{tmp_path}/b: frames of 176x256 pixels are smaller than crop_size 224; new_width and new_height "
        r"\(340 and 256, say\) resize them as they are read: --frame_size 340x256"
    )
    layer = VideoData(video_layer(text.replace("MORE", "")), "TEST", CaffeRng(1))
    with pytest.raises(PytsnError, match=message):
        layer.next_uint8()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/b 2 1\n")
    with pytest.raises(PytsnError, match=rf"layer 'data' \(VideoData\): {message}"):
        VideoData(video_layer(text.replace("MORE", "")), "TEST", CaffeRng(1))
    layer = VideoData(video_layer(text.replace("MORE", "new_width: 340 new_height: 256")), "TEST", CaffeRng(1))
    assert layer.next_uint8()[0].shape == (2, 6, 224, 224)
    large = video_layer(text.replace("MORE", "").replace("224", "299"))
    with pytest.raises(PytsnError, match=r"\(454 and 342, say\)"):
        VideoData(large, "TEST", CaffeRng(1))
