"""Layers that Caffe did not record, or not with these parameters, against slow numpy: values and all gradients.

The gradients of the oracle come from central differences, so nothing of PyTorch's differentiation is on the other side
of the comparison.
"""

import numpy as np
import pytest
import torch

from converter.shapes import by_running, top_shapes
from tests.converter import layer_oracles as slow
from tests.converter.layer_build import build, layer_param
from tests.converter.layer_cases import CASES

# A MAX window outside the image holds the most negative number; products and differences leave it out.
OUTSIDE = -1e300


def inside(top: np.ndarray) -> np.ndarray:
    return np.where(top < OUTSIDE, 0.0, top)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_numpy_forward_and_backward(case):
    random = np.random.default_rng(7)
    draw = (lambda size: random.uniform(0.5, 1.5, size)) if case.positive else (lambda size: random.normal(size=size))
    module = build(case.text, *case.shapes).double()
    blobs = [getattr(module, name) for name in module.blob_names]
    arrays = [np.asarray(draw(shape)) for shape in (*case.shapes, *(tuple(blob.shape) for blob in blobs))]
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
    bottoms, parameters = (
        tensors[: len(case.shapes)],
        dict(zip(module.blob_names, tensors[len(case.shapes) :], strict=True)),
    )

    top, wanted = torch.func.functional_call(module, parameters, tuple(bottoms)), case.oracle(*arrays)
    assert tuple(top.shape) == wanted.shape
    # In float64 rounding is near 1e-15; MVN's eps of 1e-9 and FLT_MIN, which the oracles leave out, stay below 1e-8.
    np.testing.assert_allclose(top.detach().numpy(), wanted, rtol=1e-8, atol=1e-8)

    gradient = np.where(wanted < OUTSIDE, 0.0, random.normal(size=wanted.shape))
    numeric = slow.numeric_gradients(lambda *values: inside(case.oracle(*values)), arrays, gradient)
    found = [torch.zeros_like(tensor) for tensor in tensors]
    if top.requires_grad:
        found = torch.autograd.grad(top, tensors, torch.from_numpy(gradient))
    for mine, difference in zip(found, numeric, strict=True):
        # Central differences with a step of 1e-6 are good to about 1e-9 of the sums that they are taken of.
        np.testing.assert_allclose(mine.numpy(), difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_shape_rule_agrees_with_running_the_layer(case):
    module = build(case.text, *case.shapes)
    assert top_shapes(layer_param(case.text).type, module, list(case.shapes)) == by_running(module, list(case.shapes))


@pytest.mark.parametrize(
    ("text", "label", "tops"),
    [
        ('type: "SoftmaxWithLoss"', (2, 4, 5), 1),
        ('type: "SoftmaxWithLoss" softmax_param { axis: 2 } loss_param { ignore_label: 1 }', (2, 3, 5), 2),
        ('type: "Accuracy"', (2, 4, 5), 1),
        ('type: "EuclideanLoss"', (2, 3, 4, 5), 1),
    ],
)
def test_shape_rules_of_losses(text, label, tops):
    shapes = [(2, 3, 4, 5), label]
    module = build(text, *shapes, tops=tops)
    assert top_shapes(layer_param(text).type, module, shapes) == by_running(module, shapes)
