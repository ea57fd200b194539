"""Caffe's update rules by a slow loop over single numbers, in double precision; and blobs to update."""

import numpy as np
import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from pytsn.training.solver import CaffeSolver
from pytsn.training.solver_blobs import SolverBlob

#: float32 against double over ten updates; values are around 1
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
SHAPES = [(3, 2, 1, 2), (3,), (2, 5), (1, 4)]
FACTORS = [(1, 1), (2, 0), (5, 0.5), (0, 0)]


def make_blobs(seed: int = 0) -> list[SolverBlob]:
    """A convolution's weight and bias, another weight, and statistics without rate or gradient."""
    random = np.random.default_rng(seed)
    tensors = [torch.tensor(random.normal(size=shape), dtype=torch.float32) for shape in SHAPES]
    tensors = [*map(nn.Parameter, tensors[:3]), tensors[3]]
    return [
        SolverBlob("layer", f"blob{index}", tensor, tuple(tensor.shape), *FACTORS[index])
        for index, tensor in enumerate(tensors)
    ]


def gradients(iteration: int) -> list[np.ndarray]:
    random = np.random.default_rng(100 + iteration)
    return [random.normal(scale=2, size=shape) for shape in SHAPES[:3]] + [np.zeros(SHAPES[3])]


def slow_rule(kind: str, history: float, gradient: float, rate: float, momentum: float, delta: float):
    """(new history, what the weight loses) of one number."""
    if kind == "ADAGRAD":
        history += gradient**2
        return history, rate * gradient / (history**0.5 + delta)
    new = momentum * history + rate * gradient
    return new, (new if kind == "SGD" else (1 + momentum) * new - momentum * history)


def slow_run(param: pb.SolverParameter, rates: list[float], clip_divisor: float = 1):
    """Weights and history after one update a rate, number by number."""
    kind = pb.SolverParameter.SolverType.Name(param.solver_type)
    weights = [blob.tensor.detach().double().numpy().copy() for blob in make_blobs()]
    history = [np.zeros_like(weight) for weight in weights]
    for iteration, rate in enumerate(rates):
        grads = gradients(iteration)
        norm = sum(float(value) ** 2 for grad in grads for value in grad.flat) ** 0.5 / clip_divisor
        scale = param.clip_gradients / norm if 0 <= param.clip_gradients < norm else 1
        for index, grad in enumerate(grads):
            lr_mult, decay_mult = FACTORS[index]
            for place in np.ndindex(grad.shape):
                weight = weights[index][place]
                penalty = np.sign(weight) if param.regularization_type == "L1" else weight
                value = grad[place] * scale / param.iter_size + param.weight_decay * decay_mult * penalty
                history[index][place], loss = slow_rule(
                    kind, history[index][place], value, rate * lr_mult, param.momentum, param.delta
                )
                weights[index][place] -= loss
    return weights, history


def assert_same(solver: CaffeSolver, weights: list[np.ndarray], history: list[np.ndarray]) -> None:
    for blob, own, weight, slow in zip(solver.blobs, solver.history_arrays(), weights, history, strict=True):
        np.testing.assert_allclose(blob.tensor.detach().numpy(), weight, **CLOSE, err_msg=blob.blob)
        np.testing.assert_allclose(own, slow, **CLOSE, err_msg=f"history of {blob.blob}")


def param_of(**fields) -> pb.SolverParameter:
    return pb.SolverParameter(**{"lr_policy": "fixed", "momentum": 0.9, "weight_decay": 0.05, "delta": 0.01, **fields})
