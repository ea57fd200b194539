"""Fillers: exact values where there are any, else the moments of the distribution."""

import math

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.fillers import fill

# 30 x 40 x 5 x 7 = 42000 values. Four standard errors: 4 / sqrt(42000) = 2% of a standard deviation for the mean, 1.4%
# for the standard deviation of a normal sample (less for a uniform one).
SHAPE = (30, 40, 5, 7)


def filled(text, shape=SHAPE, seed=3):
    tensor = torch.full(shape, math.nan)
    assert fill(tensor, text_format.Parse(text, pb.FillerParameter()), torch.Generator().manual_seed(seed)) is tensor
    return tensor.double().numpy()


def check_moments(values, mean, std):
    assert abs(values.mean() - mean) < 0.02 * std
    assert abs(values.std() - std) < 0.014 * std


def test_constant():
    assert (filled("value: 0.2") == np.float32(0.2)).all()
    assert (filled("") == 0).all()


def test_uniform():
    values = filled('type: "uniform" min: -2 max: 4')
    assert -2 <= values.min() < -1.99
    assert 3.99 < values.max() <= 4
    check_moments(values, 1, 6 / math.sqrt(12))


def test_gaussian():
    values = filled('type: "gaussian" mean: -1 std: 0.5')
    check_moments(values, -1, 0.5)
    tails = (np.abs(values + 1) > 0.5).mean()  # beyond one standard deviation: 31.7% of a normal distribution
    assert abs(tails - 0.3173) < 0.01


def test_sparse_gaussian():
    """Each weight is kept with probability sparse / outputs."""
    values = filled('type: "gaussian" mean: 3 std: 0.5 sparse: 6')
    kept = values != 0
    assert abs(kept.mean() - 6 / 30) < 0.01  # 5 standard deviations of the share among 42000
    assert abs(values[kept].mean() - 3) < 0.03


FANS = {"": 40 * 35, "variance_norm: FAN_OUT": 30 * 35, "variance_norm: AVERAGE": 35 * 35}


@pytest.mark.parametrize("norm", FANS)
def test_xavier(norm):
    values = filled(f'type: "xavier" {norm}')
    bound = math.sqrt(3 / FANS[norm])
    assert 0.999 * bound < np.abs(values).max() <= bound * (1 + 1e-6)  # float32
    check_moments(values, 0, bound / math.sqrt(3))


@pytest.mark.parametrize("norm", FANS)
def test_msra(norm):
    values = filled(f'type: "msra" {norm}')
    check_moments(values, 0, math.sqrt(2 / FANS[norm]))
    assert np.abs(values).max() > 3 * math.sqrt(2 / FANS[norm])  # not a uniform distribution


def test_fan_in_of_few_axes():
    """count / shape[0]: 500 for a matrix, 1 for a vector."""
    matrix = filled('type: "xavier"', (200, 500))
    assert 0.99 * math.sqrt(3 / 500) < np.abs(matrix).max() <= math.sqrt(3 / 500) * (1 + 1e-6)
    vector = filled('type: "xavier"', (5000,))
    assert 0.99 * math.sqrt(3) < np.abs(vector).max() <= math.sqrt(3) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("size", "row"),
    [(4, [1 / 4, 3 / 4, 3 / 4, 1 / 4]), (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]), (1, [1])],
)
def test_bilinear_is_the_tent_that_interpolates(size, row):
    """Upsampling by 2 takes filters of 4, by 3 filters of 5: weights fall linearly to 0 within one input pixel."""
    values = filled('type: "bilinear"', (2, 3, size, size))
    np.testing.assert_allclose(values, np.broadcast_to(np.outer(row, row), (2, 3, size, size)), rtol=1e-6)


def test_positive_unitball():
    values = filled('type: "positive_unitball"', (4, 5, 3))
    assert values.min() > 0
    np.testing.assert_allclose(values.sum((1, 2)), 1, rtol=1e-6)
    assert values[0].std() > 0.01  # not all alike


def test_same_seed_same_values():
    text = 'type: "msra"'
    np.testing.assert_array_equal(filled(text, seed=5), filled(text, seed=5))
    assert (filled(text, seed=5) != filled(text, seed=6)).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type: "xaviar"', "unknown filler 'xaviar': did you mean 'xavier'"),
        ('type: "?"', "known: constant"),
        ('type: "uniform" min: 2 max: 1', "min 2 is not below max 1"),
        ('type: "uniform" min: nan', "min nan"),
        ('type: "gaussian" std: 0', "std must be above 0"),
        ('type: "gaussian" sparse: 31', r"sparse must lie in 0\.\.30"),
        ('type: "xavier" sparse: 2', "only gaussian can be sparse"),
        ('type: "bilinear"', "square filters"),
    ],
)
def test_refused(text, message):
    with pytest.raises(PytsnError, match=message):
        filled(text)
