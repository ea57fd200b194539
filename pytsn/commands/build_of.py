"""``pytsn build-of``: the original ``tools/build_of.py``, frames and TV-L1 flow from videos."""

import argparse
import os
import sys
import tempfile

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.commands.arguments import add_device
from pytsn.flow.methods import ALGORITHMS

HELP = """\
extract frames and TV-L1 flow from videos, as the released models saw them

SRC is one video or a folder of videos, with or without class folders. OUT gets one folder per video, named after the
video without its extension, with img_00001.jpg, flow_x_00001.jpg, flow_y_00001.jpg, ... (--out_format zip: img.zip,
flow_x.zip, flow_y.zip). Image k belongs to the video's frames k and k + 1: it is frame k + 1, and the flow from frame k
to k + 1. A folder appears only when its video is done, so you can stop at any time; --resume yes continues.

  pytsn build-of UCF-101 frames
  pytsn build-of videos frames --ext mp4,mkv --resume yes
  pytsn build-of videos warped --flow_type warp_tvl1
  pytsn build-of one.mp4 frames --new_width 0 --new_height 0

Exit status: 0 all well, 1 some videos failed (they are listed at the end), 2 wrong arguments.
"""

_RESUME = """\
yes: keep complete folders, and extract those that are missing, broken, or made from another video file or with other
settings; folders of the original tool, which record no settings, are kept when complete. no (default): extract all
videos again; each old folder stays until the new one is complete
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the original's arguments, then ours."""
    from pytsn.data.jpeg import JPEG_QUALITY
    from pytsn.flow.extract.frame_writer import WRITERS
    from pytsn.flow.extract.video import FLOW_TYPES, HEIGHT, WIDTH
    from pytsn.flow.quantise import FLOW_BOUND

    add = parser.add_argument
    add("src_dir", metavar="SRC", help="folder of videos, or one video")
    add("out_dir", metavar="OUT", help="folder for the folders of frames; made if missing")
    add(
        "--num_worker",
        type=int,
        metavar="N",
        help="worker processes (default: one per CPU core; 1 to 4 per GPU, by cores)",
    )
    add("--flow_type", default="tvl1", choices=FLOW_TYPES, help="warp_tvl1: camera motion removed, no frames written")
    add("--df_path", metavar="DIR", help="ignored: dense_flow is not needed")
    add("--out_format", default="dir", choices=list(WRITERS), help="(default: %(default)s)")
    add(
        "--ext",
        default="avi",
        metavar="E[,E...]",
        help="file extensions of the videos, in any case (default: %(default)s)",
    )
    size = "default: %(default)s, the released models'; 0 and 0 keep the video's size, the original's default"
    add("--new_width", type=int, default=WIDTH, metavar="W", help=f"width of the images ({size})")
    add("--new_height", type=int, default=HEIGHT, metavar="H", help=f"height of the images ({size})")
    add("--num_gpu", type=int, metavar="N", help="worker i runs on cuda:(i %% N) (default: all GPUs)")
    add("--resume", default="no", choices=["yes", "no"], help=_RESUME)
    add_device(add)
    add("--batch_size", type=int, metavar="B", help="pairs of 340x256 frames at once (default: CPU 4, GPU 16 to 128)")
    add("--algorithm", default="tvl1", choices=ALGORITHMS, help="all but tvl1 are fast but cost accuracy")
    add("--preset", metavar="P", help="which OpenCV's TV-L1 (default: opencv2.4-cuda, as for the released models)")
    add(
        "--bound",
        type=float,
        default=FLOW_BOUND,
        metavar="PX",
        help="motion in pixels stored as 0 and 255 (default: %(default)s)",
    )
    add("--step", type=int, default=1, metavar="S", help="use every S-th frame (default: %(default)s)")
    add("--quality", type=int, default=JPEG_QUALITY, metavar="Q", help="JPEG quality (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Extracts and reports. Returns 1 when a video failed. Raises PytsnError for bad arguments and folders."""
    from pytsn.flow.extract.folder import clean_leftovers
    from pytsn.flow.extract.plan import make_plan, refuse_other_flow_type
    from pytsn.flow.extract.search import find_videos

    plan = make_plan(args)
    tasks = find_videos(args.src_dir, [ext.strip().lstrip(".") for ext in args.ext.split(",")], args.out_dir)
    _make_folder(args.out_dir)
    refuse_other_flow_type(tasks, args.out_dir, args.flow_type)
    clean_leftovers(args.out_dir)
    _print_choices(args, plan)
    return _extract(plan, tasks)


def _extract(plan, tasks) -> int:
    from pytsn.flow.extract.progress import ExtractProgress, print_report
    from pytsn.flow.extract.run import ExtractRun
    from pytsn.flow.extract.worker import FAILED, STOP

    outcomes = []
    with ExtractProgress(tasks, plan.extract.step) as progress:
        run = ExtractRun(tasks, plan.worker_settings(len(tasks)), plan.workers, progress.listen)
        stream = run.outcomes()
        try:
            for outcome in stream:
                progress.add(outcome)
                outcomes.append(outcome)
        except KeyboardInterrupt:
            print(f"{len(outcomes)} of {len(tasks)} videos done; --resume yes goes on from there", file=sys.stderr)
            raise
        finally:
            stream.close()
    print_report(outcomes, len(tasks), progress.seconds())
    return int(len(outcomes) < len(tasks) or any(outcome.status in (FAILED, STOP) for outcome in outcomes))


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass  # otherwise every single video would fail
    except FileExistsError:
        raise PytsnError(f"{path}: is a file; OUT is a folder") from None
    except OSError as error:
        raise explain_os_error(error, path) from None


def _print_choices(args: argparse.Namespace, plan) -> None:
    """Prints the defaults in use: size, algorithm, devices; notes ignored options."""
    if args.df_path is not None:
        print("note: --df_path is ignored: dense_flow is not needed", file=sys.stderr)
    if args.algorithm != "tvl1":
        print(
            f"warning: {args.algorithm} is not the flow that the released models were trained on: expect 10 to 75 "
            "points less accuracy with them; good for a quick look, or for models trained on it",
            file=sys.stderr,
        )
    size = plan.extract.size
    shape = f"images of {size[0]}x{size[1]} pixels" if size else "images as large as the videos' frames"
    flow = " ".join(filter(None, [args.algorithm, plan.extract.preset]))
    print(f"{shape}, {flow} on {', '.join(plan.devices)}", flush=True)
