"""Triton kernels of preset ``opencv-cpu`` for images: resizing, the warp that starts a data term, the flow's median.

They round as cpu_resampling does on a CPU with fused multiply-adds, which are written as ``tl.fma``; no other is fused.
Memory is that of cpu_kernels.
"""

import triton
import triton.language as tl

_MARGIN, _BITS = tl.constexpr(4), tl.constexpr(5)  # cpu_resampling's MARGIN and SUBPIXEL_BITS
_WHOLE = tl.constexpr(1.5 * 2**23)  # added to a number under 2^22 and subtracted: rounds halves to even


@triton.jit(do_not_specialize=["height", "width", "rows", "columns"])
def resize(
    planes, out, rows_taken, row_weight, columns_taken, column_weight, height, width, rows, columns, BLOCK: tl.constexpr
):
    """Grid (blocks of pixels, planes). planes (N, height, width) -> out (N, rows, columns), along x, then along y.

    rows_taken int32 (2, rows), columns_taken int32 (2, columns): the two neighbours; weights: of the second.
    """
    plane = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < rows * columns
    y, x = index // columns, index % columns
    left, right = tl.load(columns_taken + x, inside, 0), tl.load(columns_taken + columns + x, inside, 0)
    across, down = tl.load(column_weight + x, inside, 0.0), tl.load(row_weight + y, inside, 0.0)
    upper = planes + plane * height * width + tl.load(rows_taken + y, inside, 0) * width
    lower = planes + plane * height * width + tl.load(rows_taken + rows + y, inside, 0) * width
    first, second = tl.load(upper + left, inside, 0.0), tl.load(upper + right, inside, 0.0)
    above = tl.fma(second - first, across, first)
    first, second = tl.load(lower + left, inside, 0.0), tl.load(lower + right, inside, 0.0)
    below = tl.fma(second - first, across, first)
    tl.store(out + plane * rows * columns + index, tl.fma(below - above, down, above), inside)


@triton.jit
def _tap(layers, x, y, weights, fraction, wanted, height, width, ROW: tl.constexpr, COLUMN: tl.constexpr):
    """A pixel of three layers (3, H, W), 0 outside the image, and its weight."""
    column, row, area = x + (COLUMN - 1), y + (ROW - 1), height * width
    there = wanted & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = layers + row * width + column
    first, second = tl.load(pixel, there, 0.0), tl.load(pixel + area, there, 0.0)
    weight = tl.load(weights + (4 * ROW + COLUMN) * 1024 + fraction, wanted, 0.0)
    return first, second, tl.load(pixel + 2 * area, there, 0.0), weight


@triton.jit
def _column(layers, x, y, weights, fraction, wanted, height, width, COLUMN: tl.constexpr):
    """The weighted sums of four taps downwards, with fused multiply-adds."""
    a, b, c, weight = _tap(layers, x, y, weights, fraction, wanted, height, width, 0, COLUMN)
    first, second, third = a * weight, b * weight, c * weight
    for row in tl.static_range(1, 4):
        a, b, c, weight = _tap(layers, x, y, weights, fraction, wanted, height, width, row, COLUMN)
        first, second, third = tl.fma(a, weight, first), tl.fma(b, weight, second), tl.fma(c, weight, third)
    return first, second, third


@triton.jit
def _two_columns(layers, x, y, weights, fraction, wanted, height, width, COLUMN: tl.constexpr):
    """A column and the next but one."""
    a, b, c = _column(layers, x, y, weights, fraction, wanted, height, width, COLUMN)
    first, second, third = _column(layers, x, y, weights, fraction, wanted, height, width, COLUMN + 2)
    return a + first, b + second, c + third


@triton.jit
def _in_order(layers, x, y, weights, fraction, wanted, height, width):
    """The weighted sums tap by tap, without fused multiply-adds."""
    first, second, third = 0.0, 0.0, 0.0
    for tap in tl.static_range(16):
        a, b, c, weight = _tap(layers, x, y, weights, fraction, wanted, height, width, tap // 4, tap % 4)
        first, second, third = a * weight + first, b * weight + second, c * weight + third
    return first, second, third


@triton.jit
def _read_cubic(layers, x, y, weights, fraction, is_inner, inside, height, width):
    """Samples three layers (3, H, W) with 4 x 4 taps from (y - 1, x - 1) in OpenCV's two orders, of which the second is
    for places where a tap may miss the image."""
    a, b, c = _two_columns(layers, x, y, weights, fraction, inside & is_inner, height, width, 0)
    first, second, third = _two_columns(layers, x, y, weights, fraction, inside & is_inner, height, width, 1)
    d, e, f = _in_order(layers, x, y, weights, fraction, inside & (is_inner == 0), height, width)
    return tl.where(is_inner, a + first, d), tl.where(is_inner, b + second, e), tl.where(is_inner, c + third, f)


@triton.jit
def _thirty_seconds(position, size):
    """Positions in 1/32 pixel, halves to even; further out than where all taps miss, they are clamped."""
    clamped = tl.minimum(tl.maximum(position, 1.0 - _MARGIN), size + 1.0) * 32.0
    return ((clamped + _WHOLE) - _WHOLE).to(tl.int32)


@triton.jit(do_not_specialize=["height", "width", "capacity", "limit"])
def linearise(fields, term, state, image0, layers1, weights, height, width, capacity, limit, BLOCK: tl.constexpr):
    """Grid (blocks of pixels, pairs). Starts a warp: the data term around each pair's flow, up to ``limit`` iterations.

    image0 (B, H, W); layers1 (B, 3, H, W): I1 and its gradients; weights (16, 1024): cpu_resampling.cubic_weights.
    """
    pair, area = tl.program_id(1).to(tl.int64), height * width
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < area
    flow = fields + (tl.load(state + pair * 4 + 2) * capacity + pair) * 6 * area + index
    flow_x, flow_y = tl.load(flow, inside, 0.0), tl.load(flow + area, inside, 0.0)
    x = _thirty_seconds((index % width).to(tl.float32) + flow_x, width * 1.0)
    y = _thirty_seconds((index // width).to(tl.float32) + flow_y, height * 1.0)
    fraction = ((y & 31) << _BITS) + (x & 31)
    x, y = x >> _BITS, y >> _BITS
    is_inner = (x >= 1) & (x < width - 2) & (y >= 1) & (y < height - 2)
    layers = layers1 + pair * 3 * area
    warped, gradient_x, gradient_y = _read_cubic(layers, x, y, weights, fraction, is_inner, inside, height, width)
    constant = ((warped - gradient_x * flow_x) - gradient_y * flow_y) - tl.load(
        image0 + pair * area + index, inside, 0.0
    )
    out = term + pair * 3 * area + index
    tl.store(out, constant, inside)
    tl.store(out + area, gradient_x, inside)
    tl.store(out + 2 * area, gradient_y, inside)
    if tl.program_id(0) == 0:
        tl.store(state + pair * 4, 0)
        tl.store(state + pair * 4 + 1, limit)


@triton.jit
def _ordered(a, b):
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
def sorted5(a, b, c, d, e):
    """Five numbers in order."""
    a, b = _ordered(a, b)
    d, e = _ordered(d, e)
    c, e = _ordered(c, e)
    c, d = _ordered(c, d)
    a, d = _ordered(a, d)
    b, e = _ordered(b, e)
    a, c = _ordered(a, c)
    b, d = _ordered(b, d)
    b, c = _ordered(b, c)
    return a, b, c, d, e


@triton.jit
def _sorted_row(plane, x, y, inside, height, width):
    """The five pixels around (y, x) in a row, in order; beyond the border the border's."""
    row = plane + tl.minimum(tl.maximum(y, 0), height - 1) * width
    a = tl.load(row + tl.maximum(x - 2, 0), inside, 0.0)
    b = tl.load(row + tl.maximum(x - 1, 0), inside, 0.0)
    c = tl.load(row + x, inside, 0.0)
    d = tl.load(row + tl.minimum(x + 1, width - 1), inside, 0.0)
    e = tl.load(row + tl.minimum(x + 2, width - 1), inside, 0.0)
    return sorted5(a, b, c, d, e)


@triton.jit
def _median(plane, x, y, inside, height, width):
    """The median of 5 x 5 pixels.

    With rows sorted, then columns, number (i, j) has (i + 1)(j + 1) - 1 numbers not above it and (5 - i)(5 - j) - 1 not
    below. So of the 25 only those with i + j of 3, 4 or 5 may be the median; sorted, these three diagonals also order
    each other, which leaves the largest of the first, the middle of the second and the smallest of the third.
    """
    a0, b0, c0, d0, e0 = _sorted_row(plane, x, y - 2, inside, height, width)
    a1, b1, c1, d1, e1 = _sorted_row(plane, x, y - 1, inside, height, width)
    a2, b2, c2, d2, e2 = _sorted_row(plane, x, y, inside, height, width)
    a3, b3, c3, d3, e3 = _sorted_row(plane, x, y + 1, inside, height, width)
    a4, b4, c4, d4, e4 = _sorted_row(plane, x, y + 2, inside, height, width)
    a0, a1, a2, a3, a4 = sorted5(a0, a1, a2, a3, a4)
    b0, b1, b2, b3, b4 = sorted5(b0, b1, b2, b3, b4)
    c0, c1, c2, c3, c4 = sorted5(c0, c1, c2, c3, c4)
    d0, d1, d2, d3, d4 = sorted5(d0, d1, d2, d3, d4)
    e0, e1, e2, e3, e4 = sorted5(e0, e1, e2, e3, e4)
    low = tl.maximum(tl.maximum(a3, b2), tl.maximum(c1, d0))
    high = tl.minimum(tl.minimum(b4, c3), tl.minimum(d2, e1))
    a4, b3, middle, d1, e0 = sorted5(a4, b3, c2, d1, e0)
    return tl.maximum(tl.minimum(low, middle), tl.minimum(tl.maximum(low, middle), high))


@triton.jit(do_not_specialize=["height", "width", "capacity", "inner"])
def smoothed(fields, smooth, state, height, width, capacity, inner, BLOCK: tl.constexpr):
    """Grid (programs, pairs). The median of the flow of each pair that begins a round of ``inner`` iterations."""
    pair, area = tl.program_id(1).to(tl.int64), height * width
    done, until = tl.load(state + pair * 4), tl.load(state + pair * 4 + 1)
    if (done < until) & (done % inner == 0):
        flow = fields + (tl.load(state + pair * 4 + 2) * capacity + pair) * 6 * area
        for block in range(tl.program_id(0), tl.cdiv(area, BLOCK), tl.num_programs(0)):
            index = block * BLOCK + tl.arange(0, BLOCK)
            inside = index < area
            x, y = index % width, index // width
            for component in range(2):
                median = _median(flow + component * area, x, y, inside, height, width)
                tl.store(smooth + (pair * 2 + component) * area + index, median, inside)
