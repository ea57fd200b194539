"""The primal-dual iteration of PyTorch's route, and when it looks whether to stop."""

import itertools

import numpy as np
import pytest
import torch

from pytsn.flow.tvl1 import gpu_solver as tvl1_solver
from pytsn.flow.tvl1 import gpu_warp as tvl1_warp
from pytsn.flow.tvl1.gpu_iterations import PrimalDual
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS
from tests.flow import tvl1_oracles as oracle

A = PRESETS[DEFAULT_PRESET]


def random_fields(batch: int, height: int, width: int, seed: int = 3):
    """Flow, dual fields and data term of one warp, from a seed."""
    random = torch.Generator().manual_seed(seed)
    flow, gradient = (torch.randn(batch, 2, height, width, generator=random) for _ in range(2))
    term = tvl1_warp._scaled(torch.randn(batch, height, width, generator=random), 3 * gradient)
    return flow, torch.zeros(batch, 2, 2, height, width), term


def test_iterations_equal_the_loop():
    """Three iterations from arbitrary fields, in two slots of different content; float32 against float64."""
    random = np.random.default_rng(5)
    flow, dual = random.normal(0, 1, (2, 2, 4, 7)), random.normal(0, 0.3, (2, 2, 2, 4, 7))
    dual[:, 0, :, :, -1] = dual[:, 1, :, -1] = 0  # as after any number of iterations from 0
    gradient, rho_c = random.normal(0, 3, (2, 2, 4, 7)), random.normal(0, 2, (2, 4, 7))
    gradient[:, :, 1, 2:4] = 0  # flat pixels
    float32 = [torch.from_numpy(a).float() for a in (flow, dual, rho_c, gradient)]
    state = PrimalDual(float32[0], A)
    state.load(float32[0], float32[1], tvl1_warp._scaled(*float32[2:]))
    for _ in range(3):
        errors = state.run_measured()
        steps = [oracle.iteration(flow[b], dual[b], rho_c[b], gradient[b]) for b in range(2)]
        flow, dual = (np.stack([done[k] for done in steps]) for k in (0, 1))
        # a rounding of the residual (1e-6) divided by a gradient of .1; both fields are of order 1
        np.testing.assert_allclose(state.flow, flow, rtol=0, atol=2e-5)
        np.testing.assert_allclose(state.dual, dual, rtol=0, atol=2e-5)
        np.testing.assert_allclose([errors[0], errors[1]], [done[2] for done in steps], rtol=1e-4)


def test_unmeasured_iterations_are_the_same_ones():
    states = [PrimalDual(torch.zeros(1, 2, 5, 8), A) for _ in range(2)]
    for state in states:
        state.load(*random_fields(1, 5, 8))
    states[0].run(3)
    for _ in range(3):
        states[1].run_measured()
    assert torch.equal(states[0].flow, states[1].flow)
    assert torch.equal(states[0].dual, states[1].dual)


@pytest.mark.parametrize("stop", [1.0, 0.37])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_checks_are_where_the_stopping_rule_puts_them(stop, decay):
    """Errors that fall from 40 by ``decay`` an iteration, or for .99 not under ``stop`` before the limit."""

    def measure(n: int) -> float:
        return 40 * decay**n

    measured, count = oracle.looks(measure, stop, 300)
    found, at = [], tvl1_solver.next_check(0, 0.0, stop, 300)
    while at < 300:
        found.append(at)
        if measure(at) <= stop:
            break
        at = tvl1_solver.next_check(at + 1, measure(at), stop, 300)
    assert found == measured
    assert min(at + 1, 300) == count
    assert found[0] == 1  # the first look is at the second iteration
    assert any(b - a > 2 for a, b in itertools.pairwise(found))  # and a large error is trusted for a while
