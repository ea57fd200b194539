"""``pytsn train``: the original's ``caffe train``, with its flags, log lines and files."""

import argparse
import contextlib
import os
import sys

from pytsn.commands.arguments import (
    add_device,
    add_frame_patterns,
    add_overrides,
    add_picture_format,
    add_readers,
    add_training_precision,
)
from pytsn.commands.video_arguments import add_training_frame_size

HELP = """\
train or fine-tune a net as its solver file says: the original's `caffe train`

  pytsn train --solver=solver.prototxt --weights=bn_inception.caffemodel
  pytsn train --solver=solver.prototxt --snapshot=models/rgb_iter_1000.solverstate
  pytsn train --solver=solver.prototxt --set batch_size=8 --set train.source=mine.txt --effective_batch 128
  torchrun --nproc_per_node 4 tools/train_tsn.py --solver=solver.prototxt --weights=bn_inception.caffemodel

Paths in solver, net and lists start at the current folder, as in Caffe. Snapshots are Caffe's (.caffemodel and
.solverstate) plus a side file (.pytsnstate). With the side file an interrupted run continues exactly; without it, it
continues as Caffe does. Ctrl-C and SIGTERM write a snapshot and stop the run.

--set changes a field of the solver, or of the net's VideoData layers (video_data_param, transform_param), in both
phases or one: --set max_iter=100 --set test.batch_size=1 --set stepvalue=100,200 --set transform_param.mirror=false
--frame_pattern and --flow_pattern set name_pattern in layers that read rgb frames and in layers that read flow.

If the solver has a random_seed, all random numbers are Caffe's own, and a CPU run reproduces Caffe's.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of train."""
    add = parser.add_argument
    add("--solver", "-solver", required=True, metavar="S", help="solver prototxt")
    add("--weights", "-weights", metavar="A[,B]", help="weights to start from, of any kind: see convert")
    add("--snapshot", "-snapshot", metavar="X", help="solverstate to continue from (not with --weights)")
    add("--gpu", "-gpu", type=int, metavar="G", help="CUDA device, Caffe's flag; same as --device cuda:G")
    add_device(add, "the solver's solver_mode, if there is CUDA")
    add_training_precision(add)
    add_readers(add)
    add(
        "--rng",
        choices=("caffe", "torch"),
        default="caffe",
        help="random number generator to use if random_seed is set",
    )
    add("--seed", type=int, metavar="N", help="random_seed of the solver; negative: none")
    add_overrides(add)
    add_frame_patterns(add)
    add_training_frame_size(add, "as the net says")
    add("--effective_batch", type=int, metavar="N", help="set iter_size for N videos per update (released models: 128)")
    add(
        "--clip_on",
        choices=("sum", "mean"),
        default="sum",
        help="clip the gradients' sum over iter_size (Caffe) or mean",
    )
    add(
        "--bn_variance",
        choices=("auto", "biased", "unbiased"),
        default="auto",
        help="variance that an unfrozen BN averages",
    )
    add(
        "--memory_format",
        choices=("channels_last", "contiguous"),
        default="channels_last",
        help="memory layout of images and weights",
    )
    add(
        "--graphs",
        choices=("auto", "on", "off"),
        default="auto",
        help="use CUDA graphs: the same numbers, faster (auto: on CUDA)",
    )
    add("--glog", action="store_true", help="start log lines with date, time and source, as Caffe does")
    add_picture_format(add, "the curves")
    add("--tensorboard", metavar="DIR", help="write TensorBoard logs")


def run(args: argparse.Namespace) -> int:
    """Trains. Returns 0; 1 when loss or weights are no longer finite; 130 or 143 when a signal stopped it."""
    from pytsn.runtime.distributed import join, world_from_environment
    from pytsn.runtime.stop_signals import StopSignals
    from pytsn.training.console import ProgressLog
    from pytsn.training.frame_size import frame_size_overrides
    from pytsn.training.loop import Console
    from pytsn.training.overrides import parse_override, pattern_overrides
    from pytsn.training.run import Training
    from pytsn.training.settings import plan_hardware, plan_solver

    rank, local_rank, world = world_from_environment()
    overrides = pattern_overrides(args.frame_pattern, args.flow_pattern) + frame_size_overrides(args.frame_size)
    overrides += tuple(parse_override(text) for text in args.set)
    plan = plan_solver(args.solver, overrides, args.seed, args.effective_batch, args.clip_on, world)
    channels_last = args.memory_format == "channels_last"
    hardware = plan_hardware(plan.solver, args.device, args.gpu, local_rank, args.precision, channels_last, args.graphs)
    options = _options(args, overrides, hardware, world)
    for note in plan.notes if rank == 0 else ():
        print(note, file=sys.stderr)
    with ProgressLog(plan.solver.max_iter, rank == 0, args.glog) as log, StopSignals() as signals:
        console = Console(log.print, lambda: signals.received, log.done, log.testing)
        with (
            contextlib.closing(join(hardware.device)) as processes,
            _only_run(plan.solver, processes.is_first),
            contextlib.closing(Training(plan.solver, options, processes, console)) as training,
        ):
            _place_curves(training, args.picture_format)
            status = _solve(training, console)
            training.processes.wait()
            return status


@contextlib.contextmanager
def _only_run(solver, is_first: bool):
    """A context of the only run that writes these snapshots; one that writes none is not kept from anything."""
    from pytsn.runtime.locks import NO_LOCKS, UNPROTECTED, only_writer
    from pytsn.training.snapshot import writes_snapshots

    if not is_first or not writes_snapshots(solver):
        yield
        return
    prefix = f"snapshot_prefix '{solver.snapshot_prefix}'"
    refusal = f"{prefix}: another run writes there; wait for its end, or give another by --set snapshot_prefix=PREFIX"
    with only_writer(solver.snapshot_prefix, refusal) as lock:
        if lock == UNPROTECTED:
            print(f"note: {prefix}: {NO_LOCKS}", file=sys.stderr)
        yield


def _options(args: argparse.Namespace, overrides, hardware, world: int):
    from pytsn.training.run import TrainOptions
    from pytsn.training.settings import default_workers

    return TrainOptions(
        weights=tuple(filter(None, (args.weights or "").split(","))),
        snapshot=args.snapshot,
        hardware=hardware,
        workers=default_workers(hardware.device, world) if args.workers is None else args.workers,
        rng=args.rng,
        clip_on=args.clip_on,
        bn_variance=args.bn_variance,
        overrides=overrides,
        tensorboard=args.tensorboard,
    )


def _place_curves(training, kind: str) -> None:
    """The curves are drawn beside the snapshots, under their name."""
    if training.processes.is_first:
        folder, name = os.path.split(training.param.snapshot_prefix)
        training.curves.draw_into(folder or ".", name or training.train.net.param.name, kind)


def _solve(training, console) -> int:
    from pytsn.training.solver import DivergedError

    console.print("Starting Optimization")
    try:
        stopped_by = training.solve()
    except DivergedError as error:
        last = training.last_snapshot
        if training.processes.is_first:
            print(f"error: {error}; {f'last snapshot: {last}' if last else 'no snapshot yet'}", file=sys.stderr)
        return 1
    if stopped_by:
        if training.processes.is_first:
            print(f"stopped; go on with --snapshot={training.last_snapshot}", file=sys.stderr)
            training.curves.try_to_draw()
        return 128 + stopped_by
    console.print("Optimization Done.")  # a second time: Caffe's solver and its command both print it
    if training.processes.is_first:
        training.curves.draw()
    return 0
