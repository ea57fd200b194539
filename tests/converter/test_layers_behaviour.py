"""What single values cannot show: ties, several tops, other batch sizes, randomness in training."""

import numpy as np
import pytest
import torch

from tests.converter.layer_build import build, outputs

POOL = 'type: "Pooling" pooling_param { %s }'


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_max_pooling_gives_the_gradient_to_the_first_of_equal_pixels(layout):
    x = torch.zeros(1, 2, 4, 5).to(memory_format=layout).requires_grad_()
    build(POOL % "kernel_size: 2 stride: 2", (1, 2, 4, 5))(x).sum().backward()
    wanted = [[1, 0, 1, 0, 1], [0] * 5, [1, 0, 1, 0, 1], [0] * 5]  # upper left corner of each window
    assert x.grad[0, 1].tolist() == wanted


@pytest.mark.parametrize("options", ["kernel_size: 3 stride: 2 pad: 1", "kernel_size: 3 stride: 2 pad: 2"])
def test_second_top_of_max_pooling_is_where_the_maximum_lies(options):
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    y, where = build(POOL % options, x.shape, tops=2)(x)
    assert where.dtype == x.dtype
    assert torch.equal(x.flatten(2).gather(2, where.long().flatten(2)).reshape(y.shape), y)


def test_max_pooling_outside_the_image_is_the_most_negative_number():
    """1x1 windows at 0, 2, 4 and 6 of 6 pixels: without padding Caffe keeps the last one."""
    y = build(POOL % "kernel_size: 1 stride: 2", (1, 1, 6, 3))(torch.randn(1, 1, 6, 3))
    assert y.shape == (1, 1, 4, 2)
    assert (y[:, :, 3] == torch.finfo(torch.float32).min).all()


def test_eltwise_max_gives_ties_to_the_second_bottom_but_not_to_the_third():
    bottoms = [torch.tensor([1.0, 5.0, 0.0], requires_grad=True) for _ in range(3)]
    build('type: "Eltwise" eltwise_param { operation: MAX }', (3,), (3,), (3,))(*bottoms).sum().backward()
    grads = [[0.0] * 3 if x.grad is None else x.grad.tolist() for x in bottoms]
    assert grads == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("text", "gradient"),
    [
        ('type: "ReLU"', 0),
        ('type: "ReLU" relu_param { negative_slope: 0.25 }', 0.25),
        ('type: "PReLU" prelu_param { filler { value: 0.5 } }', 0.5),
        ('type: "ELU" elu_param { alpha: 0.75 }', 0.75),
        ('type: "AbsVal"', 0),
    ],
)
def test_gradient_at_zero(text, gradient):
    x = torch.zeros(2, 3, requires_grad=True)
    build(text, (2, 3))(x).sum().backward()
    assert x.grad.tolist() == [[gradient] * 3] * 2


def test_bnll_of_large_values():
    x = torch.tensor([-100.0, 6.0, 22.0, 60.0, 1000.0], dtype=torch.float64)
    wanted = np.logaddexp(0, x.numpy())
    np.testing.assert_allclose(build('type: "BNLL"', (5,)).double()(x).numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "axis", "sizes"),
    [
        ("axis: 1", 1, [3, 3]),
        ("slice_dim: 2 slice_point: [1, 4]", 2, [1, 3, 2]),
        ("axis: -1 slice_point: 3", 3, [3, 1]),
    ],
)
def test_slice_and_its_gradient(options, axis, sizes):
    x = torch.randn(2, 6, 6, 4, requires_grad=True)
    tops = build(f'type: "Slice" slice_param {{ {options} }}', x.shape, tops=len(sizes))(x)
    start = 0
    for top, size in zip(tops, sizes, strict=True):
        assert torch.equal(top, x.narrow(axis, start, size))
        start += size
    sum(top.sum() * weight for weight, top in enumerate(tops, 1)).backward()
    wanted = torch.cat([torch.full_like(top, weight) for weight, top in enumerate(tops, 1)], axis)
    assert torch.equal(x.grad, wanted)


def test_split_adds_gradients():
    x = torch.randn(2, 3, requires_grad=True)
    tops = build('type: "Split"', (2, 3), tops=3)(x)
    assert len(tops) == 3
    (tops[0] * 2 + tops[2] * 5).sum().backward()
    assert x.grad.tolist() == [[7.0] * 3] * 2


def test_silence_gather_and_scatter():
    a, b = torch.randn(2, 3), torch.randn(2)
    assert build('type: "Silence"', (2, 3), (2,), tops=0)(a, b) == ()
    for kind in ("Gather", "Scatter"):
        tops = build(f'type: "{kind}"', (2, 3), (2,), tops=2)(a, b)
        assert tops[0] is a
        assert tops[1] is b


def test_convolution_of_two_bottoms_shares_its_weights():
    text = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } }'
    module = build(text, (2, 3, 5, 6), (2, 3, 5, 6), tops=2)
    a, b = torch.randn(2, 2, 3, 5, 6)
    tops = module(a, b)
    assert len(tops) == 2
    assert torch.equal(tops[1], module(b))
    assert not torch.equal(tops[0], tops[1])


def test_fillers_and_shapes_of_scale_and_prelu_by_default():
    assert build('type: "Scale" scale_param { bias_term: true }', (2, 3, 4)).state_dict().keys() == {"weight", "bias"}
    assert build('type: "Scale"', (2, 3, 4)).weight.tolist() == [1, 1, 1]
    assert build('type: "Bias"', (2, 3, 4)).bias.tolist() == [0, 0, 0]
    assert build('type: "PReLU"', (2, 3, 4)).weight.tolist() == [0.25] * 3
    assert build('type: "PReLU" prelu_param { channel_shared: true }', (2, 3)).caffe_shape("weight") == ()
    assert build('type: "Scale" scale_param { bias_term: true }', (2, 3), ()).blob_names == ("bias",)


def test_dropout_drops_its_share_and_scales_the_rest():
    torch.manual_seed(0)
    module = build('type: "Dropout" dropout_param { dropout_ratio: 0.8 }', (100, 500), phase="TRAIN")
    x = torch.ones(100, 500, requires_grad=True)
    y = module(x)
    y.backward(torch.full_like(y, 2.0))
    kept = y != 0
    assert abs(kept.float().mean().item() - 0.2) < 0.009  # 5 standard deviations of a share among 50000
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 5.0))
    torch.testing.assert_close(x.grad, 2 * y.detach())
    module.eval()
    assert torch.equal(module(x), x)


def test_stochastic_sum_takes_whole_bottoms():
    torch.manual_seed(0)
    text = 'type: "Eltwise" eltwise_param { operation: STOCHASTIC_SUM coeff: [0.25, 0.5, 1] }'
    module = build(text, (3, 2), (3, 2), (3, 2), phase="TRAIN")
    bottoms = [torch.full((3, 2), value) for value in (100.0, 10.0, 1.0)]
    seen = [module(*bottoms) for _ in range(400)]
    assert all((y == y[0, 0]).all() for y in seen)
    first = torch.stack([y[0, 0] for y in seen])
    for total, share in ((1, 0.375), (11, 0.375), (101, 0.125), (111, 0.125)):  # draws are independent
        assert abs((first == total).float().mean().item() - share) < 0.1  # 4 standard deviations of a share among 400


BATCHES = [
    ('type: "Reshape" reshape_param { shape { dim: [-1, 3, 4] } }', (2, 6, 4)),
    ('type: "Reshape" reshape_param { shape { dim: [0, 24] } }', (2, 6, 4)),
    ('type: "Slice" slice_param { axis: 0 slice_point: 1 }', (4, 3)),
    ('type: "InnerProduct" inner_product_param { num_output: 3 }', (2, 6, 4)),
    ('type: "SoftmaxWithLoss" loss_param { normalize: false }', (4, 3)),
    ('type: "ArgMax"', (2, 6)),
    ('type: "MVN"', (2, 3, 4, 5)),
]


@pytest.mark.parametrize(
    ("text", "shape"), BATCHES, ids=[text.split('"')[1] + str(i) for i, (text, _) in enumerate(BATCHES)]
)
def test_batch_size_of_the_prototxt_does_not_bind(text, shape):
    """Built for one batch size and run on 7: the same as built for 7."""
    loss, tops = "Loss" in text, 2 if "Slice" in text else 1
    bottoms = [torch.randn(7, *shape[1:]), *([torch.arange(7) % 3] if loss else [])]
    shapes = [shape, *([shape[:1]] if loss else [])]
    found = outputs(build(text, *shapes, tops=tops)(*bottoms))
    wanted = outputs(build(text, *[tuple(x.shape) for x in bottoms], tops=tops)(*bottoms))
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.equal(mine, theirs)
