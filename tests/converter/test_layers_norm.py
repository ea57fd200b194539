"""What the normalising layers do to their running statistics, and the gradients that are Caffe's own."""

import numpy as np
import pytest
import torch

from tests.converter import layer_oracles as slow
from tests.converter.layer_build import build

SHAPE = (3, 4, 2, 5)
BN = 'type: "BN" bn_param { momentum: 0.75 %s }'
BATCH_NORM = 'type: "BatchNorm" batch_norm_param { moving_average_fraction: 0.75 eps: 0.0009765625 %s }'


@pytest.fixture
def batches():
    """Two batches of normal values, each channel with a mean and spread of its own."""
    random = np.random.default_rng(0)
    scale, shift = random.uniform(0.5, 2, (4, 1, 1)), random.normal(size=(4, 1, 1))
    return [random.normal(size=SHAPE) * scale + shift for _ in range(2)]


def statistics(batch, ddof):
    return batch.mean((0, 2, 3)), batch.var((0, 2, 3), ddof=ddof)


@pytest.mark.parametrize("unbiased", [None, False, True])
def test_bn_averages_its_statistics(batches, unbiased):
    module = build(BN % "", SHAPE, phase="TRAIN").double()
    module.unbiased_running_var = unbiased  # None: this is a CPU, so Caffe's own code, which is biased
    mean, variance = np.zeros(4), np.zeros(4)
    for batch in batches:
        module(torch.from_numpy(batch))
        new = statistics(batch, ddof=1 if unbiased else 0)
        mean, variance = 0.75 * mean + 0.25 * new[0], 0.75 * variance + 0.25 * new[1]
    np.testing.assert_allclose(module.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(module.running_var.numpy(), variance, rtol=1e-12)


def test_fresh_bn_and_its_shapes_in_files():
    for frozen, variance in (("", 0), ("frozen: true", 1)):
        module = build(BN % frozen, SHAPE)
        assert module.blob_names == ("weight", "bias", "running_mean", "running_var")
        assert {module.caffe_shape(name) for name in module.blob_names} == {(1, 4)}
        assert list(module.state_dict()) == list(module.blob_names)
        assert module.running_mean.tolist() == [0] * 4
        assert module.running_var.tolist() == [variance] * 4


def test_frozen_bn_never_moves(batches):
    module = build(BN % "frozen: true slope_filler { value: 2 }", SHAPE, phase="TRAIN").double()
    module.running_var.fill_(4 - module.eps)
    for parameter in module.parameters():
        assert not parameter.requires_grad
        parameter.requires_grad_()  # a careless user
    x = torch.from_numpy(batches[0]).requires_grad_()
    y = module(x)
    y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), batches[0], rtol=1e-12)  # 2 x / sqrt(4)
    np.testing.assert_allclose(x.grad.numpy(), np.ones(SHAPE), rtol=1e-12)
    assert module.weight.grad is None
    assert module.bias.grad is None
    assert module.running_mean.abs().max() == 0


def test_bn_on_a_single_value_a_channel():
    module = build(BN % "slope_filler { value: 3 } bias_filler { value: 0.5 }", (1, 4), phase="TRAIN")
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert y.tolist() == [[0.5] * 4]  # no variance: the normalised value is 0
    assert x.grad.abs().max() == 0
    assert module.running_mean.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert module.running_var.tolist() == [0] * 4


def test_bn_in_eval_is_the_same_with_and_without_gradients(batches):
    module = build(BN % "slope_filler { type: 'uniform' min: 0.5 } bias_filler { type: 'gaussian' }", SHAPE)
    module.running_var.fill_(2.0)
    x = torch.from_numpy(batches[0]).float()
    with torch.no_grad():
        plain = module(x)
    assert torch.equal(module(x.requires_grad_()), plain)


def test_batch_norm_sums_up_its_statistics(batches):
    module = build(BATCH_NORM % "", SHAPE, phase="TRAIN").double()
    mean, variance, factor = np.zeros(4), np.zeros(4), 0.0
    for batch in batches:
        x = torch.from_numpy(batch).requires_grad_()
        y = module(x)
        np.testing.assert_allclose(y.detach().numpy(), slow.batch_statistics(batch, 2**-10), rtol=1e-10, atol=1e-12)
        new = statistics(batch, ddof=1)
        mean, variance, factor = 0.75 * mean + new[0], 0.75 * variance + new[1], 0.75 * factor + 1
    for name, wanted in (("running_mean", mean), ("running_var", variance), ("scale_factor", [factor])):
        np.testing.assert_allclose(getattr(module, name).numpy(), wanted, rtol=1e-12)
    gradient = np.random.default_rng(1).normal(size=SHAPE)
    (found,) = torch.autograd.grad(y, x, torch.from_numpy(gradient))
    (wanted,) = slow.numeric_gradients(lambda a: slow.batch_statistics(a, 2**-10), [batches[1]], gradient)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)  # central differences
    module.eval()
    y = module(torch.from_numpy(batch))
    mean, variance = mean[:, None, None] / factor, variance[:, None, None] / factor
    np.testing.assert_allclose(y.numpy(), (batch - mean) / np.sqrt(variance + 2**-10), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("stored", [True, False])
def test_batch_norm_obeys_use_global_stats(batches, phase, stored):
    module = build(BATCH_NORM % f"use_global_stats: {str(stored).lower()}", SHAPE, phase=phase).double()
    module.running_mean.fill_(6.0)
    module.running_var.fill_(8.0)
    module.scale_factor.fill_(2.0)
    y = module(torch.from_numpy(batches[0])).numpy()
    wanted = (batches[0] - 3) / np.sqrt(4 + 2**-10) if stored else slow.batch_statistics(batches[0], 2**-10)
    np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-12)
    assert module.scale_factor.item() == (2 if stored else 2.5)


def test_fresh_batch_norm_divides_by_no_factor():
    module = build(BATCH_NORM % "", (2, 3))
    module.running_mean.fill_(7.0)  # counts for nothing while the factor is 0
    y = module(torch.ones(2, 3))
    np.testing.assert_allclose(y.numpy(), np.full((2, 3), 32.0), rtol=1e-6)  # 1 / sqrt(2^-10)


def test_batch_norm_of_a_vector_is_one_channel():
    module = build(BATCH_NORM % "", (5,), phase="TRAIN")
    x = torch.tensor([1.0, 2.0, 4.0, 7.0, 11.0])
    wanted = slow.batch_statistics(x.double().numpy()[:, None], 2**-10)[:, 0]
    np.testing.assert_allclose(module(x).numpy(), wanted, rtol=1e-5)  # float32
    assert module.running_mean.shape == (1,)


def test_mvn_without_variance_hands_the_gradient_on():
    """Caffe copies dy here, although the mean depends on the input too."""
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    y = build('type: "MVN" mvn_param { normalize_variance: false }', (2, 3, 4, 5))(x)
    np.testing.assert_allclose(y.detach().numpy(), (x - x.mean((2, 3), keepdim=True)).detach().numpy(), atol=1e-12)
    gradient = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert torch.allclose(torch.autograd.grad(y, x, gradient)[0], gradient, rtol=0, atol=1e-12)


def test_mvn_of_a_constant_map_is_zero_and_finite():
    x = torch.full((2, 3), 5.0, requires_grad=True)
    y = build('type: "MVN"', (2, 3))(x)
    y.sum().backward()
    assert y.shape == (2, 3, 1, 1)
    assert y.abs().max() == 0
    assert x.grad.isfinite().all()
