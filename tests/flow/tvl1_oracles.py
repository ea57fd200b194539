"""TV-L1's steps as slow loops over single pixels, written from the recipe: the tests' independent truth."""

import math

import numpy as np


def clamp(index: int, count: int) -> int:
    return min(max(index, 0), count - 1)


def pyr_down(image: np.ndarray) -> np.ndarray:
    """(H, W) -> ((H + 1) // 2, (W + 1) // 2): all 25 taps at once, indices mirrored at the border."""
    height, width = image.shape
    weights = np.array([1, 4, 6, 4, 1]) / 16

    def mirror(i: int, n: int) -> int:
        return -i if i < 0 else 2 * (n - 1) - i if i >= n else i

    out = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for y, x in np.ndindex(*out.shape):
        for j in range(5):
            for i in range(5):
                pixel = image[mirror(2 * y + j - 2, height), mirror(2 * x + i - 2, width)]
                out[y, x] += weights[j] * weights[i] * float(pixel)
    return out


def resize(image: np.ndarray, size: tuple[int, int], steps: tuple[float, float], shift: float) -> np.ndarray:
    """Bilinear at (dst + shift) step - shift in either direction, neighbours clamped."""
    height, width = image.shape
    out = np.zeros(size)
    for y, x in np.ndindex(*size):
        sy, sx = (y + shift) * steps[0] - shift, (x + shift) * steps[1] - shift
        y0, x0 = math.floor(sy), math.floor(sx)
        for j, wy in ((y0, y0 + 1 - sy), (y0 + 1, sy - y0)):
            for i, wx in ((x0, x0 + 1 - sx), (x0 + 1, sx - x0)):
                out[y, x] += wy * wx * float(image[clamp(j, height), clamp(i, width)])
    return out


def gradients(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (2, H, W): half the central difference, indices clamped."""
    height, width = image.shape
    out = np.zeros((2, height, width))
    for y, x in np.ndindex(height, width):
        out[0, y, x] = (image[y, clamp(x + 1, width)] - image[y, clamp(x - 1, width)]) / 2
        out[1, y, x] = (image[clamp(y + 1, height), x] - image[clamp(y - 1, height), x]) / 2
    return out


def cubic(t: float) -> float:
    t = abs(t)
    if t <= 1:
        return t * t * (1.5 * t - 2.5) + 1
    return t * (t * (-0.5 * t + 2.5) - 4) + 2 if t < 2 else 0.0


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(H, W), flow (2, H, W) -> (H, W): every texel of ceil(p - 2)..floor(p + 2), sum over sum of weights."""
    height, width = image.shape
    out = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        sx, sy = x + float(flow[0, y, x]), y + float(flow[1, y, x])
        total = weights = 0.0
        for j in range(math.ceil(sy - 2), math.floor(sy + 2) + 1):
            for i in range(math.ceil(sx - 2), math.floor(sx + 2) + 1):
                weight = cubic(sx - i) * cubic(sy - j)
                total += weight * float(image[clamp(j, height), clamp(i, width)])
                weights += weight
        out[y, x] = total / weights
    return out


def divergence(dual_x: np.ndarray, dual_y: np.ndarray) -> np.ndarray:
    """Backward differences of (H, W) fields; a neighbour outside counts as 0, the last row and column as any."""
    out = np.zeros(dual_x.shape)
    for y, x in np.ndindex(*dual_x.shape):
        left = dual_x[y, x - 1] if x else 0.0
        above = dual_y[y - 1, x] if y else 0.0
        out[y, x] = dual_x[y, x] - left + dual_y[y, x] - above
    return out


def step(rho: float, gradient: tuple[float, float]) -> tuple[float, float]:
    """The thresholding step of one pixel: the three branches (and the flat case) as they stand in the recipe."""
    gx, gy = gradient
    square = gx * gx + gy * gy
    if rho < -0.045 * square:
        return 0.045 * gx, 0.045 * gy
    if rho > 0.045 * square:
        return -0.045 * gx, -0.045 * gy
    if square > 1.19e-7:
        return -rho / square * gx, -rho / square * gy
    return 0.0, 0.0


def iteration(flow, dual, rho_c, gradient):
    """One whole iteration: flow (2, H, W), dual [direction][component] (2, 2, H, W), rho_c (H, W), gradient (2, H, W).

    Returns the new flow, the new dual and the sum of squared changes of the flow.
    """
    _, height, width = flow.shape
    new_flow, new_dual, error = np.zeros_like(flow), np.zeros_like(dual), 0.0
    div = [divergence(dual[0, k], dual[1, k]) for k in range(2)]
    for y, x in np.ndindex(height, width):
        gx, gy = gradient[0, y, x], gradient[1, y, x]
        moves = step(rho_c[y, x] + gx * flow[0, y, x] + gy * flow[1, y, x], (gx, gy))
        for k in range(2):
            new_flow[k, y, x] = flow[k, y, x] + moves[k] + 0.3 * div[k][y, x]
            error += (new_flow[k, y, x] - flow[k, y, x]) ** 2
    for k, y, x in np.ndindex(2, height, width):
        ux = new_flow[k, y, x + 1] - new_flow[k, y, x] if x + 1 < width else 0.0
        uy = new_flow[k, y + 1, x] - new_flow[k, y, x] if y + 1 < height else 0.0
        divisor = 1 + 0.25 / 0.3 * math.hypot(ux, uy)
        new_dual[0, k, y, x] = (dual[0, k, y, x] + 0.25 / 0.3 * ux) / divisor
        new_dual[1, k, y, x] = (dual[1, k, y, x] + 0.25 / 0.3 * uy) / divisor
    return new_flow, new_dual, error


def looks(measure, stop: float, limit: int) -> tuple[list[int], int]:
    """The stopping rule as the recipe words it: at which n the error was measured, and how many iterations ran."""
    error, previous, n, measured = math.inf, 0.0, 0, []
    while error > stop and n < limit:
        if n % 2 and previous < stop:
            error = previous = measure(n)
            measured.append(n)
        else:
            error = math.inf
            previous -= stop
        n += 1
    return measured, n
