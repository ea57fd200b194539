"""Ten crops of a frame or of a flow stack: four corners, centre, and their mirror images.

Facts of the original ``pyActionRecog/action_caffe.py``, ``utils/io.py`` and pycaffe's ``oversample``.
Letters: H, W height and width after the resize, S the crop's side, L flow pairs.
"""

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2

#: (width, height) that every frame is resized to before it is cropped
FRAME_SIZE = (340, 256)
CROP_SIZE = 224


def crop_corners(height: int, width: int, crop: int = CROP_SIZE) -> tuple[tuple[int, int], ...]:
    """(top, left) of the five crops: (0, 0), (0, right), (bottom, 0), (bottom, right), centre.

    The original finds the centre in two ways: for rgb it truncates H/2 - S/2 computed in floats, for flow it halves the
    integer H - S rounding down. Both are floor((H - S) / 2) whenever the crop fits, so one rule serves both (a test
    compares the two over all sizes).

    Raises PytsnError when the crop is larger than the frame.
    """
    if crop > height or crop > width:
        raise PytsnError(f"crops of {crop}x{crop} pixels do not fit into frames of {width}x{height}")
    down, right = height - crop, width - crop
    return (0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)


def oversample_rgb(frame: np.ndarray, crop: int = CROP_SIZE, size: tuple[int, int] | None = FRAME_SIZE) -> np.ndarray:
    """Ten crops of a colour frame, before the mean is subtracted.

    frame: uint8 (H0, W0, 3), BGR. It is resized to ``size`` = (width, height) by bilinear interpolation on uint8
    (``cv2.resize``); None leaves it as it is. Returns uint8 (10, 3, S, S), planes B, G, R; crops 5 to 9 are crops 0 to
    4 mirrored.
    """
    resized = resize(frame, size)
    return _ten_crops(np.ascontiguousarray(resized.transpose(2, 0, 1)), crop)  # (H, W, 3) -> (3, H, W) -> (10, 3, S, S)


def oversample_flow(stack: np.ndarray, crop: int = CROP_SIZE, size: tuple[int, int] | None = FRAME_SIZE) -> np.ndarray:
    """Ten crops of a flow stack, before the mean is subtracted.

    stack: uint8 (2 L, H0, W0), x and y planes in turn; each is resized as in ``oversample_rgb``. Returns uint8
    (10, 2 L, S, S). A mirrored crop also has v replaced by 255 - v in its even (x) planes: motion to the left becomes
    motion to the right.
    """
    planes = np.stack([resize(plane, size) for plane in stack])  # (2 L, H0, W0) -> (2 L, H, W)
    crops = _ten_crops(planes, crop)
    crops[5:, ::2] = 255 - crops[5:, ::2]
    return crops


def resize(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """The image, uint8 (H, W) or (H, W, 3), at ``size`` = (width, height) by ``cv2.resize``; None: as it is."""
    if size is None or image.shape[:2] == (size[1], size[0]):
        return image  # cv2.resize to the same size copies the pixels unchanged
    return load_cv2().resize(image, size)


def _ten_crops(planes: np.ndarray, crop: int) -> np.ndarray:
    channels, height, width = planes.shape
    crops = np.empty((10, channels, crop, crop), planes.dtype)
    for index, (top, left) in enumerate(crop_corners(height, width, crop)):
        crops[index] = planes[:, top : top + crop, left : left + crop]
    crops[5:] = crops[:5, ..., ::-1]
    return crops
