"""Ten crops of a frame or of a flow stack: four corners, centre, and their mirror images.

Facts of the original ``pyActionRecog/action_caffe.py``, ``utils/io.py`` and pycaffe's ``oversample``.
Letters: T snippets, C planes of one, H, W height and width after the resize, S the crop's side.
"""

from typing import TYPE_CHECKING

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2

if TYPE_CHECKING:
    import torch

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


def ten_crops(snippets: "torch.Tensor", crop: int, is_flow: bool) -> "torch.Tensor":
    """Ten crops of each snippet, before the mean is subtracted: uint8 (T, C, H, W) -> (10 T, C, S, S), on the device
    where the snippets are, those of one snippet together.

    Crops 5 to 9 are crops 0 to 4 mirrored. ``is_flow``: planes are x and y in turn, and a mirrored crop has v replaced
    by 255 - v in its even (x) planes: motion to the left becomes motion to the right. Raises PytsnError when the crop
    does not fit.
    """
    import torch  # here: who reads frames needs this file, and not torch

    height, width = snippets.shape[2:]
    corners = crop_corners(height, width, crop)
    five = torch.stack([snippets[..., y : y + crop, x : x + crop] for y, x in corners], 1)  # (T, 5, C, S, S)
    mirrored = five.flip(-1)
    if is_flow:
        mirrored[:, :, ::2] = 255 - mirrored[:, :, ::2]
    return torch.cat([five, mirrored], 1).flatten(0, 1)


def centre_crops(snippets: "torch.Tensor", crop: int) -> "torch.Tensor":
    """The centre crop of each snippet, unmirrored: uint8 (T, C, H, W) -> (T, C, S, S). Raises PytsnError as above."""
    height, width = snippets.shape[2:]
    y, x = crop_corners(height, width, crop)[-1]
    return snippets[..., y : y + crop, x : x + crop]


def resize(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """The image, uint8 (H, W) or (H, W, 3), at ``size`` = (width, height) by ``cv2.resize``; None: as it is."""
    if size is None or image.shape[:2] == (size[1], size[0]):
        return image  # cv2.resize to the same size copies the pixels unchanged
    return load_cv2().resize(image, size)
