"""Damaged files of every kind: whatever they hold, the only error that comes out is ours, in one line.

This is the short form; `python -m tests.hostile.fuzz --files 100000` is the long one (docs/security.md).
"""

import contextlib
import os
import random
from collections import Counter

import pytest

from converter.caffemodel import parse_caffemodel, read_caffemodel
from converter.errors import LONGEST, PytsnError
from converter.layers import base
from converter.net import load_net
from converter.weights import load_weights
from tests.hostile import bad_kinds, fuzz, net_kinds
from tests.hostile.fuzz import Worker
from tests.hostile.fuzz_worker import examine, random_of
from tests.hostile.kinds import KINDS, TINY
from tests.hostile.mutations import mutate_bytes, mutate_encoded, mutate_zip
from tests.hostile.shares import shares
from tests.training.tiny_videos import copy_tiny_run

SEED, FILES = 5, 400
#: kinds whose every reading runs nets or decodes images: a few of each suffice here
DEAR = {"folder": 3, "solver": 4, "solverstate": 4, "pytsnstate": 4, "scores": 12, "zip": 10, "jpeg": 12, "png": 8}
COUNTS = {**shares(FILES, KINDS, None), **DEAR}


@pytest.fixture
def own_place(tmp_path, tiny_videos, monkeypatch):
    """The current folder, and the largest blob, are as before afterwards; the tiny run's images are there already."""
    monkeypatch.setattr(net_kinds, "make_tiny_run", lambda recordings, folder: copy_tiny_run(tiny_videos, folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(base, "MAX_COUNT", base.MAX_COUNT)
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_only_our_errors_come_out(own_place, name):
    (own_place / "kind").mkdir()
    kind, seen = KINDS[name].make(own_place / "kind"), Counter()
    for index in range(1, COUNTS[name] + 1):
        answer = examine(kind, name, SEED, index, own_place / "files")
        assert answer["outcome"] != "fault", f"index {index}: {answer['why']}"
        seen[answer["outcome"]] += 1
    # A byte changed inside a weight is just another weight; both ends must occur or the mutations are no test.
    assert COUNTS[name] < 15 or min(seen["read"], seen["refused"]) > 0, seen


def test_files_can_be_made_again(own_place):
    """Kind, seed and index tell all of a damaged file, in any process."""
    whole = (TINY / "det_fixed" / "snap_iter_20.caffemodel").read_bytes()
    for mutate, data in ((mutate_bytes, whole), (mutate_encoded, (TINY / "list.txt").read_bytes())):
        first, again = (mutate(data, random_of(SEED, "x", 3), [data]) for _ in range(2))
        assert first == again != data
    archive = (TINY / "rgb_step" / "batches.npz").read_bytes()
    assert mutate_zip(archive, random_of(SEED, "x", 9)) == mutate_zip(archive, random_of(SEED, "x", 9))


def test_a_whole_file_is_still_read(recordings):
    folder = recordings / "tiny" / "det_fixed"
    net = load_net(folder / "train_val.prototxt", phase="TRAIN")
    load_weights(net, read_caffemodel(folder / "snap_iter_20.caffemodel")).require_complete()


def test_random_bytes_are_never_a_caffemodel():
    for seed in range(500):
        rng = random.Random(seed)
        with pytest.raises(PytsnError):
            parse_caffemodel(rng.randbytes(rng.randint(1, 300)), "m.caffemodel")


def test_an_error_of_any_length_is_a_line_that_one_can_read():
    error = str(PytsnError("net.prototxt: no field '" + "x" * 5000 + "': write another"))
    assert len(error) <= LONGEST
    assert error.startswith("net.prototxt: no field 'xxx")
    assert error.endswith("xxx': write another")


TROUBLE = {
    "raises": "KeyError: 'layer'",
    "dies": "the process died: -11",
    "loops": "more than 0.3 s of the processor",
    "waits": "waited 0.5 s",
    "reserves": "memory: ",
}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
def test_what_goes_wrong_is_noticed_and_the_next_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "MOST_BUSY", 0.3)
    monkeypatch.setattr(fuzz, "MOST_WAITED", 0.5)
    with contextlib.closing(Worker(1, tmp_path / "worker", "tests.hostile.bad_kinds")) as worker:
        for name in bad_kinds.KINDS:
            assert worker.examine("fine", 1)["outcome"] == "refused"
            answer = worker.examine(name, 2)
            assert answer["outcome"] == ("fault" if name in TROUBLE else "refused"), name
            assert TROUBLE.get(name, "") in answer.get("why", ""), name
