"""Names and numbers of frames: prefixes and patterns, numbering from 0 and from 1, gaps; in folders and in archives."""

import zipfile

import pytest

from converter.errors import PytsnError
from pytsn.data.frame_folders import look_into, naming_hint, parse_directory
from pytsn.data.frame_names import Numbering, frame_kinds, frame_name, frame_numbers, numbering, short_kind
from pytsn.data.frame_store import number_frames
from pytsn.data.modalities import PREFIXES
from pytsn.data.videos import FrameFolder


@pytest.mark.parametrize(
    ("kind", "number", "name"),
    [
        ("img_", 7, "img_00007.jpg"),
        ("img_", 123456, "img_123456.jpg"),
        ("image_%06d.jpg", 7, "image_000007.jpg"),
        ("frame%d.png", 0, "frame0.png"),
        ("100_%02d.jpg", 345, "100_345.jpg"),
    ],
)
def test_a_name_and_back(kind, number, name):
    assert frame_name(kind, number) == name
    assert frame_numbers(kind, [name, f"x{name}", f"{name}~"]) == [number]


def test_a_pattern_takes_its_own_names_only():
    names = ["image_000001.jpg", "image_1.jpg", "image_0000012.jpg", "image_1000000.jpg", "image_000002.png"]
    assert frame_numbers("image_%06d.jpg", names) == [1, 1000000]
    assert frame_numbers("frame%d.png", ["frame01.png", "frame1.png", "frame10.png", "frameXpng"]) == [1, 10]
    assert frame_numbers("a.b_%d.jpg", ["a.b_1.jpg", "axb_1.jpg", "a.b_1xjpg"]) == [1]


def test_a_prefix_takes_any_digits_and_extension():
    assert frame_numbers("flow_x", ["flow_x_00004.jpg", "flow_x.zip", "flow_x9.png", "flow_y_1.jpg"]) == [4, 9]
    assert frame_numbers("img_", ["img_thumb.jpg", "img_1.zip", "img_2"]) == [2]
    assert [short_kind(kind) for kind in ("flow_x_", "img_", "flow_y_%05d.jpg")] == ["x_", "img_", "y_%05d.jpg"]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([], Numbering(1, 0, None)),
        ([3, 1, 2], Numbering(1, 3, None)),
        ([0, 1], Numbering(0, 2, None)),
        ([0, 2, 3], Numbering(0, 3, 1)),
        ([1, 2, 9, 5], Numbering(1, 4, 3)),
        ([5, 6], Numbering(5, 2, 1)),
    ],
)
def test_what_numbers_come_to(numbers, wanted):
    assert numbering(numbers) == wanted


def layouts(tmp_path, first, images, pairs):
    """The same frames as files, in dense_flow's zips, and in an archive a video, two ways."""
    names = {"img_": [f"img_{first + k:05d}.jpg" for k in range(images)]}
    for axis in "xy":
        names[f"flow_{axis}_"] = [f"flow_{axis}_{first + k:05d}.jpg" for k in range(pairs)]
    (tmp_path / "files").mkdir()
    (tmp_path / "zips").mkdir()
    for kind, own in names.items():
        for name in own:
            (tmp_path / "files" / name).touch()
        with zipfile.ZipFile(tmp_path / "zips" / f"{kind.rstrip('_')}.zip", "w") as out:
            for name in own:
                out.writestr(name.removeprefix("flow_"), b"")
    for folder, below in (("bare", ""), ("below", "below/")):
        with zipfile.ZipFile(tmp_path / f"{folder}.zip", "w") as out:
            for name in (name for own in names.values() for name in own):
                out.writestr(below + name, b"")
    return [str(tmp_path / name) for name in ("files", "zips", "bare", "below")]


@pytest.mark.parametrize("first", [0, 1])
def test_first_numbers_and_counts(tmp_path, first):
    """denseflow writes one image more than pairs."""
    for folder in layouts(tmp_path, first, 5, 4):
        assert look_into(folder, PREFIXES) == FrameFolder(folder, 5, 4, first, first)
        kinds = frame_kinds(PREFIXES, "img_%05d.jpg", "flow_%c_%05d.jpg")
        assert look_into(folder, kinds) == FrameFolder(folder, 5, 4, first, first)
        assert [found.count for found in number_frames(folder, ["img_%04d.jpg", "img_%05d.png"])] == [0, 0]
    assert {item.rgb_first for item in parse_directory(str(tmp_path)).values()} == {first}


def test_a_gap_names_folder_and_number(tmp_path):
    for name in ("img_00000.jpg", "img_00001.jpg", "img_00003.jpg", "flow_x_00001.jpg", "flow_y_00001.jpg"):
        (tmp_path / "v" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "v" / name).touch()
    message = r"/v: the images img_ have no number 2 \(img_00002\.jpg\), though there are 3, from number 0 on"
    with pytest.raises(PytsnError, match=message):
        parse_directory(str(tmp_path))
    assert parse_directory(str(tmp_path), images=("flow",))["v"].flow_count == 1
    (tmp_path / "v/flow_y_00001.jpg").rename(tmp_path / "v/flow_y_00000.jpg")
    with pytest.raises(PytsnError, match=r"'v': 1 x and 1 y flow images in .*/v, numbered from 1 and from 0; extract"):
        parse_directory(str(tmp_path), images=("flow",))


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("image.jpg", None), "--frame_pattern image.jpg: a file name with one number, as image_%06d.jpg"),
        (("image_%06f.jpg", None), "--frame_pattern"),
        (("%d_%d.jpg", None), "--frame_pattern"),
        (("%c_%d.jpg", None), "--frame_pattern"),
        (("rgb/%d.jpg", None), "--frame_pattern"),
        ((None, "flow_%05d.jpg"), "--flow_pattern flow_%05d.jpg: a file name with %c for x and y"),
        ((None, "flow_%05d_%c.jpg"), "--flow_pattern"),
        ((None, "flow_%c_%c.jpg"), "--flow_pattern"),
    ],
)
def test_patterns_that_make_no_names(patterns, message):
    with pytest.raises(PytsnError, match=message):
        frame_kinds(PREFIXES, *patterns)


def test_patterns_take_the_place_of_prefixes():
    assert frame_kinds(("a", "b", "c")) == ("a", "b", "c")
    assert frame_kinds(PREFIXES, "f%d.png") == ("f%d.png", "flow_x_", "flow_y_")
    assert frame_kinds(PREFIXES, None, "%c%04d.jpg") == ("img_", "x%04d.jpg", "y%04d.jpg")


def test_other_names_are_hinted_at(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert naming_hint([str(tmp_path), str(tmp_path / "nowhere")], PREFIXES) == ""
    (tmp_path / "image_000001.jpg").touch()
    assert f"{tmp_path} holds files such as image_000001.jpg: " in naming_hint([str(tmp_path)], PREFIXES)
    assert naming_hint([str(tmp_path)], ("image_%06d.jpg", "x", "y")) == ""
