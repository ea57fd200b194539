"""Triton kernels of preset ``opencv-cpu``: iterate and check the stopping rule. They round as cpu_iterations does.

Import only if Triton is available (see cpu_triton). No multiply-add is fused (gpu_launch forbids it), sums are in
OpenCV's order, divisions and square roots are rounded once, lengths in float64. So flow and iterations are the CPU's to
the last bit.

Memory, float32 unless stated. ``fields`` (2 sides, capacity, 6, H, W): flow x and y, then the dual fields, direction of
the difference before flow component. ``smooth`` (capacity, 2, H, W): the flow's median. ``term`` (capacity, 3, H, W):
constant, Ix, Iy. ``state`` int32 (capacity, 4): iterations done in this warp; iterations to go to, equal to the former
for a finished pair; the current side; unused. ``partial`` float64 (capacity, tiles, STEPS): each iteration's squared
change of the flow in each tile. ``squares`` (capacity, H, W): that of each pixel in a launch's last iteration.
``enough`` (1,): a warp ends once an iteration's sum is at most this.
"""

import triton
import triton.language as tl

_NUMBERS = ["height", "width", "capacity", "across", "tiles", "inner"]  # one compilation for all values
_FLAT = tl.constexpr(2.0**-23)  # cpu_iterations.FLAT; kernels can only read constants of their own file
_MANY, _FEW = tl.constexpr(2048), tl.constexpr(64)


@triton.jit
def last_iteration(done, until, inner, STEPS: tl.constexpr):
    """Where a launch ends: after STEPS iterations, before the next median, or where the pair goes to."""
    return tl.minimum(tl.minimum(until, done + STEPS), (done // inner + 1) * inner)


@triton.jit
def _moved_flow(flow, gradient, factor, dual_x, dual_y, before, above, has_left, has_above, theta):
    """u + d + theta div p of one flow component; OpenCV adds up the first column in another order."""
    left = tl.gather(dual_x, before, 1)
    top = tl.where(has_above, tl.gather(dual_y, above, 0), 0.0)
    divergence = tl.where(has_left, (dual_x - left) + (dual_y - top), (dual_x + dual_y) - top)
    return (gradient * factor + flow) + divergence * theta


@triton.jit
def _moved_dual(flow, dual_x, dual_y, after, below, has_right, has_below, rate):
    """(p + rate grad u) / (1 + rate |grad u|) of one flow component."""
    grad_x = tl.where(has_right, tl.gather(flow, after, 1) - flow, 0.0)
    grad_y = tl.where(has_below, tl.gather(flow, below, 0) - flow, 0.0)
    wide_x, wide_y = grad_x.to(tl.float64), grad_y.to(tl.float64)
    norm = tl.sqrt(wide_x * wide_x + wide_y * wide_y).to(tl.float32) * rate + 1.0
    return tl.div_rn(grad_x * rate + dual_x, norm), tl.div_rn(grad_y * rate + dual_y, norm)


@triton.jit(do_not_specialize=_NUMBERS)
def advance(
    fields,
    smooth,
    term,
    state,
    partial,
    squares,
    height,
    width,
    capacity,
    across,
    tiles,
    inner,
    theta,
    bound,
    rate,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEPS: tl.constexpr,
):
    """Grid (tiles, pairs). Up to STEPS iterations of each pair on tiles of ROWS x COLUMNS kept in registers.

    Tiles overlap by 2 STEPS pixels, and pixels that a tile's edge has influenced are not written. A launch reads a
    pair's current side and writes the other. ``smoothed`` comes before, ``decide`` after.
    """
    tile, pair, area = tl.program_id(0), tl.program_id(1).to(tl.int64), height * width
    done, until = tl.load(state + pair * 4), tl.load(state + pair * 4 + 1)
    side = tl.load(state + pair * 4 + 2)
    if done < until:
        end = last_iteration(done, until, inner, STEPS)
        tile_row, tile_column = tile // across, tile % across
        local_y, local_x = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
        y, x = tile_row * (ROWS - 2 * STEPS) + local_y, tile_column * (COLUMNS - 2 * STEPS) + local_x
        inside = (y < height) & (x < width)
        # written by this tile: all except the rim; there is no rim at the image's border
        top, left = tl.where(tile_row == 0, 0, STEPS), tl.where(tile_column == 0, 0, STEPS)
        bottom = tl.where(tile_row == tiles // across - 1, ROWS, ROWS - STEPS)
        right = tl.where(tile_column == across - 1, COLUMNS, COLUMNS - STEPS)
        mine = inside & (local_y >= top) & (local_y < bottom) & (local_x >= left) & (local_x < right)
        at = y * width + x
        old = fields + (side * capacity + pair) * 6 * area + at
        from_median = done % inner == 0
        flow = tl.where(from_median, smooth + pair * 2 * area, fields + (side * capacity + pair) * 6 * area) + at
        flow_x, flow_y = tl.load(flow, inside, 0.0), tl.load(flow + area, inside, 0.0)
        xx, xy = tl.load(old + 2 * area, inside, 0.0), tl.load(old + 3 * area, inside, 0.0)
        yx, yy = tl.load(old + 4 * area, inside, 0.0), tl.load(old + 5 * area, inside, 0.0)
        data = term + pair * 3 * area + at
        constant = tl.load(data, inside, 0.0)
        gradient_x, gradient_y = tl.load(data + area, inside, 0.0), tl.load(data + 2 * area, inside, 0.0)
        square = gradient_x * gradient_x + gradient_y * gradient_y
        minus_square = tl.where(square > _FLAT, -square, float("-inf"))
        high = bound * square
        shortfall = tl.div_rn(-high, minus_square) - bound
        shape = tl.zeros((ROWS, COLUMNS), tl.int32)
        before, after = shape + tl.maximum(local_x - 1, 0), shape + tl.minimum(local_x + 1, COLUMNS - 1)
        above, below = shape + tl.maximum(local_y - 1, 0), shape + tl.minimum(local_y + 1, ROWS - 1)
        has_left, has_above, has_right, has_below = x > 0, y > 0, x < width - 1, y < height - 1
        sums = partial + (pair * tiles + tile) * STEPS
        while done < end:
            residual = (gradient_x * flow_x + gradient_y * flow_y) + constant
            factor = tl.minimum(tl.maximum(residual, -high), high)
            beyond = tl.where(residual > factor, shortfall, tl.where(residual < factor, -shortfall, 0.0))
            factor = tl.div_rn(factor, minus_square) + beyond
            new_x = _moved_flow(flow_x, gradient_x, factor, xx, yx, before, above, has_left, has_above, theta)
            new_y = _moved_flow(flow_y, gradient_y, factor, xy, yy, before, above, has_left, has_above, theta)
            change_x, change_y = new_x - flow_x, new_y - flow_y
            changed = change_x * change_x + change_y * change_y
            tl.store(sums, tl.sum(tl.sum(tl.where(mine, changed, 0.0).to(tl.float64), 1), 0))
            sums += 1
            done += 1
            if done == end:
                tl.store(squares + pair * area + at, changed, mine)
            flow_x, flow_y = new_x, new_y
            xx, yx = _moved_dual(flow_x, xx, yx, after, below, has_right, has_below, rate)
            xy, yy = _moved_dual(flow_y, xy, yy, after, below, has_right, has_below, rate)
        new = fields + ((1 - side) * capacity + pair) * 6 * area + at
        tl.store(new, flow_x, mine)
        tl.store(new + area, flow_y, mine)
        tl.store(new + 2 * area, xx, mine)
        tl.store(new + 3 * area, xy, mine)
        tl.store(new + 4 * area, yx, mine)
        tl.store(new + 5 * area, yy, mine)


@triton.jit
def _added_at_once(total, terms):
    """float32 ``total`` and the sum after all ``terms`` (>= 0), added one by one in float32; whether that is certain.

    As long as the sum stays between two powers of two, each term counts as its nearest multiple of the sum's last bit,
    whatever the sum; only of two equally near ones the sum's own last bit decides.
    """
    exponent = (total.to(tl.int32, bitcast=True) >> 23).to(tl.int64)
    bits_in_one = ((1023 + 127 + 23 - exponent) << 52).to(tl.float64, bitcast=True)
    exact = terms.to(tl.float64) * bits_in_one
    nearest = tl.floor(exact + 0.5)
    ties = tl.sum((nearest - exact == 0.5).to(tl.int32), 0)
    count = total.to(tl.float64) * bits_in_one + tl.sum(nearest, 0)
    certain = ((exponent > 23) & (ties == 0) & (count < 16777216.0)) | (tl.max(terms, 0) == 0.0)
    return (count / bits_in_one).to(tl.float32), certain


@triton.jit
def sum_in_turn(terms, count):
    """The sum of so many float32 numbers >= 0, added one by one in float32: cpu_iterations._sum_in_turn.

    Many at once wherever the order does not matter.
    """
    total = (count * 0).to(tl.float32)
    for start in range(0, count, _MANY):
        index = start + tl.arange(0, _MANY)
        later, certain = _added_at_once(total, tl.load(terms + index, index < count, 0.0))
        if certain:
            total = later
        else:
            for begin in range(start, tl.minimum(start + _MANY, count), _FEW):
                some = begin + tl.arange(0, _FEW)
                later, certain = _added_at_once(total, tl.load(terms + some, some < count, 0.0))
                if certain:
                    total = later
                else:
                    for one in range(begin, tl.minimum(begin + _FEW, count)):
                        total += tl.load(terms + one)
    return total


@triton.jit(do_not_specialize=["height", "width", "tiles", "inner", "limit"])
def decide(
    state, partial, squares, enough, height, width, tiles, inner, limit, STEPS: tl.constexpr, TILES: tl.constexpr
):
    """Grid (pairs,). After ``advance``: counts its iterations and lets the pair continue or stop.

    If it should have stopped before the launch's last iteration, the launch is undone (the side stays), and the next
    one goes up to there. If the sum's rounding may decide, the launch is cut likewise, and the sum is made in turn, as
    the CPU makes it. TILES: a power of two, at least ``tiles``.
    """
    pair = tl.program_id(0).to(tl.int64)
    done, until = tl.load(state + pair * 4), tl.load(state + pair * 4 + 1)
    if done < until:
        end, area, bound = last_iteration(done, until, inner, STEPS), height * width, tl.load(enough)
        index = tl.arange(0, TILES)
        sums = partial + (pair * tiles + index) * STEPS
        doubt = area * 5.97e-8  # so many sums, each rounded by up to 2^-24 of itself
        doubt += doubt * doubt
        here, may_end, near = done, done < 0, done < 0
        while (here < end) & (may_end == 0):
            total = tl.sum(tl.load(sums, index < tiles, 0.0), 0)
            near = tl.abs(total - bound) <= total * doubt
            may_end = near | (total <= bound)
            sums += 1
            here += 1
        if may_end & (here < end):
            tl.store(state + pair * 4 + 1, here)
        else:
            if near:
                may_end = sum_in_turn(squares + pair * area, area) <= bound
            tl.store(state + pair * 4, end)
            tl.store(state + pair * 4 + 1, tl.where(may_end, end, limit))
            tl.store(state + pair * 4 + 2, 1 - tl.load(state + pair * 4 + 2))
