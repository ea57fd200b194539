"""A batch shared out to the cores: the numbers of the whole net in float64, forward and backward, and always the same
bits."""

import pytest
import torch

from converter.core_layers import convolve
from converter.core_training import backward, share_batches
from converter.errors import PytsnError
from converter.frozen_bn import fold_frozen_bn
from converter.net import CaffeNet
from converter.proto import filter_net, parse_net

pytestmark = pytest.mark.usefixtures("three_threads")

CONV = 'type: "Convolution" convolution_param { num_output: %d kernel_size: %d pad: %d weight_filler { type: "msra" } }'
#: six branches: BN of both kinds, ReLU before and after pooling, siblings with and without BN, a projection after
#: pooling, leaky ReLU, LRN
NET = f"""
name: "small" input: "data" input_shape {{ dim: 6 dim: 3 dim: 17 dim: 13 }}
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 bias_term: false weight_filler {{ type: "msra" }} }} }}
layer {{ name: "a_bn" type: "BN" bottom: "a" top: "a_bn" bn_param {{ momentum: 0.75 }} }}
layer {{ name: "a_relu" type: "ReLU" bottom: "a_bn" top: "a_bn" }}
layer {{ name: "a_pool" type: "Pooling" bottom: "a_bn" top: "pool" pooling_param {{ kernel_size: 3 stride: 2 }} }}
layer {{ name: "b" bottom: "pool" top: "b" {CONV % (24, 1, 0)} }}
layer {{ name: "b_bn" type: "BN" bottom: "b" top: "b_bn" bn_param {{ frozen: true }} }}
layer {{ name: "b_relu" type: "ReLU" bottom: "b_bn" top: "b_bn" }}
layer {{ name: "c" bottom: "pool" top: "c" {CONV % (8, 3, 1)} }}
layer {{ name: "c_relu" type: "ReLU" bottom: "c" top: "c" relu_param {{ negative_slope: 0.25 }} }}
layer {{ name: "e" bottom: "pool" top: "e" {CONV % (8, 1, 0)} }}
layer {{ name: "e_bn" type: "BN" bottom: "e" top: "e_bn" bn_param {{ frozen: true }} }}
layer {{ name: "e_relu" type: "ReLU" bottom: "e_bn" top: "e_bn" }}
layer {{ name: "h" bottom: "pool" top: "h" {CONV % (16, 1, 0)} }}
layer {{ name: "h_relu" type: "ReLU" bottom: "h" top: "h" }}
layer {{ name: "mean" type: "Pooling" bottom: "pool" top: "mean"
  pooling_param {{ pool: AVE kernel_size: 3 stride: 1 pad: 1 }} }}
layer {{ name: "f" bottom: "mean" top: "f" {CONV % (8, 1, 0)} }}
layer {{ name: "f_bn" type: "BN" bottom: "f" top: "f_bn" bn_param {{ frozen: true }} }}
layer {{ name: "f_relu" type: "ReLU" bottom: "f_bn" top: "f_bn" }}
layer {{ name: "g" bottom: "e_bn" top: "g" {CONV % (8, 3, 1)} }}
layer {{ name: "cat" type: "Concat" bottom: "b_bn" bottom: "c" bottom: "pool" bottom: "f_bn" bottom: "g" bottom: "h"
  top: "cat" }}
layer {{ name: "norm" type: "LRN" bottom: "cat" top: "norm" lrn_param {{ local_size: 3 alpha: 0.5 }} }}
layer {{ name: "d" bottom: "norm" top: "d" {CONV % (12, 3, 0)} }}
layer {{ name: "d_relu" type: "ReLU" bottom: "d" top: "d" }}
layer {{ name: "d_pool" type: "Pooling" bottom: "d" top: "top" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "top" top: "fc"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "msra" }} }} }}
"""


def net_of(text=NET, phase="TRAIN"):
    """A net with random weights, statistics, slopes and biases; always the same."""
    torch.manual_seed(3)
    net = CaffeNet(filter_net(parse_net(text, "small.prototxt"), phase), phase)
    for name, tensor in net.state_dict().items():
        if name.endswith(("bias", "running_mean", "bn.weight")):
            tensor.normal_()
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return net


def shared(net):
    fold_frozen_bn(net)
    share_batches(net)
    return net.to(memory_format=torch.channels_last)


def results(net, batch=6, blobs=("fc",), seed=9):
    """Blob or parameter -> values after a pass forward and backward, the input's gradient and BN's statistics too."""
    torch.manual_seed(seed)
    dtype = next(net.parameters()).dtype
    x = torch.randn(batch, 3, 17, 13).to(dtype).requires_grad_()
    found = net(x, blobs)
    sum((top * torch.randn(top.shape).to(dtype)).sum() for top in found.values()).backward()
    values = {**found, "data": x.grad, **{name: each.grad for name, each in net.named_parameters()}}
    return {name: each.detach() for name, each in (values | dict(net.named_buffers())).items() if each is not None}


def assert_close(found, exact):
    assert found.keys() == exact.keys()
    for name, wanted in exact.items():
        largest = wanted.abs().max().item()
        torch.testing.assert_close(
            found[name].double(), wanted, rtol=0, atol=3e-6 * largest, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize(
    ("batch", "blobs"),
    [(6, ("fc",)), (3, ("fc", "pool")), (2, ("fc",)), (7, ("fc", "cat")), (20, ("top", "b_bn", "d"))],
)
def test_the_numbers_are_those_of_the_whole_net(batch, blobs):
    """Two samples leave a core idle; seven are too uneven and run whole; blobs asked for on the way stay right."""
    found = results(shared(net_of()), batch, blobs)
    assert_close(found, results(net_of().double(), batch, blobs))


def test_without_onednns_fused_convolution(monkeypatch):
    monkeypatch.setattr("converter.core_layers.onednn_fuses", lambda dtype: False)
    assert_close(results(shared(net_of())), results(net_of().double()))


def test_the_bits_do_not_depend_on_which_core_is_first():
    first = results(shared(net_of()))
    for _ in range(3):
        again = results(shared(net_of()))
        assert all(torch.equal(again[name], value) for name, value in first.items())


def test_gradients_add_up_over_passes_and_weights_changed_in_between_count():
    net, exact = shared(net_of()), net_of().double()
    for seed in (1, 2):
        found, wanted = results(net, seed=seed), results(exact, seed=seed)
        for each in (net, exact):
            each.d.weight.data.mul_(0.5)
            each.b_bn.running_mean.add_(1)
    assert_close(found, wanted)


def test_a_layer_that_runs_in_another_way_later_is_cut_anew():
    """The net keeps how it cut its layers."""
    net, exact = shared(net_of()), net_of().double()
    for training, blobs in ((True, ("fc",)), (False, ("fc",)), (True, ("fc",)), (True, ("cat",))):
        for each in (net, exact):
            each.a_bn.train(training)
            each.zero_grad()
        if not training:
            with torch.no_grad():
                net(torch.randn(6, 3, 17, 13), blobs)
        assert_close(results(net, blobs=blobs), results(exact, blobs=blobs))


def test_a_layer_that_does_not_learn_gets_no_gradient():
    nets = shared(net_of()), net_of().double()
    for net in nets:
        net.c.requires_grad_(False)
        net.a.weight.requires_grad_(False)
        net.e.requires_grad_(False)  # its siblings learn
    found, exact = map(results, nets)
    assert "c.weight" not in found
    assert "e.weight" not in found
    assert_close(found, exact)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_without_gradients(phase):
    net, exact = shared(net_of(phase=phase)), net_of(phase=phase).double()
    x = torch.randn(9, 3, 17, 13)
    with torch.no_grad():
        found, wanted = net(x, ("fc", "norm")), exact(x.double(), ("fc", "norm"))
    assert not found["fc"].requires_grad
    for blob, value in wanted.items():
        torch.testing.assert_close(found[blob].double(), value, rtol=0, atol=3e-6 * value.abs().max().item())


def test_a_net_in_the_test_phase_has_gradients_too():
    """Its unfrozen BN keeps Caffe's formula over the whole batch, so that layer runs whole."""
    assert_close(results(shared(net_of(phase="TEST"))), results(net_of(phase="TEST").double()))


def test_other_numbers_than_float32_run_whole():
    found, exact = results(shared(net_of()).double()), results(net_of().double())
    for name, wanted in exact.items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-9)


def test_an_error_names_its_layer():
    with pytest.raises(PytsnError, match=r"layer 'a_pool' \(Pooling\): kernel 3 is too large"):
        shared(net_of())(torch.randn(6, 3, 1, 1))


@pytest.mark.parametrize("core", [0, 2])
def test_an_error_on_one_core_is_raised_though_the_others_wait_for_its_numbers(monkeypatch, core):
    net, x = shared(net_of()), torch.randn(6, 3, 17, 13)
    x[2 * core] = 1e9

    def fails_on_one(x, *others):
        if x.max() == 1e9:
            raise ValueError("no memory left")
        return convolve(x, *others)

    monkeypatch.setattr("converter.core_work.convolve", fails_on_one)
    with pytest.raises(ValueError, match="no memory left"):
        net(x)
    monkeypatch.undo()
    assert torch.isfinite(net(x)["fc"]).all()


@pytest.mark.parametrize(("batch", "threads"), [(6, 1), (7, 3)])
def test_torchs_own_threads_keep_still_unless_there_are_heavy_layers_for_them(batch, threads):
    """Seven samples are too uneven for three cores, so torch's threads run the convolutions."""
    net, seen = shared(net_of()), []

    def note(*_):
        seen.append(torch.get_num_threads())

    net.fc.register_forward_hook(note)
    top = net(torch.randn(batch, 3, 17, 13))["fc"]
    top.register_hook(note)
    backward(top.square().sum(), net)
    assert seen == [1, threads]  # forward of a light layer, and all of backward
    assert torch.get_num_threads() == 3
    assert net.fc.weight.grad is not None
