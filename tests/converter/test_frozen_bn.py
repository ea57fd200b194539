"""What makes training fast must not change it: frozen BN inside its convolution, and BN over channels-last blobs."""

import pytest
import torch

from converter.frozen_bn import fold_frozen_bn
from converter.net import CaffeNet
from converter.proto import filter_net, parse_net
from tests.converter.layer_build import build

BN = 'type: "BN" bn_param { momentum: 0.75 }'
HEAD = 'name: "small" input: "data" input_shape { dim: 2 dim: 3 dim: 7 dim: 5 }'
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 bias_term: %s weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BN" bottom: "conv" top: "norm" bn_param { frozen: %s } }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
"""
OTHER_READER = 'layer { name: "other" type: "Power" bottom: "conv" top: "other" }'


def net_of(text, seed=0):
    """A TRAIN net in float64 with random statistics, slopes and biases."""
    torch.manual_seed(seed)
    net = CaffeNet(filter_net(parse_net(HEAD + text, "small.prototxt"), "TRAIN"), "TRAIN").double()
    for tensor in (net.norm.weight, net.norm.bias, net.norm.running_mean):
        tensor.data.normal_()
    net.norm.running_var.uniform_(0.1, 3)
    return net


def results(net):
    """Output, and the gradients of input and filters."""
    torch.manual_seed(9)
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64, requires_grad=True)
    y = net(x, ("norm",))["norm"]
    learned = [x, net.conv.weight, *([] if net.conv.bias is None else [net.conv.bias])]
    return [y.detach(), *torch.autograd.grad(y, learned, torch.randn_like(y))]


@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_folded_frozen_bn_gives_the_same_values_and_gradients(bias):
    plain, folded = net_of(CONV % (bias, "true")), net_of(CONV % (bias, "true"))
    assert fold_frozen_bn(folded) == 1
    for found, wanted in zip(results(folded), results(plain), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    folded.norm.running_mean.add_(1)  # weights loaded, or shared, later on count
    plain.norm.running_mean.add_(1)
    torch.testing.assert_close(results(folded)[0], results(plain)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", [CONV % ("true", "false"), CONV % ("true", "true") + OTHER_READER])
def test_an_unfrozen_bn_and_a_blob_that_others_read_stay(text):
    net = net_of(text)
    wanted = results(net)
    assert fold_frozen_bn(net) == 0
    assert all(torch.equal(*pair) for pair in zip(results(net), wanted, strict=True))


@pytest.mark.parametrize("shape", [(3, 5, 96, 100), (5, 4, 13, 11), (2, 3, 2, 2)])
def test_bn_over_channels_last_is_as_exact_as_over_planes(shape):
    torch.manual_seed(1)
    exact = build(BN, shape, phase="TRAIN").double()
    for tensor in (exact.weight, exact.bias):
        tensor.data.normal_()
    module = build(BN, shape, phase="TRAIN")
    module.load_state_dict(exact.state_dict())
    exact.load_state_dict(module.state_dict())  # the same rounded values
    x = (torch.randn(shape) * 3 + 5).contiguous(memory_format=torch.channels_last)
    dy = torch.randn(shape) + 0.1
    found, wanted = (bn_results(*each) for each in ((module, x, dy), (exact, x.double().contiguous(), dy.double())))
    for own, true in zip(found, wanted, strict=True):  # PyTorch's own sums over this layout are up to 1e-5 off
        torch.testing.assert_close(own.double(), true, rtol=0, atol=1e-6 * true.abs().max().item())


def bn_results(module, x, dy):
    x = x.detach().requires_grad_()
    y = module(x)
    gradients = torch.autograd.grad(y, [x, module.weight, module.bias], dy)
    return [y.detach(), *gradients, module.running_mean, module.running_var]


def test_bn_over_channels_last_keeps_the_layout():
    x = torch.randn(3, 5, 8, 6).contiguous(memory_format=torch.channels_last)
    y = build(BN, tuple(x.shape), phase="TRAIN")(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
