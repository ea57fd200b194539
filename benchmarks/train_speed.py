"""Iterations per second of `pytsn train`, compared with plain PyTorch on the same crops, and the time spent on data.

    python benchmarks/train_speed.py                       2 videos x 3 segments an iteration, on all cores
    python benchmarks/train_speed.py --videos 2 4 8        a table for each
    python benchmarks/train_speed.py --modality flow
    python benchmarks/train_speed.py --device cuda         32 videos; fp32, TF32, bf16, with and without CUDA graphs

Each round runs in turn one iteration (data, forward, backward, clipping, update) of the UCF101 net as in `pytsn train`,
reading random JPEG frames from a temporary folder, and one of eager PyTorch (channels-last, the same partial BN,
torch.optim.SGD), which has its crops in memory. On a CPU each has a process of its own (benchmarks/train_apart.py).
Ratios are medians of the ratios within a round; above 1: faster than eager PyTorch. Waiting: the share of an iteration
until its data is ready, mean subtracted; with --workers 0 it includes reading the frames. Processor s: of all threads,
less disturbed by other programs, but with the time in which eager PyTorch's threads wait busily for each other.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from statistics import median

import torch
from timing import interleave, machine, print_table, ratio
from train_apart import EAGER, Job, measure
from train_contestants import Dataset, PlainTorch, training, write_dataset

from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import TRAINING_PRECISIONS
from pytsn.training.hardware import Hardware
from pytsn.training.run import Training
from pytsn.training.settings import default_workers


class Contestant:
    """``pytsn train`` with one set of options, and plain PyTorch with the same."""

    def __init__(self, dataset: Dataset, hardware: Hardware, workers: int) -> None:
        self.run: Training = training(dataset, hardware, workers)
        self.plain = PlainTorch(dataset, hardware, self.run.train.net.state_dict())
        self.hardware = hardware
        self.waited: list[float] = []
        self._batch: dict[str, torch.Tensor] = {}
        self._layers = self.run.train.data_layers
        self._next_batch, self._next_raw = self._layers.next_batch, self._layers.next_raw
        for name, keeper in (("next_batch", self._keep), ("next_raw", self._keep_raw)):
            setattr(self._layers, name, keeper)  # in the place of the methods

    def _keep(self, device: torch.device) -> dict[str, torch.Tensor]:
        self._batch = self._next_batch(device)
        return self._batch

    def _keep_raw(self, device: torch.device) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        raw = self._next_raw(device)
        self._batch = self._layers.blobs(raw)
        return raw

    def iterate(self) -> None:
        """Runs an iteration of ``pytsn train``."""
        self.hardware.prepare()
        before = self.run.train.data_seconds
        self.run.loop.step()
        self.waited.append(self.run.train.data_seconds - before)

    def iterate_plain(self) -> None:
        """Runs an iteration of plain PyTorch on the same crops."""
        self.hardware.prepare()
        self.plain.step(*self._batch.values())


def contestants(dataset: Dataset, args: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Contestant]:
    """Name -> contestant on a GPU: all precisions and layouts."""
    device = torch.device(args.device)
    hardwares = {"fp32, NCHW": Hardware(device, channels_last=False)}
    for precision in TRAINING_PRECISIONS:
        hardwares[precision] = Hardware(device, precision)
        hardwares[f"{precision}, graphs"] = Hardware(device, precision, record=True)
    found = {name: Contestant(dataset, hardware, args.workers) for name, hardware in hardwares.items()}
    for contestant in found.values():
        stack.callback(contestant.run.close)
    return found


def report_cpu(dataset: Dataset, folder: Path, args: argparse.Namespace) -> None:
    """Runs the rounds on a CPU and prints the table."""
    turns = measure(Job(dataset, args.threads, args.workers, folder / "start.pt"), args.rounds)
    walls = {name: [turn.wall for turn in own] for name, own in turns.items()}
    spent = {name: [turn.processor for turn in own] for name, own in turns.items()}
    rows = []
    for name, own in turns.items():
        waited = sum(turn.waited for turn in own)
        speed = [f"{min(walls[name]):.4f}", f"{median(walls[name]):.4f}", f"{1 / median(walls[name]):.2f}"]
        processor = [f"{median(spent[name]):.3f}", f"{ratio(spent, name, [EAGER]):.3f}"]
        waiting = f"{waited / sum(walls[name]):.1%}" if waited else ""
        rows.append([name, *speed, f"{ratio(walls, name, [EAGER]):.3f}", waiting, *processor])
    print(f"{machine(args.threads)}, {args.workers} reading processes")
    print(f"{dataset.spec.modality}, {dataset.crops} crops an iteration, {args.rounds} rounds\n")
    print_table(["", "min s", "median s", "iterations/s", "/ eager", "waiting", "processor s", "/ eager"], rows)


def report_gpu(dataset: Dataset, args: argparse.Namespace) -> None:
    """Runs the rounds on a GPU and prints the table."""
    with contextlib.ExitStack() as stack:
        runs = contestants(dataset, args, stack)
        calls = {}
        for name, run in runs.items():
            calls[f"pytsn train, {name}"] = run.iterate
            if not run.hardware.record:
                calls[f"eager PyTorch, {name}"] = run.iterate_plain
        times = interleave(calls, args.rounds)
    waited = {f"pytsn train, {name}": run.waited[-args.rounds :] for name, run in runs.items()}
    eager = [name for name in times if name.startswith("eager")]
    rows = []
    for name, own in times.items():
        limit = next(plain for plain in eager if name.partition(", ")[2].removesuffix(", graphs") in plain)
        speed = [
            f"{min(own):.4f}",
            f"{median(own):.4f}",
            f"{1 / median(own):.2f}",
            f"{ratio(times, name, [limit]):.3f}",
        ]
        rows.append([name, *speed, f"{sum(waited[name]) / sum(own):.1%}" if name in waited else ""])
    print(f"{torch.cuda.get_device_name(args.device)}, {machine(args.threads)}, {args.workers} reading processes")
    print(f"{dataset.spec.modality}, {dataset.crops} crops an iteration, {args.rounds} rounds\n")
    print_table(["", "min s", "median s", "iterations/s", "/ eager", "waiting"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: cpu)")
    parser.add_argument("--modality", choices=("rgb", "flow"), default="rgb", help="input of the net (default: rgb)")
    parser.add_argument(
        "--videos", type=int, nargs="+", help="videos per iteration, 3 segments each (default: 2; on a GPU 32)"
    )
    parser.add_argument("--rounds", type=int, default=10, help="iterations of each contestant (default: 10)")
    parser.add_argument("--threads", type=int, default=cpu_count(), help="CPU threads (default: all cores)")
    parser.add_argument("--workers", type=int, help="reading processes (default: 1; on a GPU up to 8)")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: this PyTorch sees no CUDA device")
    on_cpu = args.device == "cpu"
    if args.workers is None:
        args.workers = default_workers(torch.device(args.device), 1)
    torch.set_num_threads(args.threads)
    for index, videos in enumerate(args.videos or [2 if on_cpu else 32]):
        if index:
            print()
        with tempfile.TemporaryDirectory() as folder:
            dataset = write_dataset(Path(folder), args.modality, videos, 2 * videos)
            if on_cpu:
                report_cpu(dataset, Path(folder), args)
            else:
                report_gpu(dataset, args)


if __name__ == "__main__":
    main()
