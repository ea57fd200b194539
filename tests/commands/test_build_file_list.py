"""The list files and printed lines of the original build_file_list.py."""

import json

import pytest

from pytsn.cli import run_command
from pytsn.data.frame_folders import parse_list_file

VIDEOS = {"v_YoYo_g01_c01": (3, 2), "v_YoYo_g01_c02": (4, 3), "v_Archery_g01_c01": (5, 4), "v_Archery_g01_c02": (6, 5)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A current folder with data/ucf101_splits and frames/, as the original expects them."""
    monkeypatch.chdir(tmp_path)
    splits = tmp_path / "data/ucf101_splits"
    splits.mkdir(parents=True)
    (splits / "classInd.txt").write_text("1 Archery\n2 YoYo\n")
    for number in (1, 2, 3):
        (splits / f"trainlist{number:02d}.txt").write_text(
            "YoYo/v_YoYo_g01_c01.avi 2\nYoYo/v_YoYo_g01_c02.avi 2\nArchery/v_Archery_g01_c01.avi 1\n"
        )
        (splits / f"testlist{number:02d}.txt").write_text("Archery/v_Archery_g01_c02.avi\n")
    for name, (rgb, flow) in VIDEOS.items():
        folder = tmp_path / "frames" / name
        folder.mkdir(parents=True)
        for prefix, count in (("img_", rgb), ("flow_x_", flow), ("flow_y_", flow)):
            for index in range(count):
                (folder / f"{prefix}{index + 1:05d}.jpg").touch()
    return tmp_path


def run(*arguments):
    return run_command("build-file-list", list(arguments))


def test_files_and_lines(project, capsys):
    assert run("ucf101", "frames") == 0
    assert capsys.readouterr().out.splitlines() == [
        "processing dataset ucf101",
        "parse frames under folder frames",
        "0 videos parsed",
        "frame folder analysis done",
        "writing list files for training/testing",
    ]
    names = {
        f"ucf101_{modality}_{part}_split_{number}.txt"
        for modality in ("rgb", "flow")
        for part in ("train", "val")
        for number in (1, 2, 3)
    }
    assert {path.name for path in (project / "data").glob("*.txt")} == names
    assert (project / "data/ucf101_rgb_train_split_2.txt").read_text() == (
        "frames/v_YoYo_g01_c01 3 1\nframes/v_YoYo_g01_c02 4 1\nframes/v_Archery_g01_c01 5 0\n"
    )
    assert (project / "data/ucf101_flow_train_split_3.txt").read_text() == (
        "frames/v_YoYo_g01_c01 2 1\nframes/v_YoYo_g01_c02 3 1\nframes/v_Archery_g01_c01 4 0\n"
    )
    assert (project / "data/ucf101_rgb_val_split_1.txt").read_text() == "frames/v_Archery_g01_c02 6 0\n"
    assert (project / "data/ucf101_flow_val_split_1.txt").read_text() == "frames/v_Archery_g01_c02 5 0\n"
    (video,) = parse_list_file(project / "data/ucf101_flow_val_split_1.txt")
    assert (video.name, video.label, video.flow_count) == ("v_Archery_g01_c02", 0, 5)


def test_options(project):
    for path in (project / "frames").glob("*/img_*"):
        path.rename(path.with_name(path.name.replace("img_", "image_")))
    (project / "data").rename(project / "elsewhere")
    arguments = [
        "--num_split",
        "1",
        "--out_list_path",
        "new/lists",
        "--rgb_prefix",
        "image_",
        "--split_path",
        "elsewhere",
    ]
    assert run("ucf101", "frames/", *arguments) == 0
    assert len(list((project / "new/lists").iterdir())) == 4
    text = (project / "new/lists/ucf101_rgb_val_split_1.txt").read_text()
    assert text == "frames/v_Archery_g01_c02 6 0\n"


def test_shuffle_reorders_and_a_seed_repeats_it(project):
    def lists(*arguments):
        assert run("ucf101", "frames", "--shuffle", *arguments) == 0
        return [path.read_text() for path in sorted((project / "data").glob("*.txt"))]

    assert run("ucf101", "frames") == 0
    plain = [path.read_text() for path in sorted((project / "data").glob("*.txt"))]
    assert lists("--seed", "3") == lists("--seed", "3")
    orders = {tuple(lists("--seed", str(seed))) for seed in range(6)}
    assert len(orders) > 1
    for order in orders:
        assert [sorted(text.splitlines()) for text in order] == [sorted(text.splitlines()) for text in plain]


def test_missing_videos_stop_it_before_anything_is_written(project, capsys):
    for path in (project / "frames/v_YoYo_g01_c02").iterdir():
        path.unlink()
    (project / "frames/v_Archery_g01_c02").rename(project / "frames/other")
    assert run("ucf101", "frames") == 2
    error = capsys.readouterr().err
    assert "2 of 4 videos have no frames in frames: v_Archery_g01_c02, v_YoYo_g01_c02" in error
    assert "--allow_missing" in error
    assert list((project / "data").glob("*.txt")) == []
    assert run("ucf101", "frames", "--allow_missing") == 0
    assert "warning: 2 of 4" in capsys.readouterr().err
    assert (project / "data/ucf101_rgb_val_split_1.txt").read_text() == ""
    assert len((project / "data/ucf101_rgb_train_split_1.txt").read_text().splitlines()) == 2


def test_a_modality_without_images_is_warned_of(project, capsys):
    for path in (project / "frames").glob("*/flow_*"):
        path.unlink()
    assert run("ucf101", "frames") == 0
    assert "4 videos have no flow images" in capsys.readouterr().err
    assert (project / "data/ucf101_flow_val_split_1.txt").read_text() == "frames/v_Archery_g01_c02 0 0\n"


@pytest.mark.parametrize("blocked", ["ucf101_flow_val_split_1.txt", "ucf101_rgb_train_split_1.txt"])
def test_nothing_half_written(project, capsys, blocked):
    assert run("ucf101", "frames", "--num_split", "1") == 0
    before = (project / "data/ucf101_flow_train_split_1.txt").read_text()
    (project / "data" / blocked).unlink()
    (project / "data" / blocked).mkdir()  # the first or last file cannot be put in its place
    for axis in "xy":
        (project / f"frames/v_YoYo_g01_c01/flow_{axis}_00003.jpg").touch()
    assert run("ucf101", "frames", "--num_split", "1") == 2
    assert blocked in capsys.readouterr().err
    assert (project / "data/ucf101_flow_train_split_1.txt").read_text() == before
    assert [path.name for path in (project / "data").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ucf101", "frames", "--num_split", "4"], "splits 1 to 3"),
        (["ucf101", "frames", "--num_split", "0"], "splits 1 to 3"),
        (["kinetics", "frames"], "supported are ucf101, hmdb51"),
        (["ucf101", "nowhere"], "nowhere: no such file or folder"),
        (["hmdb51", "frames"], "class_list.txt: no such file"),
        (["ucf101", "data", "--allow_missing"], "nothing to list"),
    ],
)
def test_bad_arguments_end_in_one_line_and_status_2(project, capsys, arguments, message):
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.golden
def test_on_the_recorded_frames(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(golden / "eval")
    assert run("ucf101", "frames", "--out_list_path", str(tmp_path)) == 0
    assert (tmp_path / "ucf101_rgb_val_split_1.txt").read_text().splitlines() == [
        "frames/v_ApplyEyeMakeup_g01_c01 40 0",
        "frames/v_ApplyEyeMakeup_g01_c02 12 0",
        "frames/v_Archery_g02_c01 60 2",
        "frames/v_Archery_g02_c02 26 2",
        "frames/v_BabyCrawling_g03_c01 32 3",
        "frames/v_BabyCrawling_g03_c02 51 3",
    ]


@pytest.fixture
def activitynet(tmp_path, monkeypatch):
    """A current folder with ActivityNet's annotations where the original has them, and frames of clips and videos."""
    monkeypatch.chdir(tmp_path)
    annotate = lambda *labels: [{"label": label, "segment": [0, 1 + len(label)]} for label in labels]  # noqa: E731
    database = {
        "aB-1": {"subset": "training", "duration": 9, "annotations": annotate("Yo", "Archery")},
        "cc": {"subset": "validation", "duration": 9, "annotations": annotate("Yo")},
        "dd": {"subset": "testing", "duration": 9, "annotations": []},
    }
    taxonomy = [{"nodeName": name, "parentName": "Root"} for name in ("Yo", "Archery")]
    folder = tmp_path / "data/activitynet_splits"
    folder.mkdir(parents=True)
    text = json.dumps({"version": "VERSION 1.2", "taxonomy": taxonomy, "database": database})
    (folder / "activity_net.v1-2.min.json").write_text(text)
    for name, count in {"aB-1_0": 2, "v_aB-1_1": 3, "cc_0": 4, "dd": 5, "v_aB-1": 6, "cc": 7}.items():
        (tmp_path / "frames" / name).mkdir(parents=True)
        for prefix in ("img_", "flow_x_", "flow_y_"):
            for index in range(count):
                (tmp_path / "frames" / name / f"{prefix}{index + 1:05d}.jpg").touch()
    return tmp_path


def lists_of(folder, modality="rgb"):
    names = [f"{part}_split_{number}" for number in (1, 2) for part in ("train", "val")]
    return [(folder / f"data/activitynet_1.2_{modality}_{name}.txt").read_text().splitlines() for name in names]


def test_activitynet_clips_as_the_original_lists_them(activitynet):
    assert run("activitynet_1.2", "frames") == 0
    train = ["frames/aB-1_0 2 1", "frames/v_aB-1_1 3 0"]
    assert lists_of(activitynet) == [train, ["frames/cc_0 4 1"], [*train, "frames/cc_0 4 1"], ["frames/dd 5 0"]]
    assert lists_of(activitynet, "flow") == lists_of(activitynet)
    assert not list((activitynet / "data").glob("*split_3*"))


def test_activitynet_videos(activitynet):
    (activitynet / "data/activitynet_splits/activity_net.v1-2.min.json").rename(activitynet / "my.json")
    assert run("activitynet_1.2", "frames", "--anet_unit", "videos", "--anet_file", "my.json") == 0
    train = ["frames/v_aB-1 6 0"]  # Archery is the longer of its two
    assert lists_of(activitynet) == [train, ["frames/cc 7 1"], [*train, "frames/cc 7 1"], ["frames/dd 5 0"]]


def test_activitynet_errors_are_one_line(activitynet, capsys):
    (activitynet / "bad.json").write_text("[")
    for arguments, words in (
        (("activitynet_1.3", "frames"), "activity_net.v1-3.min.json: no such file"),
        (("activitynet_1.2", "frames", "--anet_file", "bad.json"), "bad.json: no JSON"),
        (("ucf101", "frames", "--anet_file", "bad.json"), "goes with the datasets activitynet_1.2"),
        (("activitynet_1.2", "data"), "4 of 4 videos have no frames"),
    ):
        assert run(*arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
