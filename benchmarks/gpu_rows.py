"""The groups of benchmarks/gpu.py, one per process: each prints a line of JSON per row."""

import argparse
from collections.abc import Callable

import torch
from gpu_evaluation import forward, parity, whole
from gpu_flow import build_of, tvl1
from gpu_place import Place, product, row, seconds
from gpu_profile_rows import profiles
from gpu_training import train, train_flow, train_precisions


def ceilings(place: Place) -> None:
    """The limits of the GPU."""
    for precision in place.training_precisions:
        row(f"matrix product {precision}", product(place, precision) / 1e12, "TFLOP/s")
    source = torch.zeros(place.pick(1 << 28, 1 << 16), device=place.device)
    target = torch.empty_like(source)
    row("copy", 2 * source.nbytes / seconds(place, lambda: target.copy_(source), 10) / 1e9, "GB/s")


#: name -> function, limit in seconds
GROUPS: dict[str, tuple[Callable[[Place], None], float]] = {
    "ceilings": (ceilings, 30),
    "profile": (profiles, 60),
    "forward": (forward, 90),
    "parity": (parity, 60),
    "train": (train, 60),
    "tvl1": (tvl1, 90),
    "eval": (whole, 60),
    "build_of": (build_of, 60),
    "train_flow": (train_flow, 60),
    "train_precisions": (train_precisions, 60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=tuple(GROUPS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    GROUPS[args.group][0](Place(args.device, args.tiny))


if __name__ == "__main__":
    main()
