"""What the groups of benchmarks/gpu.py share: the device, timing, and rows."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Place:
    """The device, and whether to do only the least work (tiny)."""

    device: str
    tiny: bool

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def precisions(self) -> tuple[str, ...]:
        """Of tests; fp32 last, as it takes longest."""
        return ("bf16", "tf32x3", "tf32", "fp32") if self.cuda else ("fp32",)

    @property
    def training_precisions(self) -> tuple[str, ...]:
        return ("bf16", "tf32", "fp32") if self.cuda else ("fp32",)

    def pick(self, real: int, tiny: int) -> int:
        return tiny if self.tiny else real

    def wait(self) -> None:
        """Waits for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


def seconds(place: Place, work: Callable[[], object], turns: int, warm_up: int = 3) -> float:
    """Median time of ``turns`` calls, each with a device synchronisation before and after."""
    taken = []
    for _ in range(warm_up + turns):
        place.wait()
        start = time.perf_counter()
        work()
        place.wait()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[warm_up:])


def row(what: str, value: float, unit: str, note: str = "", share: float | None = None, of: str = "") -> None:
    """Prints a row as JSON."""
    found = {"what": what, "value": value, "unit": unit, "note": note}
    print(json.dumps(found if share is None else found | {"share": share, "of": of}), flush=True)


def product(place: Place, precision: str) -> float:
    """FLOP/s of a large matrix product; for tf32x3 a third of tf32's."""
    side = place.pick(8192, 256)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = precision in ("tf32", "tf32x3")
    left, right = (torch.randn(side, side, device=place.device, dtype=kind) for _ in range(2))
    rate = 2 * side**3 / seconds(place, lambda: left @ right, place.pick(10, 2))
    torch.backends.cuda.matmul.allow_tf32 = False
    return rate / 3 if precision == "tf32x3" else rate
