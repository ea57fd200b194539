"""Where the windows lie, and the best of them, against lists written down by hand."""

from fractions import Fraction

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.windows import integrate_windows, second_step_windows, snippet_step_windows, top_mean


def test_released_windows_by_hand():
    assert snippet_step_windows(5, 1) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert snippet_step_windows(5, 2) == [(0, 2), (2, 4), (4, 5)]  # ceil(1.6) = 2: the last is cut off
    assert snippet_step_windows(16, 8) == [(0, 8), (7, 15), (14, 16)]  # ceil(6.4) = 7
    assert snippet_step_windows(6, 2, overlap=0.5, fps=2) == [(0, 4), (2, 6), (4, 6)]
    assert snippet_step_windows(3, 16) == [(0, 3)]  # a video shorter than the window


def test_the_papers_windows_by_hand():
    # starts at 0, .8, 1.6, 2.4, 3.2, 4 s; snippet i at i s
    assert second_step_windows(5, 1) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5)]
    # starts at 0, 6.4, 12.8 s: [6.4, 14.4) holds 7 to 14
    assert second_step_windows(16, 8) == [(0, 8), (7, 15), (13, 16)]
    assert second_step_windows(3, 16) == [(0, 3)]
    # two snippets a second: 3.2 snippets a step, snippets at 0, .5, 1, ...; [1.6, 3.6) holds those of 2 to 3.5 s
    assert second_step_windows(8, 2, fps=2) == [(0, 4), (4, 8), (7, 8)]
    # a snippet every two seconds: [3.2, 7.2) holds those of 4 and 6 s, the window that starts at 6.4 s holds none
    assert second_step_windows(4, 4, fps=Fraction(1, 2)) == [(0, 2), (2, 4)]


def test_every_snippet_lies_in_a_window():
    for count in (1, 2, 7, 33):
        for seconds in (1, 2, 4, 8, 16):
            for windows in (snippet_step_windows(count, seconds), second_step_windows(count, seconds)):
                seen = {index for start, stop in windows for index in range(start, stop)}
                assert seen == set(range(count))


def test_top_mean_takes_all_when_there_are_fewer():
    scores = np.array([[1.0, 9], [4, 2], [7, 4]])
    np.testing.assert_array_equal(top_mean(scores, 2), [5.5, 6.5])
    np.testing.assert_array_equal(top_mean(scores, 15), [4, 5])


@pytest.mark.parametrize(("count", "best"), [(14, 14), (15, 15), (59, 15), (63, 15), (64, 16), (100, 25)])
def test_how_many_windows_are_averaged(count, best):
    scores = np.random.default_rng(count).normal(size=(count, 3))
    windows = [(index, index + 1) for index in range(count)]
    want = -np.sort(-scores, axis=0)[:best].mean(axis=0)
    np.testing.assert_allclose(integrate_windows(scores, [windows]), want, rtol=1e-12)


def test_windows_that_make_no_sense_are_refused():
    with pytest.raises(PytsnError, match="less than one snippet"):
        snippet_step_windows(9, 0)
    with pytest.raises(PytsnError, match="do not advance"):
        snippet_step_windows(9, 2, overlap=1.0)
    with pytest.raises(PytsnError, match="do not advance"):
        second_step_windows(9, 2, overlap=Fraction(1))
    with pytest.raises(PytsnError, match="less than one snippet"):
        second_step_windows(9, 1, fps=Fraction(1, 2))
