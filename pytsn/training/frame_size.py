"""--frame_size of a training: the fields of data layers that resize frames as they are read."""

from pytsn.data.frame_size import Size, parse_frame_size
from pytsn.training.overrides import Override


def frame_size_overrides(text: str | None) -> tuple[Override, ...]:
    """What --frame_size changes, of all data layers; nothing for None. Raises PytsnError for what is no size."""
    return () if text is None else size_overrides(parse_frame_size(text))


def size_overrides(size: Size) -> tuple[Override, ...]:
    """new_width and new_height of all data layers."""
    fields = zip(("new_width", "new_height"), size, strict=True)
    return tuple(Override("video_data_param", field, str(pixels)) for field, pixels in fields)
