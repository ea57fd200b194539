"""``pytsn eval-net``: the original ``tools/eval_net.py``, its arguments, output lines and score file."""

import argparse
import os
import sys

from pytsn.commands.arguments import frame_kinds_of
from pytsn.commands.confusion_argument import check_confusion, save_confusion
from pytsn.commands.eval_net_arguments import HELP, add_arguments
from pytsn.commands.report_arguments import check_report, save_report
from pytsn.commands.video_arguments import flow_method, video_settings, warn_of_flow
from pytsn.data.datasets import ANNOTATED_DATASETS, CUSTOM
from pytsn.data.modalities import MODALITIES
from pytsn.runtime.words import one_of

__all__ = ["HELP", "add_arguments", "run"]

#: what the line of all arguments leaves out: not given on the command line
_NOT_PRINTED = ("debug", "run_command", "command_line")


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints what the original prints. Raises PytsnError for bad input before any work."""
    import numpy as np

    from converter.errors import PytsnError
    from pytsn.evaluation.published import Evaluation
    from pytsn.evaluation.summary import Predictions, summarise
    from pytsn.weights.name_check import stream_under_test

    aggregate = _aggregation(args)
    check_report(args, (args.net_proto, args.net_weights, *_score_files(args)))
    check_confusion(args)
    print(argparse.Namespace(**{key: value for key, value in vars(args).items() if key not in _NOT_PRINTED}))
    print(args.dataset, flush=True)
    _note_ignored(args)
    chosen = _choose(args)
    if args.report is not None and not any(chosen.label_sets or [[0]]):
        raise PytsnError("the videos have no labels, so there is nothing to report: leave --report out")
    scores, settings = _score(args, chosen)
    labels = [video.label for video in chosen.videos]
    video_scores = np.stack([aggregate(array) for array in scores])  # V x (T, 10, K) -> (V, K)
    frames = None if args.snippet_rate else args.num_frame_per_video
    stream = stream_under_test(args.modality, args.net_weights)
    known = (args.dataset, args.split, (stream,), (1,), video_scores.shape[1], len(labels), frames)
    predictions = Predictions(video_scores, labels, chosen.label_sets)
    summary = summarise(predictions, Evaluation(*known, args.aggregation))
    for line in summary.lines("Accuracy {:.02f}%", "Top-5 accuracy {:.02f}% of videos", class_accuracies=True):
        print(line)
    for text in summary.warnings:
        print(f"warning: {text}", file=sys.stderr)
    save_confusion(args, predictions, args.dataset)
    if args.report is not None:
        _report(args, chosen, scores, settings)
    return 0


def _report(args: argparse.Namespace, chosen, scores: list, settings: dict) -> None:
    """The report of what the score file holds, whether one was written or not."""
    import numpy as np

    from converter.files import sha256_of
    from pytsn.evaluation.fused_scores import fuse
    from pytsn.scores.score_file import ScoreFile

    path = next(iter(_score_files(args)), "not saved")
    labels, names = np.array([video.label for video in chosen.videos]), tuple(video.name for video in chosen.videos)
    file = ScoreFile(path, scores, labels, names, settings)
    folders = {video.name: video.folder for video in chosen.videos}
    digest = sha256_of(path) if args.save_scores else "not saved"
    save_report(args, fuse([file], aggregation=args.aggregation), folders, [digest])


def _score_files(args: argparse.Namespace) -> list[str]:
    """The score file to be written, if there is one."""
    from pytsn.scores.score_file import score_path

    return [str(score_path(args.save_scores))] if args.save_scores else []


def _aggregation(args: argparse.Namespace):
    """The aggregation; for windows it depends on the snippet rate."""
    from pytsn.scores.snippet_rate import aggregation_at

    aggregate, notes = aggregation_at(args.aggregation, [_rates(args)["snippet_rate"]], "--snippet_rate is")
    for line in notes:
        print(line, file=sys.stderr)
    return aggregate


def _note_ignored(args: argparse.Namespace) -> None:
    from converter.errors import PytsnError

    if args.caffe_path:
        print("note: --caffe_path is ignored, no Caffe is needed", file=sys.stderr)
    if args.resume and not args.save_scores:
        raise PytsnError("--resume needs --save_scores: it goes on with that file's unfinished scores")
    if (args.dataset == CUSTOM) != bool(args.test_list):
        raise PytsnError("dataset 'custom' and --test_list FILE go together")
    if args.dataset not in ANNOTATED_DATASETS and (args.anet_file or args.subset):
        raise PytsnError(f"--anet_file and --subset go with the datasets {one_of(ANNOTATED_DATASETS, 'and')}")
    if args.video_fps and not args.snippet_rate:
        raise PytsnError("--video_fps goes with --snippet_rate")
    if args.rgbdiff and not MODALITIES[args.modality].difference:
        raise PytsnError(f"--rgbdiff {args.rgbdiff} goes with modality rgbdiff, not {args.modality}")


def _choose(args: argparse.Namespace):
    """The videos to score (a ChosenVideos). Names all missing ones before any work starts."""
    from pytsn.data.snippet_reader import video_ticks
    from pytsn.data.video_folder import counting_progress
    from pytsn.evaluation.choose_videos import VideoChoice, choose_videos

    choice = VideoChoice(
        args.dataset,
        args.split,
        args.modality,
        args.frame_path,
        frame_kinds_of(args),
        args.split_path,
        args.test_list,
        args.allow_missing,
        args.subset,
        args.anet_file,
        args.videos,
    )
    chosen = choose_videos(choice, print, counting_progress)
    for word, lines in (("note", chosen.notes), ("warning", chosen.warnings)):
        for text in lines:
            print(f"{word}: {text}", file=sys.stderr)
    warn_of_flow(args, chosen.videos)
    snippets = _options(args).snippets
    for video in chosen.videos:
        video_ticks(video, snippets)  # a video that cannot be sampled fails now, not hours later
    return chosen


def _score(args: argparse.Namespace, chosen) -> tuple[list, dict]:
    """The scores of all videos, V x (T, 10, K), and the settings of their file; those already in the store are not
    computed again."""
    from dataclasses import replace

    from converter.errors import PytsnError
    from pytsn.data.frame_size import frame_size_for
    from pytsn.evaluation.action_net import ActionNet
    from pytsn.evaluation.progress import collect_scores
    from pytsn.evaluation.score_videos import worker_device
    from pytsn.predict.labels import read_labels
    from pytsn.weights.name_check import weights_warnings

    options = _options(args)
    # A single worker scores with this net; with several it checks files and arguments before they start.
    net = ActionNet(args.net_proto, args.net_weights, _on_device(options, worker_device(0, options)))
    for line in net.report.remarks():
        print(line, file=sys.stderr)
    wanted = MODALITIES[args.modality].channels
    if net.channels != wanted:
        raise PytsnError(f"{args.net_proto}: takes {net.channels} planes, modality {args.modality} gives {wanted}")
    beyond = [video for video in chosen.videos if video.label >= net.num_classes]
    if beyond:
        raise PytsnError(
            f"video '{beyond[0].name}' has label {beyond[0].label}, but {args.net_proto} has {net.num_classes} classes:"
            " net of another dataset?"
        )
    if args.labels:
        read_labels(args.labels, net.num_classes, args.net_proto)  # now, not after hours of work
    size = frame_size_for(net.crop_size, args.frame_size, args.net_proto)
    options = replace(options, snippets=replace(options.snippets, frame_size=size))
    for line in weights_warnings(args.net_weights, args.dataset, args.split, args.modality):
        print(f"warning: {line}", file=sys.stderr)
    settings = _settings(args, chosen, size) if args.save_scores or args.report is not None else {}
    store = _store(args, chosen, settings) if args.save_scores else None
    scores = collect_scores(net, (args.net_proto, args.net_weights), chosen.videos, options, store)
    if net.drift:
        print(f"{args.precision} against fp32: scores differ by {net.drift[0]:.1e} of the largest, best class the same")
        print(f"for {net.drift[1] * 100:.1f}% of the first crops")
    return scores, settings


def _rates(args: argparse.Namespace) -> dict:
    """--snippet_rate and --video_fps by name as exact numbers, None where not given."""
    from pytsn.data.rate_ticks import parse_rate

    given = {"snippet_rate": args.snippet_rate, "video_fps": args.video_fps}
    return {name: parse_rate(text) if text else None for name, text in given.items()}


def _options(args: argparse.Namespace):
    from dataclasses import replace

    from pytsn.data.snippet_reader import SnippetOptions
    from pytsn.evaluation.action_net import NetOptions
    from pytsn.evaluation.score_videos import EvalOptions, flow_devices

    options = EvalOptions(
        NetOptions(
            args.device, args.precision, args.bn_style, args.score_name, args.batch_size, args.rgbdiff or "signed"
        ),
        SnippetOptions(args.modality, args.num_frame_per_video, *frame_kinds_of(args), **_rates(args)),
        args.num_worker,
        tuple(args.gpus or ()),
    )
    flow = flow_method(args, flow_devices(options))
    return replace(options, snippets=replace(options.snippets, flow=flow))


def _on_device(options, device: str):
    from dataclasses import replace

    return replace(options.net, device=device)


def _settings(args: argparse.Namespace, chosen, size) -> dict:
    """What the score file says of how its scores were made."""
    from converter.files import sha256_of

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
    if MODALITIES[args.modality].difference:
        settings["rgbdiff"] = args.rgbdiff or "signed"
    if args.snippet_rate:
        settings |= {"num_frame_per_video": None, "snippet_rate": args.snippet_rate, "video_fps": args.video_fps}
    if chosen.label_sets is not None:
        settings |= {"subset": args.subset, "label_sets": chosen.label_sets}
    return settings | video_settings(args, chosen.videos, size)


def _store(args: argparse.Namespace, chosen, settings: dict):
    from pytsn.scores.resume import ScoreStore

    names, labels = [video.name for video in chosen.videos], [video.label for video in chosen.videos]
    return ScoreStore(args.save_scores, names, labels, settings, args.resume)
