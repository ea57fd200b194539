"""Thousands of damaged files: whatever they hold, the only error that comes out is ours, in one line."""

import random

import pytest

from converter.caffemodel import parse_caffemodel, read_caffemodel
from converter.errors import PytsnError
from converter.layers import base
from converter.net import CaffeNet, load_net
from converter.proto import filter_net, parse_net
from converter.weights import load_weights
from tests.converter.damage import mutate_bytes, mutate_text

ROUNDS = 4000


def one_line(error: PytsnError, start: str) -> None:
    assert "\n" not in str(error)
    assert str(error).startswith(start)
    assert len(str(error)) < 1000


@pytest.mark.slow
def test_damaged_caffemodels(recordings):
    folder = recordings / "tiny" / "det_fixed"
    whole = (folder / "snap_iter_20.caffemodel").read_bytes()
    net = load_net(folder / "train_val.prototxt", phase="TRAIN")
    outcomes = {"read": 0, "refused": 0}
    for seed in range(ROUNDS):
        damaged = mutate_bytes(whole, random.Random(seed))
        try:
            load_weights(net, parse_caffemodel(damaged, "m.caffemodel"))
            outcomes["read"] += 1
        except PytsnError as error:
            one_line(error, "m.caffemodel: ")
            outcomes["refused"] += 1
    # A byte changed inside a weight is just another weight; both ends must occur or the mutations are no test.
    assert min(outcomes.values()) > ROUNDS // 10, outcomes
    load_weights(net, read_caffemodel(folder / "snap_iter_20.caffemodel")).require_complete()


@pytest.mark.slow
def test_damaged_prototxts(recordings, monkeypatch):
    text = (recordings / "tiny" / "det_fixed" / "train_val.prototxt").read_text()
    monkeypatch.setattr(base, "MAX_COUNT", 1 << 22)  # the same refusal, at a size that this test can afford
    outcomes = {"built": 0, "refused by the parser": 0, "refused by the net": 0}
    for seed in range(ROUNDS):
        damaged, net = mutate_text(text, random.Random(seed)), None
        try:
            net = parse_net(damaged, "p.prototxt")
            CaffeNet(filter_net(net, "TRAIN"), "TRAIN")
            outcomes["built"] += 1
        except PytsnError as error:
            one_line(error, "p.prototxt" if net is None else "")
            outcomes["refused by the net" if net else "refused by the parser"] += 1
    assert min(outcomes.values()) > ROUNDS // 20, outcomes


def test_random_bytes_are_never_a_caffemodel():
    for seed in range(500):
        rng = random.Random(seed)
        with pytest.raises(PytsnError):
            parse_caffemodel(rng.randbytes(rng.randint(1, 300)), "m.caffemodel")
