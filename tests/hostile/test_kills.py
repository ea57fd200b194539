"""Commands killed at steps chosen by a seed: the short form, on the command that starts quickest.

`python -m tests.hostile.kills --kills 100` is the long one, over all commands that write (docs/security.md).
"""

import random
import sys

import pytest

from tests.hostile import kills
from tests.hostile.kills import Kill, Killing, Schedule, Steps, schedule, visible


def test_points_are_those_of_the_seed():
    steps = Steps(main=(30, 9), worker=(0, 4))
    first, again = ([schedule(steps, True, random.Random(seed)) for seed in range(200)] for _ in range(2))
    assert first == again
    assert {(kill.role, kill.kind) for kill in first} == {("main", "change"), ("main", "read"), ("worker", "read")}
    assert {kill.number for kill in first if (kill.role, kill.kind) == ("main", "change")} <= set(range(1, 31))
    assert all(schedule(steps, False, random.Random(seed)).role == "main" for seed in range(50))


def test_unfinished_names():
    kept = {"a.npz", "v1/img_00001.jpg", "v1/.pytsn.json"}
    passing = {".a.x1.npz", "a.npz.partial/000000.npy", "m.part", "m.part.json", ".v1.pytsn-partial/img_00001.jpg"}
    assert set(visible(dict.fromkeys(kept | passing, b""))) == kept


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_download_killed_anywhere_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    def make_world(folder):
        (folder / "world" / "out").mkdir(parents=True)
        return folder / "world"

    monkeypatch.setattr(kills, "make_world", make_world)
    said: list[str] = []
    run = Schedule(2, {"get-models": 4}, said.append)
    run.run_one("get-models", tmp_path)
    assert run.faults == []
    assert len(said) == 5


def test_what_is_wrong_after_a_kill_is_told(tmp_path, monkeypatch):
    """A command that leaves half a file under its final name, and never mends it."""
    killing = Killing.__new__(Killing)
    killing.run, killing.world, killing._counts = kills.RUNS["convert"], tmp_path, tmp_path / "counts"
    killing.missed, killing.wanted = 0, {"a.pth": b"whole file", "b.pth": b"another"}
    (tmp_path / "out").mkdir()

    def start(arguments, kill=None):
        (tmp_path / "out" / "a.pth").write_bytes(b"whole")
        (tmp_path / "out" / "strange").write_bytes(b"x")
        return (-9 if kill else 0), ""

    monkeypatch.setattr(killing, "_start", start)
    assert killing.kill(Kill("main", "change", 1, torn=False)) == [
        "a.pth: 5 bytes under its final name, 10 at the end",
        "strange: a name that is not there at the end",
        "at the end a.pth is not that of the run left alone",
        "at the end b.pth is not that of the run left alone",
        "at the end strange is not that of the run left alone",
    ]
    assert killing.leftovers() == []
