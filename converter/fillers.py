"""Initial values of parameters: a prototxt's ``weight_filler { ... }``.

The distributions are those of the original filler.hpp. Caffe draws from one global generator, in the order in which
layers are set up. A ``torch.Generator`` gives a new net Caffe's distribution but not its numbers; a ``Stream`` of
Caffe's generator (pytsn/caffe_random/generator.py) gives the same numbers, to the last bit.
"""

import difflib
import math
from typing import Protocol

import numpy as np
import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError


class Stream(Protocol):
    """Caffe's random draws: float32 arrays, and int arrays of 0 and 1. ``single``: compare in float32."""

    def uniform(self, count: int, low: float, high: float) -> np.ndarray: ...
    def gaussian(self, count: int, mean: float, std: float) -> np.ndarray: ...
    def bernoulli(self, count: int, p: float | np.floating, single: bool = False) -> np.ndarray: ...


Source = torch.Generator | Stream | None


def _copy(tensor: torch.Tensor, values: np.ndarray) -> None:
    tensor.copy_(torch.from_numpy(values).view(tensor.shape))


def _draw_uniform(tensor: torch.Tensor, low: float, high: float, source: Source) -> None:
    if isinstance(source, torch.Generator | None):
        tensor.uniform_(low, high, generator=source)
    else:
        _copy(tensor, source.uniform(tensor.numel(), low, high))


def _draw_normal(tensor: torch.Tensor, mean: float, std: float, source: Source) -> None:
    if isinstance(source, torch.Generator | None):
        tensor.normal_(mean, std, generator=source)
    else:
        _copy(tensor, source.gaussian(tensor.numel(), mean, std))


def _constant(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    tensor.fill_(filler.value)


def _uniform(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    if not filler.min <= filler.max:
        raise PytsnError(f"uniform filler: min {filler.min:g} is not below max {filler.max:g}")
    _draw_uniform(tensor, filler.min, filler.max, source)


def _gaussian(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    if not filler.std > 0:
        raise PytsnError(f"gaussian filler: std must be above 0, found {filler.std:g}")
    _draw_normal(tensor, filler.mean, filler.std, source)
    if filler.sparse == -1:
        return
    outputs = tensor.shape[0] if tensor.dim() else 1
    if not 0 <= filler.sparse <= outputs:
        raise PytsnError(f"gaussian filler: sparse must lie in 0..{outputs} (the outputs), found {filler.sparse}")
    mask = torch.empty_like(tensor)
    if isinstance(source, torch.Generator | None):
        mask.bernoulli_(filler.sparse / outputs, generator=source)
    else:
        share = np.float32(filler.sparse) / np.float32(outputs)
        _copy(mask, source.bernoulli(tensor.numel(), share, single=True))
    tensor.mul_(mask)


def _spread(tensor: torch.Tensor, filler: pb.FillerParameter, gain: int) -> float:
    """sqrt(gain / n), rounded to float32 where Caffe does; n: count / shape[0], count / shape[1] or their mean."""
    shape = (*tensor.shape, 1, 1)  # a missing axis counts as 1
    fan_in, fan_out = tensor.numel() // shape[0], tensor.numel() // shape[1]
    connections = {
        pb.FillerParameter.FAN_IN: np.float32(fan_in),
        pb.FillerParameter.FAN_OUT: np.float32(fan_out),
        pb.FillerParameter.AVERAGE: np.float32(fan_in + fan_out) / np.float32(2),
    }[filler.variance_norm]
    return float(np.sqrt(np.float32(gain) / connections))


def _xavier(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    bound = _spread(tensor, filler, 3)
    _draw_uniform(tensor, -bound, bound, source)


def _msra(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    _draw_normal(tensor, 0, _spread(tensor, filler, 2), source)


def _bilinear(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    """A triangular (tent) kernel per filter, with which a Deconvolution upsamples by interpolation."""
    if tensor.dim() != 4 or tensor.shape[2] != tensor.shape[3]:
        raise PytsnError(f"bilinear filler: needs square filters of 4 dimensions, found {tuple(tensor.shape)}")
    size = tensor.shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    tent = 1 - (torch.arange(size, dtype=torch.float64, device=tensor.device) / factor - centre).abs()
    tensor.copy_(tent[:, None] * tent)


def _positive_unitball(tensor: torch.Tensor, filler: pb.FillerParameter, source: Source) -> None:
    """Every slice along the first axis is positive and sums to 1."""
    rows = tensor.view(tensor.shape[0] if tensor.dim() else 1, -1)
    _draw_uniform(rows, 0, 1, source)
    sums = rows.sum(1, keepdim=True)
    if not isinstance(
        source, torch.Generator | None
    ):  # Caffe adds sequentially in float32; another order would round differently
        sums = torch.from_numpy(np.cumsum(rows.numpy(), axis=1, dtype=np.float32)[:, -1:])
    rows.div_(sums)


FILLERS = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
    "positive_unitball": _positive_unitball,
}


@torch.no_grad()
def fill(tensor: torch.Tensor, filler: pb.FillerParameter, generator: Source = None) -> torch.Tensor:
    """Fills ``tensor`` in place as ``filler`` says and returns it.

    tensor: contiguous, floating point, in Caffe's blob shape (first axis = outputs, which xavier, msra and ``sparse``
    use). On the meta device only the parameters are checked. ``generator``: None for torch's default; a ``Stream``
    gives exactly Caffe's numbers. Raises PytsnError for an unknown filler and for values that Caffe refuses. Source:
    include/caffe/filler.hpp.
    """
    function = FILLERS.get(filler.type)
    if function is None:
        near = difflib.get_close_matches(filler.type, FILLERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FILLERS)}"
        raise PytsnError(f"unknown filler {filler.type!r}: {hint}")
    if filler.sparse != -1 and filler.type != "gaussian":
        raise PytsnError(f"{filler.type} filler: only gaussian can be sparse, found sparse: {filler.sparse}")
    try:
        function(tensor, filler, None if tensor.is_meta else generator)
    except RuntimeError as error:  # a NaN or an infinity among the values
        raise PytsnError(f"{filler.type} filler: {error}") from error
    return tensor
