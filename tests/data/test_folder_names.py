"""Folders that differ from a list's names in case alone."""

import os
import zipfile

import pytest

from converter.errors import PytsnError
from pytsn.data import folder_names
from pytsn.data.folder_names import case_notes, find_renamed, match_regardless_of_case
from pytsn.data.frame_folders import parse_directory, renamed_notes
from pytsn.data.videos import FrameFolder

pytestmark = pytest.mark.skipif(os.path.exists(__file__.upper()), reason="file names here have no case")


def make(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "img_00001.jpg").touch()


def test_exact_names_first_then_regardless_of_case(tmp_path):
    make(tmp_path, "v_HandstandPushups_g01_c01", "HandStand/v_HandstandPushups_g01_c02", "v_YoYo", "v_other")
    names = ["v_HandStandPushups_g01_c01", "v_HandStandPushups_g01_c02", "v_YoYo", "v_yoyo", "v_gone"]
    found = parse_directory(str(tmp_path), names=names)
    assert found == {
        names[0]: FrameFolder(f"{tmp_path}/v_HandstandPushups_g01_c01", 1, 0),
        names[1]: FrameFolder(f"{tmp_path}/HandStand/v_HandstandPushups_g01_c02", 1, 0),
        "v_YoYo": FrameFolder(f"{tmp_path}/v_YoYo", 1, 0),  # v_yoyo stays without: that folder is another's
    }
    assert list(found) == sorted(found)
    assert renamed_notes(found) == [
        "2 names differ from their folders in case alone and are taken for them, first 'v_HandStandPushups_g01_c01' "
        "for 'v_HandstandPushups_g01_c01'"
    ]
    exact = parse_directory(str(tmp_path), names=["v_YoYo", "v_other"])
    assert (list(exact), renamed_notes(exact)) == (["v_YoYo", "v_other"], [])


def test_what_is_ambiguous_names_both(tmp_path):
    make(tmp_path, "v_ab", "v_AB", "v_cd")
    with pytest.raises(PytsnError, match=r"video 'v_Ab' has no folder .*/v_AB and .*/v_ab; rename"):
        parse_directory(str(tmp_path), names=["v_Ab"])
    assert list(parse_directory(str(tmp_path), names=["v_AB"])) == ["v_AB"]
    with pytest.raises(PytsnError, match=r"videos 'v_CD' and 'v_Cd' differ in case alone, .*/v_cd; rename"):
        parse_directory(str(tmp_path), names=["v_CD", "v_Cd"])


def test_paths_of_lists(tmp_path):
    make(tmp_path, "a/v_One", "a/v_two", "b/v_three")
    with zipfile.ZipFile(tmp_path / "b/V_Four.zip", "w") as out:
        out.writestr("img_00001.jpg", b"")
    paths = [f"{tmp_path}/{name}" for name in ("a/v_one/", "a/v_two", "A/v_two", "b/v_four", "b/gone")]
    found = find_renamed(paths)
    assert found == {paths[0]: f"{tmp_path}/a/v_One", paths[3]: f"{tmp_path}/b/V_Four"}
    assert case_notes(found)[0].startswith("2 names differ")
    assert case_notes(found)[0].endswith("first 'v_one' for 'v_One'")
    assert case_notes({}) == []
    assert find_renamed([f"{tmp_path}/b/V_THREE", f"{tmp_path}/b/v_three"]) == {}  # that folder is the other path's


def test_ambiguous_paths(tmp_path):
    make(tmp_path, "v_ab", "v_AB")
    with pytest.raises(PytsnError, match=r"'v_Ab' has no folder .*v_AB and .*v_ab"):
        find_renamed([f"{tmp_path}/v_Ab"])


def test_no_folder_is_listed_where_all_are_there(tmp_path, monkeypatch):
    make(tmp_path, "v_a", "v_b")
    monkeypatch.setattr(folder_names.os, "scandir", None)
    assert find_renamed([f"{tmp_path}/v_a", f"{tmp_path}/v_b/"]) == {}


def test_the_wanted_alone_are_matched():
    assert match_regardless_of_case(["É"], [("é", "1"), ("e", "2")]) == {"É": "1"}
