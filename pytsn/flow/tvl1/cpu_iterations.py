"""The inner iterations of dual TV-L1 for one pyramid level: each step is a pass over flat, preallocated buffers.

Zach, Pock, Bischof 2007; Sanchez, Meinhardt-Llopis, Facciolo 2013 (IPOL), as OpenCV's CPU version arranges them.

Each operation rounds as OpenCV's does, in its order, without fused multiply-adds: with large motion the scheme
propagates a difference in the last bit until single regions move by pixels (1 % of the values by a grey level).

A dual field is always 0 in its last column (x) or last row (y). So, on flat planes with W zeros in front, the neighbour
before the first is 0 as required, and a backward difference is one subtraction of shifted buffers.
"""

import numpy as np
import torch

from pytsn.flow.tvl1.cpu_lengths import Lengths

FLAT = torch.finfo(torch.float32).eps  # |grad|^2 up to which a pixel is not moved to make its residual 0
SUM_ERROR = 2.0**-23  # relative dependence per pixel of a float32 sum of squares on its order


class FlowViews:
    """A flow (2, B, H * W) and the views that an iteration needs, made once because a view costs a microsecond."""

    def __init__(self, flow: torch.Tensor, width: int):
        self.whole, (self.x, self.y) = flow, flow
        self.left, self.right = flow[..., :-1], flow[..., 1:]
        self.above, self.below = flow[..., :-width], flow[..., width:]


class DualIterations:
    """Flow and dual fields of B pairs at one level of H x W pixels; buffers are float32 (2, B, H * W), x then y.

    ``bound``: the longest thresholding step over the gradient, lambda * theta; ``tau`` and ``theta`` as in the papers.
    """

    def __init__(self, shape: tuple[int, int, int], tau: float, theta: float, bound: float, device: torch.device):
        batch, height, width = self.shape = shape
        self.bound = bound
        # 0-dimensional tensors, because a Python number is converted to one at every call
        self.taut, self.theta, self.one = torch.tensor((tau / theta, theta, 1.0), device=device)
        self.image_shape = (2, *shape)
        buffers = torch.zeros(7, 2, batch, height * width, device=device)
        self.flow, self.other_flow = (FlowViews(each, width) for each in buffers[:2])
        self.step, self.across, self.down = buffers[2:5]
        self.slope = x, y = buffers[5:]  # forward differences of the flow along x and along y
        self.slopes = (x[..., :-1], y[..., :-width], x[..., width - 1 :: width])
        self.norm = Lengths(self.slope, self.step)
        self.guarded = torch.zeros(2, 2, batch, width + height * width, device=device)
        self.dual = self.guarded[..., width:]
        (x, y), before, above = self.dual, self.guarded[0, ..., width - 1 : -1], self.guarded[1, ..., :-width]
        self.duals = (x, before, y, above)
        self.first_column = tuple(each[..., ::width] for each in (self.across, x, y, above))
        self.residual, self.product = torch.zeros(2, batch, height * width, device=device)

    def start_level(self, flow: torch.Tensor | None) -> None:
        """Sets the dual fields to 0 and the flow to ``flow`` (2, B, H, W), pixels, or to 0."""
        self.guarded.zero_()
        self.planes().copy_(torch.zeros(()) if flow is None else flow)

    def planes(self) -> torch.Tensor:
        """The current flow, float32 (2, B, H, W), pixels: the buffer itself."""
        return self.flow.whole.view(self.image_shape)

    def start_warp(self, image0: torch.Tensor, warped: torch.Tensor) -> None:
        """Linearises at the current flow. image0 (B, H, W); warped (3, B, H, W): I1 and its x and y derivatives."""
        image1, x, y = warped.flatten(2)
        self.gradient, self.gradient_x, self.gradient_y = warped[1:].flatten(2), x, y
        square = x * x + y * y
        self.minus_square = torch.where(square > FLAT, -square, -torch.inf)  # a division by it: no step
        self.high = self.bound * square  # beyond +-high a residual steps by ``bound``, not by what this division gives
        self.low = -self.high
        self.shortfall = self.low / self.minus_square - self.bound
        self.constant = image1 - x * self.flow.x - y * self.flow.y - image0.flatten(1)

    def iterate(self, active: torch.Tensor | None = None, near: float = 0.0) -> torch.Tensor:
        """Runs one iteration of all pairs, or of those that are ``active``, bool (B, 1).

        Returns the sum of squared changes of the flow, pixels squared, (B,), meaningless for inactive pairs. If
        rounding may decide whether the sum of a single pair on the CPU exceeds ``near``, it equals OpenCV's to the last
        bit: see ``_sum_in_turn``.
        """
        old, new = self.flow.whole, self._new_flow()
        change = _squares(torch.sub(new, old, out=self.step), near)
        if active is not None:
            torch.where(active, new, old, out=new)
        self.flow, self.other_flow = self.other_flow, self.flow
        self._move_dual(active)
        return change

    def _new_flow(self) -> torch.Tensor:
        """Thresholding step, then theta times the divergence of the dual fields; written to the other flow buffer."""
        residual = torch.mul(self.gradient_x, self.flow.x, out=self.residual)
        residual.add_(torch.mul(self.gradient_y, self.flow.y, out=self.product)).add_(self.constant)
        factor = torch.clamp(residual, self.low, self.high, out=self.product)
        beyond = residual.sub_(factor).sign_()
        factor.div_(self.minus_square).addcmul_(beyond, self.shortfall)
        step = torch.mul(self.gradient, factor, out=self.step).add_(self.flow.whole)
        return torch.add(step, self._divergence().mul_(self.theta), out=self.other_flow.whole)

    def _divergence(self) -> torch.Tensor:
        """Backward differences of the dual fields, x along x plus y along y: (2, B, H * W)."""
        x, before, y, above = self.duals
        across = torch.sub(x, before, out=self.across)
        across.add_(torch.sub(y, above, out=self.down))
        first, x, y, above = self.first_column  # adds up in another order
        torch.add(x, y, out=first).sub_(above)
        return across

    def _move_dual(self, active: torch.Tensor | None) -> None:
        """p <- (p + taut grad u) / (1 + taut |grad u|), one norm for each component of the flow."""
        flow, (x_inside, y_inside, last_column) = self.flow, self.slopes
        torch.sub(flow.right, flow.left, out=x_inside)
        last_column.zero_()
        torch.sub(flow.below, flow.above, out=y_inside)  # the last row stays 0
        if active is not None:
            self.slope.mul_(active)  # an inactive pair: (p + 0) / (1 + 0)
        norm = self.norm.update().mul_(self.taut).add_(self.one)
        self.dual.add_(self.slope.mul_(self.taut)).div_(norm)


def _squares(change: torch.Tensor, near: float) -> torch.Tensor:
    """Sum of squares for each pair, (2, B, n) -> (B,)."""
    if change.shape[1] > 1:
        return torch.linalg.vector_norm(change, dim=(0, 2)).square_()
    total = torch.dot(change.view(-1), change.view(-1)).view(1)  # one pass, no buffer
    if change.device.type == "cpu" and abs(total.item() - near) <= change.shape[2] * SUM_ERROR * total.item():
        return _sum_in_turn(change)
    return total


def _sum_in_turn(change: torch.Tensor) -> torch.Tensor:
    """The sum of squares of (2, 1, n) in OpenCV's order, pixel by pixel in float32, which loses small late terms.

    This sometimes decides whether a warp continues for another 20 iterations, after another median.
    """
    x, y = change[:, 0].numpy()
    return torch.from_numpy(np.add.accumulate(x * x + y * y)[-1:])
