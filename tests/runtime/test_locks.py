"""One process at a time in a folder (pytsn/runtime/locks.py)."""

import errno

import pytest

from converter.errors import PytsnError
from pytsn.runtime.locks import LOCK, UNPROTECTED, only_user


def test_the_second_is_told_and_a_folder_made_for_nothing_goes(tmp_path):
    folder = tmp_path / "a" / "b"
    with only_user(folder, "another run") as state:
        assert (state, (folder / LOCK).exists()) == ("held", True)
        with (
            pytest.raises(PytsnError, match="a/b: another run is at work there; wait for its end"),
            only_user(folder, "another run"),
        ):
            pytest.fail("both are in")
    assert not folder.exists()
    with only_user(folder, "another run"):
        (folder / "result").touch()
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PytsnError, match="file"), only_user(tmp_path / "file", "another run"):
        pytest.fail("a file is no folder")


def test_where_there_are_no_locks_it_is_told(tmp_path, monkeypatch):
    def no_locks(handle, how):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("pytsn.runtime.locks.fcntl.flock", no_locks)
    with only_user(tmp_path, "another run") as state:
        assert state == UNPROTECTED
