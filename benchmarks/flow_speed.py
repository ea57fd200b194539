"""TV-L1 flow at 340x256: pairs per second of our presets, compared with OpenCV's CPU DualTVL1 in the same run.

    python -m venv ENV && ENV/bin/pip install 'opencv-contrib-python-headless<5'
    python benchmarks/flow_speed.py --contrib ENV/bin/python        one core of the CPU
    python benchmarks/flow_speed.py --device cuda --batches 32 128  pairs/s of batches, compared with memory bandwidth

On the CPU everything runs on one thread, in turn; ratios are medians of the ratios within a round, above 1: we are
faster. Whole flow: the preset opencv-cpu does exactly OpenCV's iterations, as the column "from OpenCV" shows (mean
distance in pixels; OpenCV 5 warps differently and deviates a little). The presets of the GPU versions do other
iterations, so they are compared by the time of one iteration: one level, one warp, a fixed number of iterations, minus
a run of one iteration. On a GPU, the bound assumes that an iteration reads and writes its fields once in memory;
kernels that do several iterations per pass may exceed it. The first call, which compiles, is not counted unless it uses
up the row's time limit. Input: the recorded pairs in ../shared if present (one almost still, one with much motion),
else moving textures.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from flow_contestants import MAKE_CONTRIB, OURS, OpenCv, fixed_iterations, frame_pairs, opencv_fixed, preset_flow
from timing import Rows, Times, interleave, machine, print_table, ratio, within

from pytsn.flow.tvl1.cpu_solver import OptflowOptions, level_sizes
from pytsn.flow.tvl1.gpu_pyramid import level_sizes as gpu_level_sizes
from pytsn.flow.tvl1.presets import find_preset

Pair = tuple[torch.Tensor, torch.Tensor]

ITERATIONS = 150
# an iteration reads flow (2), dual fields (4) and linearised images (5), and writes flow and dual fields (6)
FLOATS_A_PIXEL = 17
OPENCV = "OpenCV"
#: the most important rows first, as time on a GPU is short
CUDA_ROWS = (
    ("opencv2.4-cuda", "kernels"),
    ("opencv-cpu", "kernels"),
    ("opencv2.4-cuda", "PyTorch"),
    ("opencv-cpu", "PyTorch"),
    ("opencv3-cuda", "kernels"),
    ("opencv2.4.9-cuda", "kernels"),
    ("opencv3-cuda", "PyTorch"),
)


def cpu_tables(args: argparse.Namespace) -> None:
    """Prints both comparisons, on one core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pairs = frame_pairs()
    grays = torch.from_numpy(pairs["gray0"]), torch.from_numpy(pairs["gray1"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.npz")
        np.savez(path, gray0=pairs["gray0"], gray1=pairs["gray1"])
        opencv = OpenCv(args.contrib, path) if args.contrib else None
        if opencv is None:
            print(f"without OpenCV's DualTVL1; to compare: {MAKE_CONTRIB}; then --contrib ENV/bin/python\n")
        print(f"{machine(1)}, OpenCV contrib {opencv.version if opencv else 'absent'}, {args.rounds} rounds\n")
        whole_table(args, grays, opencv, Path(folder, "flow.npy"))
        print()
        iteration_table(args, grays, opencv)
        if opencv:
            opencv.close()


def whole_table(args: argparse.Namespace, grays: Pair, opencv: OpenCv | None, path: Path) -> None:
    """Prints seconds per pair with default parameters."""
    flows: dict[str, Callable[[], object]] = {OPENCV: opencv} if opencv else {}
    flows.update({name: preset_flow(name, *grays) for name in OURS})
    times = interleave(flows, args.rounds, warm_up=1)
    distances = {}
    if opencv:
        opencv(save=str(path))
        flow = preset_flow("opencv-cpu", *grays)()[0].numpy()
        distances["opencv-cpu"] = f"{np.linalg.norm(flow - np.load(path), axis=-1).mean():.1e}"
    rows = []
    for name, own in times.items():
        seconds = median(own) / len(grays[0])
        versus = f"{ratio(times, name, [OPENCV]):.2f}" if opencv else ""
        rows.append([name, f"{seconds:.3f}", f"{1 / seconds:.2f}", versus, distances.get(name, "")])
    print_table(["whole flow", "s/pair", "pairs/s", "/ OpenCV", "from OpenCV"], rows)


def iteration_table(args: argparse.Namespace, grays: Pair, opencv: OpenCv | None) -> None:
    """Prints milliseconds per iteration of one pair at full size."""
    runs: dict[str, Callable[[], object]] = {}
    for count in (1, ITERATIONS):
        if opencv:
            runs[f"{OPENCV} {count}"] = partial(opencv, **opencv_fixed(count))
        runs.update({f"{name} {count}": fixed_iterations(name, *grays, count) for name in OURS})
    raw = interleave(runs, args.rounds, warm_up=1)
    scale = (ITERATIONS - 1) * len(grays[0]) / 1000
    times: Times = {}
    for name in ([OPENCV] if opencv else []) + list(OURS):
        pairs = zip(raw[f"{name} {ITERATIONS}"], raw[f"{name} 1"], strict=True)
        times[name] = [(many - one) / scale for many, one in pairs]
    rows = [
        [name, f"{median(own):.3f}", f"{ratio(times, name, [OPENCV]):.2f}" if opencv else ""]
        for name, own in times.items()
    ]
    print_table(["one iteration", "ms", "/ OpenCV"], rows)


def cuda_table(args: argparse.Namespace) -> None:
    """Prints pairs per second of batches, compared with the memory bandwidth; each row as soon as it is measured."""
    print(f"{torch.cuda.get_device_name(args.device)}, {machine(1)}", flush=True)
    bandwidth = copy_bandwidth(args.device)
    print(f"copy on the device: {bandwidth / 1e9:.0f} GB/s; at most {args.rounds} calls and {args.limit:g} s a row\n")
    table = Rows(["preset", "route", "batch", "pairs/s", "calls", "bound pairs/s", "share", "peak MB"], [16, 7])
    for name, route in CUDA_ROWS:
        for batch in args.batches:
            table.add(cuda_row(args, name, route, batch, bandwidth))


def cuda_row(args: argparse.Namespace, name: str, route: str, batch: int, bandwidth: float) -> list[str]:
    """One row of ``cuda_table``: the recorded pairs, repeated to ``batch``. Peak MB includes memory of earlier rows."""
    pairs = [torch.from_numpy(pair).to(args.device) for pair in frame_pairs().values()]
    gray0, gray1 = (pair.repeat(batch // 2 + 1, 1, 1)[:batch] for pair in pairs)
    flow = preset_flow(name, gray0, gray1, kernels=route == "kernels")
    torch.cuda.reset_peak_memory_stats(args.device)
    try:
        times, (_, counts) = within(flow, args.rounds, args.limit)
    except torch.OutOfMemoryError:
        return [name, route, f"{batch}", "out of memory", *[""] * 4]
    seconds, bound = median(times), needed_bytes(name, (gray0.shape[1], gray0.shape[2]), counts) / bandwidth
    megabytes = torch.cuda.max_memory_allocated(args.device) / 1e6
    numbers = [f"{batch / seconds:.1f}", f"{len(times)}", f"{batch / bound:.1f}", f"{bound / seconds:.2f}"]
    return [name, route, f"{batch}", *numbers, f"{megabytes:.0f}"]


def needed_bytes(name: str, size: tuple[int, int], counts) -> float:
    """Bytes that the iterations read and write if each is one pass; ``counts`` [b][level, coarse to fine][warp]."""
    sizes = level_sizes(*size, OptflowOptions()) if name == "opencv-cpu" else gpu_level_sizes(*size, find_preset(name))
    iterations = np.asarray(counts).sum((0, 2))  # (b, level, warp) -> (level,)
    pixels = np.asarray([rows * columns for rows, columns in reversed(sizes)])
    return float((iterations * pixels).sum()) * FLOATS_A_PIXEL * 4


def copy_bandwidth(device: str) -> float:
    """Bytes per second, read plus written, of a copy on the device."""
    source = torch.zeros(1 << 28, device=device)
    target = torch.empty_like(source)
    times = interleave({"copy": lambda: target.copy_(source)}, 20)
    return 2 * source.nbytes / median(times["copy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contrib", help=f"python that has OpenCV's DualTVL1, made by: {MAKE_CONTRIB}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: cpu)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds; each times every contestant once (default: 7)")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[32, 128], help="batch sizes on a GPU (default: 32 128)"
    )
    parser.add_argument("--limit", type=float, default=10, help="seconds per row on a GPU (default: 10)")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: this PyTorch sees no CUDA device")
    (cpu_tables if args.device == "cpu" else cuda_table)(args)


if __name__ == "__main__":
    main()
