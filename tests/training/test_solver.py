"""Update rules against a slow loop over single numbers, in double precision."""

import numpy as np
import pytest
import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.training.solver import CaffeSolver
from pytsn.training.solver_blobs import SolverBlob, solver_blobs
from tests.converter.nets import build
from tests.training.slow_solver import SHAPES, assert_same, gradients, make_blobs, param_of, slow_run


def fast_run(param: pb.SolverParameter, rates: list[float], clip_on: str = "sum") -> CaffeSolver:
    solver = CaffeSolver(param, make_blobs(), clip_on)
    for iteration, rate in enumerate(rates):
        for blob, grad in zip(solver.blobs[:3], gradients(iteration), strict=False):
            blob.tensor.grad = torch.tensor(grad, dtype=torch.float32)
        solver.apply(rate, float(solver.gradient_norm()))
    return solver


@pytest.mark.parametrize("regularization", ["L2", "L1"])
@pytest.mark.parametrize("clip", [-1, 0, 6.5, 1e9])
@pytest.mark.parametrize("kind", ["SGD", "NESTEROV", "ADAGRAD"])
def test_updates_equal_the_slow_loop(kind, clip, regularization):
    """Ten updates with two drops of the rate, summed over iter_size 3."""
    param = param_of(solver_type=kind, clip_gradients=clip, regularization_type=regularization, iter_size=3)
    param.momentum = 0 if kind == "ADAGRAD" else 0.9
    rates = [0.1] * 4 + [0.01] * 3 + [0.001] * 3
    assert_same(fast_run(param, rates), *slow_run(param, rates))


def test_the_bits_do_not_depend_on_the_number_of_cores(monkeypatch):
    """Each blob is a lot of its own, so that every core has some."""
    monkeypatch.setattr("pytsn.training.solver._LOT", 1)
    before, found = torch.get_num_threads(), []
    try:
        for cores in (1, 3):
            torch.set_num_threads(cores)
            found.append(fast_run(param_of(clip_gradients=6.5), [0.1] * 3))
    finally:
        torch.set_num_threads(before)
    one, three = ([*(blob.tensor for blob in solver.blobs), *solver.history] for solver in found)
    assert all(torch.equal(*pair) for pair in zip(one, three, strict=True))


def test_clipping_the_mean_meets_the_gradient_over_iter_size():
    """Norms here are 8 to 12, thresholds chosen so that one rule clips and the other does not."""
    param = param_of(clip_gradients=6.5, iter_size=3)
    rates = [0.1] * 5
    assert_same(fast_run(param, rates, "mean"), *slow_run(param, rates, clip_divisor=3))
    different = np.abs(slow_run(param, rates)[0][0] - slow_run(param, rates, clip_divisor=3)[0][0]).max()
    assert different > 0.05


def test_a_drop_of_the_rate_leaves_the_momentum_alone():
    """Weight 0, gradient 1 once, then none: the second step is momentum times the first, whatever the rate is by then.
    torch.optim.SGD would take a tenth of it."""
    blob = SolverBlob("layer", "weight", nn.Parameter(torch.zeros(1)), (1,), 1, 0)
    solver = CaffeSolver(param_of(weight_decay=0), [blob])
    blob.tensor.grad = torch.ones(1)
    solver.apply(0.1)
    blob.tensor.grad = torch.zeros(1)
    solver.apply(0.01)
    assert blob.tensor.item() == pytest.approx(-0.1 - 0.09)


def test_history_of_a_blob_without_gradient_still_moves_its_weights():
    """A restored history fades away over iterations: Caffe updates every blob, whether it has a gradient or not."""
    solver = CaffeSolver(param_of(weight_decay=0), make_blobs())
    before = [blob.tensor.detach().clone() for blob in solver.blobs]
    history = [np.full(shape, 0.5, np.float32) for shape in SHAPES]
    solver.load(7, 2, history)
    solver.apply(0.1)
    assert (solver.iteration, solver.current_step) == (8, 2)
    for blob, old, after in zip(solver.blobs, before, solver.history_arrays(), strict=True):
        np.testing.assert_allclose(after, 0.45, rtol=1e-6)
        np.testing.assert_allclose(blob.tensor.detach(), old - 0.45, rtol=1e-6, atol=1e-6)


def test_bvlc_type_string_chooses_the_rule():
    rates = [0.1] * 3
    by_string, by_enum = param_of(type="Nesterov"), param_of(solver_type="NESTEROV")
    for one, other in zip(fast_run(by_string, rates).blobs, fast_run(by_enum, rates).blobs, strict=True):
        assert torch.equal(one.tensor, other.tensor)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "Nestrov"}, "did you mean NESTEROV"),
        ({"regularization_type": "L3"}, "L1 was expected"),
        ({"iter_size": 0}, "iter_size must be at least 1"),
        ({"average_loss": 0}, "average_loss must be at least 1"),
        ({"solver_type": "ADAGRAD"}, "AdaGrad has no momentum"),
        ({"lr_policy": "stairs"}, "lr_policy 'stairs'"),
    ],
)
def test_settings_that_cannot_run_are_refused(fields, message):
    with pytest.raises(PytsnError, match=message):
        CaffeSolver(param_of(**fields), make_blobs())


FROZEN = """
name: "n" input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" param { lr_mult: 5 decay_mult: 2 } param { lr_mult: 0 }
        convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BN" bottom: "c" top: "bn" param { lr_mult: 3 decay_mult: 0 }
        bn_param { frozen: FLAG slope_filler { type: "constant" value: 1 } bias_filler { type: "constant" } } }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc" inner_product_param { num_output: 3 } }
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_blobs_come_in_net_order_with_their_factors(frozen):
    blobs = solver_blobs(build(FROZEN.replace("FLAG", str(frozen).lower()), "TRAIN"))
    factors = [(blob.layer, blob.lr_mult, blob.decay_mult) for blob in blobs]
    assert factors[:2] == [("c", 5, 2), ("c", 0, 1)]
    assert factors[2:6] == [("bn", *pair) for pair in ([(0, 0)] * 4 if frozen else [(3, 0), (1, 1), (0, 0), (0, 0)])]
    assert factors[6:] == [("fc", 1, 1)] * 2
    assert [blob.caffe_shape for blob in blobs[2:6]] == [(1, 4)] * 4
    trains = [getattr(blob.tensor, "requires_grad", False) for blob in blobs]
    assert trains == [True, False, not frozen, not frozen, False, False, True, True]


SHARED = """
name: "n" input: "data" input_shape { dim: 2 dim: 4 }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" lr_mult: 1 decay_mult: 1 }
        inner_product_param { num_output: 4 bias_term: false weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" lr_mult: 3 decay_mult: 0 }
        inner_product_param { num_output: 4 bias_term: false weight_filler { type: "gaussian" std: 0.3 } } }
"""


def test_shared_parameters_keep_a_gradient_rate_and_history_each():
    """Net::Update adds what the sharer lost to what the owner lost; clipping sees the owner's gradient only."""
    net = build(SHARED, "TRAIN")
    solver = CaffeSolver(param_of(clip_gradients=0.5), solver_blobs(net))
    first, second = solver.blobs
    assert [first.owned, second.owned] == [True, False]
    weight = first.tensor.detach().double().numpy().copy()
    x = torch.arange(8.0).view(2, 4)
    net(x)["b"].square().sum().backward()
    own, shared = (blob.tensor.grad.double().numpy().copy() for blob in solver.blobs)
    assert np.linalg.norm(own) > 0.5
    solver.apply(0.01, float(solver.gradient_norm()))
    losses = 0.01 * (own * 0.5 / np.linalg.norm(own) + 0.05 * weight), 0.03 * shared
    np.testing.assert_allclose(first.tensor.detach(), weight - sum(losses), rtol=1e-5)
    assert second.tensor.data_ptr() == first.tensor.data_ptr()
    for history, loss in zip(solver.history_arrays(), losses, strict=True):
        np.testing.assert_allclose(history, loss, rtol=1e-5)
