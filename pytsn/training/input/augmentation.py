"""The crop that a data layer takes of a frame: sizes and positions, and the random numbers that choose among them.

As in the fork's data_transformer.cpp. Sizes and positions are (height, width) and (top, left), in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.data.frame_size import default_frame_size

#: of the frame's shorter side, unless scale_ratios is given
DEFAULT_RATIOS = (1.0, 0.875, 0.75, 0.66)
#: positions in quarters of the margin that a crop leaves, (down, right): corners and centre
_FIVE = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
#: more_fix_crop: the midpoints of the four edges, then the four quarter points
_EIGHT = ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3))


@dataclass(frozen=True)
class CropOptions:
    """The fields of ``transform_param`` that control cropping. ``size`` 0: the frame is not cropped."""

    size: int = 0
    train: bool = False
    multi_scale: bool = False
    ratios: tuple[float, ...] = DEFAULT_RATIOS
    max_distort: int = 1
    fixed: bool = False
    more_fixed: bool = False

    @property
    def draws(self) -> int:
        """Number of random numbers per video: size, then position (one number, or top and left)."""
        if not (self.train and self.size):
            return 0
        return self.multi_scale + (1 if self.fixed else 2)


@dataclass(frozen=True)
class Crop:
    """A rectangle of a frame."""

    top: int
    left: int
    height: int
    width: int


def crop_options(param: pb.TransformationParameter, phase: str) -> CropOptions:
    """The options of a data layer in its phase. Raises PytsnError if no pair of ratios is within max_distort."""
    if param.multi_scale and param.max_distort < 0:
        raise PytsnError(f"max_distort {param.max_distort} leaves no crop size: give 0 or more")
    return CropOptions(
        size=param.crop_size,
        train=phase == "TRAIN",
        multi_scale=param.multi_scale,
        ratios=tuple(param.scale_ratios) or DEFAULT_RATIOS,
        max_distort=param.max_distort,
        fixed=param.fix_crop,
        more_fixed=param.more_fix_crop,
    )


def crop_sizes(height: int, width: int, options: CropOptions) -> list[tuple[int, int]]:
    """The crop sizes that multi_scale chooses from: pairs of ratios at most max_distort positions apart, height first.

    A side within 2 pixels of the net's input size becomes exactly that size.
    """
    base = np.float32(min(height, width))
    sides = [int(base * np.float32(ratio)) for ratio in options.ratios]
    sides = [options.size if abs(side - options.size) < 3 else side for side in sides]
    return [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= options.max_distort]


def fixed_places(height: int, width: int, crop: tuple[int, int], more: bool) -> list[tuple[int, int]]:
    """The 5 positions of fix_crop, or the 13 of more_fix_crop, for a crop (height, width). Quarters are rounded down
    before they are multiplied, so the last rows and columns may never be covered."""
    down, right = (height - crop[0]) // 4, (width - crop[1]) // 4
    return [(down * i, right * j) for i, j in (_FIVE + _EIGHT if more else _FIVE)]


def choose_crop(height: int, width: int, options: CropOptions, draws: Sequence[int]) -> Crop:
    """The crop of a (height, width) frame that ``draws`` (``options.draws`` 32-bit numbers) choose.

    The centre in phase TEST. Raises PytsnError if a crop does not fit into the frame.
    """
    if not options.size:
        return Crop(0, 0, height, width)
    if options.size > min(height, width):
        wide, high = default_frame_size(options.size)
        raise PytsnError(
            f"frames of {width}x{height} pixels are smaller than crop_size {options.size}; new_width and new_height"
            f" ({wide} and {high}, say) resize them as they are read: --frame_size {wide}x{high}"
        )
    crop = options.size, options.size
    if not options.train:
        return Crop((height - crop[0]) // 2, (width - crop[1]) // 2, *crop)
    drawn = iter(draws)
    if options.multi_scale:
        sizes = crop_sizes(height, width, options)
        crop = sizes[next(drawn) % len(sizes)]
        if not (0 < crop[0] <= height and 0 < crop[1] <= width):
            raise PytsnError(
                f"scale_ratios ask for crops of {crop[1]}x{crop[0]} from frames of {width}x{height} pixels"
            )
    if options.fixed:
        places = fixed_places(height, width, crop, options.more_fixed)
        return Crop(*places[next(drawn) % len(places)], *crop)
    return Crop(next(drawn) % (height - crop[0] + 1), next(drawn) % (width - crop[1] + 1), *crop)
