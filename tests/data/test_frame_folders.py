"""Frame folders, custom lists and missing videos."""

import pytest

from converter.errors import PytsnError
from pytsn.data.frame_folders import find_missing, make_videos, missing_message, parse_directory, parse_list_file
from pytsn.data.videos import FrameFolder, Video


def make_folder(path, rgb=0, flow_x=0, flow_y=None):
    path.mkdir(parents=True)
    counts = {"img_": rgb, "flow_x_": flow_x, "flow_y_": flow_x if flow_y is None else flow_y}
    for prefix, count in counts.items():
        for index in range(1, count + 1):
            (path / f"{prefix}{index:05d}.jpg").touch()


def test_counts_by_prefix_and_the_lines_of_the_original(tmp_path):
    make_folder(tmp_path / "v_b", rgb=3, flow_x=2)
    make_folder(tmp_path / "v_a", rgb=1)
    (tmp_path / "v_a" / "thumbs.db").touch()
    (tmp_path / "readme.txt").touch()
    lines = []
    folders = parse_directory(str(tmp_path), report=lines.append)
    assert folders == {
        "v_a": FrameFolder(str(tmp_path / "v_a"), 1, 0),
        "v_b": FrameFolder(str(tmp_path / "v_b"), 3, 2),
    }
    assert list(folders) == ["v_a", "v_b"]
    assert lines == [f"parse frames under folder {tmp_path}", "0 videos parsed", "frame folder analysis done"]


def test_progress_every_200_videos(tmp_path):
    for index in range(401):
        (tmp_path / f"v{index:03d}").mkdir()
    lines = []
    assert len(parse_directory(str(tmp_path), report=lines.append)) == 401
    assert lines[1:-1] == ["0 videos parsed", "200 videos parsed", "400 videos parsed"]


@pytest.mark.golden
def test_recorded_folders(golden):
    folders = parse_directory(str(golden / "eval/frames"))
    counts = {name: (item.rgb_count, item.flow_count) for name, item in folders.items()}
    assert counts == {
        "v_ApplyEyeMakeup_g01_c01": (40, 40),
        "v_ApplyEyeMakeup_g01_c02": (12, 12),
        "v_Archery_g02_c01": (60, 60),
        "v_Archery_g02_c02": (26, 26),
        "v_BabyCrawling_g03_c01": (32, 32),
        "v_BabyCrawling_g03_c02": (51, 51),
    }


def test_other_prefixes(tmp_path):
    (tmp_path / "v").mkdir()
    for name in ("image_0001.jpg", "fx1.jpg", "fx2.jpg", "fy1.jpg", "fy2.jpg"):
        (tmp_path / "v" / name).touch()
    folder = parse_directory(str(tmp_path), "image_", "fx", "fy")["v"]
    assert (folder.rgb_count, folder.flow_count) == (1, 2)


def test_class_folders_may_lie_in_between(tmp_path):
    make_folder(tmp_path / "Archery/v_Archery_g01_c01", rgb=2)
    make_folder(tmp_path / "YoYo/v_YoYo_g01_c01", rgb=4)
    (tmp_path / "YoYo/.hidden").touch()
    make_folder(tmp_path / "v_flat", rgb=1)
    assert {name: item.rgb_count for name, item in parse_directory(str(tmp_path)).items()} == {
        "v_Archery_g01_c01": 2,
        "v_YoYo_g01_c01": 4,
        "v_flat": 1,
    }
    wanted = parse_directory(str(tmp_path), names=["v_YoYo_g01_c01", "v_flat", "v_absent"])
    assert list(wanted) == ["v_YoYo_g01_c01", "v_flat"]


def test_only_wanted_folders_are_counted(tmp_path):
    make_folder(tmp_path / "v_good", rgb=2, flow_x=2)
    make_folder(tmp_path / "v_bad", rgb=2, flow_x=2, flow_y=1)
    assert list(parse_directory(str(tmp_path), names=["v_good"])) == ["v_good"]
    with pytest.raises(PytsnError, match=r"video 'v_bad': 2 x and 1 y flow images"):
        parse_directory(str(tmp_path))


def test_an_empty_video_folder_counts_zero(tmp_path):
    (tmp_path / "v_empty").mkdir()
    assert parse_directory(str(tmp_path))["v_empty"] == FrameFolder(str(tmp_path / "v_empty"), 0, 0)


def test_two_folders_of_one_name_are_refused(tmp_path):
    make_folder(tmp_path / "A/v_1", rgb=1)
    make_folder(tmp_path / "B/v_1", rgb=1)
    with pytest.raises(PytsnError, match=r"'v_1' has two frame folders: .*A/v_1 and .*B/v_1"):
        parse_directory(str(tmp_path))


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(PytsnError, match=r"nowhere: no such file or folder"):
        parse_directory(str(tmp_path / "nowhere"))


def test_custom_lists(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("frames/My videos/clip 1 30 2\n\n/data/b/clip_2/  7 0\n")
    assert parse_list_file(path) == [
        Video("clip 1", 2, "frames/My videos/clip 1", 30, 30),
        Video("clip_2", 0, "/data/b/clip_2/", 7, 7),
    ]


def test_custom_lists_name_videos_by_path_where_folder_names_repeat(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a/x 3 0\nb/x 3 1\n")
    assert [video.name for video in parse_list_file(path)] == ["a/x", "b/x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 3 0\nb 3\n", "line 2: 'folder frames label' expected, found 2 fields: 'b 3'"),
        ("a 3 0.5\n", "line 1"),
        ("a -3 0\n", "line 1"),
        ("a 3 0\na 4 1\n", "'a' is listed twice"),
        ("\n\n", "holds no videos"),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(PytsnError, match=message):
        parse_list_file(path)


def test_missing_videos_are_all_found(tmp_path):
    for name, rgb, flow in (("v_full", 2, 2), ("v_no_flow", 2, 0), ("v_empty", 0, 0)):
        make_folder(tmp_path / name, rgb=rgb, flow_x=flow)
    entries = [("v_gone", 0), ("v_full", 1), ("v_empty", 1), ("v_no_flow", 2)]
    videos = make_videos(entries, parse_directory(str(tmp_path)))
    assert [(video.name, video.label) for video in videos] == [("v_full", 1), ("v_empty", 1), ("v_no_flow", 2)]
    assert find_missing(videos, "rgb", entries) == ["v_gone", "v_empty"]
    assert find_missing(videos, "flow", entries) == ["v_gone", "v_empty", "v_no_flow"]
    listed = [Video("v_full", 0, str(tmp_path / "v_full"), 2, 2), Video("v", 0, str(tmp_path / "v"), 2, 2)]
    assert find_missing(listed, "rgb") == ["v"]


def test_the_message_names_ten_and_counts_all():
    message = missing_message([f"v{index}" for index in range(12)], 30, "frames/")
    assert message == "12 of 30 videos have no frames in frames/: v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, ..."
