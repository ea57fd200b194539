"""A folder of class folders becomes lists: which classes and videos, how they are split, what does not go."""

from pathlib import Path

import pytest

from pytsn.cli import run_command
from pytsn.data.class_folders import read_class_folders
from pytsn.data.frame_folders import parse_list_file
from tests.commands.eval_nets import write_frames
from tests.flow.flow_videos import make_sound, make_video

CLASSES = ("Apple pie", "Bowling", "Crawl")
#: class -> its videos' frames; two classes have videos of one name
VIDEOS = {"Apple pie": {"001": 5, "002": 4, "003": 3}, "Bowling": {"001": 7, "x": 6}, "Crawl": {"deep/only": 4}}


def make_videos(root: Path) -> Path:
    for name, videos in VIDEOS.items():
        for video, count in videos.items():
            make_video(root / name / f"{video}.avi", count)
    (root / "Bowling" / "notes.txt").write_text("no video")
    (root / ".hidden").mkdir()
    return root


def build_lists(*argv) -> int:
    return run_command("build-file-list", ["folders", *map(str, argv)])


def listed(path: Path) -> list[tuple[str, int, int]]:
    return [(video.folder, video.rgb_count, video.label) for video in parse_list_file(path)]


def test_videos_become_lists(tmp_path, capsys):
    root = make_videos(tmp_path / "videos")
    assert build_lists(root, "--out_list_path", tmp_path / "out") == 0
    out = tmp_path / "out"
    train, val = (listed(out / f"folders_rgb_{part}_split_1.txt") for part in ("train", "val"))
    wanted = {
        (f"{root}/{name}/{video}.avi", count - 1, CLASSES.index(name))
        for name, videos in VIDEOS.items()
        for video, count in videos.items()
    }
    assert set(train) | set(val) == wanted
    assert len(train) + len(val) == len(wanted)
    assert sorted(label for _, _, label in val) == [0, 1]  # one of each class, none of a class of one video
    assert "1 class of one video is trained on and not validated: Crawl" in capsys.readouterr().err
    assert (out / "folders_classes.txt").read_text() == "1 Apple pie\n2 Bowling\n3 Crawl\n"
    names = sorted(path.name for path in out.iterdir())
    assert len(names) == 5  # and the flow lists, for tests
    assert listed(out / "folders_flow_val_split_1.txt") == val


def test_splits_are_repeatable_and_differ(tmp_path):
    for index in range(20):
        for name in ("a", "b"):
            (tmp_path / "videos" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "videos" / name / f"{index:02d}.mp4").touch()
    found = read_class_folders(str(tmp_path / "videos"))
    first = found.random_split(0.25, 0)
    assert found.random_split(0.25, 0) == first
    others = [found.random_split(0.25, 1), found.random_split(0.25, 0, 2)]
    assert all(other.test != first.test for other in others)
    for split in (first, *others):
        assert sorted(split.train + split.test) == sorted(found.entries)
        assert [sum(label == each for _, label in split.test) for each in (0, 1)] == [5, 5]


def test_folders_of_frames(tmp_path):
    for name in ("a", "b"):
        write_frames(tmp_path / "frames" / name, {f"{name}{index}": 3 + index for index in range(5)})
    assert build_lists(tmp_path / "frames", "--out_list_path", tmp_path / "out", "--val_share", "0.4") == 0
    train, val = (listed(tmp_path / "out" / f"folders_rgb_{part}_split_1.txt") for part in ("train", "val"))
    assert (len(train), len(val)) == (6, 4)
    for folder, count, label in (*train, *val):
        path = Path(folder)
        assert path.parent == tmp_path / "frames" / "ab"[label]
        assert count == len(list(path.glob("img_*"))) == 3 + int(path.name[1])


def test_classes_of_videos_with_the_images_of_build_of(tmp_path, capsys):
    make_video(tmp_path / "videos" / "a" / "one.avi", 4)
    make_video(tmp_path / "videos" / "b" / "two.avi", 5)
    write_frames(tmp_path / "frames", {"one": 3, "two": 4})
    argv = (tmp_path / "videos", "--frames", tmp_path / "frames", "--out_list_path", tmp_path / "out")
    assert build_lists(*argv) == 0
    wanted = [(f"{tmp_path}/frames/one", 3, 0), (f"{tmp_path}/frames/two", 4, 1)]
    assert listed(tmp_path / "out" / "folders_rgb_train_split_1.txt") == wanted
    make_video(tmp_path / "videos" / "b" / "one.avi", 4)
    capsys.readouterr()
    assert build_lists(*argv) == 2
    assert "would have one folder of frames" in capsys.readouterr().err


def test_a_broken_video_is_told_or_left_out(tmp_path, capsys):
    root = make_videos(tmp_path / "videos")
    make_sound(root / "Bowling" / "sound.avi")
    assert build_lists(root, "--out_list_path", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "1 of 7 videos has no frames" in said
    assert "sound.avi: OpenCV finds no video stream" in said
    assert not (tmp_path / "out").exists()
    assert build_lists(root, "--out_list_path", tmp_path / "out", "--allow_missing") == 0
    text = "".join((tmp_path / "out" / f"folders_rgb_{part}_split_1.txt").read_text() for part in ("train", "val"))
    assert text.count("\n") == 6
    assert "sound" not in text


@pytest.mark.parametrize(
    ("made", "argv", "said"),
    [
        ("a/1.avi b/2.avi 3.avi", (), "3.avi lies beside the class folders"),
        ("", (), "holds no folders; one a class"),
        ("a/1.avi b/notes.txt", (), "b: no videos"),
        ("a/1.avi a/deep/1.mp4", (), "two videos of one class are called alike"),
        ("a/img_00001.jpg", ("--videos",), "a class without videos"),
        ("a/1.avi", ("--val_share", "1"), "--val_share 1.0: a share between 0 and 1"),
    ],
)
def test_what_does_not_go(tmp_path, capsys, made, argv, said):
    (tmp_path / "root").mkdir()
    for name in made.split():
        (tmp_path / "root" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "root" / name).touch()
    assert build_lists(tmp_path / "root", "--out_list_path", tmp_path / "out", *argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "out").exists()


def test_a_dataset_with_splits_lists_its_videos(tmp_path):
    splits = tmp_path / "data" / "ucf101_splits"
    splits.mkdir(parents=True)
    (splits / "classInd.txt").write_text("1 A\n2 B\n")
    for number in (1, 2, 3):
        (splits / f"testlist{number:02d}.txt").write_text("A/v_A_g01_c01.avi\n")
        (splits / f"trainlist{number:02d}.txt").write_text("B/v_B_g01_c01.avi 2\n")
    for name, count in (("A/v_A_g01_c01", 5), ("B/v_b_g01_c01", 6)):  # the case of one differs
        make_video(tmp_path / "videos" / f"{name}.avi", count)
    argv = ("ucf101", tmp_path / "videos", "--videos", "--num_split", 1, "--split_path", tmp_path / "data")
    out = tmp_path / "out"
    assert run_command("build-file-list", list(map(str, (*argv, "--out_list_path", out)))) == 0
    assert listed(out / "ucf101_rgb_val_split_1.txt") == [(f"{tmp_path}/videos/A/v_A_g01_c01.avi", 4, 0)]
    assert listed(out / "ucf101_flow_train_split_1.txt") == [(f"{tmp_path}/videos/B/v_b_g01_c01.avi", 5, 1)]
