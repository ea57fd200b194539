"""Ten crops without torch: pixel by pixel, and by slices where pixels would take too long."""

import cv2
import numpy as np

SIZE = (340, 256)  # (width, height) that frames are resized to


def _places(height: int, width: int, crop: int) -> list[tuple[int, int]]:
    """(top, left): corners row by row, centre."""
    down, right = height - crop, width - crop
    return [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]


def pixel_crops(planes: np.ndarray, crop: int, flow: bool) -> np.ndarray:
    """Planes (C, H, W) -> (10, C, crop, crop)."""
    channels, height, width = planes.shape
    places = _places(height, width, crop) * 2
    out = np.zeros((10, channels, crop, crop), np.uint8)
    for n, (top, left) in enumerate(places):
        for c in range(channels):
            for y in range(crop):
                for x in range(crop):
                    column = x if n < 5 else crop - 1 - x
                    value = int(planes[c, top + y, left + column])
                    out[n, c, y, x] = 255 - value if flow and n >= 5 and c % 2 == 0 else value
    return out


def slice_crops(planes: np.ndarray, crop: int, flow: bool) -> np.ndarray:
    """The same, (C, H, W) -> (10, C, crop, crop)."""
    upright = [planes[:, y : y + crop, x : x + crop] for y, x in _places(*planes.shape[1:], crop)]
    mirrored = [part[..., ::-1].copy() for part in upright]
    if flow:
        for part in mirrored:
            part[::2] = 255 - part[::2]
    return np.stack(upright + mirrored)


def frame_crops(frame: np.ndarray, crop: int) -> np.ndarray:
    """Of a frame uint8 (H, W, 3) at SIZE: (10, 3, crop, crop)."""
    return slice_crops(cv2.resize(frame, SIZE).transpose(2, 0, 1), crop, flow=False)


def stack_crops(stack: np.ndarray, crop: int) -> np.ndarray:
    """Of a flow stack uint8 (2 L, H, W) at SIZE: (10, 2 L, crop, crop)."""
    return slice_crops(np.stack([cv2.resize(plane, SIZE) for plane in stack]), crop, flow=True)
