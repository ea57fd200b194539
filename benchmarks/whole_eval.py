"""Crops per second of the whole of `eval_net.py`: reading frames, resizing, cropping, scoring.

    python benchmarks/whole_eval.py                          a few synthetic videos of 25 frames on all cores
    python benchmarks/whole_eval.py --workers 2              as `eval_net.py --num_worker 2`
    python benchmarks/whole_eval.py --device cuda --videos 200 --precision bf16

Videos of 340x256 JPEG frames (smooth random pictures) and the net are written to a temporary folder. Each round times
bare matrix products of the same FLOPs (4.06 GFLOP per crop; on the CPU torch.mm and oneDNN's, the faster counts), then
all videos, and prints a row. Startup (imports, loading the net) is not counted, as it is done once for thousands of
videos. Only the processes of --workers are started in every round: give them many videos.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from contestants import SIDE, caffe_net, products, prototxt
from eval_speed import CAFFEMODEL, FLOP_PER_CROP, PROTOTXT
from timing import Rows, Times, interleave, machine

from converter.weights import save_caffemodel
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.score_videos import EvalOptions, score_videos, scores_in_processes
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import PRECISIONS

FRAMES, CROPS, CLASSES = 25, 10, 101
_REPEATS = 20  # products per round: a second; the videos take several


def write_videos(folder: Path, count: int) -> list[Video]:
    """Writes ``count`` videos of FRAMES frames; all others are hard links to the files of the first."""
    random = np.random.default_rng(0)
    videos = []
    for index in range(count):
        home = folder / f"v_{index:05d}"
        home.mkdir()
        for frame in range(1, FRAMES + 1):
            name = f"img_{frame:05d}.jpg"
            if index:
                (home / name).hardlink_to(folder / "v_00000" / name)
            else:
                coarse = random.integers(0, 256, (16, 21, 3), dtype=np.uint8)
                cv2.imwrite(str(home / name), cv2.resize(coarse, (340, 256), interpolation=cv2.INTER_CUBIC))
        videos.append(Video(home.name, index % CLASSES, str(home), FRAMES, 0))
    return videos


def contestant(files: tuple[str, str], videos: list[Video], args: argparse.Namespace):
    """A function that scores all videos, as in eval_net.py."""
    options = EvalOptions(NetOptions(args.device, args.precision), num_worker=args.workers)
    if args.workers > 1:
        return lambda: [scores.shape for scores in scores_in_processes(files, videos, options)]
    net = ActionNet(*files, options.net)
    return lambda: [scores.shape for _, scores in score_videos(net, videos, options)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: cpu)")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="(default: %(default)s)")
    parser.add_argument("--videos", type=int, default=3, help="videos per round (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: 1)")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: this PyTorch sees no CUDA device")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = str(folder / PROTOTXT), str(folder / CAFFEMODEL)
        Path(files[0]).write_text(prototxt(CLASSES))
        save_caffemodel(files[1], caffe_net(CLASSES))
        report(contestant(files, write_videos(folder, args.videos), args), args)


def report(work, args: argparse.Namespace) -> None:
    """Runs the rounds and prints crops per second, a row a round, also as a share of the bare products' limit."""
    crops = args.videos * FRAMES * CROPS
    bare = {name: _repeated(product) for name, product in (products() if args.device == "cpu" else {}).items()}
    print(f"{machine(cpu_count())}, {args.videos} videos of {FRAMES} frames, {args.workers} workers, {args.device}")
    print("one warm-up round first\n", flush=True)
    rows = Rows(["round", "crops/s", *(f"{name} alone" for name in bare)])
    times = interleave(
        {**bare, "videos": work},
        args.rounds,
        warm_up=1,
        on_round=lambda so_far: rows.add(_row(so_far, crops)),
    )
    own = times.pop("videos")
    print(f"\n{crops / min(own):.1f} crops/s at best, {crops / median(own):.1f} in the median of {args.rounds} rounds")
    for name, seconds in times.items():
        limits = [_limit(each, crops) for each in seconds]
        share = median(limit / whole for limit, whole in zip(limits, own, strict=True))
        print(f"{share:.2f} of what {name} alone would allow ({crops / min(limits):.1f} crops/s)")


def _row(times: Times, crops: int) -> list[str]:
    """The last round's row."""
    *bare, own = (seconds[-1] for seconds in times.values())
    return [f"{len(times['videos'])}", f"{crops / own:.1f}", *(f"{crops / _limit(each, crops):.1f}" for each in bare)]


def _limit(seconds: float, crops: int) -> float:
    """Seconds for that many crops at the speed of a round of a bare product."""
    return seconds * FLOP_PER_CROP * crops / (2 * SIDE**3 * _REPEATS)


def _repeated(product):
    return lambda: [product() for _ in range(_REPEATS)]


if __name__ == "__main__":
    main()
