"""Learning-rate policies against their formulas, at the iterations where they change."""

import math

import numpy as np
import pytest

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.training.learning_rate import POLICIES, learning_rate, next_step

#: float32 arithmetic against double: a few roundings of 6e-8
CLOSE = 1e-6


def solver(**fields) -> pb.SolverParameter:
    return pb.SolverParameter(**{"base_lr": 0.02, "gamma": 0.5, "power": 0.75, "stepsize": 7, "max_iter": 40, **fields})


def rates(param: pb.SolverParameter, iterations: int) -> list[float]:
    """The rates of a run from its start, with current_step carried along as a solver does."""
    found, step = [], 0
    for iteration in range(iterations):
        step = next_step(param, iteration, step)
        found.append(learning_rate(param, iteration, step))
    return found


FORMULAS = {
    "fixed": lambda i: 0.02,
    "step": lambda i: 0.02 * 0.5 ** (i // 7),
    "exp": lambda i: 0.02 * 0.5**i,
    "inv": lambda i: 0.02 * (1 + 0.5 * i) ** -0.75,
    "multistep": lambda i: 0.02 * 0.5 ** sum(i >= value for value in (5, 9, 12)),
    "poly": lambda i: 0.02 * (1 - i / 40) ** 0.75,
    "sigmoid": lambda i: 0.02 / (1 + math.exp(-0.5 * (i - 7))),
    "exp10": lambda i: 0.02 * 10 ** (-i / 7),
}


@pytest.mark.parametrize("policy", sorted(FORMULAS))
def test_policy_follows_its_formula(policy):
    found = rates(solver(lr_policy=policy, stepvalue=[5, 9, 12]), 40)
    np.testing.assert_allclose(found, [FORMULAS[policy](i) for i in range(40)], rtol=CLOSE)


def test_every_policy_is_tested():
    assert set(FORMULAS) == set(POLICIES)


def test_rates_are_float32():
    for policy in FORMULAS:
        rate = learning_rate(solver(lr_policy=policy), 11, 2)
        assert rate == float(np.float32(rate))


def test_poly_rounds_as_float32_near_the_end():
    """Caffe subtracts iter / max_iter, rounded to float32, from 1: of the last rate only four digits are left."""
    param = solver(lr_policy="poly", power=1, max_iter=10000, base_lr=1)
    assert learning_rate(param, 9999, 0) == float(np.float32(1) - np.float32(9999) / np.float32(10000))
    assert abs(learning_rate(param, 9999, 0) / 1e-4 - 1) > 1e-5


def test_multistep_catches_up_one_drop_an_iteration():
    """A run that is resumed behind several stepvalues takes them one by one, as Caffe's counter does."""
    param = solver(lr_policy="multistep", stepvalue=[5, 9, 12])
    steps, step = [], 0
    for iteration in range(20, 25):
        step = next_step(param, iteration, step)
        steps.append(step)
    assert steps == [1, 2, 3, 3, 3]


def test_multistep_values_in_the_same_iteration_take_two():
    param = solver(lr_policy="multistep", stepvalue=[5, 5])
    assert [round(rate / 0.02, 6) for rate in rates(param, 8)[4:]] == [1, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr_policy": "multistp"}, "did you mean 'multistep'?"),
        ({"lr_policy": ""}, "known: fixed"),
        ({"lr_policy": "step", "stepsize": 0}, "stepsize above 0"),
        ({"lr_policy": "poly", "max_iter": 0}, "max_iter above 0"),
    ],
)
def test_impossible_policies_are_refused(fields, message):
    with pytest.raises(PytsnError, match=message.replace("?", r"\?")):
        learning_rate(solver(**fields), 0, 0)
