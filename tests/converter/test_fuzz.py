"""Thousands of damaged files: whatever they hold, the only error that comes out is ours, in one line."""

import random
import re

import pytest

from converter.caffemodel import parse_caffemodel, read_caffemodel
from converter.errors import PytsnError
from converter.layers import base
from converter.net import CaffeNet, load_net
from converter.proto import filter_net, parse_net
from converter.weights import load_weights

ROUNDS = 4000
_BYTES = [b"\x00", b"\xff", b"\x80", b"\x7f", b"\xff\xff\xff\xff\x0f", b"\xa2\x06", b"\x3a", b"\x0b"]
_WORDS = ["-1", "true", "MAX", "STOCHASTIC", "RGB", "nan", "inf", "[1,2]", "layer", "top", "dilation", "group"]
_NUMBERS = ["0", "1", "2", "3", "5", "7", "64", "-1", "-3", "0.5", "1e30", "4294967295", "99999999999", "100000"]
_TOKEN = re.compile(r'"[^"]*"|[\w./+-]+|\s+|.', re.DOTALL)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: a byte, a cut, a piece moved, a telling sequence put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.randint(1, 40)]
        elif kind == 3:
            out[at:at] = rng.choice(_BYTES)
        else:
            start = rng.randrange(len(out))
            out[at:at] = out[start : start + rng.randint(1, 60)]
        out = out or bytearray(b"\x00")
    return bytes(out[: rng.randrange(len(out))] if rng.random() < 0.05 else out)


def mutate_text(text: str, rng: random.Random) -> str:
    """One to three tokens replaced: mostly by one of the same kind (a number, a string), sometimes by anything."""
    tokens = _TOKEN.findall(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.choice([index for index, token in enumerate(tokens) if token.strip()])
        token = tokens[at]
        if rng.random() < 0.15:
            tokens[at] = rng.choice(["", "{", "}", ":", '"', "#", token * 2, token[:-1], *_WORDS])
        elif token[0] == '"':
            tokens[at] = rng.choice([other for other in tokens if other[:1] == '"'])
        elif token[0].isdigit():
            tokens[at] = rng.choice(_NUMBERS)
        elif token[0].isalpha():
            tokens[at] = rng.choice([other for other in tokens if other[:1].isalpha()] + _WORDS)
    return "".join(tokens)


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
