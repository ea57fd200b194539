"""Triton's kernels compile for cards that are not here: the interpreter accepts what the compiler does not."""

import importlib

import pytest

from pytsn.flow.tvl1 import cpu_triton, gpu_tiles
from pytsn.flow.tvl1.gpu_launch import options
from tests.interpreter import needs_triton

pytestmark = needs_triton

#: file and name of a kernel -> multiply-adds in it that are fused, for each pixel of a thread
KERNELS = {
    ("gpu_kernels", "advance"): 20,
    ("gpu_kernels", "decide"): 0,
    ("gpu_warp_kernel", "linearise"): 60,
    ("cpu_kernels", "advance"): 0,
    ("cpu_kernels", "decide"): 0,
    ("cpu_image_kernels", "linearise"): 36,
    ("cpu_image_kernels", "smoothed"): 0,
    ("cpu_image_kernels", "resize"): 3,
}
#: kinds of arguments; all others are int32
_KINDS = dict.fromkeys(("ROWS", "COLUMNS", "STEPS", "TILES", "BLOCK"), "constexpr")
_KINDS |= dict.fromkeys(("fields", "term", "image0", "layers1", "smooth", "squares", "enough"), "*fp32")
_KINDS |= dict.fromkeys(("weights", "planes", "out", "row_weight", "column_weight"), "*fp32")
_KINDS |= dict.fromkeys(("partial", "stop"), "*fp64")
_KINDS |= dict.fromkeys(("state", "rows_taken", "columns_taken"), "*i32")
_KINDS |= dict.fromkeys(("theta", "threshold", "rate", "bound"), "fp32")


def compiled(file: str, name: str, tile: gpu_tiles.Tile, architecture: int):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(f"pytsn.flow.tvl1.{file}"), name)
    if not isinstance(kernel, triton.runtime.JITFunction):
        pytest.skip("TRITON_INTERPRET is set")
    constants = {"ROWS": tile.rows, "COLUMNS": tile.columns, "STEPS": tile.steps, "TILES": 128, "BLOCK": 256}
    own = {name: value for name, value in constants.items() if name in kernel.arg_names}
    signature = {name: _KINDS.get(name, "i32") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=own)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options(tile.warps))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), list(KERNELS))
def test_kernels_compile_for_cards_that_are_not_here(file, name):
    """With a pixel in each thread. No multiply-add is fused but those that are written so."""
    tile = gpu_tiles.Tile(16, 16, 2, 8)
    found = compiled(file, name, tile, 80)
    assert found.asm["cubin"]
    assert found.asm["ptx"].count("fma.rn.f32") == KERNELS[file, name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "tile"),
    [
        ("gpu_kernels", gpu_tiles.TILES[0]),
        ("gpu_kernels", gpu_tiles.whole_level(64, 64)),
        ("cpu_kernels", cpu_triton.TILES[-1]),
    ],
    ids=str,
)
def test_tiles_fit(file, tile):
    """The largest with steps and without; 48 kB is what every card has."""
    assert compiled(file, "advance", tile, 90).metadata.shared <= 48 * 1024
