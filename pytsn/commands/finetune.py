"""``pytsn finetune``: trains a TSN on list files, without prototxts."""

import argparse
import os
import sys

from pytsn.commands.arguments import (
    add_bn_style,
    add_device,
    add_frame_patterns,
    add_overrides,
    add_picture_format,
    add_readers,
    add_trained_blob,
    add_training_precision,
)
from pytsn.commands.video_arguments import add_training_frame_size
from pytsn.data.modalities import MODALITIES
from pytsn.runtime.words import one_of

HELP = """\
fine-tune a TSN on lists of videos: any classes, modality, consensus and snippet net

  pytsn finetune train.txt --val_list val.txt -o run --init bn_inception_rgb_init.caffemodel
  pytsn finetune train.txt --val_list val.txt -o run --init kinetics.caffemodel --consensus attention --num_segments 7
  pytsn finetune flow.txt --val_list flow_val.txt -o run --modality flow --init rgb.caffemodel --precision bf16
  pytsn finetune train.txt -o run --init w.caffemodel --solver solver.prototxt --net deploy.prototxt
  torchrun --nproc_per_node 4 tools/finetune.py train.txt --val_list val.txt -o run --init w.caffemodel

Lists are as build-file-list writes them, one video per line: folder, number of frames, label from 0. For rgb and
rgbdiff the folder may be a video file, decoded on the fly: `build-file-list folders VIDEOS` writes such lists. A
classifier with another number of classes than --init starts from random weights. For flow and rgbdiff, the first
filters of rgb weights are averaged over the colours.

The defaults are the papers': schedule, learning rate, clipping, dropout and crops of the modality, 128 videos per
update. Data, update rule and learning rates work as in `pytsn train`; so does --set for data layers and solver.

The output folder (-o) gets the last and the best weights (by accuracy on --val_list) with their deploy.prototxt, ready
for eval-net and convert, loss.png and accuracy.png, and a checkpoint for --resume. Ctrl-C and SIGTERM write a
checkpoint and stop the run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of finetune."""
    add = parser.add_argument
    add("train_list", metavar="TRAIN_LIST", help="training videos: lines `folder frames label`")
    add("-o", "--out", required=True, metavar="FOLDER", help="output folder; made if missing")
    add("--val_list", metavar="LIST", help="validation videos, tested after each epoch")
    add_frame_patterns(add)
    add_training_frame_size(add, "as they are; in proportion for nets of more than 256 pixels")
    add("--modality", default="rgb", help=f"{one_of(MODALITIES)} (default: %(default)s)")
    add("--num_segments", type=int, default=3, metavar="S", help="snippets per video (default: %(default)s)")
    add("--consensus", default="average", help="average, max, topk:K, weighted or attention (default: %(default)s)")
    add("--num_classes", type=int, metavar="K", help="number of classes (default: the largest label + 1)")
    add("--init", metavar="WEIGHTS", help="weights to start from, of any kind: see convert")
    add_bn_style(add, "BN of an --init caffemodel, see convert")
    add("--net", metavar="DEPLOY", help="deploy prototxt of the snippet net (default: BN-Inception)")
    add_trained_blob(add)
    add("--dropout", type=float, metavar="R", help="dropout ratio before the classifier (default: the modality's)")
    add("--partial_bn", choices=("yes", "no"), help="freeze all BN but the first (default: yes with --init)")
    _add_schedule(parser)
    _add_hardware(parser)


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("schedule").add_argument
    add("--epochs", type=float, metavar="E", help="passes over the training list (default: the modality's)")
    add("--lr", type=float, metavar="R", help="learning rate (default: the modality's, for 128 videos per update)")
    add("--lr_steps", metavar="E,E", help="epochs after which --lr is divided by 10 (default: as released)")
    add(
        "--solver",
        metavar="FILE",
        help="take lr, policy, length, iter_size, decay, clipping ... from a solver prototxt",
    )
    add("--batch_size", type=int, default=32, metavar="N", help="videos per batch and process (default: %(default)s)")
    add("--val_batch_size", type=int, metavar="N", help="videos per validation batch (default: --batch_size)")
    add("--accumulate", type=int, metavar="A", help="batches per update (default: enough for 128 videos)")
    add(
        "--clip_on",
        choices=("sum", "mean"),
        help="clip the sum of the batches' gradients (Caffe; default with --solver) or their mean",
    )
    add_overrides(add)
    add("--seed", type=int, metavar="N", help="random seed")
    add("--resume", action="store_true", help="continue from the checkpoint in FOLDER, with the same options")


def _add_hardware(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("machine").add_argument
    add_device(add)
    add_training_precision(add)
    add("--graphs", choices=("auto", "on", "off"), default="auto", help="use CUDA graphs (auto: on CUDA)")
    add_readers(add)
    add(
        "--format",
        choices=("safetensors", "pth"),
        default="safetensors",
        help="format of the weights (default: %(default)s)",
    )
    add_picture_format(add, "the curves")


def run(args: argparse.Namespace) -> int:
    """Trains. Returns 0; 1 when loss or weights are no longer finite; 130 or 143 when a signal stopped it."""
    import contextlib

    from converter import caffe_tsn_pb2 as pb
    from pytsn.finetune.run import Finetuning
    from pytsn.runtime.distributed import join, world_from_environment
    from pytsn.runtime.locks import NO_LOCKS, UNPROTECTED, only_user
    from pytsn.runtime.stop_signals import StopSignals
    from pytsn.training.console import ProgressLog
    from pytsn.training.loop import Console
    from pytsn.training.settings import default_workers, plan_hardware

    rank, local_rank, world = world_from_environment()
    options = _options(args)
    hardware = plan_hardware(pb.SolverParameter(), args.device, None, local_rank, args.precision, graphs=args.graphs)
    workers = default_workers(hardware.device, world) if args.workers is None else args.workers
    with (
        contextlib.closing(join(hardware.device)) as processes,
        only_user(options.out, "another run") if processes.is_first else contextlib.nullcontext() as lock,
        contextlib.closing(Finetuning(options, hardware, workers, processes)) as training,
    ):
        unprotected = [f"note: {options.out}: {NO_LOCKS}"] * (lock == UNPROTECTED)
        with ProgressLog(training.param.max_iter, rank == 0) as log, StopSignals() as signals:
            for line in (*unprotected, *training.notes, *training.summary):
                log.print(line)
            if rank == 0:
                training.curves.draw_into(options.out, _title(options), args.picture_format)
            status = _solve(training, Console(log.print, lambda: signals.received, log.done, log.testing))
        training.processes.wait()
        return status


def _options(args: argparse.Namespace):
    from converter.errors import PytsnError
    from pytsn.finetune.options import FinetuneOptions
    from pytsn.training.frame_size import frame_size_overrides
    from pytsn.training.overrides import parse_override, pattern_overrides

    same: tuple[str, ...]
    same = ("train_list", "out", "val_list", "modality", "num_segments", "consensus", "num_classes", "dropout", "net")
    same += ("score_name", "init", "bn_style", "batch_size", "val_batch_size", "accumulate", "epochs", "lr", "solver")
    same += ("clip_on", "seed", "resume", "format")
    try:
        steps = args.lr_steps and tuple(float(part) for part in args.lr_steps.split(","))
    except ValueError:
        raise PytsnError(f"--lr_steps {args.lr_steps}: numbers of epochs with commas between were expected") from None
    return FinetuneOptions(
        **{name: getattr(args, name) for name in same},
        partial_bn=args.partial_bn and args.partial_bn == "yes",
        lr_steps=steps,
        overrides=(
            *pattern_overrides(args.frame_pattern, args.flow_pattern),
            *frame_size_overrides(args.frame_size),
            *(parse_override(text) for text in args.set),
        ),
    )


def _title(options) -> str:
    """The run, in the pictures of its curves."""
    name = os.path.basename(os.path.abspath(options.out))
    if options.num_segments == 1:
        return f"{name}: {options.modality}, one snippet a video"
    return f"{name}: {options.modality}, {options.num_segments} segments, consensus {options.consensus}"


def _solve(training, console) -> int:
    from pytsn.training.solver import DivergedError

    first = training.processes.is_first
    try:
        stopped_by = training.solve(console)
    except DivergedError as error:
        if first:
            last = training.last_checkpoint
            print(f"error: {error}; {f'last checkpoint: {last}' if last else 'no checkpoint yet'}", file=sys.stderr)
        return 1
    if stopped_by:
        if first:
            print(f"stopped; the same command with --resume goes on from {training.last_checkpoint}", file=sys.stderr)
            training.curves.try_to_draw()
        return 128 + stopped_by
    if first:
        for path in training.curves.draw():
            console.print(f"wrote {path}")
        console.print(training.outcome())
    return 0
