"""Arguments of commands that decode video files on the fly, and of those whose frames may have another size.

Nothing here imports torch: ``--help`` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence

from pytsn.commands.arguments import Add, add_flow_method
from pytsn.data.frame_size import Size, default_frame_size, size_text
from pytsn.data.modalities import MODALITIES
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.videos import Video

#: of the help text; an Inception V3's
_LARGER_CROP = 299


def add_frame_size(add: Add) -> None:
    """--frame_size of a test."""
    larger = f"{size_text(default_frame_size(_LARGER_CROP))} for {_LARGER_CROP}"
    text = (
        f"size that frames are resized to before crops are cut (default: {size_text(FRAME_SIZE)} for nets of up to "
        f"{FRAME_SIZE[1]} pixels, in proportion for larger ones: {larger})"
    )
    add("--frame_size", metavar="WxH", help=text)


def add_training_frame_size(add: Add, default: str) -> None:
    """--frame_size of a training; ``default``: what it is without."""
    text = f"size that frames are resized to as they are read: new_width and new_height (default: {default})"
    add("--frame_size", metavar="WxH", help=text)


def add_videos(parser: argparse.ArgumentParser, what: str) -> None:
    """--videos and how the flow of video files is computed, in a group of their own; ``what``: the flag's help."""
    group = parser.add_argument_group(
        "video files",
        "Decoded on the fly, to the same bytes as the images of build-of, once to count frames and once to read\n"
        "them. Flow is computed for the snippets alone: 125 pairs of frames a video at 25 snippets, by TV-L1 about\n"
        "7 pairs a second on a CPU core, so 18 seconds a video; build-of computes it once for many tests.",
    )
    add = group.add_argument
    add("--videos", action="store_true", help=what)
    add_flow_method(add)
    text = "of video files' flow: warp_tvl1 takes the camera's motion out (default: tvl1)"
    add("--flow_type", choices=("tvl1", "warp_tvl1"), default="tvl1", help=text)


def flow_method(args: argparse.Namespace, devices: tuple[str, ...]):
    """A FlowMethod (pytsn/flow/on_the_fly.py) as the arguments of ``add_videos`` say, computed on the devices."""
    from pytsn.flow.on_the_fly import FlowMethod

    stream = "warped" if args.flow_type == "warp_tvl1" else "flow"
    own = devices if args.algorithm == "tvl1" else ("cpu",)
    return FlowMethod(args.algorithm, args.preset, own, stream)


def warn_of_flow(args: argparse.Namespace, videos: Sequence[Video]) -> None:
    """Says on stderr when the flow of video files is not that of the released models."""
    if args.algorithm != "tvl1" and _computes_flow(args, videos):
        print(f"warning: {args.algorithm} is not the flow that the released models were trained on", file=sys.stderr)


def _computes_flow(args: argparse.Namespace, videos: Sequence[Video]) -> bool:
    return MODALITIES[args.modality].is_flow and any(video.is_file for video in videos)


def video_settings(args: argparse.Namespace, videos: Sequence[Video], size: Size) -> dict[str, str]:
    """What scores and features depend on further, for their files: frames of another size than the released nets', and
    how the flow of video files was computed. Nothing of frames of 340x256 and of folders: older files say nothing then.
    """
    settings = {} if size == FRAME_SIZE else {"frame_size": size_text(size)}
    if _computes_flow(args, videos):
        settings["flow"] = flow_method(args, ("cpu",)).title
    return settings
