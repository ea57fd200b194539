"""Videos that are decoded on the fly by eval-net and features: the scores of an extraction, which files are found, what
is told of those that cannot be read; and frames of another size than the released nets'."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.frame_size import default_frame_size
from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.video_folder import count_images, find_video_files
from pytsn.data.videos import Video
from pytsn.flow.extract.video import ExtractSettings, extract_video, make_extract_flow
from pytsn.flow.on_the_fly import FlowMethod
from pytsn.scores.score_file import read_scores
from tests.commands.eval_nets import NET
from tests.converter.nets import build
from tests.flow.flow_videos import cut_short, decode, make_sound, make_video

COUNTS = {"v_A_g01_c01": 31, "v_B_g01_c01": 9, "v_B_g02_c01": 3}
PLANES = {"rgb": 3, "flow": 10, "rgbdiff": 15}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """videos/CLASS/NAME.avi; frames/ and warped/ as build-of makes them with Farneback's flow; split files; nets."""
    root = tmp_path_factory.mktemp("world")
    for seed, (name, count) in enumerate(COUNTS.items()):
        make_video(root / "videos" / name[2] / f"{name}.avi", count, seed=seed)
    for folder, kind in (("frames", "tvl1"), ("warped", "warp_tvl1")):
        settings = ExtractSettings(flow_type=kind, algorithm="farneback", preset="")
        for name in COUNTS:
            (root / folder / name).mkdir(parents=True)
            video, out = root / "videos" / name[2] / f"{name}.avi", root / folder / name
            extract_video(str(video), str(out), settings, make_extract_flow(settings, "cpu"), 3)
    splits = root / "data" / "ucf101_splits"
    splits.mkdir(parents=True)
    (splits / "classInd.txt").write_text("".join(f"{i + 1} {c}\n" for i, c in enumerate("ABCDEFG")))
    for number in (1, 2, 3):
        (splits / f"testlist{number:02d}.txt").write_text("".join(f"{name[2]}/{name}.avi\n" for name in COUNTS))
        (splits / f"trainlist{number:02d}.txt").write_text("A/v_A_g09_c01.avi 1\n")
    for modality, channels in PLANES.items():
        (root / f"{modality}.prototxt").write_text(NET % channels)
        save_caffemodel(root / f"{modality}.caffemodel", build(NET % channels))
    return root


def evaluate(world, modality, frames, out, *more, dataset="ucf101") -> int:
    net = (f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel")
    fixed = ("--split_path", f"{world}/data", "--device", "cpu", "--algorithm", "farneback", "--save_scores", str(out))
    return run_command("eval-net", [dataset, "1", modality, str(frames), *net, *fixed, *map(str, more)])


@pytest.mark.parametrize("modality", PLANES)
def test_scores_are_those_of_an_extraction(world, tmp_path, capsys, modality):
    """The same bytes reach the same net, so no tolerance."""
    assert evaluate(world, modality, world / "frames", tmp_path / "a") == 0
    assert "not the flow that" not in capsys.readouterr().err
    assert evaluate(world, modality, world / "videos", tmp_path / "b", "--videos") == 0
    warned = "warning: farneback is not the flow that the released models were trained on" in capsys.readouterr().err
    assert warned == (modality == "flow")
    wanted, found = read_scores(tmp_path / "a.npz"), read_scores(tmp_path / "b.npz")
    assert found.names == wanted.names == tuple(COUNTS)
    for one, other in zip(wanted.scores, found.scores, strict=True):
        np.testing.assert_array_equal(other, one)
    assert found.settings == wanted.settings | ({"flow": "farneback"} if modality == "flow" else {})


def test_warped_flow_and_several_processes(world, tmp_path):
    assert evaluate(world, "flow", world / "warped", tmp_path / "a") == 0
    more = ("--videos", "--flow_type", "warp_tvl1", "--num_worker", 2)
    assert evaluate(world, "flow", world / "videos", tmp_path / "b", *more) == 0
    wanted, found = read_scores(tmp_path / "a.npz"), read_scores(tmp_path / "b.npz")
    for one, other in zip(wanted.scores, found.scores, strict=True):
        np.testing.assert_array_equal(other, one)
    assert found.settings["flow"] == "warped farneback"


@pytest.mark.parametrize("counted", ["{} ", "0 ", ""])
def test_a_list_that_names_video_files(world, tmp_path, counted):
    """``file count label``, with 0 where the count is not known, or mmaction2's ``file label``."""
    lines = {name: f"videos/{name[2]}/{name}.avi {counted.format(count - 1)}1\n" for name, count in COUNTS.items()}
    (tmp_path / "list.txt").write_text("".join(lines.values()))
    assert evaluate(world, "rgb", world / "frames", tmp_path / "a") == 0
    assert evaluate(world, "rgb", world, tmp_path / "b", "--test_list", tmp_path / "list.txt", dataset="custom") == 0
    wanted, found = read_scores(tmp_path / "a.npz"), read_scores(tmp_path / "b.npz")
    assert found.names == tuple(COUNTS)  # so that eval-scores fuses them with those of folders of frames
    for one, other in zip(wanted.scores, found.scores, strict=True):
        np.testing.assert_array_equal(other, one)


def test_a_list_of_frame_folders_with_the_videos_instead(world, tmp_path):
    """Counts of frames that were extracted otherwise are not those of the videos."""
    (tmp_path / "list.txt").write_text("".join(f"elsewhere/{name} 500 1\n" for name in COUNTS))
    assert evaluate(world, "rgb", world / "frames", tmp_path / "a") == 0
    more = ("--videos", "--test_list", tmp_path / "list.txt")
    assert evaluate(world, "rgb", world / "videos", tmp_path / "b", *more, dataset="custom") == 0
    for one, other in zip(read_scores(tmp_path / "a.npz").scores, read_scores(tmp_path / "b.npz").scores, strict=True):
        np.testing.assert_array_equal(other, one)


def features(world, source, out, *more) -> int:
    net = (f"{world}/rgb.prototxt", f"{world}/rgb.caffemodel")
    fixed = ("--modality", "rgb", "--net", *net, "--device", "cpu", "--num_frames", "4", "-o", str(out))
    return run_command("features", [str(source), *fixed, *map(str, more)])


def test_features_of_a_folder_of_videos(world, tmp_path):
    assert features(world, world / "frames", tmp_path / "a.npz") == 0
    assert features(world, world / "videos", tmp_path / "b.npz") == 0
    assert features(world, world / "videos", tmp_path / "c.npz", "--videos", "--num_worker", 2) == 0
    wanted = np.load(tmp_path / "a.npz")
    for path in ("b.npz", "c.npz"):
        found = np.load(tmp_path / path)
        assert sorted(found["names"]) == sorted(COUNTS)
        for key in wanted.files:
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    assert features(world, world / "frames", tmp_path / "d.npz", "--videos") == 2


def test_snippets_at_the_rate_that_the_file_tells(world):
    from fractions import Fraction

    path = world / "videos" / "A" / "v_A_g01_c01.avi"  # 25 frames a second
    (video,), broken = count_images([Video("v", 0, str(path), 0, 0)])
    assert (video.rgb_count, video.flow_count, broken) == (30, 30, {})
    assert video_ticks(video, SnippetOptions(snippet_rate=Fraction(5))) == [1, 6, 11, 16, 21, 26]


def test_files_are_found_at_any_depth_by_name(tmp_path):
    for name in ("A/b.avi", "A/deep/c.MP4", "d.mkv", ".hidden/e.avi", ".f.avi", "A/notes.txt", "A/b_2.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "A" / "loop").symlink_to(tmp_path, target_is_directory=True)
    root = str(tmp_path)
    assert find_video_files(root) == {
        "b": f"{root}/A/b.avi",
        "b_2": f"{root}/A/b_2.avi",
        "c": f"{root}/A/deep/c.MP4",
        "d": f"{root}/d.mkv",
    }
    (tmp_path / "B").mkdir()
    (tmp_path / "B" / "b.mp4").touch()
    assert list(find_video_files(root, {"c", "x"})) == ["c"]  # two of a name that nobody asked for do no harm
    with pytest.raises(PytsnError, match=r"two videos are called 'b': .*/A/b\.avi and .*/B/b\.mp4"):
        find_video_files(root, {"b"})


def test_videos_that_are_missing_or_broken_are_told_first(world, tmp_path, capsys):
    make_sound(tmp_path / "v_A_g01_c01.avi")
    make_video(tmp_path / "v_B_g01_c01.avi", 6)
    assert evaluate(world, "rgb", tmp_path, tmp_path / "s", "--videos") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "2 of 3 videos have no frames" in said
    assert "v_A_g01_c01.avi: OpenCV finds no video stream" in said
    assert evaluate(world, "rgb", tmp_path, tmp_path / "s", "--videos", "--allow_missing") == 0
    assert read_scores(tmp_path / "s.npz").names == ("v_B_g01_c01",)


def test_videos_without_the_flag_are_pointed_at(world, tmp_path, capsys):
    assert evaluate(world, "rgb", world / "videos", tmp_path / "s") == 2
    assert "there are such video files: decode them by --videos" in capsys.readouterr().err


def test_a_count_beyond_the_end(world, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("videos/B/v_B_g01_c01.avi 9 1\n")  # 9 frames make 8 images
    more = ("--test_list", tmp_path / "list.txt", "--num_frame_per_video", 2)
    assert evaluate(world, "rgb", world, tmp_path / "s", *more, dataset="custom") == 2
    assert "v_B_g01_c01.avi: ends before image" in capsys.readouterr().err


def test_flow_of_a_file_without_a_way_to_compute_it(world):
    video = Video("v", 0, str(world / "videos" / "A" / "v_A_g01_c01.avi"), 30, 30)
    with pytest.raises(PytsnError, match=r"SnippetOptions\.flow"):
        next(read_videos([video], SnippetOptions("flow")))


def test_cut_short_counts_what_can_be_decoded(world, tmp_path):
    path = cut_short(world / "videos" / "A" / "v_A_g01_c01.avi", tmp_path / "cut.avi")
    (video,), _ = count_images([Video("v", 0, str(path), 0, 0)])
    assert video.rgb_count == len(decode(path)) - 1 < 30


@pytest.mark.parametrize(
    ("crop", "size"), [(24, (340, 256)), (224, (340, 256)), (256, (340, 256)), (257, (391, 294)), (299, (454, 342))]
)
def test_default_frame_size(crop, size):
    """340 : 256 to 224 as width : height to the crop, rounded up, where the crop does not fit into 340x256."""
    assert default_frame_size(crop) == size


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A net of 299 pixels, as Inception V3."""
    root = tmp_path_factory.mktemp("large")
    text = NET.replace("dim: 24", "dim: 299") % 3
    (root / "rgb.prototxt").write_text(text)
    save_caffemodel(root / "rgb.caffemodel", build(text))
    return root


def snippets_by_hand(frames: np.ndarray, count: int, size: tuple[int, int], num_frames: int) -> np.ndarray:
    """(T, 3, H, W): frames resized straight from the video, through JPEG."""
    step = (count - 1) // (num_frames - 1)
    images = [cv2.resize(frames[1 + step * index], size) for index in range(num_frames)]
    images = [cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR) for image in images]
    return np.stack(images).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("given", "size"), [((), (454, 342)), (("--frame_size", "400x300"), (400, 300))])
def test_nets_of_another_size(world, large, tmp_path, given, size):
    common = ("--split_path", f"{world}/data", "--num_frame_per_video", 2, *given)
    assert evaluate(large, "rgb", world / "videos", tmp_path / "s", *common, "--videos") == 0
    found = read_scores(tmp_path / "s.npz")
    assert found.settings["frame_size"] == f"{size[0]}x{size[1]}"
    video = Video("v", 0, str(world / "videos" / "A" / "v_A_g01_c01.avi"), 30, 30)
    ((_, planes),) = read_videos([video], SnippetOptions(num_frames=2, frame_size=size))
    np.testing.assert_array_equal(planes, snippets_by_hand(decode(Path(video.folder)), 30, size, 2))
    out = tmp_path / "p.json"
    nets = ("--rgb", f"{large}/rgb.prototxt", f"{large}/rgb.caffemodel", "--device", "cpu")
    argv = (video.folder, *nets, *given, "--num_frames", "2", "--no_picture", "--json", str(out))
    assert run_command("predict", list(argv)) == 0
    said = json.loads(out.read_text())
    assert said["settings"]["streams"]["rgb"]["frame_size"] == f"{size[0]}x{size[1]}"
    best = found.scores[0].mean((0, 1)).argmax()
    assert said["videos"][0]["top"][0]["label"] == best


def test_folders_of_frames_are_resized_to_the_size(world, large, tmp_path, capsys):
    common = ("--split_path", f"{world}/data", "--num_frame_per_video", 2)
    assert evaluate(large, "rgb", world / "frames", tmp_path / "s", *common) == 0
    video = Video("v", 0, str(world / "frames" / "v_A_g01_c01"), 30, 30)
    ((_, planes),) = read_videos([video], SnippetOptions(num_frames=2, frame_size=(454, 342)))
    image = cv2.resize(cv2.imread(f"{video.folder}/img_00001.jpg"), (454, 342))
    np.testing.assert_array_equal(planes[0], image.transpose(2, 0, 1))
    capsys.readouterr()
    assert evaluate(large, "rgb", world / "frames", tmp_path / "s", *common, "--frame_size", "400x300", "--resume") == 2
    assert "was made with frame_size = '454x342', now it is '400x300'" in capsys.readouterr().err


def test_the_default_size_is_not_told(world, tmp_path):
    """So that files that were begun before there was a choice can be gone on with."""
    assert evaluate(world, "rgb", world / "frames", tmp_path / "s", "--frame_size", "340x256") == 0
    assert "frame_size" not in read_scores(tmp_path / "s.npz").settings
    assert evaluate(world, "rgb", world / "frames", tmp_path / "s", "--resume") == 0


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("300x280", "--frame_size 300x280: "),
        ("300x280", "takes crops of 299x299 pixels, which do not fit; leave the option out for 454x342"),
        ("300", "WIDTHxHEIGHT in pixels was expected"),
        ("0x300", "WIDTHxHEIGHT in pixels was expected"),
        ("99999x300", "WIDTHxHEIGHT in pixels was expected"),
    ],
)
def test_sizes_that_do_not_go(world, large, tmp_path, capsys, size, said):
    common = ("--split_path", f"{world}/data", "--frame_size", size)
    assert evaluate(large, "rgb", world / "frames", tmp_path / "s", *common) == 2
    assert said in capsys.readouterr().err


def test_a_method_sent_to_workers():
    method = FlowMethod("dis", devices=("cuda:0", "cuda:1"))
    assert [method.for_worker(number).devices for number in range(3)] == [("cuda:0",), ("cuda:1",), ("cuda:0",)]
    assert FlowMethod().title == "tvl1 opencv2.4-cuda"
