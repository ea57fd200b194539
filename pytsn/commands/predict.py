"""``pytsn predict``: what happens in a video."""

import argparse
import sys

HELP = """\
tell what happens in videos: the best classes with probabilities, and a picture

Give a net (deploy prototxt and weights) for any of the streams rgb, flow, warped and rgbdiff. Frames and flow are made
on the fly, and only for the snippets that the nets see; the scores are those of build-of followed by eval-net.

  pytsn predict diving.mp4 --rgb rgb_deploy.prototxt rgb.caffemodel --labels classInd.txt
  pytsn predict diving.mp4 --rgb rgb_deploy.prototxt rgb.caffemodel --flow flow_deploy.prototxt flow.caffemodel
  pytsn predict VIDEOS --rgb rgb_deploy.prototxt rgb.pth --labels classInd.txt --json all.json --no_picture
  pytsn predict FRAMES/v_Diving_g01_c01 --flow flow_deploy.prototxt flow.pth --labels classInd.txt

VIDEO is a video, a folder of extracted frames (files or dense_flow's zips), or a folder that holds such. --labels takes
UCF101's classInd.txt, HMDB51's class_list.txt or any file of one name a line. Streams are fused 1 (rgb) : 1.5 (flow),
with warped flow 1 : 1 : 0.5. NAME_prediction.png shows the video, its classes along time and what each stream thinks.
The flow of 25 snippets takes half a minute on a CPU; --algorithm dis is quick but costs the released models accuracy.

Exit status: 0 all well, 1 some videos failed (each is named, the others are done), 2 wrong arguments.
"""

_STREAM_HELP = {
    "rgb": "net of the rgb stream",
    "flow": "net of the flow stream",
    "warped": "net of warped flow (the camera's motion taken out)",
    "rgbdiff": "net of RGB differences",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of predict."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help="video, folder of frames, or folder of either")
    for stream, text in _STREAM_HELP.items():
        add(f"--{stream}", nargs=2, metavar=("PROTO", "WEIGHTS"), help=text)
    add("--labels", metavar="FILE", help="names of the classes (default: class 0, class 1, ...)")
    add("--weights", type=float, nargs="+", metavar="W", help="fusion weights, in the order rgb, flow, warped, rgbdiff")
    add("--top", type=int, default=5, metavar="K", help="classes to tell (default: %(default)s)")
    add("--json", metavar="FILE", help="write what was found as JSON; - writes it to stdout in place of the text")
    add("-o", "--output", default=".", metavar="DIR", help="folder for pictures (default: the current one)")
    add("--no_picture", action="store_true", help="no pictures")
    _add_sampling(add)
    _add_computing(add)


def _add_sampling(add) -> None:
    add("--num_frames", type=int, default=25, metavar="T", help="snippets a video (default: %(default)s)")
    add("--snippet_rate", metavar="R", help="R snippets a second instead, for untrimmed video")
    add("--video_fps", metavar="F", help="frames a second (default: as the video file says)")
    add(
        "--aggregation",
        default="mean",
        metavar="A",
        help="snippets to video: mean (default), topk:K, window, ...",
    )
    add("--crops", type=int, choices=(1, 10), default=10, help="1: the centre alone, ten times faster, less accurate")
    add("--warped_frames", metavar="DIR", help="root of the warped flow's folders, for folders of frames")


def _add_computing(add) -> None:
    from pytsn.flow.methods import ALGORITHMS
    from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS

    add("--algorithm", choices=ALGORITHMS, default="tvl1", help="of flow (default: tvl1, which the models know)")
    add("--preset", choices=tuple(PRESETS), default=DEFAULT_PRESET, help=f"of TV-L1 (default: {DEFAULT_PRESET})")
    add("--device", default="auto", help="auto (CUDA if there is any), cpu, cuda or cuda:N")
    add("--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="fp32 is parity (default)")
    add("--batch_size", type=int, metavar="N", help="crops a forward (default: 10 on a CPU, 250 on a GPU)")
    add("--score_name", metavar="BLOB", help="score blob (default: fc-action or fc_action)")
    add("--bn_style", choices=("var", "invstd"), default="var", help="fourth BN blob of the caffemodel: see docs")
    add("--rgbdiff_kind", choices=("signed", "absolute"), default="signed", help="what the rgbdiff net learned")


def run(args: argparse.Namespace) -> int:
    """Predicts and reports. Raises PytsnError before any work for arguments that do not go; 1 when a video failed."""
    from tqdm import tqdm

    from pytsn.data.sources import find_sources
    from pytsn.predict.batch import predict_all, write_json
    from pytsn.predict.setup import prepare

    sources = find_sources(args.videos)
    predictor, output = prepare(args)
    found: list[dict] = []
    text_out = sys.stderr if args.json == "-" else sys.stdout
    try:
        with tqdm(sources, unit="video", disable=True if len(sources) == 1 else None) as bar:
            failed = predict_all(
                predictor,
                bar,
                output,
                _progress,
                lambda line: tqdm.write(line, file=text_out),
                lambda line: tqdm.write(line, file=sys.stderr),
                found,
            )
    finally:  # a run that is stopped keeps what it has
        if args.json and found:
            write_json(args.json, output.settings, found, print)
    _report_drift(predictor)
    if failed:
        print(f"{failed} of {len(sources)} videos failed", file=sys.stderr)
    return int(failed > 0)


def _progress(items, what: str, total: int | None, unit: str):
    from tqdm import tqdm

    return tqdm(items, what, total, unit=unit, disable=None, leave=False)


def _report_drift(predictor) -> None:
    for stream, net in predictor.nets.items():
        if net.drift:
            print(
                f"{stream}: {net.precision} against fp32: scores differ by {net.drift[0]:.1e} of the largest",
                file=sys.stderr,
            )
