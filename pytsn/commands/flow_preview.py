"""``pytsn flow-preview``: a contact sheet of a video's flow."""

import argparse
import os
import sys
from pathlib import Path

from converter.errors import PytsnError, printable
from pytsn.commands.arguments import add_device, add_flow_method
from pytsn.runtime.picture_file import picture_format

HELP = """\
draw frames, flow and warped flow of a video on one sheet

Each row shows a pair of frames: the frame, its flow in the colours of the Middlebury benchmark, the x and y images that
the nets see (128: no motion), and the flow without camera motion. The whole sheet uses one scale.

  pytsn flow-preview diving.mp4                       writes diving_flow.png
  pytsn flow-preview diving.mp4 --frames 10 11 12 -o three.png
  pytsn flow-preview diving.mp4 --algorithm dis       fast, but not the flow that the models were trained on
  pytsn flow-preview FRAMES/v_Diving_g01_c01          the images that build-of wrote (files or zips)

Numbers are those of the extracted images: number 7 is the flow from frame 7 of the video to frame 8, and image 7 is
frame 8. For a folder the stored images are shown and nothing is computed: there is no warped flow, and the options from
--algorithm to --new_height do not apply.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of flow-preview."""
    add = parser.add_argument
    add("source", metavar="VIDEO", help="a video, or a folder of extracted images (img_, flow_x_, flow_y_)")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="picture, .png, .pdf or .svg (default: VIDEO_flow.png in the current folder)",
    )
    add("--rows", type=int, default=6, metavar="N", help="number of pairs, spread over the video (default: 6)")
    add("--frames", type=int, nargs="+", metavar="K", help="numbers of the pairs instead")
    add_flow_method(add)
    add_device(add)
    add("--new_width", type=int, default=340, metavar="W", help="width that frames are resized to first (default: 340)")
    add("--new_height", type=int, default=256, metavar="H", help="height (default: 256); 0 and 0 keep the video's size")
    add("--bound", type=float, default=20.0, metavar="PX", help="motion in pixels shown as 0 and 255 (default: 20)")
    add("--no-warp", dest="warp", action="store_false", help="leave out the warped flow")


def run(args: argparse.Namespace) -> int:
    """Writes the sheet and prints its path. Raises PytsnError for bad input and, before any work, for an output that
    cannot be written."""
    from converter.files import atomic_path
    from pytsn.data.frame_store import is_frame_folder
    from pytsn.flow.preview.sheet import save_sheet

    _check(args)
    output = Path(args.output or f"{Path(args.source).resolve().stem}_flow.png")
    _check_output(output)
    make_sheet = _folder_sheet if is_frame_folder(args.source) else _video_sheet
    with atomic_path(output) as temporary:
        save_sheet(temporary, make_sheet(args))
    print(f"wrote {printable(str(output))}")
    return 0


def _check(args: argparse.Namespace) -> None:
    from pytsn.data.video_file import check_size

    if args.rows < 1:
        raise PytsnError(f"--rows {args.rows}: at least one row was expected")
    if not 0 < args.bound < float("inf"):
        raise PytsnError(f"--bound {args.bound:g}: a positive number of pixels was expected")
    check_size(args.new_width, args.new_height)


def _check_output(output: Path) -> None:
    picture_format(output)
    if output.is_dir():
        raise PytsnError(f"{output}: is a folder; -o takes the picture's file name")


def _video_sheet(args: argparse.Namespace):
    from pytsn.data.video_file import VideoFrames
    from pytsn.flow.methods import make_flow
    from pytsn.flow.preview.rows import count_pairs, pick_numbers, video_rows
    from pytsn.flow.preview.sheet import Sheet
    from pytsn.runtime.progress import track

    flow_fn = make_flow(args.algorithm, args.preset, args.device)
    video = VideoFrames(args.source, (args.new_width, args.new_height) if args.new_width else None)
    pairs = count_pairs(video, lambda frames: track(frames, "counting frames", unit="frame", leave=False))
    numbers = pick_numbers(args.source, pairs, args.rows, args.frames)
    found = video_rows(video, numbers, flow_fn, args.warp, args.bound)
    rows = list(track(found, "flow", len(numbers), "pair"))
    method = f"TV-L1, preset {args.preset}" if args.algorithm == "tvl1" else f"{args.algorithm} (OpenCV)"
    return Sheet(_name(args.source), f"{_counts(rows, pairs)}; {method}", rows, args.bound)


def _folder_sheet(args: argparse.Namespace):
    from pytsn.flow.preview.rows import folder_rows, number_folder_pairs, pick_numbers
    from pytsn.flow.preview.sheet import Sheet

    found = number_folder_pairs(args.source)
    if found.first == 0:
        print("note: frames are numbered from 0", file=sys.stderr)
    numbers = pick_numbers(args.source, found.count, args.rows, args.frames, found.first)
    rows = list(folder_rows(args.source, numbers, args.bound))
    return Sheet(_name(args.source), f"{_counts(rows, found.count)}; flow as the images hold it", rows, args.bound)


def _counts(rows, pairs: int) -> str:
    height, width = rows[0].flow.shape[:2]
    return f"{len(rows)} of {pairs} pairs of frames, {width}x{height} pixels"


def _name(source: str) -> str:
    return printable(os.path.basename(os.path.abspath(source)))
