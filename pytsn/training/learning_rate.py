"""Learning rates: a solver's ``lr_policy`` per iteration, in Caffe's own arithmetic.

Source: SGDSolver::GetLearningRate of the fork (solver.cpp). Caffe computes in float32 if its operands are float32,
which is visible near the end of a polynomial decay (1 - iter / max_iter is rounded before it is raised to a power).
"""

import difflib
from collections.abc import Callable

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError

Rate = Callable[[pb.SolverParameter, int, int], float]
_F = np.float32


def _power(base: float, exponent: int) -> float:
    return float(np.float64(base) ** exponent)  # numpy: 0 ** -1 is inf, a large power overflows to inf


def _inv(solver: pb.SolverParameter, iteration: int, step: int) -> float:
    return solver.base_lr * float((_F(1) + _F(solver.gamma) * _F(iteration)) ** _F(-solver.power))


def _poly(solver: pb.SolverParameter, iteration: int, step: int) -> float:
    left = _F(1) - _F(iteration) / _F(solver.max_iter)
    return solver.base_lr * float(left ** _F(solver.power))


def _sigmoid(solver: pb.SolverParameter, iteration: int, step: int) -> float:
    exponent = _F(-solver.gamma) * (_F(iteration) - _F(solver.stepsize))
    return solver.base_lr * float(_F(1) / (_F(1) + np.exp(exponent)))


def _exp10(solver: pb.SolverParameter, iteration: int, step: int) -> float:
    return solver.base_lr * float(_F(10) ** (_F(-iteration) / _F(solver.stepsize)))


#: lr_policy -> rate of (solver, iteration, current_step)
POLICIES: dict[str, Rate] = {
    "fixed": lambda solver, iteration, step: solver.base_lr,
    "step": lambda solver, iteration, step: solver.base_lr * _power(solver.gamma, step),
    "exp": lambda solver, iteration, step: solver.base_lr * _power(solver.gamma, iteration),
    "inv": _inv,
    "multistep": lambda solver, iteration, step: solver.base_lr * _power(solver.gamma, step),
    "poly": _poly,
    "sigmoid": _sigmoid,
    "exp10": _exp10,
}
#: policies that divide by one of the solver's fields
_DIVISORS = {"step": "stepsize", "exp10": "stepsize", "poly": "max_iter"}


def check_policy(solver: pb.SolverParameter) -> None:
    """Raises PytsnError for a policy unknown to Caffe, or one whose divisor is missing."""
    if solver.lr_policy not in POLICIES:
        near = difflib.get_close_matches(solver.lr_policy, POLICIES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(POLICIES)}"
        raise PytsnError(f"lr_policy '{solver.lr_policy}': {hint}")
    divisor = _DIVISORS.get(solver.lr_policy)
    if divisor and getattr(solver, divisor) <= 0:
        raise PytsnError(
            f"lr_policy '{solver.lr_policy}' needs {divisor} above 0, found {getattr(solver, divisor)}: set it"
        )


def next_step(solver: pb.SolverParameter, iteration: int, current_step: int) -> int:
    """Caffe's ``current_step`` during ``iteration``: the number of drops of a step or multistep policy so far.

    A multistep policy advances by at most one per iteration, so after a resume with new ``stepvalue`` s it catches up
    one iteration at a time. Other policies do not change it.
    """
    if solver.lr_policy == "step":
        return iteration // solver.stepsize
    values = solver.stepvalue
    if solver.lr_policy == "multistep" and current_step < len(values) and iteration >= values[current_step]:
        return current_step + 1
    return current_step


def learning_rate(solver: pb.SolverParameter, iteration: int, current_step: int) -> float:
    """The learning rate of an iteration, a float32 value. ``current_step``: next_step's result for this iteration.

    Raises PytsnError for an unknown policy.
    """
    check_policy(solver)
    with np.errstate(all="ignore"):
        return float(_F(POLICIES[solver.lr_policy](solver, iteration, current_step)))
