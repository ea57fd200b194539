"""One process at a time in a folder (pytsn/runtime/locks.py)."""

import errno
import subprocess
import sys

import pytest

from converter.errors import PytsnError
from pytsn.runtime.locks import HELD, LOCK, UNPROTECTED, only_user, only_writer


def test_the_second_is_told_and_a_folder_made_for_nothing_goes(tmp_path):
    folder = tmp_path / "a" / "b"
    with only_user(folder, "another run") as state:
        assert (state, (folder / LOCK).exists()) == ("held", True)
        with (
            pytest.raises(PytsnError, match="a/b: another run is at work there; wait for its end"),
            only_user(folder, "another run"),
        ):
            pytest.fail("both are in")
    assert list(tmp_path.iterdir()) == []  # nor the folder above
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


def test_a_killed_user_leaves_the_place_free(tmp_path):
    """Its lock file stays, its lock does not. Other prefixes, and other folders, are free all along."""
    code = (
        "import sys\nfrom pytsn.runtime.locks import only_user, only_writer\n"
        "with only_user(sys.argv[1], ''), only_writer(sys.argv[2], ''): print('in', flush=True); sys.stdin.read()\n"
    )
    folder, prefix = tmp_path / "run", str(tmp_path / "rgb")
    command = [sys.executable, "-c", code, str(folder), prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(PytsnError, match="run: another run is at work"), only_user(folder, "another run"):
            pytest.fail("both are in")
        with pytest.raises(PytsnError, match="taken"), only_writer(prefix, "taken"):
            pytest.fail("both are in")
        with only_writer(f"{prefix}_2", "taken") as state:
            assert state == HELD
        process.kill()
    assert (folder / LOCK).exists()
    with only_user(folder, "another run") as first, only_writer(prefix, "taken") as second:
        assert (first, second) == (HELD, HELD)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_prefix_without_a_name(tmp_path):
    with only_writer(f"{tmp_path}/", "taken"):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        with pytest.raises(PytsnError, match="taken"), only_writer(f"{tmp_path}/", "taken"):
            pytest.fail("both are in")
