"""``pytsn eval-net``: the original ``tools/eval_net.py``, its arguments, output lines and score file."""

import argparse
import os
import sys

HELP = """\
test a net on the videos of a split: class scores, class accuracies, mean accuracy

Each video is sampled at 25 places, each place shown to the net as ten crops; scores are averaged, and the accuracy is
the mean of the class accuracies. NET_WEIGHTS is a caffemodel, or a .pth or .safetensors file made by `convert`.

  pytsn eval-net ucf101 1 rgb FRAMES deploy.prototxt weights.caffemodel --save_scores scores_rgb
  pytsn eval-net hmdb51 2 flow FRAMES deploy.prototxt weights.caffemodel --num_worker 4 --gpus 0 1
  pytsn eval-net ucf101 1 rgbdiff FRAMES deploy.prototxt weights.caffemodel
  pytsn eval-net custom 1 rgb . deploy.prototxt weights.pth --test_list videos.txt

FRAMES holds one folder a video with img_00001.jpg ..., flow_x_00001.jpg ..., flow_y_00001.jpg ..., or with dense_flow's
img.zip, flow_x.zip, flow_y.zip, or a VIDEO.zip. rgbdiff makes its differences from the rgb images. Split files are read
below --split_path (data/ucf101_splits, data/hmdb51_splits). For `custom`, --test_list has a line `path count label` for
each video; relative paths start at FRAMES, and the split number is only a label.
Fuse score files with `pytsn eval-scores`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-net."""
    add = parser.add_argument
    add("dataset", choices=("ucf101", "hmdb51", "custom"), metavar="DATASET", help="ucf101, hmdb51 or custom")
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
    add("--allow_missing", action="store_true", help="leave out videos that have no frames on disk")
    add("--score_name", metavar="BLOB", help="score blob (default: fc-action or fc_action)")
    add("--bn_style", choices=("var", "invstd"), default="var", help="fourth BN blob of the caffemodel: see docs")
    add("--rgbdiff", choices=("signed", "absolute"), help="differences that the rgbdiff net learned (default: signed)")
    add("--aggregation", default="mean", metavar="A", help="frames to video: mean, topk:K or window (default: mean)")
    add("--caffe_path", metavar="DIR", help="accepted for old scripts; there is no Caffe any more")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints what the original prints. Raises PytsnError before any work for what cannot be evaluated."""
    import numpy as np

    from pytsn.aggregation import parse_aggregation
    from pytsn.metrics import class_accuracy, top_k_accuracy

    aggregate = parse_aggregation(args.aggregation)
    print(argparse.Namespace(**{key: value for key, value in vars(args).items() if key != "debug"}))
    print(args.dataset, flush=True)
    _note_ignored(args)
    videos = _videos(args)
    scores, num_classes = _score(args, videos)
    labels = [video.label for video in videos]
    video_scores = np.stack([aggregate(array) for array in scores])  # V x (T, 10, K) -> (V, K)
    accuracy = class_accuracy(labels, video_scores.argmax(axis=1))
    print(accuracy.accuracies)
    print(f"Accuracy {accuracy.mean * 100:.02f}%")
    if num_classes > 5:
        print(f"Top-5 accuracy {top_k_accuracy(video_scores, labels, 5) * 100:.02f}% of videos")
    for text in accuracy.warnings(num_classes):
        print(f"warning: {text}", file=sys.stderr)
    return 0


def _note_ignored(args: argparse.Namespace) -> None:
    from converter.errors import PytsnError

    if args.caffe_path:
        print("note: --caffe_path is ignored, no Caffe is needed", file=sys.stderr)
    if args.resume and not args.save_scores:
        raise PytsnError("--resume needs --save_scores: it goes on with that file's unfinished scores")
    if (args.dataset == "custom") != bool(args.test_list):
        raise PytsnError("dataset 'custom' and --test_list FILE go together")
    if args.rgbdiff and args.modality != "rgbdiff":
        raise PytsnError(f"--rgbdiff {args.rgbdiff} goes with modality rgbdiff, not {args.modality}")


def _videos(args: argparse.Namespace):
    """The videos of the split that are on disk; all missing ones are named before any work starts."""
    from converter.errors import PytsnError
    from pytsn.datasets import find_missing, make_videos, missing_message, parse_directory, parse_split_file
    from pytsn.sampling import LEAST_FRAMES

    if args.dataset == "custom":
        entries, videos = (), _listed_videos(args)
    else:
        entries = parse_split_file(args.dataset, args.split_path)[args.split - 1].test
        prefixes = (args.rgb_prefix, args.flow_x_prefix, args.flow_y_prefix)
        folders = parse_directory(args.frame_path, *prefixes, {name for name, _ in entries}, print)
        videos = make_videos(entries, folders)
    missing = set(find_missing(videos, args.modality, entries))
    if missing:
        total = len(entries) or len(videos)
        text = missing_message(sorted(missing), total, args.frame_path, LEAST_FRAMES[args.modality])
        if not args.allow_missing:
            raise PytsnError(f"{text}; extract them, or go on without them by --allow_missing")
        print(f"warning: {text}", file=sys.stderr)
    videos = [video for video in videos if video.name not in missing]
    if not videos:
        raise PytsnError(f"no video of the split has frames in {args.frame_path}: nothing to evaluate")
    return videos


def _listed_videos(args: argparse.Namespace):
    from dataclasses import replace

    from pytsn.datasets import parse_list_file

    videos = parse_list_file(args.test_list)
    return [replace(video, folder=os.path.join(args.frame_path, video.folder)) for video in videos]


def _score(args: argparse.Namespace, videos) -> tuple[list, int]:
    """The scores of all videos, V x (T, 10, K), from the store where it has them, and K."""
    from converter.errors import PytsnError
    from pytsn.action_net import ActionNet
    from pytsn.evaluate import worker_device
    from pytsn.sampling import NET_CHANNELS

    options = _options(args)
    # One worker scores with this net; for several it is the check of files and arguments before they start.
    net = ActionNet(args.net_proto, args.net_weights, _on_device(options, worker_device(0, options)))
    for line in net.report.warnings:
        print(f"warning: {line}", file=sys.stderr)
    if net.channels != NET_CHANNELS[args.modality]:
        wanted = NET_CHANNELS[args.modality]
        raise PytsnError(f"{args.net_proto}: takes {net.channels} planes, modality {args.modality} gives {wanted}")
    beyond = [video for video in videos if video.label >= net.num_classes]
    if beyond:
        raise PytsnError(
            f"video '{beyond[0].name}' has label {beyond[0].label}, but {args.net_proto} has {net.num_classes} classes:"
            " net of another dataset?"
        )
    scores = _collect(args, videos, net, options)
    if net.drift:
        print(f"{args.precision} against fp32: scores differ by {net.drift[0]:.1e} of the largest, best class the same")
        print(f"for {net.drift[1] * 100:.1f}% of the first crops")
    return scores, net.num_classes


def _options(args: argparse.Namespace):
    from pytsn.action_net import NetOptions
    from pytsn.evaluate import EvalOptions
    from pytsn.snippets import SnippetOptions

    prefixes = (args.rgb_prefix, args.flow_x_prefix, args.flow_y_prefix)
    return EvalOptions(
        NetOptions(
            args.device, args.precision, args.bn_style, args.score_name, args.batch_size, args.rgbdiff or "signed"
        ),
        SnippetOptions(args.modality, args.num_frame_per_video, *prefixes),
        args.num_worker,
        tuple(args.gpus or ()),
    )


def _on_device(options, device: str):
    from dataclasses import replace

    return replace(options.net, device=device)


def _collect(args: argparse.Namespace, videos, net, options) -> list:
    from tqdm import tqdm

    from pytsn.evaluate import score_videos, score_videos_in_processes

    store = _store(args, videos) if args.save_scores else None
    todo = store.todo() if store else list(range(len(videos)))
    if len(todo) < len(videos):
        print(f"resuming: {len(videos) - len(todo)} of {len(videos)} videos are scored already")
    waiting = [videos[index] for index in todo]
    if not waiting:
        results = iter(())
    elif args.num_worker > 1:
        results = score_videos_in_processes((args.net_proto, args.net_weights), waiting, options)
    else:
        results = score_videos(net, waiting, options)
    scores: dict[int, object] = {}
    with tqdm(total=len(videos), initial=len(videos) - len(todo), unit="video", disable=None) as bar:
        for index, (video, array) in zip(todo, results, strict=True):
            scores[index] = array
            if store:
                store.add(index, array)
            bar.write(f"video {video.name} done", file=sys.stdout)
            bar.update()
    return store.finish() if store else [scores[index] for index in range(len(videos))]


def _store(args: argparse.Namespace, videos):
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
    names, labels = [video.name for video in videos], [video.label for video in videos]
    return ScoreStore(args.save_scores, names, labels, settings, args.resume)
