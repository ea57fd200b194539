"""Flow as a picture: hue for direction, saturation for length (the colour wheel of the Middlebury benchmark)."""

import functools

import numpy as np

from converter.errors import PytsnError

#: (red, green, blue) at the wheel's corners, and the number of hue steps from each to the next
_CORNERS = (
    (15, (1, 0, 0)),
    (6, (1, 1, 0)),
    (4, (0, 1, 0)),
    (11, (0, 1, 1)),
    (13, (0, 0, 1)),
    (6, (1, 0, 1)),
)
#: vectors longer than the scale are drawn in full colour, darkened to this fraction
_BEYOND = 0.75


@functools.cache
def colour_wheel() -> np.ndarray:
    """The 55 hues: float64 (55, 3), RGB, 0 to 1, read only.

    Red is motion to the right, then clockwise: yellow down, cyan to blue left, violet up. Source: Baker et al.,
    A Database and Evaluation Methodology for Optical Flow (ICCV 2007), and the colour code published with it.
    """
    corners = np.array([corner for _, corner in (*_CORNERS, _CORNERS[0])], float)
    runs = [
        start + (end - start) * np.arange(steps)[:, None] / steps
        for (steps, _), start, end in zip(_CORNERS, corners[:-1], corners[1:], strict=True)
    ]
    wheel = np.concatenate(runs)
    wheel.setflags(write=False)
    return wheel


def flow_to_bgr(flow: np.ndarray, max_radius: float | None = None) -> np.ndarray:
    """Flow (H, W, 2), pixels, x (right) then y (down) -> uint8 (H, W, 3) BGR by the Middlebury colour wheel.

    No motion is white; saturation grows with the length and is full at ``max_radius`` pixels (None: the longest finite
    vector's length); longer vectors are fully saturated and darker. Vectors that are not finite are black. Raises
    PytsnError for another shape and for a radius that is not positive.
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[-1] != 2:
        raise PytsnError(f"flow picture: flow (H, W, 2) expected, found {flow.shape}")
    if max_radius is not None and not max_radius > 0:
        raise PytsnError(f"flow picture: the scale is {max_radius} pixels, a positive number was expected")
    known = np.isfinite(flow).all(-1)
    flow = np.where(known[..., None], flow, 0)
    length = np.hypot(flow[..., 0], flow[..., 1])
    share = length / (max_radius or length.max(initial=0) or 1.0)
    hue = _hues(flow)
    colour = np.where(share[..., None] <= 1, 1 - share[..., None] * (1 - hue), _BEYOND * hue)
    picture = np.rint(255 * colour * known[..., None]).astype(np.uint8)
    return np.ascontiguousarray(picture[..., ::-1])  # RGB -> BGR


def _hues(flow: np.ndarray) -> np.ndarray:
    """Fully saturated colours (H, W, 3) of the directions: the wheel starts at the right and goes clockwise."""
    wheel = colour_wheel()
    turn = np.mod(np.arctan2(flow[..., 1], flow[..., 0]), 2 * np.pi) / (2 * np.pi)
    place = turn * (len(wheel) - 1)
    below = np.floor(place).astype(int)
    part = (place - below)[..., None]
    return (1 - part) * wheel[below] + part * wheel[(below + 1) % len(wheel)]


def wheel_picture(size: int) -> np.ndarray:
    """A legend: the wheel as a disc in a white square, uint8 (size, size, 3) BGR; the rim is the end of the scale."""
    radius = (size - 1) / 2
    y, x = np.mgrid[:size, :size] - radius
    picture = flow_to_bgr(np.stack([x, y], -1), max(radius, 0.5))
    picture[np.hypot(x, y) > radius] = 255
    return picture
