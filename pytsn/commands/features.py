"""``pytsn features``: per-snippet features of videos."""

import argparse
import os
import sys
from typing import Any

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.commands.arguments import (
    add_allow_missing,
    add_bn_style,
    add_crop_batch,
    add_device,
    add_difference,
    add_frame_patterns,
    add_modality,
    add_precision,
    add_workers,
    frame_kinds_of,
)
from pytsn.commands.video_arguments import add_frame_size, add_videos, flow_method, video_settings, warn_of_flow
from pytsn.data.modalities import MODALITIES

HELP = """\
write a blob of a net for each snippet of each video

LIST is a list file with lines `path count label`, as for training, or a folder that holds frame folders or video files,
which are decoded on the fly. Videos are sampled as in eval-net; the blob is averaged over the ten crops and over space:
(25, 1024) per video for global_pool.

  pytsn features data/ucf101_rgb_val_split_1.txt -o rgb.npz --modality rgb --net deploy.prototxt rgb.caffemodel
  pytsn features FRAMES -o flow.h5 --modality flow --net flow_deploy.prototxt flow.pth --num_worker 4
  pytsn features FRAMES -o maps/ --modality rgb --net deploy.prototxt rgb.pth --blob inception_5b/output --spatial

OUT ends in .npz or .h5 (needs h5py), or is a folder with one NAME.npy per video and an index.json. It appears when all
videos are done; --resume continues an interrupted run. docs/predict.md describes the layout.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of features."""
    add = parser.add_argument
    add("list", metavar="LIST", help="list file, or folder of frame folders or videos")
    add("-o", "--output", required=True, metavar="OUT", help="FILE.npz, FILE.h5 or a folder")
    add_modality(add, "--modality", required=True)
    add("--net", required=True, nargs=2, metavar=("PROTO", "WEIGHTS"), help="deploy prototxt; caffemodel or converted")
    add("--blob", default="global_pool", metavar="NAME", help="blob to write (default: %(default)s)")
    add("--spatial", action="store_true", help="keep the blob's height and width (default: average)")
    add(
        "--crops",
        choices=("mean", "centre", "all"),
        default="mean",
        help="mean of the ten (default), centre only, or all",
    )
    add("--num_frames", type=int, default=25, metavar="T", help="snippets per video (default: %(default)s)")
    add("--snippet_rate", metavar="R", help="R snippets per second instead; needs --video_fps")
    add("--video_fps", metavar="F", help="frame rate of the videos")
    add_frame_size(add)
    add("--resume", action="store_true", help="continue an interrupted run")
    add_frame_patterns(add)
    add_allow_missing(add)
    add_workers(add)
    add_device(add)
    add_precision(add)
    add_crop_batch(add)
    add_bn_style(add)
    add_difference(add)
    add_videos(parser, "LIST is a folder of video files, even if it also holds frame folders")


def run(args: argparse.Namespace) -> int:
    """Extracts and writes the features. Raises PytsnError for bad arguments and videos before any work."""
    from dataclasses import replace

    from pytsn.data.frame_size import frame_size_for
    from pytsn.data.snippet_reader import video_ticks
    from pytsn.data.video_folder import counting_progress
    from pytsn.features.extract import listed_videos
    from pytsn.features.files import FeatureIndex, feature_kind
    from pytsn.features.resume import FeatureStore

    _check(args)
    feature_kind(args.output)
    options = _options(args)
    videos, missing, notes = listed_videos(
        args.list, args.modality, args.allow_missing, frame_kinds_of(args), args.videos, counting_progress
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if missing:
        are = amount(len(missing), "video without frames is", "videos without frames are")
        print(f"warning: {are} left out", file=sys.stderr)
    warn_of_flow(args, videos)
    ticks = [video_ticks(video, options.snippets) for video in videos]
    net = _net(args, options)
    size = frame_size_for(net.crop_size, args.frame_size, args.net[0])
    options = replace(options, snippets=replace(options.snippets, frame_size=size))
    names, labels = [video.name for video in videos], [video.label for video in videos]
    store = FeatureStore(
        args.output,
        FeatureIndex(names, labels, _settings(args) | video_settings(args, videos, size), ticks),
        args.resume,
    )
    _extract(args, options, net, videos, store)
    store.finish()
    print(f"wrote {args.output}: {args.blob} of {amount(len(videos), 'video')}, {amount(net.num_classes, 'channel')}")
    return 0


def _check(args: argparse.Namespace) -> None:
    from pytsn.data.snippet_ticks import MOST_SNIPPETS

    for name in ("num_frames", "num_worker", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise PytsnError(f"--{name} {getattr(args, name)}: at least 1 was expected")
    if args.num_frames > MOST_SNIPPETS:
        raise PytsnError(f"--num_frames {args.num_frames}: {MOST_SNIPPETS} at most")
    if bool(args.snippet_rate) != bool(args.video_fps):
        raise PytsnError("--snippet_rate and --video_fps go together")
    parent = os.path.dirname(os.path.abspath(args.output))
    if not os.path.isdir(parent):
        raise PytsnError(f"{args.output}: there is no folder {parent}")


def _options(args: argparse.Namespace):
    from dataclasses import replace

    from pytsn.data.rate_ticks import parse_rate
    from pytsn.data.snippet_reader import SnippetOptions
    from pytsn.evaluation.action_net import NUM_CROPS, NetOptions
    from pytsn.features.extract import FeatureOptions

    rates: dict[str, Any] = {
        name: parse_rate(text) if (text := getattr(args, name)) else None for name in ("snippet_rate", "video_fps")
    }
    crops = 1 if args.crops == "centre" else NUM_CROPS
    options = FeatureOptions(
        NetOptions(args.device, args.precision, args.bn_style, args.blob, args.batch_size, args.rgbdiff, crops),
        SnippetOptions(args.modality, args.num_frames, *frame_kinds_of(args), **rates),
        args.crops,
        args.spatial,
        args.num_worker,
        tuple(args.gpus or ()),
    )
    flow = flow_method(args, options.devices())
    return replace(options, snippets=replace(options.snippets, flow=flow))


def _net(args: argparse.Namespace, options):
    """The net; with several workers it checks files and arguments before they start."""
    net = options.make_net(tuple(args.net))
    for line in net.report.remarks():
        print(line, file=sys.stderr)
    wanted = MODALITIES[args.modality].channels
    if net.channels != wanted:
        raise PytsnError(f"{args.net[0]}: takes {net.channels} planes, modality {args.modality} gives {wanted}")
    return net


def _extract(args: argparse.Namespace, options, net, videos, store) -> None:
    from pytsn.evaluation.video_arrays import finish_videos
    from pytsn.features.extract import extract_features

    todo = store.todo()
    if len(todo) < len(videos):
        of = f"of {amount(len(videos), 'video')}"
        print(f"resuming: {amount(len(videos) - len(todo), f'{of} is', f'{of} are')} done already")

    def arrays(waiting):
        return extract_features(net, tuple(args.net), waiting, options)

    finish_videos("features", videos, todo, arrays, store.add)


def _settings(args: argparse.Namespace) -> dict:
    """The settings that the features depend on."""
    from converter.files import sha256_of

    proto, weights = args.net
    settings = {
        "modality": args.modality,
        "net_proto": os.path.basename(proto),
        "net_proto_sha256": sha256_of(proto),
        "net_weights": os.path.basename(weights),
        "net_weights_sha256": sha256_of(weights),
        "num_frames": None if args.snippet_rate else args.num_frames,
        "snippet_rate": args.snippet_rate,
        "video_fps": args.video_fps,
    }
    names = ("blob", "spatial", "crops", "precision", "bn_style", "rgbdiff")
    return settings | {name: getattr(args, name) for name in names}
