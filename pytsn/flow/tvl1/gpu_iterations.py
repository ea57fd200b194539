"""The primal-dual iteration of TV-L1, for many pairs at once, in place and without allocations."""

from typing import TypedDict

import torch
from torch import Tensor

from pytsn.flow.tvl1.gpu_warp import DataTerm
from pytsn.flow.tvl1.presets import Preset


class _Views(TypedDict):
    """Parts of the buffers that one iteration reads and writes, each tuple in order of use."""

    flow: Tensor
    dual: Tensor
    norm: Tensor
    term: tuple[Tensor, Tensor, Tensor]
    threshold: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
    descent: tuple[Tensor, Tensor]
    divergence: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
    forward_x: tuple[Tensor, Tensor, Tensor]
    forward_y: tuple[Tensor, Tensor, Tensor]
    gradient: tuple[Tensor, Tensor, Tensor, Tensor]


class PrimalDual:
    """Flow and dual fields of the active pairs at one level, and the scratch space of an iteration.

    Pairs are numbered by their position in the loaded batch; active pairs fill the first slots of the buffers.
    ``flow`` (slots, 2, H, W): x and y, pixels. ``dual`` (slots, 2, 2, H, W): [slot, direction of the difference, flow
    component]. The dual of the last column (x) and of the last row (y) is always 0, because it starts at 0 and the
    forward difference there is 0.
    """

    def __init__(self, flow: Tensor, preset: Preset) -> None:
        batch, _, height, width = flow.shape
        self.flow, self.dual = torch.empty_like(flow), flow.new_empty(batch, 2, 2, height, width)
        self._offset, self._slope, self._image_gradient = flow[:, 0].clone(), flow.clone(), flow.clone()
        self._step, self._norm = flow.new_empty(batch, height, width), torch.empty_like(flow)
        self._difference = torch.zeros_like(self.dual)
        self._one = flow.new_tensor(1.0)
        self._theta, self._threshold = preset.theta, preset.lam * preset.theta
        self._rate = preset.tau / preset.theta

    def load(self, flow: Tensor, dual: Tensor, term: DataTerm) -> None:
        """Starts a warp of all B pairs from this flow and these dual fields."""
        own = (self.flow, self.dual, self._offset, self._slope, self._image_gradient)
        for mine, given in zip(own, (flow, dual, term.offset, term.slope, term.gradient), strict=True):
            mine.copy_(given)
        self._bind(list(range(len(flow))))

    def keep(self, pairs: list[int]) -> None:
        """Drops all pairs except these."""
        slots = self._slots(pairs)
        for mine in (self.flow, self.dual, self._offset, self._slope, self._image_gradient):
            mine[: len(pairs)] = mine.index_select(0, slots)
        self._bind(pairs)

    def write(self, pairs: list[int], flow: Tensor, dual: Tensor) -> None:
        """Copies the fields of these pairs to their positions in ``flow`` (B, 2, H, W) and ``dual`` (B, 2, 2, H, W)."""
        if pairs:
            places, slots = torch.tensor(pairs, device=flow.device), self._slots(pairs)
            flow.index_copy_(0, places, self.flow.index_select(0, slots))
            dual.index_copy_(0, places, self.dual.index_select(0, slots))

    def _slots(self, pairs: list[int]) -> Tensor:
        return torch.tensor([self._pairs.index(pair) for pair in pairs], device=self.flow.device)

    def run(self, iterations: int) -> None:
        """Runs that many iterations of every pair."""
        for _ in range(iterations):
            self._move_flow()
            self._move_dual()

    def run_measured(self) -> dict[int, float]:
        """Runs one iteration. Returns each pair's squared change of the flow, summed over the pixels (in float64)."""
        before = self._v["norm"]  # free until the dual step
        before.copy_(self._v["flow"])
        self._move_flow()
        errors = self._squared_change(before)
        self._move_dual()
        return self._by_pair(errors)

    def _by_pair(self, errors: Tensor) -> dict[int, float]:
        return dict(zip(self._pairs, errors.tolist(), strict=True))

    def _squared_change(self, before: Tensor) -> Tensor:
        """Squared change of the flow since ``before`` (slots, 2, H, W), which is overwritten: float64 (slots,)."""
        torch.sub(self._v["flow"], before, out=before)
        return before.square_().sum((1, 2, 3), dtype=torch.float64)

    def _bind(self, pairs: list[int]) -> None:
        """Makes the views for iterations of these pairs once: on a small level slicing costs as much as adding."""
        self._pairs, count = pairs, len(pairs)
        flow, dual, grad, norm = (t[:count] for t in (self.flow, self.dual, self._difference, self._norm))
        slope, step = self._slope[:count], self._step[:count]
        dual_x, dual_y, grad_x, grad_y = dual[:, 0], dual[:, 1], grad[:, 0], grad[:, 1]
        self._v: _Views = {
            "flow": flow,
            "dual": dual,
            "norm": norm,
            "term": (self._offset[:count], slope, self._image_gradient[:count]),
            "threshold": (self._offset[:count], slope[:, 0], flow[:, 0], slope[:, 1], flow[:, 1], step),
            "descent": (self._image_gradient[:count], step[:, None]),
            "divergence": (dual_x, flow[..., 1:], dual_x[..., :-1], dual_y, flow[..., 1:, :], dual_y[..., :-1, :]),
            "forward_x": (flow[..., 1:], flow[..., :-1], grad_x[..., :-1]),
            "forward_y": (flow[..., 1:, :], flow[..., :-1, :], grad_y[..., :-1, :]),
            "gradient": (grad, grad_x, grad_y, norm[:, None]),
        }

    def _move_flow(self) -> None:
        """u + d + theta div p, where d = (Ix, Iy) clamp(-r / g): see DataTerm."""
        flow = self._v["flow"]
        offset, slope_x, flow_x, slope_y, flow_y, step = self._v["threshold"]
        torch.addcmul(offset, slope_x, flow_x, out=step)
        step.addcmul_(slope_y, flow_y).clamp_(-self._threshold, self._threshold)
        flow.addcmul_(*self._v["descent"])
        dual_x, right, dual_left, dual_y, below, dual_above = self._v["divergence"]
        flow.add_(dual_x, alpha=self._theta).add_(dual_y, alpha=self._theta)
        right.sub_(dual_left, alpha=self._theta)
        below.sub_(dual_above, alpha=self._theta)

    def _move_dual(self) -> None:
        """p <- (p + rate grad u) / (1 + rate |grad u|), with one norm per flow component."""
        dual, norm = self._v["dual"], self._v["norm"]
        grad, grad_x, grad_y, divisor = self._v["gradient"]
        for ahead, here, out in (self._v["forward_x"], self._v["forward_y"]):
            torch.sub(ahead, here, out=out)
        torch.mul(grad_x, grad_x, out=norm)
        norm.addcmul_(grad_y, grad_y).sqrt_()
        torch.add(self._one, norm, alpha=self._rate, out=norm)
        dual.add_(grad, alpha=self._rate).div_(divisor)
