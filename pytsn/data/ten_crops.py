"""Ten crops of a frame or of a flow stack: four corners, centre, and their mirror images.

Sources: the original's ``pyActionRecog/action_caffe.py`` and ``utils/io.py``, and pycaffe's ``oversample``.
Letters: T snippets, C planes of a snippet, H, W height and width after the resize, S the crop's side.
"""

from typing import TYPE_CHECKING

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2

if TYPE_CHECKING:
    import torch

#: (width, height) to which every frame is resized before cropping
FRAME_SIZE = (340, 256)
CROP_SIZE = 224


def crop_corners(height: int, width: int, crop: int = CROP_SIZE) -> tuple[tuple[int, int], ...]:
    """(top, left) of the five crops: (0, 0), (0, right), (bottom, 0), (bottom, right), centre.

    The original computes the centre in two ways: for rgb it truncates the float H/2 - S/2, for flow it halves the
    integer H - S and rounds down. Both are floor((H - S) / 2) whenever the crop fits, so one rule serves both (a test
    compares them for all sizes).

    Raises PytsnError when the crop is larger than the frame.
    """
    if crop > height or crop > width:
        raise PytsnError(f"crops of {crop}x{crop} pixels do not fit into frames of {width}x{height}")
    down, right = height - crop, width - crop
    return (0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)


def ten_crops(snippets: "torch.Tensor", crop: int, is_flow: bool) -> "torch.Tensor":
    """Ten crops of each snippet, before the mean is subtracted: uint8 (T, C, H, W) -> (10 T, C, S, S), on the device
    of ``snippets``, with the ten crops of a snippet in a row.

    Crops 5 to 9 are crops 0 to 4 mirrored. ``is_flow``: planes alternate between x and y, and a mirrored crop has
    255 - v for v in its even (x) planes: motion to the left becomes motion to the right. Raises PytsnError when the
    crop does not fit.
    """
    import torch  # imported here because readers of frames use this file without torch

    height, width = snippets.shape[2:]
    corners = crop_corners(height, width, crop)
    five = torch.stack([snippets[..., y : y + crop, x : x + crop] for y, x in corners], 1)  # (T, 5, C, S, S)
    mirrored = five.flip(-1)
    if is_flow:
        mirrored[:, :, ::2] = 255 - mirrored[:, :, ::2]
    return torch.cat([five, mirrored], 1).flatten(0, 1)


def centre_crops(snippets: "torch.Tensor", crop: int) -> "torch.Tensor":
    """The centre crop of each snippet, not mirrored: uint8 (T, C, H, W) -> (T, C, S, S). Raises PytsnError when the
    crop does not fit."""
    height, width = snippets.shape[2:]
    y, x = crop_corners(height, width, crop)[-1]
    return snippets[..., y : y + crop, x : x + crop]


def resize(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Resizes an image, uint8 (H, W) or (H, W, 3), to ``size`` = (width, height) by ``cv2.resize``; None: unchanged."""
    if size is None or image.shape[:2] == (size[1], size[0]):
        return image  # cv2.resize to the same size copies the pixels unchanged
    return load_cv2().resize(image, size)
