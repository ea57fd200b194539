"""Comparing blobs: what passes and what does not. Numbers here are worked out by hand."""

import numpy as np
import pytest

from converter.errors import PytsnError
from converter.parity import TOLERANCE, compare_blobs, first_beyond


def test_difference_is_measured_against_the_largest_magnitude():
    reference = {"a": np.array([[1.0, -50.0, 3.0]]), "b": np.array([2.0, 0.5])}
    candidate = {"b": np.array([2.0, 0.5]), "a": np.array([[1.0, -50.0, 3.001]])}
    first, second = compare_blobs(reference, candidate)
    assert (first.blob, first.shape, first.scale, first.ok) == ("a", (1, 3), 50.0, True)
    assert first.max_abs == pytest.approx(0.001)
    assert first.max_rel == pytest.approx(0.001 / 50)
    assert (second.blob, second.max_abs, second.ok) == ("b", 0.0, True)
    (stricter, _) = compare_blobs(reference, candidate, 1.9e-5)
    assert not stricter.ok


def test_the_first_beyond_comes_in_the_order_of_the_reference():
    reference = {"z": np.ones(3), "m": np.ones(2), "a": np.ones(2)}
    candidate = {"a": np.full(2, 3.0), "m": np.full(2, 1.0 + 2 * TOLERANCE), "z": np.full(3, 1.0 + TOLERANCE / 2)}
    differences = compare_blobs(reference, candidate)
    assert [each.ok for each in differences] == [True, False, False]
    assert first_beyond(differences).blob == "m"
    assert first_beyond(differences[:1]) is None


@pytest.mark.parametrize(
    ("wanted", "found", "ok"),
    [
        ([1.0, np.nan], [1.0, 2.0], False),
        ([1.0, 2.0], [1.0, np.nan], False),
        ([1.0, 2.0], [1.0, np.inf], False),
        ([1.0, np.nan, -np.inf], [1.0, np.nan, -np.inf], True),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([0.0, 0.0], [0.0, 1e-30], False),  # nothing is small beside zero
        ([0.0, 0.0], [0.0, 0.0], True),
        ([], [], True),
    ],
)
def test_numbers_that_are_none(wanted, found, ok):
    (difference,) = compare_blobs({"a": np.array(wanted)}, {"a": np.array(found)})
    assert difference.ok is ok


def test_axes_of_length_one_do_not_matter_others_do():
    values = np.arange(6.0)
    (same,) = compare_blobs({"a": values.reshape(2, 3)}, {"a": values.reshape(2, 3, 1, 1)})
    assert same.ok
    (scalar,) = compare_blobs({"a": np.array(2.0)}, {"a": np.array([2.0])})
    assert scalar.ok
    with pytest.raises(PytsnError, match=r"'a': shape \(3, 2\) against \(2, 3\)"):
        compare_blobs({"a": values.reshape(2, 3)}, {"a": values.reshape(3, 2)})
    with pytest.raises(PytsnError, match="'b'"):
        compare_blobs({"b": values}, {"a": values})
