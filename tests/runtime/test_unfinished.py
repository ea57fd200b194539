"""Records of unfinished work, and folders that take their place at once (pytsn/runtime/unfinished.py)."""

import pytest

from converter.errors import PytsnError
from pytsn.runtime.unfinished import (
    as_recorded,
    changes,
    put_folder_in_place,
    read_record,
    recover_folder,
    write_record,
)


def test_a_record_comes_back_as_recorded(tmp_path):
    record = {"size": (3, 4), "name": "ü", "nothing": None}
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == as_recorded(record) == {**record, "size": [3, 4]}
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\x00", b"[" * 100_000])
def test_a_damaged_record_is_none(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    assert read_record(tmp_path / "r.json") is None
    assert read_record(tmp_path / "absent.json") is None


def test_one_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(PytsnError, match=r"r\.json: is a folder"):
        read_record(tmp_path / "r.json")


def test_changes_name_the_field():
    old, new = {"b": 1, "a": 2, "c": 3}, {"b": 1, "a": 3, "d": None}
    assert changes(old, new) == [("a", 2, 3), ("c", 3, None)]
    assert changes(old, new, ["c", "b"]) == [("c", 3, None)]
    assert changes(old, old) == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_folder_takes_its_place_and_a_killed_run_loses_nothing(tmp_path, killed):
    made, path, aside = (tmp_path / name for name in ("made", "path", "aside"))
    for folder in (made, path):
        folder.mkdir()
        (folder / folder.name).touch()
    if killed:
        path.rename(aside)
        recover_folder(path, aside)
        assert [file.name for file in path.iterdir()] == ["path"]
    put_folder_in_place(made, path, aside)
    assert [file.name for file in path.iterdir()] == ["made"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["path"]
