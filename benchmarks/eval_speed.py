"""Crops per second of the evaluation forward, compared with the machine's limit.

    python benchmarks/eval_speed.py                     ten crops on all cores
    python benchmarks/eval_speed.py --threads 1 --rounds 60
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/eval_speed.py     oneDNN, not ONNX Runtime, as on a CPU without AVX-512
    python benchmarks/eval_speed.py --device cuda       all precisions, with and without torch.compile

On the CPU, each round times all contestants in turn: BN-Inception in eager PyTorch, in ONNX Runtime (if installed; from
torch's exporter and from ours, which is faster there), fused, fused with the crops spread over the cores as in
`eval_net.py`, and two bare matrix products of the same FLOPs (4.06 GFLOP per crop), torch.mm and oneDNN's. Ratios are
medians of the ratios within a round; above 1: faster. Drift is the largest difference of a score from the same net in
float64, over the largest score. Weights are random, with BN statistics measured on random pixels, so that activations
have normal sizes; speed does not depend on them.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch
from contestants import SIDE, caffe_net, cpu_forwards, forward, pixels, products, prototxt
from timing import Times, interleave, machine, peak_memory, print_table, ratio

from converter.core_threads import CoreThreads
from converter.fused import PRECISIONS, fuse
from converter.net import CaffeNet, load_net
from converter.weights import save_caffemodel
from pytsn.runtime.cores import cpu_count

FLOP_PER_CROP = 4.06e9  # two per multiply-add, in all convolutions and the classifier
PROTOTXT, CAFFEMODEL = "deploy.prototxt", "net.caffemodel"


def cpu_table(args: argparse.Namespace) -> None:
    """Times everything on the CPU and prints the table."""
    torch.set_num_threads(args.threads)
    net, x = caffe_net(args.classes), pixels(args.crops)
    print(f"{machine(args.threads)}, {args.crops} crops a forward, {args.rounds} rounds")
    print(f"peak memory of a worker: {worker_memory(net, args):.0f} MB\n")
    forwards, bare = cpu_forwards(net, x, args.threads), products()
    spent: Times = {}
    times = interleave({**forwards, **bare}, args.rounds, processor=spent)
    for each in (times, spent):
        each.update((name, [t * FLOP_PER_CROP * args.crops / (2 * SIDE**3) for t in each[name]]) for name in bare)
    drifts = drift(net, x, {name: each() for name, each in forwards.items()})
    limits = {
        "/ torch.mm": ["torch.mm"],
        "/ faster product": list(bare),
        "/ faster ONNX Runtime": [name for name in forwards if name.startswith("ONNX")],
    }
    print_rows(times, args.crops, limits, drifts, spent)


def print_rows(
    times: Times, crops: int, limits: dict[str, list[str]], drifts: dict[str, float], spent: Times | None = None
) -> None:
    """Prints a row per contestant; ``limits``: column title -> contestants; the fastest of them is the reference."""
    rows = []
    for name, own in times.items():
        seconds = [f"{min(own):.4f}", f"{median(own):.4f}", f"{crops / min(own):.1f}"]
        ratios = [f"{ratio(times, name, limit):.2f}" if limit else "" for limit in limits.values()]
        processor = [f"{median(spent[name]):.4f}"] if spent else []
        rows.append([name, *seconds, *ratios, *processor, f"{drifts[name]:.1e}" if name in drifts else ""])
    print_table(["", "min s", "median s", "crops/s", *limits, *(["processor s"] if spent else []), "drift"], rows)


def drift(net: CaffeNet, x: torch.Tensor, scores: dict[str, torch.Tensor]) -> dict[str, float]:
    """Name -> largest difference of ``scores`` from the net in float64, over the largest score."""
    with torch.no_grad():
        exact = forward(net.double(), x.double())()
    net.float()
    return {name: ((each.cpu() - exact).abs().max() / exact.abs().max()).item() for name, each in scores.items()}


def worker_memory(net: CaffeNet, args: argparse.Namespace) -> float:
    """Peak memory in MB of a process that does the work of an eval_net.py worker, except reading frames."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PROTOTXT).write_text(prototxt(args.classes))
        save_caffemodel(Path(folder, CAFFEMODEL), net)
        return peak_memory(work_alone, folder, args.crops, args.threads)


def work_alone(folder: str, crops: int, threads: int) -> None:
    """Loads and fuses the net, and runs a few forwards."""
    torch.set_num_threads(threads)
    fused = fuse(load_net(Path(folder, PROTOTXT), Path(folder, CAFFEMODEL)))
    for _ in range(3):
        CoreThreads(threads).run(lambda part: forward(fused, part)(), pixels(threads * crops), crops)


def cuda_table(args: argparse.Namespace) -> None:
    """Times the precisions on the GPU, with and without torch.compile, and prints the table."""
    net, x = caffe_net(args.classes), pixels(args.crops).to(args.device)
    nets = {"fp32, NCHW": fuse(net, channels_last=False)}
    for precision in PRECISIONS:
        nets[precision] = fuse(net, precision=precision)
        if precision != "tf32x3":  # a kernel of its own, which torch.compile does not have
            nets[f"{precision}, compiled"] = fuse(net, precision=precision, compiled=True)
    forwards = {name: forward(fused.to(args.device), x) for name, fused in nets.items()}
    times = interleave(forwards, args.rounds, warm_up=5)
    drifts = drift(net, x[:10].cpu(), {name: each()[:10] for name, each in forwards.items()})
    print(
        f"{torch.cuda.get_device_name(args.device)}, {machine(args.threads)}, {args.crops} crops, {args.rounds} rounds"
    )
    print(f"peak GPU memory, all nets together: {torch.cuda.max_memory_allocated(args.device) / 1e6:.0f} MB\n")
    print_rows(times, args.crops, {"/ fp32": ["fp32"]}, drifts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: cpu)")
    parser.add_argument("--crops", type=int, help="crops per forward (default: 10 on the CPU, 250 on a GPU)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds; each times every contestant once (default: 30)")
    parser.add_argument("--threads", type=int, default=cpu_count(), help="CPU threads (default: all cores)")
    parser.add_argument("--classes", type=int, default=101, help="classes of the net (default: 101)")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: this PyTorch sees no CUDA device")
    args.crops = args.crops or (10 if args.device == "cpu" else 250)
    (cpu_table if args.device == "cpu" else cuda_table)(args)


if __name__ == "__main__":
    main()
