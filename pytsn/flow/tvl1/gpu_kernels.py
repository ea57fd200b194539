"""Triton kernels of the GPU presets: iterate and check the stopping rule. They round as the PyTorch version does.

Import only if Triton is available (see gpu_triton). Every multiply-add that PyTorch fuses is written as ``tl.fma``, no
other is fused, and square roots and divisions are correctly rounded, so the tiles do not change the flow.

Memory, float32 unless stated. ``fields`` (2 sides, capacity, 6, H, W): flow x and y, then the dual fields, direction of
the difference before flow component. A launch reads a pair's current side and writes the other, because programs do not
wait for their neighbours. ``term`` (capacity, 4, H, W): offset, Ix, Iy and the scale that turns a gradient into a slope
(gpu_warp.DataTerm). ``state`` int32 (capacity, 4): iterations done in this warp; iterations to reach before the next
check, equal to the former for a finished pair; the current side; unused. ``partial`` float64 (capacity, tiles): the
squared change of the flow in each tile. ``stop`` float64 (1,): the stopping error.
"""

import triton
import triton.language as tl

_NUMBERS = ["height", "width", "capacity", "across", "tiles", "limit"]  # one compilation for all values


@triton.jit
def _moved_flow(flow, gradient, step, dual_x, dual_y, before, above, has_left, has_above, theta):
    """u + d + theta div p of one flow component."""
    moved = tl.fma(gradient, step, flow)
    moved = tl.fma(dual_y, theta, tl.fma(dual_x, theta, moved))
    moved = tl.fma(tl.where(has_left, tl.gather(dual_x, before, 1), 0.0), -theta, moved)
    return tl.fma(tl.where(has_above, tl.gather(dual_y, above, 0), 0.0), -theta, moved)


@triton.jit
def _moved_dual(flow, dual_x, dual_y, after, below, has_right, has_below, rate):
    """(p + rate grad u) / (1 + rate |grad u|) of one flow component."""
    grad_x = tl.where(has_right, tl.gather(flow, after, 1) - flow, 0.0)
    grad_y = tl.where(has_below, tl.gather(flow, below, 0) - flow, 0.0)
    norm = tl.fma(tl.sqrt_rn(tl.fma(grad_y, grad_y, grad_x * grad_x)), rate, 1.0)
    return tl.div_rn(tl.fma(grad_x, rate, dual_x), norm), tl.div_rn(tl.fma(grad_y, rate, dual_y), norm)


@triton.jit
def _squared_change(new_x, old_x, new_y, old_y, mine):
    """Squared change of the pixels that are ``mine``: squared in float32, summed in float64."""
    change_x, change_y = new_x - old_x, new_y - old_y
    squares = (change_x * change_x).to(tl.float64) + (change_y * change_y).to(tl.float64)
    return tl.sum(tl.sum(tl.where(mine, squares, 0.0), 1), 0)


@triton.jit
def _next_look(done, error, stop, limit):
    """Iterations up to and including the next check: gpu_solver.next_check."""
    looks = (done % 2 == 1) & (error < stop)
    while (done < limit) & (looks == 0):
        error -= stop
        done += 1
        looks = (done % 2 == 1) & (error < stop)
    return tl.minimum(done + 1, limit)


@triton.jit(do_not_specialize=_NUMBERS)
def advance(
    fields,
    term,
    state,
    partial,
    stop,
    height,
    width,
    capacity,
    across,
    tiles,
    limit,
    theta,
    threshold,
    rate,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEPS: tl.constexpr,
):
    """Grid (tiles, pairs). Iterates each pair up to its next check, on tiles of ROWS x COLUMNS kept in registers.

    STEPS > 0: at most that many iterations; tiles overlap by 2 STEPS pixels, and pixels that a tile's edge has
    influenced are not written. ``decide`` must follow. STEPS = 0: the level is a single tile, and each pair iterates
    until it stops.
    """
    tile, pair, area = tl.program_id(0), tl.program_id(1).to(tl.int64), height * width
    done, until = tl.load(state + pair * 4), tl.load(state + pair * 4 + 1)
    side = tl.load(state + pair * 4 + 2)
    end = until
    if STEPS > 0:
        end = tl.minimum(until, done + STEPS)
    if done < end:
        tile_row, tile_column = tile // across, tile % across
        y = tile_row * (ROWS - 2 * STEPS) + tl.arange(0, ROWS)[:, None]
        x = tile_column * (COLUMNS - 2 * STEPS) + tl.arange(0, COLUMNS)[None, :]
        inside = (y < height) & (x < width)
        # written by this tile: all except the rim; there is no rim at the image's border
        local_y, local_x = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
        top, left = tl.where(tile_row == 0, 0, STEPS), tl.where(tile_column == 0, 0, STEPS)
        bottom = tl.where(tile_row == tiles // across - 1, ROWS, ROWS - STEPS)
        right = tl.where(tile_column == across - 1, COLUMNS, COLUMNS - STEPS)
        mine = inside & (local_y >= top) & (local_y < bottom) & (local_x >= left) & (local_x < right)
        at = y * width + x
        old = fields + (side * capacity + pair) * 6 * area + at
        flow_x, flow_y = tl.load(old, inside, 0.0), tl.load(old + area, inside, 0.0)
        xx, xy = tl.load(old + 2 * area, inside, 0.0), tl.load(old + 3 * area, inside, 0.0)
        yx, yy = tl.load(old + 4 * area, inside, 0.0), tl.load(old + 5 * area, inside, 0.0)
        data = term + pair * 4 * area + at
        offset, scale = tl.load(data, inside, 0.0), tl.load(data + 3 * area, inside, 0.0)
        gradient_x, gradient_y = tl.load(data + area, inside, 0.0), tl.load(data + 2 * area, inside, 0.0)
        slope_x, slope_y = gradient_x * scale, gradient_y * scale
        shape = tl.zeros((ROWS, COLUMNS), tl.int32)
        before, after = shape + tl.maximum(local_x - 1, 0), shape + tl.minimum(local_x + 1, COLUMNS - 1)
        above, below = shape + tl.maximum(local_y - 1, 0), shape + tl.minimum(local_y + 1, ROWS - 1)
        has_left, has_above, has_right, has_below = x > 0, y > 0, x < width - 1, y < height - 1
        while done < end:
            step = tl.fma(slope_y, flow_y, tl.fma(slope_x, flow_x, offset))
            step = tl.minimum(tl.maximum(step, -threshold), threshold)
            new_x = _moved_flow(flow_x, gradient_x, step, xx, yx, before, above, has_left, has_above, theta)
            new_y = _moved_flow(flow_y, gradient_y, step, xy, yy, before, above, has_left, has_above, theta)
            done += 1
            if done == until:
                error = _squared_change(new_x, flow_x, new_y, flow_y, mine)
                if STEPS > 0:
                    tl.store(partial + pair * tiles + tile, error)
                else:
                    stopping_error = tl.load(stop)
                    if (error <= stopping_error) == 0:
                        until = _next_look(done, error, stopping_error, limit)
                        end = until
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
        if STEPS == 0:
            tl.store(state + pair * 4, done)
            tl.store(state + pair * 4 + 1, done)
            tl.store(state + pair * 4 + 2, 1 - side)


@triton.jit(do_not_specialize=_NUMBERS)
def decide(state, partial, stop, tiles, limit, STEPS: tl.constexpr, TILES: tl.constexpr):
    """Grid (pairs,). After ``advance``: counts its iterations; after a check, lets the pair continue or stop.
    TILES: a power of two, at least ``tiles``."""
    pair = tl.program_id(0).to(tl.int64)
    done, until = tl.load(state + pair * 4), tl.load(state + pair * 4 + 1)
    if done < until:
        done = tl.minimum(until, done + STEPS)
        if (done == until) & (done < limit):
            index = tl.arange(0, TILES)
            error, stopping_error = tl.sum(tl.load(partial + pair * tiles + index, index < tiles, 0.0)), tl.load(stop)
            if (error <= stopping_error) == 0:
                until = _next_look(done, error, stopping_error, limit)
        tl.store(state + pair * 4, done)
        tl.store(state + pair * 4 + 1, until)
        tl.store(state + pair * 4 + 2, 1 - tl.load(state + pair * 4 + 2))
