"""The precision tf32x3: convolutions of a fused net by three products on tensor cores, with float32's exactness.

The kernel is in tf32x3_kernel.py. Where it does not work, or is not the fastest, cuDNN computes in float32: either way
the scores match Caffe's.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import torch

from converter.fused_layers import FusedConv

#: the first cards with TF32 tensor cores: A100 and later
LEAST_CAPABILITY = (8, 0)
#: multiply-adds under which a layer is left to cuDNN without compiling and timing tiles: microseconds of a forward
_LEAST_WORK = 100_000_000
#: of the largest value, on the small convolution of the self-check: float32 is 3e-7 off, a product of TF32 alone 3e-4
_TOLERANCE = 1e-5
#: how layers are timed: the best of so many turns of so many calls; floats that are written to keep the device busy
_TURNS, _CALLS, _OTHER_WORK = 3, 4, 1 << 26


@dataclass(frozen=True)
class Tile:
    """pixels x outputs that a program with ``warps`` warps computes; it loads ``stages`` blocks of the depth ahead."""

    pixels: int
    outputs: int
    warps: int
    stages: int


#: candidates, measured for every shape; they differ in speed, not in a single bit. The last needs the least of a card
TILES = (Tile(128, 128, 8, 3), Tile(128, 64, 4, 3), Tile(256, 64, 8, 3), Tile(64, 64, 4, 4))
#: numbers of the depth that are added up on tensor cores before their sum is added to the total
DEPTH = 32


class SplitConv(FusedConv):
    """FusedConv whose CUDA path may be the tf32x3 kernel; for groups = 1 and dilation = 1, weights and input float32.

    On first use with a shape, the tiles and cuDNN's float32 convolution are timed; the fastest serves from then on.
    """

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self._parts: tuple[torch.Tensor, torch.Tensor] | None = None
        self._chosen: dict[tuple[int, ...], Tile | None] = {}

    @property
    def tiles(self) -> tuple[Tile | None, ...]:
        """What was chosen for each shape that was seen; None: cuDNN."""
        return tuple(self._chosen.values())

    def _by_torch(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling():  # whose kernels are in float32
            return super()._by_torch(x)
        return self._by_tile(x, self._tile(x))

    def _by_tile(self, x: torch.Tensor, tile: Tile | None) -> torch.Tensor:
        if tile is None:
            return super()._by_torch(x)
        if self._parts is None:
            self._parts = split(self.weight.permute(0, 2, 3, 1).flatten(1))
        return convolution(x, self._parts, self.bias, self._window(), self.slope, tile)

    def _window(self) -> tuple[int, ...]:
        return (*self.weight.shape[2:], *self.stride, *self.padding)

    def _tile(self, x: torch.Tensor) -> Tile | None:
        """The fastest tile for inputs like ``x``; None for cuDNN."""
        key = (x.shape[0].bit_length(), *x.shape[1:])
        if key not in self._chosen:
            if not (_is_ready(x) and works(x.device)):
                return None
            seconds = {tile: self._seconds(x, tile) for tile in (None, *self._candidates(x))}
            self._chosen[key] = min(seconds, key=lambda tile: seconds[tile])
        return self._chosen[key]

    def _candidates(self, x: torch.Tensor) -> tuple[Tile, ...]:
        work = x[:, 0].numel() * self.weight.numel() // (self.stride[0] * self.stride[1])
        if work < _LEAST_WORK:
            return ()
        return TILES if x.shape[1] % DEPTH == 0 else TILES[-1:]  # a first layer, whose addresses take registers

    def _seconds(self, x: torch.Tensor, tile: Tile | None) -> float:
        """The device's time for a few calls; infinity for a tile that needs more memory than the card's units have.

        The device still has other work when they are launched, so that launching, which a CUDA graph saves, counts not.
        """
        from triton.runtime.errors import OutOfResources

        try:
            self._by_tile(x, tile)  # compiles
        except OutOfResources:
            return float("inf")
        taken, other = [], torch.empty(_OTHER_WORK, device=x.device)
        for _ in range(_TURNS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            for _ in range(8):
                other.zero_()
            start.record()
            for _ in range(_CALLS):
                self._by_tile(x, tile)
            end.record()
            end.synchronize()
            taken.append(start.elapsed_time(end))
        return min(taken) / 1000

    def _load_from_state_dict(self, *args) -> None:
        self._parts = None
        super()._load_from_state_dict(*args)

    def _apply(self, *args, **options):
        self._parts = None  # moved or converted weights
        return super()._apply(*args, **options)

    def __getstate__(self):
        return {**super().__getstate__(), "_parts": None, "_chosen": {}}


def _is_ready(x: torch.Tensor) -> bool:
    """Whether kernels can be timed now: a recording can neither compile nor wait, but has had normal calls before."""
    return x.device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


def split(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 numbers as high + low, each with 10 bits of mantissa: off by at most 2^-22 of the number."""
    high = _rounded(weight.contiguous())
    return high, _rounded(weight - high)


def _rounded(value: torch.Tensor) -> torch.Tensor:
    """tf32x3_kernel.rounded."""
    return ((value.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


def convolution(
    x: torch.Tensor,
    parts: tuple[torch.Tensor, torch.Tensor],
    bias: torch.Tensor | None,
    window: tuple[int, ...],
    slope: float | None,
    tile: Tile,
) -> torch.Tensor:
    """x float32 (N, C, H, W) -> (N, O, H', W'), channels last; then (leaky) ReLU unless ``slope`` is None.

    parts: ``split`` of the weights as (O, kernel_h * kernel_w * C). window: kernel, stride and padding, y before x.
    """
    from converter import tf32x3_kernel

    if x.stride(1) != 1:
        x = x.contiguous(memory_format=torch.channels_last)
    high, low = parts
    batch, channels, height, width = x.shape
    kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x = window
    rows = (height + 2 * pad_y - kernel_y) // stride_y + 1
    columns = (width + 2 * pad_x - kernel_x) // stride_x + 1
    outputs, depth = high.shape
    y = torch.empty((batch, rows, columns, outputs), dtype=torch.float32, device=x.device)
    pixels = batch * rows * columns
    grid = (-(-pixels // tile.pixels) * -(-outputs // tile.outputs),)
    with _on(x.device):
        tf32x3_kernel.convolve[grid](
            *(x, high, low, high if bias is None else bias, y),
            *(pixels, height, width, channels, rows, columns, outputs, kernel_x, depth),
            *(x.stride(0), x.stride(2), x.stride(3), stride_y, stride_x, pad_y, pad_x, slope or 0.0),
            BIAS=bias is not None,
            RELU="none" if slope is None else "leaky" if slope else "relu",
            GATHER=channels % DEPTH != 0,
            PIXELS=tile.pixels,
            OUTPUTS=tile.outputs,
            DEPTH=DEPTH,
            num_warps=tile.warps,
            num_stages=tile.stages,
            enable_fp_fusion=False,  # nothing to fuse; said because versions of Triton differ
        )
    return y.permute(0, 3, 1, 2)


def _on(device: torch.device):
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else torch.no_grad()


@cache
def works(device: torch.device) -> bool:
    """Whether the kernel runs on this CUDA device and gives right numbers; if not, one warning says why."""
    try:
        found = torch.cuda.get_device_capability(device)
        if found < LEAST_CAPABILITY:
            raise RuntimeError(f"compute capability {'.'.join(map(str, found))}, at least 8.0 is needed")
        if not (off := difference(device)) <= _TOLERANCE:
            raise ArithmeticError(f"off by {off:.1e} of the largest value")
    except Exception as error:  # no Triton, no compiler, an unknown card or version: each raises another type
        reason = (str(error).splitlines() or [""])[0]
        text = f"tf32x3: no Triton kernel here ({type(error).__name__}: {reason}); cuDNN's float32 serves"
        warnings.warn(text, stacklevel=2)
        return False
    return True


def difference(device: torch.device) -> float:
    """The largest difference from float64, over the largest value, of one small convolution."""
    x, weight, bias = (torch.randn(size, generator=torch.Generator().manual_seed(1)) for size in _TRIAL)
    expected = torch.conv2d(x.double(), weight.double(), bias.double(), 1, 1)
    parts = split(weight.to(device).permute(0, 2, 3, 1).flatten(1))
    there = x.to(device)
    found = convolution(there, parts, bias.to(device), (3, 3, 1, 1, 1, 1), None, TILES[-1])
    return ((found.double().cpu() - expected).abs().max() / expected.abs().max()).item()


_TRIAL = ((2, 64, 9, 7), (72, 64, 3, 3), (72,))
