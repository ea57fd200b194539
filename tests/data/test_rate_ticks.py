"""Ticks at a rate: by hand, and against a search over all snippets."""

import math
from fractions import Fraction

import pytest

from converter.errors import PytsnError
from pytsn.data.rate_ticks import parse_rate, rate_ticks


def test_by_hand():
    assert rate_ticks(91, Fraction(1), Fraction(30)) == [1, 31, 61, 91]
    assert rate_ticks(90, Fraction(1), Fraction(30)) == [1, 31, 61]
    assert rate_ticks(95, Fraction(1), Fraction(30), stack=5) == [1, 31, 61, 91]  # frames 91 to 95
    assert rate_ticks(94, Fraction(1), Fraction(30), stack=5) == [1, 31, 61]
    assert rate_ticks(10, Fraction(2), Fraction(5)) == [1, 3, 6, 8]  # every 2.5 frames
    assert rate_ticks(26, Fraction(1, 2), Fraction(25, 2)) == [1, 26]
    assert rate_ticks(4, Fraction(25), Fraction(25)) == [1, 2, 3, 4]
    assert rate_ticks(3, Fraction(1), Fraction(25), stack=5) == [
        1
    ]  # too short for a stack: the flow rule repeats its end
    assert rate_ticks(1, Fraction(1), Fraction(25)) == [1]


def test_times_do_not_drift_in_an_hour_of_ntsc():
    fps = parse_rate("30000/1001")
    ticks = rate_ticks(107892, Fraction(1), fps)
    assert len(ticks) == 3600
    assert ticks[-1] == 1 + math.floor(3599 * 30000 / 1001)


@pytest.mark.parametrize(
    ("rate", "fps"), [("1", "25"), ("2", "29.97"), ("0.3", "7"), ("7", "7.5"), ("1", "30000/1001")]
)
def test_against_a_search(rate, fps):
    rate, fps = parse_rate(rate), parse_rate(fps)
    for frames in (1, 4, 5, 6, 29, 30, 31, 100):
        for stack in (1, 5):
            starts = [math.floor(i * fps / rate) for i in range(frames * 30)]
            want = [1 + start for start in starts if start + stack <= frames] or [1]
            assert rate_ticks(frames, rate, fps, stack) == want


def test_bad_input_is_refused():
    with pytest.raises(PytsnError, match="no frames"):
        rate_ticks(0, Fraction(1), Fraction(25))
    with pytest.raises(PytsnError, match="30 snippets a second of a video of 25 frames"):
        rate_ticks(9, Fraction(30), Fraction(25))
    for text in ("", "0", "-1", "1e999999999", "nan", "25/0", "1/2/3", "0/5", "2 5"):
        with pytest.raises(PytsnError, match="is no rate"):
            parse_rate(text)
    assert parse_rate("29.97") == Fraction(2997, 100)
