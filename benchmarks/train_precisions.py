"""Accuracy of nets trained in each precision on the demo's videos, seed by seed: is the difference within the noise?

    pytsn demo --quick -o demo                                 makes the videos, their lists and the solvers, once
    python benchmarks/train_precisions.py demo                 fp32, tf32 and bf16 on a GPU, seeds 0 1 2, both streams
    python benchmarks/train_precisions.py demo --device cpu --precisions fp32 --seeds 0

Every run is a `pytsn train` of its own, with the demo's solver. Its accuracy is that of the last test pass, on videos
that it did not see; a row is printed when it ends. At the end: mean and range over the seeds.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from timing import Rows, machine

from pytsn.demo.nets import STREAMS
from pytsn.demo.training import stream_files
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import TRAINING_PRECISIONS


def trained_accuracy(solver: Path, start: Path | None, precision: str, seed: int, device: str, folder: str) -> float:
    """Trains once and returns the accuracy of the last test pass, 0 to 1. Ends the program if training fails."""
    weights = [f"--weights={start}"] if start else []
    options = [f"--device={device}", f"--precision={precision}", f"--set=random_seed={seed}"]
    command = [sys.executable, "-m", "pytsn", "train", f"--solver={solver}", *weights, *options]
    done = subprocess.run(
        [*command, f"--set=snapshot_prefix={folder}/net"], capture_output=True, text=True, check=False
    )
    found = re.findall(r"Test net output #\d+: accuracy = (\S+)", done.stdout + done.stderr)
    if done.returncode or not found:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-2000:]}")
    return float(found[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of pytsn demo")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--precisions", nargs="+", choices=TRAINING_PRECISIONS, default=TRAINING_PRECISIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), metavar="SEED")
    args = parser.parse_args()
    solvers = {name: stream_files(args.demo, name, 0) for name in STREAMS}
    for files in solvers.values():
        if not files.solver.is_file():
            parser.error(f"{files.solver} is missing: make it by `pytsn demo --quick -o {args.demo}`")
    print(machine(cpu_count()), args.device, flush=True)
    rows = Rows(("stream, precision, seed", "accuracy", "seconds"), (24,))
    found: dict[tuple[str, str], list[float]] = {}
    for (name, files), precision, seed in product(solvers.items(), args.precisions, args.seeds):
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            accuracy = trained_accuracy(files.solver, files.start, precision, seed, args.device, folder)
        found.setdefault((name, precision), []).append(accuracy)
        rows.add((f"{name}, {precision}, {seed}", f"{accuracy:.4f}", f"{time.perf_counter() - begun:.1f}"))
    for (name, precision), values in found.items():
        print(f"{name} {precision}: mean {statistics.mean(values):.4f}, {min(values):.4f} to {max(values):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
