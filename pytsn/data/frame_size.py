"""How large frames are when crops are cut from them: 340x256 for the released nets, in proportion for larger crops."""

import re

from converter.errors import PytsnError
from pytsn.data.ten_crops import CROP_SIZE, FRAME_SIZE
from pytsn.data.video_file import LONGEST

#: (width, height) in pixels
Size = tuple[int, int]


def default_frame_size(crop: int) -> Size:
    """(width, height) of frames for a net of ``crop`` x ``crop`` pixels.

    340x256 for crops up to 256, which it holds; a larger crop gets frames as much larger as it is than the released
    nets' 224, both sides rounded up: 454x342 for 299.
    """
    if crop <= FRAME_SIZE[1]:
        return FRAME_SIZE
    width, height = (-(-side * crop // CROP_SIZE) for side in FRAME_SIZE)
    return width, height


def parse_frame_size(text: str) -> Size:
    """``454x342`` -> (454, 342), width first. Raises PytsnError for other texts and for impossible sides."""
    match = re.fullmatch(r"([0-9]{1,6})[xX]([0-9]{1,6})", text.strip())
    if not match or not 1 <= min(map(int, match.groups())) <= max(map(int, match.groups())) <= LONGEST:
        raise PytsnError(f"--frame_size {text}: WIDTHxHEIGHT in pixels was expected, such as 454x342")
    return int(match[1]), int(match[2])


def frame_size_for(crop: int, text: str | None, net: str) -> Size:
    """What --frame_size says, or the default for the net's crops. Raises PytsnError when a crop does not fit."""
    if text is None:
        return default_frame_size(crop)
    width, height = parse_frame_size(text)
    if crop > min(width, height):
        raise PytsnError(
            f"--frame_size {size_text((width, height))}: {net} takes crops of {crop}x{crop} pixels, which do not fit; "
            f"leave the option out for {size_text(default_frame_size(crop))}"
        )
    return width, height


def size_text(size: Size) -> str:
    """``454x342``."""
    return f"{size[0]}x{size[1]}"
