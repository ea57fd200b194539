"""Turns the command line and the solver file into the settings of a training run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.proto import read_solver
from converter.text_table import amount
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import TRAINING_PRECISIONS, pick_device
from pytsn.training.hardware import Hardware
from pytsn.training.overrides import Override, override_solver
from pytsn.training.snapshot import check_prefix, writes_snapshots
from pytsn.training.solver_nets import train_spec

RELEASED_BATCH = 128  # videos per update that the released schedules assume: 32 per process, 4 processes
_READERS_OF_A_GPU = 8
_IGNORED = ("debug_info", "snapshot_diff")  # gradients in logs and caffemodels, which nothing reads back


@dataclass(frozen=True)
class SolverPlan:
    """A solver ready to run, and lines about it for the user."""

    solver: pb.SolverParameter
    notes: tuple[str, ...] = ()


def plan_solver(
    path: str | os.PathLike,
    overrides: Sequence[Override] = (),
    seed: int | None = None,
    effective_batch: int | None = None,
    clip_on: str = "sum",
    world: int = 1,
) -> SolverPlan:
    """Reads the solver file and sets its overrides, seed and iter_size.

    ``effective_batch``: videos per update, over ``world`` processes; iter_size follows from it. Raises PytsnError
    naming the file for settings that cannot run.
    """
    solver = read_solver(path)
    override_solver(solver, overrides)
    if seed is not None:
        solver.random_seed = seed
    _check(solver, str(path))
    batch = _batch_size(solver, overrides)
    notes = [_set_iter_size(solver, batch * world, effective_batch, clip_on)] if effective_batch is not None else []
    ignored = [name for name in _IGNORED if getattr(solver, name)]
    notes += [f"note: the solver's {name} is ignored" for name in ignored]
    notes += _device_notes(solver, str(path), batch, world)
    return SolverPlan(solver, (*notes, *_batch_notes(solver, batch, world)))


def _check(solver: pb.SolverParameter, path: str) -> None:
    if solver.max_iter < 1:
        raise PytsnError(f"{path}: max_iter must be above 0, found {solver.max_iter}")
    if writes_snapshots(solver):
        check_prefix(solver.snapshot_prefix)


def _batch_size(solver: pb.SolverParameter, overrides: Sequence[Override]) -> int:
    layers = [layer for layer in train_spec(solver, overrides).param.layer if layer.type == "VideoData"]
    if not layers:
        raise PytsnError("the training net has no VideoData layer: nothing to train on")
    return layers[0].video_data_param.batch_size


def _set_iter_size(solver: pb.SolverParameter, videos: int, wanted: int, clip_on: str) -> str:
    if wanted < 1 or videos < 1 or wanted % videos:
        raise PytsnError(
            f"--effective_batch {wanted}: a pass sees {videos} videos (batch_size x processes), which must divide it:"
            " change one of them (--set train.batch_size=...)"
        )
    solver.iter_size = wanted // videos
    note = f"note: --effective_batch {wanted} sets iter_size to {solver.iter_size}"
    if solver.clip_gradients >= 0 and solver.iter_size > 1 and clip_on == "sum":
        note += (
            f"; clip_gradients {solver.clip_gradients:g} applies to the sum over iter_size, as in Caffe, so it clips"
            f" gradients {solver.iter_size} times smaller than at iter_size 1; --clip_on mean applies it to their mean"
        )
    return note


def _device_notes(solver: pb.SolverParameter, path: str, batch: int, world: int) -> list[str]:
    """What ``device_id`` and ``group_id`` meant to Caffe, which started a process for each device, and mean here."""
    meant, videos = len(solver.device_id), batch * solver.iter_size
    parts = []
    if meant > 1 and meant == world:
        parts = [f"device_id {list(solver.device_id)}: where there is CUDA, process r takes the r-th of these devices"]
    elif meant > 1:
        parts = [
            f"device_id names {meant} devices, one for each process of Caffe's, and this run has {world}: `torchrun "
            f"--nproc_per_node {meant} tools/train_tsn.py --solver={path}` starts as many, or --effective_batch "
            f"{meant * videos} makes updates of as many videos ({meant} x {videos})"
        ]
    parts += ["the solver's group_id is ignored: every update is the mean over all processes"] * bool(solver.group_id)
    return [f"note: {'; '.join(parts)}"] if parts else []


def _batch_notes(solver: pb.SolverParameter, batch: int, world: int) -> list[str]:
    videos = batch * solver.iter_size * world
    shape = f"batch_size {batch} x iter_size {solver.iter_size} x processes {world}"
    lines = [f"effective batch: {amount(videos, 'video')} ({shape})"]
    if videos != RELEASED_BATCH:
        lines.append(
            f"warning: the effective batch is {videos}; the released schedules assume {RELEASED_BATCH}:"
            f" --effective_batch {RELEASED_BATCH} sets iter_size for it"
        )
    return lines


def plan_hardware(
    solver: pb.SolverParameter,
    device: str = "auto",
    gpu: int | None = None,
    local_rank: int = 0,
    precision: str = "fp32",
    channels_last: bool = True,
    graphs: str = "auto",
) -> Hardware:
    """The device and how to use it. ``gpu`` is Caffe's flag; "auto" takes the solver's solver_mode and device_id, if
    CUDA is available. With several processes each takes the device of its ``local_rank``. ``graphs``: auto (on CUDA),
    on or off. Raises PytsnError."""
    if precision not in TRAINING_PRECISIONS:
        raise PytsnError(f"precision '{precision}': one of {', '.join(TRAINING_PRECISIONS)} was expected")
    if gpu is not None and gpu >= 0 and device == "auto":
        device = f"cuda:{gpu}"
    if device == "auto":
        cuda = solver.solver_mode == pb.SolverParameter.GPU and torch.cuda.is_available()
        device = f"cuda:{_device_id(solver, local_rank)}" if cuda else "cpu"
    elif device == "cuda":
        device = f"cuda:{local_rank}"
    chosen = pick_device(device)
    if precision == "tf32" and chosen.type != "cuda":
        raise PytsnError("precision tf32 needs a CUDA device")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return Hardware(chosen, precision, channels_last, graphs == "on" or (graphs == "auto" and chosen.type == "cuda"))


def _device_id(solver: pb.SolverParameter, local_rank: int) -> int:
    listed = list(solver.device_id)
    return listed[local_rank] if local_rank < len(listed) else local_rank


def default_workers(device: torch.device, world: int) -> int:
    """Number of reading processes: one for training on a CPU; on a GPU up to 8 per training process, which leaves a
    core to the training process itself."""
    if device.type == "cpu":
        return 1
    return max(1, min(_READERS_OF_A_GPU, cpu_count() // world - 1))
