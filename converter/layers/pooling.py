"""Pooling with Caffe's output sizes: rounded up, and clipped if there is padding."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from converter import caffe_tsn_pb2 as pb
from converter.layers.base import CaffeLayer, Context, Shape, check_axes, positive_pair, require, spatial_pair

_MAX, _AVE, _STOCHASTIC = (pb.PoolingParameter.PoolMethod.Value(name) for name in ("MAX", "AVE", "STOCHASTIC"))
_FLT_MIN = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class _Windows:
    """The pooling windows along one axis. Window i covers ``kernel`` pixels from ``i * stride - pad`` on."""

    size: int
    kernel: int
    stride: int
    pad: int
    count: int

    @property
    def fit(self) -> int:
        """Number of windows wholly inside the padded axis."""
        return max((self.size + 2 * self.pad - self.kernel) // self.stride + 1, 0)

    @property
    def overhang(self) -> int:
        """Pixels to append so that the last window is complete."""
        return max((self.count - 1) * self.stride + self.kernel - self.size - self.pad, 0)

    @property
    def native(self) -> bool:
        """Whether one of the rounding modes of PyTorch's pooling gives the same windows."""
        starts_inside = (self.count - 1) * self.stride < self.size + self.pad
        return starts_inside and 2 * self.pad <= self.kernel

    def areas(self) -> list[int]:
        """Size of each window clipped to the padded axis: padding counts, pixels beyond it do not."""
        starts = [i * self.stride - self.pad for i in range(self.count)]
        return [min(start + self.kernel, self.size + self.pad) - start for start in starts]


class Pooling(CaffeLayer):
    """(N, C, H, W) -> (N, C, H', W'): MAX, AVE or (TEST phase only) STOCHASTIC pooling.

    H' = ceil((H + 2 pad - kernel) / stride) + 1 (``round_mode: FLOOR``: floor), and, if there is padding along either
    axis, one less if the last window would start beyond the image and its left padding. MAX ignores the padding; among
    equal pixels the first gets the gradient. AVE divides by the window's area clipped to the padded image. STOCHASTIC
    weights pixels by their own value. MAX with a second top also returns the position of the maximum, h * W + w as a
    float. Without padding and with a stride above the kernel, Caffe may place the last MAX window outside the image;
    its value is the most negative number. For AVE (a division by zero) and for a second top such a window is an error.
    Raises PytsnError for missing or contradictory sizes, pad >= kernel and maps too small for one window. Source:
    pooling_layer.cpp, pooling_layer.cu.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        pool = param.pooling_param
        check_axes(bottom_shapes[0], 4)
        self.method = pool.pool
        self.floor = pool.round_mode == pb.PoolingParameter.FLOOR
        self.with_mask = len(param.top) > 1
        self.stride = positive_pair(pool, "stride", default=1)
        self.padding = spatial_pair(pool, "pad", default=0)
        self.kernel = self._kernel(pool)
        if self.kernel is not None:
            fits = all(pad < kernel for pad, kernel in zip(self.padding, self.kernel, strict=True))
            require(fits, f"pad {self.padding} must be smaller than the kernel {self.kernel}")
        require(not self.with_mask or self.method == _MAX, "only MAX pooling has a second top")
        if self.method == _STOCHASTIC:
            require(context.phase == "TEST", "STOCHASTIC pooling is not supported in the TRAIN phase; use MAX or AVE")
            require(not any(self.padding), "STOCHASTIC pooling takes no padding")
        self.windows(bottom_shapes[0])

    def _kernel(self, pool: pb.PoolingParameter) -> tuple[int, int] | None:
        if not pool.global_pooling:
            return positive_pair(pool, "kernel", "kernel_size")
        sized = [f for f in ("kernel_size", "kernel_h", "kernel_w") if pool.HasField(f)]
        require(not sized, f"global_pooling takes its size from the bottom: remove {', '.join(sized)}")
        plain = self.padding == (0, 0) and self.stride == (1, 1)
        require(plain, "global_pooling allows only pad 0 and stride 1")
        return None

    def windows(self, shape: Shape) -> tuple[_Windows, _Windows]:
        """The vertical and the horizontal windows on a bottom of this shape. Raises PytsnError if there are none."""
        kernel = self.kernel or (shape[2], shape[3])
        rows, columns = (
            self._along(size, k, s, p)
            for size, k, s, p in zip(shape[2:], kernel, self.stride, self.padding, strict=True)
        )
        return rows, columns

    def _along(self, size: int, kernel: int, stride: int, pad: int) -> _Windows:
        room = size + 2 * pad - kernel
        count = (room // stride if self.floor else -(-room // stride)) + 1
        if any(self.padding) and (count - 1) * stride >= size + pad:
            count -= 1
        require(count > 0, f"kernel {kernel} is too large for {size} pixels with pad {pad} and stride {stride}")
        windows = _Windows(size, kernel, stride, pad, count)
        inside = windows.areas()[-1] > 0 or (self.method == _MAX and not self.with_mask)
        require(inside, f"stride {stride} and kernel {kernel} put the last window outside the {size} pixels")
        return windows

    def forward(self, x: torch.Tensor):
        rows, columns = self.windows(x.shape)
        pool = {_MAX: self._max, _AVE: self._average, _STOCHASTIC: self._stochastic}[self.method]
        return pool(x, rows, columns)

    def _max(self, x: torch.Tensor, rows: _Windows, columns: _Windows):
        kernel, stride, padding = (rows.kernel, columns.kernel), self.stride, self.padding
        native = rows.native and columns.native
        pixels = x
        if not native:
            pixels, padding = _padded(x, rows, columns, torch.finfo(x.dtype).min), (0, 0)
        round_up = native and (rows.count > rows.fit or columns.count > columns.fit)
        if not self.with_mask:
            return F.max_pool2d(pixels, kernel, stride, padding, ceil_mode=round_up)
        y, where = F.max_pool2d(pixels, kernel, stride, padding, ceil_mode=round_up, return_indices=True)
        if not native:  # positions in the padded image -> positions in the image
            width = pixels.shape[3]
            where = (where // width - rows.pad) * columns.size + where % width - columns.pad
        return y, where.to(x.dtype)

    def _average(self, x: torch.Tensor, rows: _Windows, columns: _Windows) -> torch.Tensor:
        kernel = (rows.kernel, columns.kernel)
        if rows.native and columns.native:
            round_up = rows.count > rows.fit or columns.count > columns.fit
            return F.avg_pool2d(x, kernel, self.stride, self.padding, ceil_mode=round_up)
        whole = kernel[0] * kernel[1]
        factors = [[whole / (h * w) for w in columns.areas()] for h in rows.areas()]
        return F.avg_pool2d(_padded(x, rows, columns, 0), kernel, self.stride) * x.new_tensor(factors)

    def _stochastic(self, x: torch.Tensor, rows: _Windows, columns: _Windows) -> torch.Tensor:
        kernel, pixels = (rows.kernel, columns.kernel), _padded(x, rows, columns, 0)
        whole = kernel[0] * kernel[1]
        sums = F.avg_pool2d(pixels, kernel, self.stride) * whole
        squares = F.avg_pool2d(pixels * pixels, kernel, self.stride) * whole
        return squares / (sums + _FLT_MIN)


def _padded(x: torch.Tensor, rows: _Windows, columns: _Windows, value: float) -> torch.Tensor:
    """Pads (N, C, H, W) so that every window is complete and rounding does not matter."""
    return F.pad(x, (columns.pad, columns.overhang, rows.pad, rows.overhang), value=value)
