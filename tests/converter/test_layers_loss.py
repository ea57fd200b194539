"""SoftmaxWithLoss, Accuracy and ArgMax against loops over single labels."""

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from tests.converter import layer_oracles as slow
from tests.converter.layer_build import build

LOSS = 'type: "SoftmaxWithLoss" softmax_param { axis: 1 } loss_param { %s }'


@pytest.fixture
def scores():
    """(N, classes, H, W) = (2, 5, 3, 4), float64."""
    return np.random.default_rng(1).normal(size=(2, 5, 3, 4))


@pytest.fixture
def labels():
    """(N, 1, H, W), among them the label 255, which some tests ignore."""
    labels = np.random.default_rng(2).integers(0, 5, size=(2, 1, 3, 4))
    labels[0, 0, 1, 1:3] = labels[1, 0, 2, 3] = 255
    return labels


@pytest.mark.parametrize(
    ("options", "divisor"),
    [
        ("", "valid"),
        ("normalize: false", "batch"),
        ("normalization: FULL", "full"),
        ("normalization: NONE", "none"),
        ("normalization: BATCH_SIZE normalize: true", "batch"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_loss_over_maps_with_ignored_labels(scores, labels, options, divisor, dtype):
    module = build(LOSS % f"{options} ignore_label: 255", scores.shape, labels.shape)
    x = torch.from_numpy(scores).requires_grad_()
    loss = module(x, torch.from_numpy(labels).to(dtype))
    oracle = lambda values: slow.softmax_loss(values, labels, 1, 255, divisor)  # noqa: E731
    assert loss.shape == ()
    assert loss.item() == pytest.approx(oracle(scores), rel=1e-12)
    loss.backward(torch.tensor(3.0, dtype=torch.float64))
    (wanted,) = slow.numeric_gradients(oracle, [scores], 3.0)
    np.testing.assert_allclose(x.grad.numpy(), wanted, atol=1e-7)  # central differences
    assert x.grad[0, :, 1, 1].abs().max() == 0  # ignored


def test_loss_floors_the_probability_but_not_the_gradient():
    x = torch.tensor([[200.0, 0.0, 3.0]], requires_grad=True)
    loss = build(LOSS % "", (1, 3), (1,))(x, torch.tensor([1]))
    assert loss.item() == pytest.approx(-np.log(np.finfo(np.float32).tiny), rel=1e-6)  # not 200
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1.0, -1.0, 0.0]], atol=1e-6)  # softmax - one-hot


def test_second_top_is_the_softmax_and_sends_no_gradient(scores):
    labels = np.zeros((2, 3, 4), int)
    x = torch.from_numpy(scores).requires_grad_()
    _, probabilities = build(LOSS % "", scores.shape, labels.shape, tops=2)(x, torch.from_numpy(labels))
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities.numpy(), wanted, rtol=1e-12)
    assert not probabilities.requires_grad


def test_loss_is_zero_when_every_label_is_ignored():
    x = torch.randn(2, 3, requires_grad=True)
    loss = build(LOSS % "ignore_label: 1", (2, 3), (2,))(x, torch.ones(2))
    loss.backward()
    assert (loss.item(), x.grad.abs().max().item()) == (0, 0)


@pytest.mark.parametrize("label", [3.0, -1.0])
@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy"])
def test_label_that_is_no_class(kind, label):
    with pytest.raises(PytsnError, match=r"label lies outside the classes 0\.\.2"):
        build(f'type: "{kind}"', (2, 3), (2,))(torch.randn(2, 3), torch.tensor([0.0, label]))


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("ignore", [None, 255])
def test_accuracy_with_ties(top_k, ignore):
    random = np.random.default_rng(3)
    scores = random.integers(0, 3, size=(3, 4, 5, 2)).astype(np.float32)  # few values: many ties
    labels = random.integers(0, 5, size=(3, 4, 2))
    options = f"axis: 2 top_k: {top_k}"
    if ignore:
        options += " ignore_label: 255"
        labels[0, :2] = 255
    module = build(f'type: "Accuracy" accuracy_param {{ {options} }}', scores.shape, labels.shape)
    found = module(torch.from_numpy(scores), torch.from_numpy(labels).float())
    assert found.item() == pytest.approx(slow.accuracy(scores, labels, 2, top_k, ignore), rel=1e-6)


def test_accuracy_breaks_ties_toward_the_larger_class():
    scores, accuracy = torch.tensor([[1.0, 1.0, 0.0]]), build('type: "Accuracy"', (1, 3), (1,))
    assert accuracy(scores, torch.tensor([1.0])).item() == 1
    assert accuracy(scores, torch.tensor([0.0])).item() == 0


@pytest.mark.parametrize("values_too", [False, True])
def test_argmax_of_samples_with_ties(values_too):
    scores = np.random.default_rng(4).integers(0, 4, size=(3, 2, 5)).astype(np.float32)
    text = f'type: "ArgMax" argmax_param {{ top_k: 4 out_max_val: {str(values_too).lower()} }}'
    found = build(text, scores.shape)(torch.from_numpy(scores)).numpy()
    rows = scores.reshape(3, 10)
    places = np.array([slow.best_first(row)[:4] for row in rows], np.float32)
    wanted = [places, np.take_along_axis(rows, places.astype(int), 1)] if values_too else [places]
    np.testing.assert_array_equal(found, np.stack(wanted, 1)[..., None])  # (N, 1 or 2, top_k, 1)


@pytest.mark.parametrize("values", [False, True])
def test_argmax_along_an_axis(values):
    scores = np.random.default_rng(5).integers(0, 4, size=(3, 4, 5)).astype(np.float32)
    text = f'type: "ArgMax" argmax_param {{ top_k: 2 axis: -2 out_max_val: {str(values).lower()} }}'
    found = build(text, scores.shape)(torch.from_numpy(scores)).numpy()
    assert found.shape == (3, 2, 5)
    for n, w in np.ndindex(3, 5):
        best = slow.best_first(scores[n, :, w])[:2]
        np.testing.assert_array_equal(found[n, :, w], scores[n, best, w] if values else best)
