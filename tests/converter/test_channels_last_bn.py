"""Batch statistics over channels-last data: against float64 over planes, and against finite differences."""

import pytest
import torch
import torch.nn.functional as F

from converter.layers.channels_last_bn import has_channels_last, normalise_pixels

SHAPE = (3, 5, 61, 47)
#: of the largest value; float32 has 1.2e-7 a step and each result takes a handful. PyTorch's own plain sums over this
#: layout are 20 times further off at the size of a real net's first layer
BOUND = 1e-6


def tensors(shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)
    x, g = (torch.randn(shape, generator=generator) for _ in range(2))
    weight, bias = (torch.rand(shape[1], generator=generator) + 0.5 for _ in range(2))
    x = (x * 3 + 40).contiguous(memory_format=torch.channels_last)  # a mean far from 0, as pixels have
    return [each.to(dtype) for each in (x, weight, bias, g)]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("gradient_format", [torch.channels_last, torch.contiguous_format])
def test_as_float64_over_planes(affine, gradient_format):
    x, weight, bias, g = tensors(SHAPE)
    leaves = [x, weight, bias] if affine else [x]
    own = [each.clone().requires_grad_() for each in leaves]
    assert has_channels_last(own[0])
    y, mean, variance = normalise_pixels(*(own if affine else [own[0], None, None]), 1e-5)
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.backward(g.contiguous(memory_format=gradient_format))
    true = [each.double().contiguous().requires_grad_() for each in leaves]
    wanted = F.batch_norm(true[0], None, None, *(true[1:] if affine else ()), training=True, eps=1e-5)
    wanted.backward(g.double())
    axes = (0, 2, 3)
    statistics = (true[0].mean(axes), true[0].var(axes, unbiased=False))
    pairs = [(y, wanted), *zip((mean, variance), statistics, strict=True)]
    pairs += [(a.grad, b.grad) for a, b in zip(own, true, strict=True)]
    for found, expected in pairs:
        assert (found - expected).abs().max() <= BOUND * expected.abs().max()


def test_finite_differences():
    x, weight, bias, _ = tensors((2, 3, 4, 5), torch.float64)
    inputs = [each.clone().requires_grad_() for each in (x, weight, bias)]
    assert torch.autograd.gradcheck(lambda *args: normalise_pixels(*args, 1e-3)[0], inputs)


def test_planes_and_single_channels_keep_pytorchs_own_way():
    assert not has_channels_last(torch.zeros(2, 3, 4, 5))
    assert not has_channels_last(torch.zeros(2, 1, 4, 5).contiguous(memory_format=torch.channels_last))  # planes too
    assert not has_channels_last(torch.zeros(2, 3))
