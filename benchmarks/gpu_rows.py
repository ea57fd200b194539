"""The groups of benchmarks/gpu.py, one per process: each prints a line of JSON per row."""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from contestants import caffe_net, prototxt
from eval_speed import CAFFEMODEL, FLOP_PER_CROP, PROTOTXT
from flow_contestants import ROOT, SHARED, frame_pairs
from precision_emulated import recorded_net, recorded_snippets, unpacked_weights
from train_contestants import PlainTorch, training, write_dataset
from whole_eval import write_videos

from converter.tf32x3 import SplitConv
from converter.weights import save_caffemodel
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.pipeline import Pipeline
from pytsn.evaluation.score_videos import EvalOptions, scorer
from pytsn.evaluation.video_arrays import video_arrays
from pytsn.flow.tvl1 import cpu_triton, gpu_triton
from pytsn.flow.tvl1.compute import compute_flow
from pytsn.training.hardware import Hardware
from pytsn.training.settings import default_workers

#: for a training crop: forward, and backward with twice the work
FLOP_PER_TRAINING_CROP = 3 * FLOP_PER_CROP


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


def ceilings(place: Place) -> None:
    """The limits of the GPU."""
    for precision in place.training_precisions:
        row(f"matrix product {precision}", product(place, precision) / 1e12, "TFLOP/s")
    source = torch.zeros(place.pick(1 << 28, 1 << 16), device=place.device)
    target = torch.empty_like(source)
    row("copy", 2 * source.nbytes / seconds(place, lambda: target.copy_(source), 10) / 1e9, "GB/s")


def make_net(place: Place, folder: str, precision: str) -> ActionNet:
    """BN-Inception with UCF101's classes and random weights."""
    files = Path(folder, PROTOTXT), Path(folder, CAFFEMODEL)
    if not files[1].exists():
        files[0].write_text(prototxt(101))
        save_caffemodel(files[1], caffe_net(101))
    batch = place.pick(250, 4)
    return ActionNet(*files, NetOptions(place.device, precision, batch_size=batch))


def forward(place: Place) -> None:
    """Crops per second of the forward from its CUDA graph, and the difference of each precision from fp32."""
    with tempfile.TemporaryDirectory() as folder:
        for precision in place.precisions:
            net = make_net(place, folder, precision)
            pipeline = Pipeline(net)
            crops = net.batch_size
            taken = seconds(place, pipeline._forward, place.pick(20, 1), warm_up=place.pick(6, 1))
            limit = product(place, precision) / FLOP_PER_CROP
            note = pipeline.note or f"{'channels-last' if net.net.channels_last else 'planar'} memory"
            note += kernels_note(net)
            row(f"forward {precision}, {crops} crops", crops / taken, "crops/s", note, crops / taken / limit, "product")
            if precision != "fp32":
                noise = np.random.default_rng(0).integers(0, 256, (2, 3, 256, 340), np.uint8)
                net.score_snippets(noise)
                assert net.drift is not None
                row(f"drift of {precision} from fp32, on noise", net.drift[0], "of largest")


def kernels_note(net: ActionNet) -> str:
    """How many layers of a tf32x3 net the kernel runs; cuDNN's float32 was faster for the others."""
    layers = [layer for layer in net.net.modules() if isinstance(layer, SplitConv)]
    if not layers:
        return ""
    tiles = [tile for layer in layers for tile in layer.tiles if tile is not None]
    return f", kernel for {len(tiles)} of {len(layers)} layers: {dict(Counter(map(str, tiles)))}"


def parity(place: Place) -> None:
    """How far the scores of the recorded rgb net are from Caffe's."""
    if not (SHARED / "golden").is_dir():
        sys.exit(f"no recordings at {SHARED}: set PYTSN_SHARED")
    clips = list(recorded_snippets(SHARED / "golden", place.pick(25, 1), place.pick(6, 1)))
    with tempfile.TemporaryDirectory() as folder:
        weights = unpacked_weights(SHARED, folder)
        for precision in place.precisions:
            net = recorded_net(SHARED, weights, NetOptions(place.device, precision))
            worst = max(float(np.abs(net.score_snippets(planes) - truth).max()) for planes, truth in clips)
            row(f"{precision} off Caffe's scores", worst, "", f"scores up to {np.abs(clips[0][1]).max():.1f}")


def whole(place: Place) -> None:
    """The whole of eval-net with an rgb net, from JPEGs to scores."""
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), place.pick(160, 2))
        for precision in place.precisions:
            net = make_net(place, folder, precision)
            options = EvalOptions(NetOptions(place.device, precision), SnippetOptions(num_frames=place.pick(25, 2)))
            compute = scorer(net)  # for both, so that its CUDA graph is recorded before the time counts
            list(video_arrays(compute, videos[: place.pick(12, 1)], options.snippets, options.reading_threads))
            start = time.perf_counter()
            arrays = video_arrays(compute, videos, options.snippets, options.reading_threads)
            count = sum(scores.shape[0] * scores.shape[1] for scores in arrays)
            rate = count / (time.perf_counter() - start)
            row(f"eval-net rgb {precision}", rate, "crops/s", f"UCF101 split 1: {945_750 / rate:.0f} s")


def train(place: Place, modality: str = "rgb", precisions: tuple[str, ...] = ()) -> None:
    """An iteration of pytsn train, with and without CUDA graphs, and of plain PyTorch on the same crops."""
    device = torch.device(place.device)
    count = place.pick(32, 1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder), modality, count, 2 * count)
        for precision in precisions or place.training_precisions[:1]:
            limit = product(place, precision) / FLOP_PER_TRAINING_CROP
            for record in (True, False):
                run = training(dataset, Hardware(device, precision, record=record), default_workers(device, 1))
                try:
                    measure_training(place, run, dataset, f"train {modality} {precision}", record, limit)
                finally:
                    run.close()


def measure_training(place: Place, run, dataset, name: str, record: bool, limit: float) -> None:
    """Rows of one run: the loop, its share of waiting, and plain PyTorch (in the run without CUDA graphs)."""
    turns = place.pick(30, 1)
    for _ in range(place.pick(8, 1)):
        run.loop.step()
    place.wait()
    waited, start = run.train.data_seconds, time.perf_counter()
    for _ in range(turns):
        run.loop.step()
    place.wait()
    taken = time.perf_counter() - start
    waiting, rate = (run.train.data_seconds - waited) / taken, dataset.crops * turns / taken
    how = run.loop.work.note or ("graphs" if record else "no graphs")
    row(f"{name}, {how}", rate, "crops/s", f"{waiting:.1%} waiting", rate / limit, "product")
    if not record:
        raw = run.train.data_layers.next_batch(torch.device(place.device))
        plain = PlainTorch(run, dataset)
        alone = seconds(place, lambda: plain.step(*raw.values()), place.pick(15, 1))
        row(f"{name}, plain PyTorch, data at hand", dataset.crops / alone, "crops/s")


def train_flow(place: Place) -> None:
    train(place, "flow")


def train_precisions(place: Place) -> None:
    train(place, "rgb", place.training_precisions[1:] or place.training_precisions)


def tvl1(place: Place) -> None:
    """Pairs per second, for batches of the recorded pairs or of moving textures."""
    grays = [torch.from_numpy(pair).to(place.device) for pair in frame_pairs().values()]
    for preset, batch in (("opencv2.4-cuda", 128), ("opencv2.4-cuda", 32), ("opencv-cpu", 128)):
        size = place.pick(batch, 1)
        pair = [gray.repeat(size // len(gray) + 1, 1, 1)[:size] for gray in grays]
        if place.tiny:
            pair = [gray[:, :64, :72].contiguous() for gray in pair]
        taken = seconds(place, partial(compute_flow, *pair, preset, place.device), place.pick(3, 1), warm_up=1)
        row(f"TV-L1 {preset}, {size} pairs at once", size / taken, "pairs/s", kernels_of(place, preset))
    with np.load(ROOT / "tests" / "recordings" / "flow" / "dual_tvl1_fast.npz") as recorded:
        gray0, gray1, truth = (recorded[name][: place.pick(99, 1)] for name in ("gray0", "gray1", "flow"))
    found = compute_flow(gray0, gray1, "opencv-cpu", place.device)
    row("TV-L1 opencv-cpu, numbers unlike OpenCV's", int((found != truth).sum()), "", f"of {truth.size}")


def kernels_of(place: Place, preset: str) -> str:
    """What computes the flow of a preset on this device."""
    if not place.cuda:
        return ""
    file = cpu_triton if preset == "opencv-cpu" else gpu_triton
    return str(file.chosen_tile(torch.empty(0, device=place.device).device) or "PyTorch's operations")


#: name -> function, limit in seconds
GROUPS: dict[str, tuple[Callable[[Place], None], float]] = {
    "ceilings": (ceilings, 30),
    "forward": (forward, 90),
    "parity": (parity, 60),
    "train": (train, 60),
    "tvl1": (tvl1, 90),
    "eval": (whole, 60),
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
