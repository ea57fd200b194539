"""``pytsn eval-net``: the original ``tools/eval_net.py``, its arguments, output lines and score file."""

import argparse
import os
import sys

#: what DATASET may be
DATASETS = ("ucf101", "hmdb51", "activitynet_1.2", "activitynet_1.3", "custom")

HELP = """\
test a net on the videos of a split: class scores, class accuracies, mean accuracy

Each video is sampled at 25 places, each place shown to the net as ten crops; scores are averaged, and the accuracy is
the mean of the class accuracies. NET_WEIGHTS is a caffemodel, or a .pth or .safetensors file made by `convert`.

  pytsn eval-net ucf101 1 rgb FRAMES deploy.prototxt weights.caffemodel --save_scores scores_rgb
  pytsn eval-net hmdb51 2 flow FRAMES deploy.prototxt weights.caffemodel --num_worker 4 --gpus 0 1
  pytsn eval-net ucf101 1 rgbdiff FRAMES deploy.prototxt weights.caffemodel
  pytsn eval-net activitynet_1.2 1 rgb FRAMES net.prototxt net.caffemodel --snippet_rate 1 --aggregation multiscale
  pytsn eval-net custom 1 rgb . deploy.prototxt weights.pth --test_list videos.txt

FRAMES holds one folder a video with img_00001.jpg ..., flow_x_00001.jpg ..., flow_y_00001.jpg ..., or with dense_flow's
img.zip, flow_x.zip, flow_y.zip, or a VIDEO.zip. rgbdiff makes its differences from the rgb images. Split files are read
below --split_path (data/ucf101_splits, data/hmdb51_splits). For `custom`, --test_list has a line `path count label` for
each video; relative paths start at FRAMES, and the split number is only a label. For ActivityNet, FRAMES holds the
untrimmed videos (folders ID or v_ID); split 1 is the validation, 2 the testing subset; mAP and hit@k are printed too.
--aggregation window, anet2016 and multiscale take windows of 1 to 16 s over snippets of a known rate.
Fuse score files with `pytsn eval-scores`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-net."""
    add = parser.add_argument
    add("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    add("split", type=int, choices=(1, 2, 3), metavar="SPLIT", help="1, 2 or 3")
    add("modality", choices=("rgb", "flow", "rgbdiff"), metavar="MODALITY", help="rgb, flow or rgbdiff")
    add("frame_path", metavar="FRAMES", help="root folder of the frames")
    add("net_proto", metavar="NET_PROTO", help="deploy prototxt")
    add("net_weights", metavar="NET_WEIGHTS", help="caffemodel, .pth or .safetensors")
    add("--rgb_prefix", default="img_", metavar="P", help="prefix of rgb frames (default: %(default)s)")
    add("--flow_x_prefix", default="flow_x_", metavar="P", help="prefix of x flow images (default: %(default)s)")
    add("--flow_y_prefix", default="flow_y_", metavar="P", help="prefix of y flow images (default: %(default)s)")
    add(
        "--num_frame_per_video", type=_positive, default=25, metavar="T", help="snippets a video (default: %(default)s)"
    )
    add("--snippet_rate", metavar="R", help="R snippets a second instead of a fixed number, for untrimmed video")
    add("--video_fps", metavar="F", help="frames a second of the videos (default: by ActivityNet's durations)")
    add("--save_scores", metavar="F", help="write the scores to F.npz")
    add("--resume", action="store_true", help="go on with the scores that an interrupted run left beside F")
    add("--num_worker", type=_positive, default=1, metavar="N", help="processes (default: %(default)s)")
    add("--gpus", type=int, nargs="+", metavar="G", help="CUDA devices to spread the workers over")
    add("--device", default="auto", help="auto (CUDA if there is any), cpu, cuda or cuda:N")
    add(
        "--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="fp32 is parity; others print their drift"
    )
    add("--batch_size", type=_positive, metavar="N", help="crops a forward (default: 10 on a CPU, 250 on a GPU)")
    add("--split_path", default="data", metavar="DIR", help="folder of the split files (default: %(default)s)")
    add("--test_list", metavar="FILE", help="list of a custom dataset")
    add(
        "--anet_file",
        metavar="JSON",
        help="ActivityNet's annotations (default: as in the original, below --split_path)",
    )
    add("--subset", choices=("training", "validation", "testing"), help="of ActivityNet (default: by the split)")
    add("--allow_missing", action="store_true", help="leave out videos that have no frames on disk")
    add("--score_name", metavar="BLOB", help="score blob (default: fc-action or fc_action)")
    add("--bn_style", choices=("var", "invstd"), default="var", help="fourth BN blob of the caffemodel: see docs")
    add("--rgbdiff", choices=("signed", "absolute"), help="differences that the rgbdiff net learned (default: signed)")
    add(
        "--aggregation", default="mean", metavar="A", help="frames to video: mean, topk:K, window, anet2016, multiscale"
    )
    add("--caffe_path", metavar="DIR", help="accepted for old scripts; there is no Caffe any more")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints what the original prints. Raises PytsnError before any work for what cannot be evaluated."""
    import numpy as np

    from pytsn.eval_summary import Predictions, summarise
    from pytsn.published import Evaluation

    aggregate = _aggregation(args)
    print(argparse.Namespace(**{key: value for key, value in vars(args).items() if key != "debug"}))
    print(args.dataset, flush=True)
    _note_ignored(args)
    chosen = _choose(args)
    scores = _score(args, chosen)
    labels = [video.label for video in chosen.videos]
    video_scores = np.stack([aggregate(array) for array in scores])  # V x (T, 10, K) -> (V, K)
    frames = None if args.snippet_rate else args.num_frame_per_video
    run = (args.dataset, args.split, (args.modality,), (1,), video_scores.shape[1], len(labels), frames)
    summary = summarise(Predictions(video_scores, labels, chosen.label_sets), Evaluation(*run, args.aggregation))
    for line in summary.lines("Accuracy {:.02f}%", "Top-5 accuracy {:.02f}% of videos", class_accuracies=True):
        print(line)
    for text in summary.warnings:
        print(f"warning: {text}", file=sys.stderr)
    return 0


def _aggregation(args: argparse.Namespace):
    """The aggregation; one of windows counts on the snippets' rate."""
    from converter.errors import PytsnError
    from pytsn.aggregation import parse_aggregation

    rate = _rates(args)["snippet_rate"]
    aggregate = parse_aggregation(args.aggregation, rate or 1)
    if aggregate.fps is not None and rate is None:
        print(
            f"note: aggregation {args.aggregation} takes the snippets for {float(aggregate.fps):g} a second, whatever "
            "a video's length; --snippet_rate samples them so",
            file=sys.stderr,
        )
    elif aggregate.fps not in (None, rate):
        raise PytsnError(
            f"aggregation {args.aggregation} counts on {float(aggregate.fps):g} snippets a second, --snippet_rate is "
            f"{args.snippet_rate}"
        )
    return aggregate


def _note_ignored(args: argparse.Namespace) -> None:
    from converter.errors import PytsnError

    if args.caffe_path:
        print("note: --caffe_path is ignored, no Caffe is needed", file=sys.stderr)
    if args.resume and not args.save_scores:
        raise PytsnError("--resume needs --save_scores: it goes on with that file's unfinished scores")
    if (args.dataset == "custom") != bool(args.test_list):
        raise PytsnError("dataset 'custom' and --test_list FILE go together")
    if args.dataset not in ("activitynet_1.2", "activitynet_1.3") and (args.anet_file or args.subset):
        raise PytsnError("--anet_file and --subset go with the datasets activitynet_1.2 and activitynet_1.3")
    if args.video_fps and not args.snippet_rate:
        raise PytsnError("--video_fps goes with --snippet_rate")
    if args.rgbdiff and args.modality != "rgbdiff":
        raise PytsnError(f"--rgbdiff {args.rgbdiff} goes with modality rgbdiff, not {args.modality}")


def _choose(args: argparse.Namespace):
    """The videos to score (pytsn.eval_videos.ChosenVideos); all missing ones are named before any work starts."""
    from pytsn.eval_videos import VideoChoice, choose_videos
    from pytsn.snippets import video_ticks

    choice = VideoChoice(
        args.dataset,
        args.split,
        args.modality,
        args.frame_path,
        (args.rgb_prefix, args.flow_x_prefix, args.flow_y_prefix),
        args.split_path,
        args.test_list,
        args.allow_missing,
        args.subset,
        args.anet_file,
    )
    chosen = choose_videos(choice, print)
    for text in chosen.warnings:
        print(f"warning: {text}", file=sys.stderr)
    snippets = _options(args).snippets
    for video in chosen.videos:
        video_ticks(video, snippets)  # a video that cannot be sampled is told now, not hours later
    return chosen


def _score(args: argparse.Namespace, chosen) -> list:
    """The scores of all videos, V x (T, 10, K), from the store where it has them."""
    from converter.errors import PytsnError
    from pytsn.action_net import ActionNet
    from pytsn.eval_progress import collect_scores
    from pytsn.evaluate import worker_device
    from pytsn.sampling import NET_CHANNELS
    from pytsn.weights_check import weights_warnings

    options = _options(args)
    # One worker scores with this net; for several it is the check of files and arguments before they start.
    net = ActionNet(args.net_proto, args.net_weights, _on_device(options, worker_device(0, options)))
    for line in net.report.warnings:
        print(f"warning: {line}", file=sys.stderr)
    if net.channels != NET_CHANNELS[args.modality]:
        wanted = NET_CHANNELS[args.modality]
        raise PytsnError(f"{args.net_proto}: takes {net.channels} planes, modality {args.modality} gives {wanted}")
    beyond = [video for video in chosen.videos if video.label >= net.num_classes]
    if beyond:
        raise PytsnError(
            f"video '{beyond[0].name}' has label {beyond[0].label}, but {args.net_proto} has {net.num_classes} classes:"
            " net of another dataset?"
        )
    for line in weights_warnings(args.net_weights, args.dataset, args.split, args.modality):
        print(f"warning: {line}", file=sys.stderr)
    store = _store(args, chosen) if args.save_scores else None
    scores = collect_scores(net, (args.net_proto, args.net_weights), chosen.videos, options, store)
    if net.drift:
        print(f"{args.precision} against fp32: scores differ by {net.drift[0]:.1e} of the largest, best class the same")
        print(f"for {net.drift[1] * 100:.1f}% of the first crops")
    return scores


def _rates(args: argparse.Namespace) -> dict:
    """--snippet_rate and --video_fps as exact numbers by name, None where they are not given."""
    from pytsn.rate_sampling import parse_rate

    given = {"snippet_rate": args.snippet_rate, "video_fps": args.video_fps}
    return {name: parse_rate(text) if text else None for name, text in given.items()}


def _options(args: argparse.Namespace):
    from pytsn.action_net import NetOptions
    from pytsn.evaluate import EvalOptions
    from pytsn.snippets import SnippetOptions

    prefixes = (args.rgb_prefix, args.flow_x_prefix, args.flow_y_prefix)
    return EvalOptions(
        NetOptions(
            args.device, args.precision, args.bn_style, args.score_name, args.batch_size, args.rgbdiff or "signed"
        ),
        SnippetOptions(args.modality, args.num_frame_per_video, *prefixes, **_rates(args)),
        args.num_worker,
        tuple(args.gpus or ()),
    )


def _on_device(options, device: str):
    from dataclasses import replace

    return replace(options.net, device=device)


def _store(args: argparse.Namespace, chosen):
    from converter.files import sha256_of
    from pytsn.score_store import ScoreStore

    settings = {
        "dataset": args.dataset,
        "split": args.split,
        "modality": args.modality,
        "net_proto": os.path.basename(args.net_proto),
        "net_proto_sha256": sha256_of(args.net_proto),
        "net_weights": os.path.basename(args.net_weights),
        "net_weights_sha256": sha256_of(args.net_weights),
        "num_frame_per_video": args.num_frame_per_video,
        "precision": args.precision,
        "bn_style": args.bn_style,
        "score_name": args.score_name,
    }
    if args.modality == "rgbdiff":
        settings["rgbdiff"] = args.rgbdiff or "signed"
    if args.snippet_rate:
        settings |= {"num_frame_per_video": None, "snippet_rate": args.snippet_rate, "video_fps": args.video_fps}
    if chosen.label_sets is not None:
        settings |= {"subset": args.subset, "label_sets": chosen.label_sets}
    names, labels = [video.name for video in chosen.videos], [video.label for video in chosen.videos]
    return ScoreStore(args.save_scores, names, labels, settings, args.resume)
