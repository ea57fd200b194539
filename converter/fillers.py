"""Initial values of parameters: what a prototxt's ``weight_filler { ... }`` asks for.

The distributions are those of the original filler.hpp. Caffe draws from its one global generator, in the order in which
the layers are set up; here the draws come from a ``torch.Generator``, so a fresh net has Caffe's distribution, not its
numbers.
"""

import difflib
import math

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError


def _constant(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    tensor.fill_(filler.value)


def _uniform(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    if not filler.min <= filler.max:
        raise PytsnError(f"uniform filler: min {filler.min:g} is not below max {filler.max:g}")
    tensor.uniform_(filler.min, filler.max, generator=generator)


def _gaussian(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    if not filler.std > 0:
        raise PytsnError(f"gaussian filler: std must be above 0, found {filler.std:g}")
    tensor.normal_(filler.mean, filler.std, generator=generator)
    if filler.sparse == -1:
        return
    outputs = tensor.shape[0] if tensor.dim() else 1
    if not 0 <= filler.sparse <= outputs:
        raise PytsnError(f"gaussian filler: sparse must lie in 0..{outputs} (the outputs), found {filler.sparse}")
    tensor.mul_(torch.empty_like(tensor).bernoulli_(filler.sparse / outputs, generator=generator))


def _fan(tensor: torch.Tensor, filler: pb.FillerParameter) -> float:
    """The number of connections that xavier and msra divide by: count / shape[0], count / shape[1] or their mean."""
    shape = (*tensor.shape, 1, 1)  # an axis that is not there counts as 1
    fan_in, fan_out = tensor.numel() // shape[0], tensor.numel() // shape[1]
    return {
        pb.FillerParameter.FAN_IN: fan_in,
        pb.FillerParameter.FAN_OUT: fan_out,
        pb.FillerParameter.AVERAGE: (fan_in + fan_out) / 2,
    }[filler.variance_norm]


def _xavier(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    bound = math.sqrt(3 / _fan(tensor, filler))
    tensor.uniform_(-bound, bound, generator=generator)


def _msra(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    tensor.normal_(0, math.sqrt(2 / _fan(tensor, filler)), generator=generator)


def _bilinear(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    """A tent per filter: what a Deconvolution needs to upsample by interpolation."""
    if tensor.dim() != 4 or tensor.shape[2] != tensor.shape[3]:
        raise PytsnError(f"bilinear filler: needs square filters of 4 dimensions, found {tuple(tensor.shape)}")
    size = tensor.shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    tent = 1 - (torch.arange(size, dtype=torch.float64, device=tensor.device) / factor - centre).abs()
    tensor.copy_(tent[:, None] * tent)


def _positive_unitball(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None) -> None:
    """Every slice along the first axis is positive and sums to 1."""
    rows = tensor.view(tensor.shape[0] if tensor.dim() else 1, -1)
    rows.uniform_(0, 1, generator=generator)
    rows.div_(rows.sum(1, keepdim=True))


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
def fill(tensor: torch.Tensor, filler: pb.FillerParameter, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill ``tensor`` in place as ``filler`` says and return it.

    tensor: contiguous, floating point, in Caffe's shape of the blob (its first axis counts the outputs: xavier, msra
    and ``sparse`` look at it). On the meta device only the parameters are checked. ``generator``: None for torch's
    default one. Raises PytsnError for an unknown filler and for values that Caffe refuses. Source:
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
