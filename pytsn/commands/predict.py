"""``pytsn predict``: the action classes of a video."""

import argparse
import sys

from converter.errors import PytsnError
from pytsn.commands.arguments import (
    add_aggregation,
    add_bn_style,
    add_crop_batch,
    add_device,
    add_difference,
    add_flow_method,
    add_frame_patterns,
    add_picture_format,
    add_precision,
    add_score_name,
    frame_kinds_of,
)
from pytsn.commands.video_arguments import add_frame_size
from pytsn.data.modalities import MODALITIES

HELP = """\
classify the actions in videos: the best classes with probabilities, and a picture

Give the weights of a BN-Inception, released or your own: stream and classes are told by the file, as `pytsn identify`
tells them. For any other net give deploy prototxt and weights for any of the streams rgb, flow, warped and rgbdiff.
Frames and flow are computed on the fly, only for the snippets that the nets see; the scores equal those of build-of
followed by eval-net.

  pytsn predict diving.mp4 ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel
  pytsn predict diving.mp4 rgb.caffemodel flow.caffemodel -o diving.pdf
  pytsn predict diving.mp4 --rgb rgb_deploy.prototxt rgb.caffemodel --labels classInd.txt
  pytsn predict diving.mp4 --rgb rgb_deploy.prototxt rgb.caffemodel --flow flow_deploy.prototxt flow.caffemodel
  pytsn predict VIDEOS --rgb rgb_deploy.prototxt rgb.pth --labels classInd.txt --json all.json --no_picture
  pytsn predict FRAMES/v_Diving_g01_c01 --flow flow_deploy.prototxt flow.pth --labels classInd.txt

VIDEO is a video, a folder of extracted frames (files or dense_flow's zips), or a folder that holds either. --labels
takes UCF101's classInd.txt, HMDB51's class_list.txt or any file with one name per line. Fusion weights are 1 (rgb) :
1.5 (flow), with warped flow 1 : 1 : 0.5. NAME_prediction.png shows the video, its classes over time and the prediction
of each stream. The flow of 25 snippets takes half a minute on a CPU; --algorithm dis is fast but costs the released
models accuracy.

Exit status: 0 all well, 1 some videos failed (each is named, the others are done), 2 wrong arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of predict."""
    add = parser.add_argument
    text = "video, frame folder, or folder that holds either; and weights of nets that need no prototxt, one a stream"
    add("videos", nargs="+", metavar="VIDEO|WEIGHTS", help=text)
    for stream, row in MODALITIES.items():
        add(f"--{stream}", nargs=2, metavar=("PROTO", "WEIGHTS"), help=f"net for {row.title}")
    text = "names of the classes (default: UCF101's or HMDB51's for WEIGHTS of theirs, else class 0, class 1, ...)"
    add("--labels", metavar="FILE", help=text)
    add("--weights", type=float, nargs="+", metavar="W", help=f"fusion weights, in the order {', '.join(MODALITIES)}")
    add("--top", type=int, default=5, metavar="K", help="number of classes to print (default: %(default)s)")
    add("--json", metavar="FILE", help="write the results as JSON; - writes them to stdout instead of the text")
    text = "folder for pictures (default: the current one), or the file of one: .png, .pdf, .svg"
    add("-o", "--output", default=".", metavar="OUT", help=text)
    add_picture_format(add, "the pictures in a folder")
    add("--no_picture", action="store_true", help="no pictures")
    _add_sampling(add)
    _add_computing(add)


def _add_sampling(add) -> None:
    add("--num_frames", type=int, default=25, metavar="T", help="snippets per video (default: %(default)s)")
    add("--snippet_rate", metavar="R", help="R snippets per second instead, for untrimmed video")
    add("--video_fps", metavar="F", help="frame rate (default: from the video file)")
    add_aggregation(add)
    add("--crops", type=int, choices=(1, 10), default=10, help="1: centre crop only, ten times faster, less accurate")
    add_frame_size(add)
    add("--warped_frames", metavar="DIR", help="root folder of the warped flow, for frame folders")
    add_frame_patterns(add)


def _add_computing(add) -> None:
    add_flow_method(add)
    add_device(add)
    add_precision(add)
    add_crop_batch(add)
    add_score_name(add)
    add_bn_style(add)
    add_difference(add, "--rgbdiff_kind")


def run(args: argparse.Namespace) -> int:
    """Predicts and reports. Returns 1 when a video failed. Raises PytsnError for bad arguments before any work."""
    from pytsn.data.sources import find_sources
    from pytsn.predict.batch import predict_all, write_json
    from pytsn.predict.known import divide
    from pytsn.predict.setup import prepare
    from pytsn.runtime.progress import say, track

    videos, weights = divide(args.videos)
    sources = find_sources(videos, frame_kinds_of(args))
    if not sources:
        raise PytsnError(f"{', '.join(weights)}: weights, and no video given")
    predictor, output = prepare(args, weights, len(sources))
    found: list[dict] = []
    text_out = sys.stderr if args.json == "-" else sys.stdout
    try:
        failed = predict_all(
            predictor,
            track(sources, "predicting", unit="video", active=len(sources) > 1),
            output,
            _progress,
            lambda line: say(line, text_out),
            lambda line: say(line, sys.stderr),
            found,
        )
    finally:  # a stopped run keeps its results
        if args.json and found:
            write_json(args.json, output.settings, found, print)
    if predictor.from_zero:
        print("note: frames are numbered from 0", file=sys.stderr)
    _report_drift(predictor)
    if failed:
        print(f"{failed} of {len(sources)} videos failed", file=sys.stderr)
    return int(failed > 0)


def _progress(items, what: str, total: int | None, unit: str):
    from pytsn.runtime.progress import track

    return track(items, what, total, unit, leave=False)


def _report_drift(predictor) -> None:
    for stream, net in predictor.nets.items():
        if net.drift:
            print(
                f"{stream}: {net.precision} against fp32: scores differ by {net.drift[0]:.1e} of the largest",
                file=sys.stderr,
            )
