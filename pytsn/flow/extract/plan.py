"""Turns the command's arguments into the workers' settings."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from pytsn.data.video_file import check_size
from pytsn.flow.extract.folder import VideoFolder
from pytsn.flow.extract.resume import found_flow_type
from pytsn.flow.extract.sizing import default_batch, default_workers
from pytsn.flow.extract.video import ExtractSettings
from pytsn.flow.extract.worker import VideoTask, WorkerSettings
from pytsn.runtime.cores import cpu_count

_LONGEST_STEP = 10**9


@dataclass(frozen=True)
class ExtractPlan:
    """workers: processes at most. devices: worker i uses the (i % len)-th."""

    extract: ExtractSettings
    out: str
    workers: int
    devices: tuple[str, ...]
    batch_size: int
    resume: bool

    def worker_settings(self, videos: int) -> Callable[[int], WorkerSettings]:
        """Settings of worker i. With fewer ``videos`` than workers on a CPU, each process gets more threads."""
        on_cpu = self.devices == ("cpu",)
        threads = max(1, self.workers // max(1, min(self.workers, videos))) if on_cpu else 1
        return lambda number: WorkerSettings(
            self.out, self.extract, self.devices[number % len(self.devices)], self.batch_size, threads, self.resume
        )


def make_plan(args: argparse.Namespace) -> ExtractPlan:
    """Checks the arguments of build-of. Raises PytsnError for invalid values and unavailable devices."""
    _check_numbers(args)
    devices = _devices(args)
    gpus = 0 if devices == ("cpu",) else len(devices)
    workers = args.num_worker or default_workers(gpus, cpu_count())
    preset = _preset(args)
    extract = ExtractSettings(
        flow_type=args.flow_type,
        algorithm=args.algorithm,
        preset=preset,
        bound=args.bound,
        step=args.step,
        width=args.new_width,
        height=args.new_height,
        quality=args.quality,
        out_format=args.out_format,
    )
    batch = args.batch_size or default_batch(_memory(devices), -(-workers // len(devices)))
    return ExtractPlan(extract, args.out_dir, workers, devices, batch, args.resume == "yes")


def refuse_other_flow_type(tasks: Sequence[VideoTask], out: str, flow_type: str) -> None:
    """Raises PytsnError if OUT holds flow of the other type, which this run would replace, including the frames."""
    for task in tasks:
        folder = VideoFolder(out, task.name).path
        found = found_flow_type(folder)
        if found not in (None, flow_type):
            raise PytsnError(f"{folder}: holds {found} images; extract {flow_type} into another OUT")


def _check_numbers(args: argparse.Namespace) -> None:
    for name in ("num_worker", "num_gpu", "batch_size", "step"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise PytsnError(f"--{name} {value}: at least 1")
    if not 1 <= args.quality <= 100:
        raise PytsnError(f"--quality {args.quality}: JPEG quality is 1 to 100")
    if not 0 < args.bound < float("inf"):
        raise PytsnError(f"--bound {args.bound}: pixels, more than 0")
    if args.step > _LONGEST_STEP:
        raise PytsnError(f"--step {args.step}: no video has so many frames")
    check_size(args.new_width, args.new_height)


def _devices(args: argparse.Namespace) -> tuple[str, ...]:
    """Devices for the workers in turn; only TV-L1 can use a GPU."""
    if args.algorithm != "tvl1" or (args.device == "cpu" and args.num_gpu is None):
        return ("cpu",)
    from pytsn.runtime.device import pick_device

    device = pick_device(args.device)
    if device.type == "cpu" or device.index is not None:
        return (str(device),)
    import torch

    found = torch.cuda.device_count()
    if args.num_gpu is not None and args.num_gpu > found:
        raise PytsnError(f"--num_gpu {args.num_gpu}: this PyTorch sees {found} CUDA devices")
    return tuple(f"cuda:{index}" for index in range(args.num_gpu or found))


def _memory(devices: tuple[str, ...]) -> int | None:
    """Bytes of the smallest GPU; None on a CPU."""
    if devices == ("cpu",):
        return None
    import torch

    return min(torch.cuda.get_device_properties(device).total_memory for device in devices)


def _preset(args: argparse.Namespace) -> str:
    if args.algorithm != "tvl1":
        if args.preset is not None:
            raise PytsnError(f"--preset {args.preset}: presets are of --algorithm tvl1, not of {args.algorithm}")
        return ""
    from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS

    preset = args.preset or DEFAULT_PRESET
    if preset not in PRESETS:
        raise PytsnError(f"--preset {preset}: one of {', '.join(PRESETS)} was expected")
    return preset
