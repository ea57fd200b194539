"""The same iteration compiled by PyTorch into a few kernels, for GPUs: a third of the memory traffic. Optional."""

import warnings
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from pytsn.flow.tvl1.gpu_iterations import PrimalDual


class FusedPrimalDual(PrimalDual):
    """PrimalDual whose iterations run compiled: equal but for rounding."""

    def run(self, iterations: int) -> None:
        fields = (self._v["flow"], self._v["dual"], *self._v["term"])
        for _ in range(iterations):
            compiled_iteration()(*fields, self._theta, self._threshold, self._rate)

    def run_measured(self) -> dict[int, float]:
        before = self._v["norm"]
        before.copy_(self._v["flow"])
        self.run(1)
        return self._by_pair(self._squared_change(before))


def iteration(
    flow: Tensor,
    dual: Tensor,
    offset: Tensor,
    slope: Tensor,
    gradient: Tensor,
    theta: float,
    threshold: float,
    rate: float,
) -> None:
    """One iteration of ``flow`` (B, 2, H, W) and ``dual`` (B, 2, 2, H, W), in place; the rest as in DataTerm."""
    step = (offset + slope[:, 0] * flow[:, 0] + slope[:, 1] * flow[:, 1]).clamp(-threshold, threshold)
    dual_x, dual_y = dual[:, 0], dual[:, 1]
    divergence = dual_x - pad(dual_x[..., :-1], (1, 0)) + dual_y - pad(dual_y[..., :-1, :], (0, 0, 1, 0))
    moved = flow + gradient * step[:, None] + theta * divergence
    grad_x = pad(moved[..., 1:] - moved[..., :-1], (0, 1))
    grad_y = pad(moved[..., 1:, :] - moved[..., :-1, :], (0, 0, 0, 1))
    norm = 1 + rate * (grad_x * grad_x + grad_y * grad_y).sqrt()
    dual.copy_((dual + rate * torch.stack((grad_x, grad_y), 1)) / norm[:, None])
    flow.copy_(moved)


@lru_cache(maxsize=1)
def compiled_iteration():
    """``iteration`` compiled for any size."""
    return torch.compile(iteration, dynamic=True)


@lru_cache(maxsize=8)
def can_fuse(device: torch.device) -> bool:
    """Whether this machine can compile for ``device``, found out on a tiny problem; a warning where it cannot."""
    fields = [torch.zeros(2, *shape, 5, 7, device=device) for shape in ((2,), (2, 2), (), (2,), (2,))]
    try:
        compiled_iteration()(*fields, 0.3, 0.045, 0.8)
    except Exception as error:  # no compiler, no Triton, an unsupported Python: each raises another kind
        reason = (str(error).splitlines() or [""])[0]
        warnings.warn(f"flow: torch.compile fails here ({type(error).__name__}: {reason}); runs plain", stacklevel=2)
        return False
    return True
