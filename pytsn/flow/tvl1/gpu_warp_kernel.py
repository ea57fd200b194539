"""Triton kernel that starts a warp of the GPU presets: the linearised data term at the flow's end points.

It rounds as gpu_warp does in PyTorch; memory and rules are those of gpu_kernels, whose ``advance`` continues from here.
"""

import triton
import triton.language as tl

_FLAT = tl.constexpr(1.19e-7)  # gpu_warp.FLAT; kernels can only read constants of their own file


@triton.jit
def _inner(t):
    """The cubic for 0 <= t <= 1."""
    return t * t * (1.5 * t - 2.5) + 1.0


@triton.jit
def _outer(t):
    """The cubic for 1 <= t <= 2."""
    return t * (t * (-0.5 * t + 2.5) - 4.0) + 2.0


@triton.jit
def _tap_weight(part, TAP: tl.constexpr):
    """The weight of one of four taps, not normalised, at the fraction ``part`` from the second to the third."""
    if TAP == 0:
        weight = _outer(part + 1.0)
    elif TAP == 1:
        weight = _inner(part)
    elif TAP == 2:
        weight = _inner(1.0 - part)
    else:
        weight = _outer(2.0 - part)
    return weight


@triton.jit
def _weight_sum(part):
    return _tap_weight(part, 0) + _tap_weight(part, 1) + _tap_weight(part, 2) + _tap_weight(part, 3)


@triton.jit
def _read_cubic(plane, row, column, part_y, part_x, inside, height, width):
    """Samples ``plane`` (H, W) with 4 x 4 taps from (row, column), indices clamped."""
    total_y, total_x = _weight_sum(part_y), _weight_sum(part_x)
    out = part_x * 0.0
    for j in tl.static_range(4):
        texels = plane + tl.minimum(tl.maximum(row + j, 0), height - 1) * width
        line = part_x * 0.0
        for i in tl.static_range(4):
            texel = tl.load(texels + tl.minimum(tl.maximum(column + i, 0), width - 1), inside, 0.0)
            line = tl.fma(texel, tl.div_rn(_tap_weight(part_x, i), total_x), line)
        out = tl.fma(line, tl.div_rn(_tap_weight(part_y, j), total_y), out)
    return out


@triton.jit(do_not_specialize=["height", "width", "capacity", "first"])
def linearise(fields, term, state, image0, layers1, height, width, capacity, first, BLOCK: tl.constexpr):
    """Grid (blocks of pixels, pairs). Starts a warp: the data term around each pair's flow, ``first`` iterations before
    the first check. image0 (B, H, W); layers1 (B, 3, H, W): I1 and its gradients."""
    pair, area = tl.program_id(1).to(tl.int64), height * width
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < area
    flow = fields + (tl.load(state + pair * 4 + 2) * capacity + pair) * 6 * area + index
    flow_x, flow_y = tl.load(flow, inside, 0.0), tl.load(flow + area, inside, 0.0)
    x, y = (index % width).to(tl.float32) + flow_x, (index // width).to(tl.float32) + flow_y
    low_x, low_y = tl.floor(x), tl.floor(y)
    part_x, part_y = x - low_x, y - low_y
    column = tl.minimum(tl.maximum(low_x, -2.0), width * 1.0).to(tl.int32) - 1
    row = tl.minimum(tl.maximum(low_y, -2.0), height * 1.0).to(tl.int32) - 1
    layers = layers1 + pair * 3 * area
    warped = _read_cubic(layers, row, column, part_y, part_x, inside, height, width)
    gradient_x = _read_cubic(layers + area, row, column, part_y, part_x, inside, height, width)
    gradient_y = _read_cubic(layers + 2 * area, row, column, part_y, part_x, inside, height, width)
    square = gradient_x * gradient_x + gradient_y * gradient_y
    rough = square > _FLAT
    scale = tl.where(rough, tl.div_rn(square * 0.0 - 1.0, tl.where(rough, square, 1.0)), -1e30)
    rho_c = warped - (gradient_x * flow_x + gradient_y * flow_y) - tl.load(image0 + pair * area + index, inside, 0.0)
    out = term + pair * 4 * area + index
    tl.store(out, rho_c * scale, inside)
    tl.store(out + area, gradient_x, inside)
    tl.store(out + 2 * area, gradient_y, inside)
    tl.store(out + 3 * area, scale, inside)
    if tl.program_id(0) == 0:
        tl.store(state + pair * 4, 0)
        tl.store(state + pair * 4 + 1, first)
