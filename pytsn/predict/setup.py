"""Turns the command line of ``pytsn predict`` into nets and settings; checks everything before any work."""

import argparse
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.data.frame_names import frame_kinds
from pytsn.data.frame_size import Size, frame_size_for, parse_frame_size, size_text
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.rate_ticks import parse_rate
from pytsn.data.snippet_ticks import MOST_SNIPPETS
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.flow.on_the_fly import FlowWork
from pytsn.predict.batch import Output, picture_paths
from pytsn.predict.known import know
from pytsn.predict.load import bn_styles, find_labels, flow_work, merge, notes_of
from pytsn.predict.result import default_weights
from pytsn.predict.scores import Predictor, Sampling, load_nets, needs_flow
from pytsn.runtime.words import one_of
from pytsn.scores.aggregation import Aggregation
from pytsn.scores.snippet_rate import aggregation_at

#: larger weights could overflow
_HEAVIEST = 1e6


def prepare(args: argparse.Namespace, weight_files: Sequence[str], videos: int) -> tuple[Predictor, Output]:
    """The predictor (pytsn.predict.scores) and the output (pytsn.predict.batch). weight_files: those without a
    prototxt; videos: number of them. Raises PytsnError for bad input."""
    given = {stream: tuple(getattr(args, stream)) for stream in MODALITIES if getattr(args, stream)}
    _check(args, bool(given or weight_files))
    known = [know(path) for path in weight_files]
    files = merge(known, given)
    weights, sampling, aggregation = _weights(args, files), _sampling(args), _aggregation(args)
    flow = _flow_work(args) if needs_flow(files) else None
    pictures = None if args.no_picture else picture_paths(args.output, args.picture_format, videos)
    nets = load_nets(files, _net_options(args), bn_styles(known))
    remarks = [line for net in nets.values() for line in net.report.remarks()]
    for line in (*(f"note: {note}" for note in notes_of(known, bool(args.labels))), *remarks):
        print(line, file=sys.stderr)
    classes, proto = next(iter(nets.values())).num_classes, next(iter(files.values()))[0]
    labels = find_labels(args.labels, known, classes, str(proto))
    size = _frame_size(args, files, nets)
    predictor = Predictor(nets, weights, aggregation, sampling, flow, size)
    settings = _settings(args, files, weights, predictor)
    return (
        predictor,
        Output(labels, min(args.top, classes), pictures, settings, _subtitle(args, weights)),
    )


def _check(args: argparse.Namespace, any_net: bool) -> None:
    if not any_net:
        first, *others = (f"--{stream}" for stream in MODALITIES)
        raise PytsnError(f"no net given: name its weights, or prototxt and weights by {first}, {one_of(others)}")
    for name in ("top", "num_frames", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise PytsnError(f"--{name} {getattr(args, name)}: at least 1 was expected")
    if args.num_frames > MOST_SNIPPETS:
        raise PytsnError(f"--num_frames {args.num_frames}: {MOST_SNIPPETS} at most")
    if args.json and args.json != "-" and (os.path.isdir(args.json) or not Path(args.json).resolve().parent.is_dir()):
        raise PytsnError(f"--json {args.json}: a file in a folder that exists, or -, was expected")


def _weights(args: argparse.Namespace, streams: Collection[str]) -> dict[str, float]:
    if args.weights is None:
        return default_weights(tuple(streams))
    if len(args.weights) != len(streams):
        raise PytsnError(f"--weights: {len(args.weights)} numbers for {len(streams)} streams ({', '.join(streams)})")
    if not all(0 <= weight <= _HEAVIEST for weight in args.weights) or not any(args.weights):
        raise PytsnError(f"--weights: numbers from 0 to {_HEAVIEST:g} were expected, not all of them 0")
    return dict(zip(streams, args.weights, strict=True))


def _sampling(args: argparse.Namespace) -> Sampling:
    if args.video_fps and not args.snippet_rate:
        raise PytsnError("--video_fps goes with --snippet_rate")
    rate, fps = (parse_rate(text) if text else None for text in (args.snippet_rate, args.video_fps))
    kinds = frame_kinds(PREFIXES, args.frame_pattern, args.flow_pattern)
    return Sampling(args.num_frames, rate, fps, args.warped_frames, kinds)


def _aggregation(args: argparse.Namespace) -> Aggregation:
    """The aggregation; for windows it depends on the snippet rate."""
    rate = parse_rate(args.snippet_rate) if args.snippet_rate else None
    aggregation, notes = aggregation_at(args.aggregation, [rate], "--snippet_rate is")
    for line in notes:
        print(line, file=sys.stderr)
    return aggregation


def _net_options(args: argparse.Namespace) -> NetOptions:
    return NetOptions(
        args.device, args.precision, args.bn_style, args.score_name, args.batch_size, args.rgbdiff_kind, args.crops
    )


def _flow_work(args: argparse.Namespace) -> FlowWork:
    if args.algorithm != "tvl1":
        print(f"warning: {args.algorithm} is not the flow that the released models were trained on", file=sys.stderr)
    return flow_work(args.algorithm, args.preset, args.device)


def _frame_size(args: argparse.Namespace, files: Mapping[str, tuple], nets: Mapping[str, ActionNet]) -> Size | None:
    """The value of --frame_size, after checking that every net's crops fit; None if it is not given."""
    if args.frame_size is None:
        return None
    for stream, net in nets.items():
        frame_size_for(net.crop_size, args.frame_size, files[stream][0])
    return parse_frame_size(args.frame_size)


def _settings(
    args: argparse.Namespace, files: Mapping[str, tuple], weights: Mapping[str, float], predictor: Predictor
) -> dict:
    """The settings that the scores depend on, for JSON."""
    flow = {"flow": f"{args.algorithm} {args.preset}" if args.algorithm == "tvl1" else args.algorithm}
    return {
        "streams": {
            stream: {
                "proto": str(proto),
                "weights": path,
                "weight": weights[stream],
                "frame_size": size_text(predictor.frame_sizes[stream]),
            }
            for stream, (proto, path) in files.items()
        },
        "labels": args.labels,
        "num_frames": None if args.snippet_rate else args.num_frames,
        "snippet_rate": args.snippet_rate,
        "aggregation": args.aggregation,
        "crops": args.crops,
        "precision": args.precision,
        **(flow if needs_flow(files) else {}),
    }


def _subtitle(args: argparse.Namespace, weights: Mapping[str, float]) -> str:
    """How the prediction was made: a line in the picture."""
    streams = " + ".join(f"{stream} x {weight:g}" if len(weights) > 1 else stream for stream, weight in weights.items())
    snippets = f"snippets: {args.snippet_rate} a second" if args.snippet_rate else amount(args.num_frames, "snippet")
    crops = "10 crops" if args.crops == 10 else "centre crop"
    aggregation = "" if args.aggregation == "mean" else f", aggregation {args.aggregation}"
    return f"{streams}; {snippets}, {crops}{aggregation}"
