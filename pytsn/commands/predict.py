"""``pytsn predict``: what happens in a video."""

import argparse
import sys
from pathlib import Path

from converter.errors import PytsnError

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
On a CPU the flow of 25 snippets takes some ten seconds; --algorithm dis is quick but costs the released models accuracy.

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
    add("--weights", type=float, nargs="+", metavar="W", help="fusion weights: rgb, flow, warped, rgbdiff as given")
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
        help="snippets to video: mean, topk:K, window, anet2016, multiscale",
    )
    add(
        "--crops", type=int, choices=(1, 10), default=10, help="1, the centre: ten times faster, a little less accurate"
    )
    add("--warped_frames", metavar="DIR", help="root of the warped flow's folders, for folders of frames")


def _add_computing(add) -> None:
    from pytsn.flow.methods import ALGORITHMS
    from pytsn.flow.presets import DEFAULT_PRESET, PRESETS

    add(
        "--algorithm", choices=ALGORITHMS, default="tvl1", help="of flow (default: tvl1, as the models were trained on)"
    )
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

    from pytsn.predict_batch import predict_all, write_json
    from pytsn.predict_sources import find_sources

    sources = find_sources(args.videos)
    predictor, output = _prepare(args)
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


def _prepare(args: argparse.Namespace):
    """The predictor (pytsn.predict_scores) and the output (pytsn.predict_batch), everything checked."""
    from pytsn.predict_batch import Output, make_folder
    from pytsn.predict_labels import number_labels, read_labels
    from pytsn.predict_scores import Predictor, load_nets

    files = {stream: tuple(getattr(args, stream)) for stream in _STREAM_HELP if getattr(args, stream)}
    if not files:
        raise PytsnError("no net given: name one by --rgb PROTO WEIGHTS, --flow, --warped or --rgbdiff")
    for name in ("top", "num_frames", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise PytsnError(f"--{name} {getattr(args, name)}: at least 1 was expected")
    weights, sampling, aggregation = _weights(args, files), _sampling(args), _aggregation(args)
    flow = _flow_work(args) if {"flow", "warped"} & set(files) else None
    pictures = None if args.no_picture else make_folder(Path(args.output))
    nets = load_nets(files, _net_options(args))
    for net in nets.values():
        for line in net.report.warnings:
            print(f"warning: {line}", file=sys.stderr)
    classes, proto = next(iter(nets.values())).num_classes, next(iter(files.values()))[0]
    labels = read_labels(args.labels, classes, proto) if args.labels else number_labels(classes)
    settings = _settings(args, files, weights)
    return (
        Predictor(nets, weights, aggregation, sampling, flow),
        Output(labels, min(args.top, classes), pictures, settings, _subtitle(args, weights)),
    )


def _weights(args: argparse.Namespace, streams) -> dict[str, float]:
    import math

    from pytsn.predict_result import default_weights

    if args.weights is None:
        return default_weights(tuple(streams))
    if len(args.weights) != len(streams):
        raise PytsnError(f"--weights: {len(args.weights)} numbers for {len(streams)} streams ({', '.join(streams)})")
    if not all(math.isfinite(weight) and weight >= 0 for weight in args.weights) or not any(args.weights):
        raise PytsnError("--weights: numbers from 0 were expected, not all of them 0")
    return dict(zip(streams, args.weights, strict=True))


def _sampling(args: argparse.Namespace):
    from pytsn.predict_scores import Sampling
    from pytsn.rate_sampling import parse_rate

    if args.video_fps and not args.snippet_rate:
        raise PytsnError("--video_fps goes with --snippet_rate")
    rate, fps = (parse_rate(text) if text else None for text in (args.snippet_rate, args.video_fps))
    return Sampling(args.num_frames, rate, fps, args.warped_frames)


def _aggregation(args: argparse.Namespace):
    """The aggregation; one of windows counts on the snippets' rate."""
    from pytsn.aggregation import parse_aggregation
    from pytsn.rate_sampling import parse_rate

    rate = parse_rate(args.snippet_rate) if args.snippet_rate else None
    aggregation = parse_aggregation(args.aggregation, rate or 1)
    if aggregation.fps is not None and aggregation.fps != rate:
        wanted = float(aggregation.fps)
        raise PytsnError(f"aggregation {args.aggregation} counts on --snippet_rate {wanted:g}; give that")
    return aggregation


def _net_options(args: argparse.Namespace):
    from pytsn.action_net import NetOptions

    return NetOptions(
        args.device, args.precision, args.bn_style, args.score_name, args.batch_size, args.rgbdiff_kind, args.crops
    )


def _flow_work(args: argparse.Namespace):
    """Flow on the GPU or, whole pairs shared out, on all CPU cores."""
    from pytsn.action_net import pick_device
    from pytsn.evaluate import cpu_count
    from pytsn.flow.extract_threads import in_threads
    from pytsn.flow.methods import make_flow
    from pytsn.predict_video import FlowWork

    if args.algorithm != "tvl1":
        print(f"warning: {args.algorithm} is not the flow that the released models were trained on", file=sys.stderr)
    device = str(pick_device(args.device))
    function = make_flow(args.algorithm, args.preset, device)
    if device != "cpu":
        return FlowWork(function, 32)
    threads = cpu_count()
    return FlowWork(in_threads(function, threads), 4 * threads)


def _settings(args: argparse.Namespace, files, weights) -> dict:
    """What the numbers depend on, for JSON."""
    flow = {"flow": f"{args.algorithm} {args.preset}" if args.algorithm == "tvl1" else args.algorithm}
    return {
        "streams": {
            stream: {"proto": proto, "weights": path, "weight": weights[stream]}
            for stream, (proto, path) in files.items()
        },
        "labels": args.labels,
        "num_frames": None if args.snippet_rate else args.num_frames,
        "snippet_rate": args.snippet_rate,
        "aggregation": args.aggregation,
        "crops": args.crops,
        "precision": args.precision,
        **(flow if {"flow", "warped"} & set(files) else {}),
    }


def _subtitle(args: argparse.Namespace, weights) -> str:
    """How the prediction was made, one line of the picture."""
    streams = " + ".join(f"{stream} x {weight:g}" if len(weights) > 1 else stream for stream, weight in weights.items())
    snippets = f"{args.snippet_rate} snippets a second" if args.snippet_rate else f"{args.num_frames} snippets"
    crops = "10 crops" if args.crops == 10 else "centre crop"
    aggregation = "" if args.aggregation == "mean" else f", aggregation {args.aggregation}"
    return f"{streams}; {snippets}, {crops}{aggregation}"


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
