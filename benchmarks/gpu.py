"""Measures a GPU in one command: the most important rows first, each printed at once, each with a time limit.

    python benchmarks/gpu.py                          about four minutes
    python benchmarks/gpu.py --minutes 10 --json h100.json
    python benchmarks/gpu.py --only train tvl1
    python benchmarks/gpu.py --device cpu --tiny      tests the script itself; its numbers mean nothing

Every group of rows runs in its own process (gpu_rows.py), which is killed at its time limit; missing rows are listed at
the end. Ceilings are bare products and copies on the same GPU, for comparison.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from gpu_rows import GROUPS
from timing import machine

from converter.files import write_bytes
from pytsn.runtime.cores import cpu_count

Row = dict[str, object]


def rows_of(group: str, args: argparse.Namespace, seconds: float) -> Iterator[Row | str]:
    """Yields the rows of a group as its process prints them; at the end a message if it was killed or failed."""
    command = [sys.executable, str(Path(__file__).with_name("gpu_rows.py")), group, "--device", args.device]
    command += ["--tiny"] if args.tiny else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            for line in process.stdout or ():
                if line.startswith("{"):
                    yield json.loads(line)
        finally:
            ended = not timer.is_alive()
            timer.cancel()
            process.kill()
    if ended:
        yield f"{group}: ended after {seconds:.0f} s, its other rows were not measured"
    elif process.returncode:
        yield f"{group}: failed (exit status {process.returncode}; its message stands above)"


def show(row: Row) -> None:
    """Prints one row."""
    share = f"   {row['share']:.2f} of {row['of']}" if "share" in row else ""
    note = f"   {row['note']}" if row.get("note") else ""
    print(f"{row['what']:<46} {row['value']:>12,.4g} {row['unit']:<12}{share}{note}", flush=True)


def measure(args: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Measures all rows. Returns them, and messages about missing ones."""
    end = time.monotonic() + 60 * args.minutes
    rows: list[Row] = []
    missing: list[str] = []
    for group, (_, limit) in GROUPS.items():
        if args.only and group not in args.only:
            continue
        left = end - time.monotonic()
        if left < 5:
            missing.append(f"{group}: no time was left")
            continue
        for item in rows_of(group, args, min(limit, left)):
            if isinstance(item, str):
                missing.append(item)
            else:
                rows.append(item)
                show(item)
    return rows, missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4, help="total time (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N (default: cuda)")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(GROUPS), metavar="GROUP", help=f"groups to run: {', '.join(GROUPS)}"
    )
    parser.add_argument("--tiny", action="store_true", help="the least work that runs every line")
    args = parser.parse_args()
    cuda = args.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        parser.error("this PyTorch sees no CUDA device")
    card = torch.cuda.get_device_name(args.device) if cuda else "no GPU"
    where = f"{card}, CUDA {torch.version.cuda}, {machine(cpu_count())}, {time.strftime('%Y-%m-%d')}"
    print(where, flush=True)
    rows, missing = measure(args)
    for text in missing:
        print(f"not measured: {text}")
    if args.json:
        write_bytes(args.json, json.dumps({"machine": where, "rows": rows, "missing": missing}, indent=1).encode())
        print(f"wrote {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
