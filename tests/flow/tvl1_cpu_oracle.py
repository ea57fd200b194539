"""DualTVL1 as one reads it off the papers and OpenCV's description, pixel by pixel in float64: slow and independent."""

import math
from fractions import Fraction

import numpy as np


def resize(image: np.ndarray, size: tuple[int, int], ratios: tuple[float, float]) -> np.ndarray:
    """Bilinear with pixel centres at halves, borders clamped."""
    out = np.zeros(size)
    for y, x in np.ndindex(size):
        where = zip((y, x), ratios, image.shape, strict=True)
        v, u = (min(max((at + 0.5) * ratio - 0.5, 0), side - 1) for at, ratio, side in where)
        i, j = int(v), int(u)
        below, right = min(i + 1, image.shape[0] - 1), min(j + 1, image.shape[1] - 1)
        top = image[i, j] * (1 - u + j) + image[i, right] * (u - j)
        bottom = image[below, j] * (1 - u + j) + image[below, right] * (u - j)
        out[y, x] = top * (1 - v + i) + bottom * (v - i)
    return out


def cubic(t: float, a: float = -0.75) -> float:
    """Keys' cubic convolution kernel."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bicubic, positions rounded to 1/32, zeros outside."""
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        u, v = np.rint(float(x[at]) * 32) / 32, np.rint(float(y[at]) * 32) / 32
        for i in range(math.floor(v) - 1, math.floor(v) + 3):
            for j in range(math.floor(u) - 1, math.floor(u) + 3):
                if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                    out[at] += image[i, j] * cubic(u - j) * cubic(v - i)
    return out


def median(image: np.ndarray, size: int) -> np.ndarray:
    """Median of windows, borders clamped."""
    radius = size // 2
    padded = np.pad(image, radius, mode="edge")
    out = np.zeros_like(image)
    for y, x in np.ndindex(image.shape):
        out[y, x] = sorted(padded[y : y + size, x : x + size].ravel())[size * size // 2]
    return out


def half_differences(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y."""
    padded = np.pad(image, 1, mode="edge")
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2


def length(x: np.float32, y: np.float32) -> np.float32:
    """sqrt(x^2 + y^2) as the nearest float32: squares of halfway points are compared, in exact fractions."""
    square = Fraction(float(x)) ** 2 + Fraction(float(y)) ** 2
    nearest = np.float32(math.sqrt(square))
    while square < ((_exact(nearest) + _exact(np.nextafter(nearest, np.float32(0)))) / 2) ** 2:
        nearest = np.nextafter(nearest, np.float32(0))
    while square > ((_exact(nearest) + _exact(np.nextafter(nearest, np.float32(np.inf)))) / 2) ** 2:
        nearest = np.nextafter(nearest, np.float32(np.inf))
    return nearest


def _exact(value: np.float32) -> Fraction:
    return Fraction(float(value))


def sum_in_turn(x: np.ndarray, y: np.ndarray) -> np.float32:
    """x^2 + y^2 of all pixels, one after the other, every sum rounded to float32."""
    total = np.float32(0)
    for each_x, each_y in zip(x.ravel(), y.ravel(), strict=True):
        total += each_x * each_x + each_y * each_y
    return total


def iterate(u, p, gradient, square, constant, options) -> float:
    """One iteration in place: u (2, H, W), p (2 components, 2 directions, H, W). Returns the sum of squared changes."""
    _, height, width = u.shape
    bound, taut, error, old = options.lambda_ * options.theta, options.tau / options.theta, 0.0, u.copy()
    for y, x in np.ndindex(height, width):
        residual, g = constant[y, x] + gradient[:, y, x] @ old[:, y, x], square[y, x]
        factor = -residual / g if g > 1.1920929e-7 else 0.0
        if abs(residual) > bound * g:
            factor = -math.copysign(bound, residual)
        for k in range(2):
            divergence = (
                p[k, 0, y, x] - (p[k, 0, y, x - 1] if x else 0) + p[k, 1, y, x] - (p[k, 1, y - 1, x] if y else 0)
            )
            u[k, y, x] = old[k, y, x] + factor * gradient[k, y, x] + options.theta * divergence
            error += (u[k, y, x] - old[k, y, x]) ** 2
    for k, y, x in np.ndindex(2, height, width):
        slope = np.array(
            (
                u[k, y, x + 1] - u[k, y, x] if x + 1 < width else 0,
                u[k, y + 1, x] - u[k, y, x] if y + 1 < height else 0,
            )
        )
        p[k, :, y, x] = (p[k, :, y, x] + taut * slope) / (1 + taut * math.hypot(*slope))
    return error


def level(image0, image1, u, options) -> list[int]:
    """All warps of a level, ``u`` (2, H, W) in place; iterations of each."""
    rows, columns = np.mgrid[: image0.shape[0], : image0.shape[1]].astype(float)
    p, counts = np.zeros((2, *u.shape)), []
    derivatives = half_differences(image1)
    for _ in range(options.warpings_number):
        at = (columns + u[0], rows + u[1])
        gradient = np.stack([sample(each, *at) for each in derivatives])
        constant = sample(image1, *at) - (gradient * u).sum(0) - image0
        counts.append(0)
        error = math.inf
        for _ in range(options.outer_iterations):
            if error <= options.epsilon**2 * image0.size:
                break
            u[:] = [median(each, options.median_filtering) for each in u]
            for _ in range(options.inner_iterations):
                counts[-1] += 1
                error = iterate(u, p, gradient, (gradient**2).sum(0), constant, options)
                if error <= options.epsilon**2 * image0.size:
                    break
    return counts


def flow(gray0: np.ndarray, gray1: np.ndarray, options) -> tuple[np.ndarray, list[list[int]]]:
    """Flow (H, W, 2) of two images (H, W) whose levels all have sides of 16 or more, and iterations."""
    images = [(gray0.astype(float), gray1.astype(float))]
    for _ in range(1, options.scales_number):
        size = tuple(round(side * options.scale_step) for side in images[-1][0].shape)
        images.append(tuple(resize(each, size, (1 / options.scale_step,) * 2) for each in images[-1]))
    u, counts = None, []
    for image0, image1 in reversed(images):
        size = image0.shape
        if u is None:
            u = np.zeros((2, *size))
        else:
            ratios = (u.shape[1] / size[0], u.shape[2] / size[1])
            u = np.stack([resize(each, size, ratios) for each in u]) / options.scale_step
        counts.append(level(image0, image1, u, options))
    return np.moveaxis(u, 0, -1), counts
