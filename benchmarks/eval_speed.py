"""Crops per second of the evaluation forward, beside what the machine can do at all.

    python benchmarks/eval_speed.py                     ten crops on all cores
    python benchmarks/eval_speed.py --threads 1 --rounds 60
    python benchmarks/eval_speed.py --device cuda       fp32, TF32 and bf16, with and without torch.compile

On the CPU, one run times in turn: BN-Inception in plain eager PyTorch, in ONNX Runtime (where installed; from torch's
exporter and from ours, which suits it better), fused as `eval_net.py` runs it, and two bare matrix products of the same
FLOPs (4.06 GFLOP a crop), torch.mm and oneDNN's. Ratios are medians of ratios taken within a turn; above 1: faster.
Drift is the largest difference of a score to the same net in float64, over the largest score. Weights are random, with
BN statistics measured on random pixels, so that activations are healthy; speed does not depend on them.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from statistics import median

import torch
from timing import Times, interleave, machine, peak_memory, print_table, ratio

from converter.fused import fuse
from converter.net import CaffeNet, load_net
from converter.onnx_export import export_onnx
from converter.proto import filter_net, parse_net
from converter.weights import save_caffemodel
from pytsn.models import BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt

FLOP_PER_CROP = 4.06e9  # two for each multiplication and addition of every convolution and of the classifier
SIDE = 2048  # of the bare product's matrices: large enough to be limited by arithmetic alone
SCORES = "fc-action"
PROTOTXT, CAFFEMODEL = "deploy.prototxt", "net.caffemodel"


def caffe_net(classes: int, seed: int = 0) -> CaffeNet:
    """The UCF101 rgb deploy net with random weights and the BN statistics that random pixels have."""
    net = CaffeNet(filter_net(parse_net(prototxt(classes)), "TEST"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        hooks = [m.register_forward_pre_hook(_calibrate) for m in net.modules() if hasattr(m, "running_var")]
        net(pixels(4))
    for hook in hooks:
        hook.remove()
    return net


def prototxt(classes: int) -> str:
    """The deploy net of UCF101 rgb with that many classes."""
    return deploy_prototxt(NetSpec("custom", "rgb", num_classes=classes))


def _calibrate(module: torch.nn.Module, bottoms: tuple[torch.Tensor]) -> None:
    variance, mean = torch.var_mean(bottoms[0], (0, 2, 3))
    for tensor, value in ((module.running_var, variance), (module.running_mean, mean)):
        tensor.copy_(value)
    module.weight.fill_(1)
    module.bias.fill_(0)


def pixels(crops: int) -> torch.Tensor:
    """Random float32 (N, 3, 224, 224) of the range of pixels less their mean."""
    return torch.randint(-117, 139, (crops, 3, 224, 224), generator=torch.Generator().manual_seed(1)).float()


def forward(net, x: torch.Tensor):
    """A call without arguments that returns the scores (N, K) of ``x``."""
    return lambda: net(x, blobs=(SCORES,))[SCORES]


def cpu_forwards(net: CaffeNet, x: torch.Tensor, threads: int) -> dict:
    """Contestants: name -> forward."""
    eager = BNInception(net.blob_shapes[SCORES][1]).eval().requires_grad_(False)
    eager.load_state_dict(net.state_dict())
    return {
        "eager PyTorch": forward(eager, x),
        **onnx_forwards(net, eager, x, threads),
        "fused (eval_net.py)": forward(fuse(net), x),
    }


def onnx_forwards(net: CaffeNet, eager: BNInception, x: torch.Tensor, threads: int) -> dict:
    """Forwards in ONNX Runtime, where installed: of the file that torch's exporter writes, and of ours."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def run(path: Path):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda: torch.from_numpy(session.run([SCORES], {"data": x.numpy()})[0])

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of the exporter that needs no further package: that it is no longer the default
        theirs, ours = Path(folder) / "torch.onnx", Path(folder) / "pytsn.onnx"
        torch.onnx.export(eager, (x,), theirs, input_names=["data"], output_names=[SCORES], dynamo=False)
        export_onnx(net, ours)
        return {"ONNX Runtime, torch's file": run(theirs), "ONNX Runtime, our file": run(ours)}


def products() -> dict:
    """The bare products of SIDE x SIDE float32 matrices that torch offers on this CPU."""
    left, right, out = (torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    found = {"torch.mm": lambda: torch.mm(left, right, out=out)}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found["oneDNN product"] = lambda: torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return found


def cpu_table(args: argparse.Namespace) -> None:
    """Times everything on the CPU and prints the table."""
    torch.set_num_threads(args.threads)
    net, x = caffe_net(args.classes), pixels(args.crops)
    print(f"{machine(args.threads)}, {args.crops} crops a forward, {args.rounds} rounds")
    print(f"peak memory of a worker: {worker_memory(net, args):.0f} MB\n")
    forwards, bare = cpu_forwards(net, x, args.threads), products()
    times = interleave({**forwards, **bare}, args.rounds)
    for name in bare:
        times[name] = [seconds * FLOP_PER_CROP * args.crops / (2 * SIDE**3) for seconds in times[name]]
    drifts = drift(net, x, {name: each() for name, each in forwards.items()})
    limits = {
        "/ torch.mm": ["torch.mm"],
        "/ faster product": list(bare),
        "/ faster ONNX Runtime": [name for name in forwards if name.startswith("ONNX")],
    }
    print_rows(times, args.crops, limits, drifts)


def print_rows(times: Times, crops: int, limits: dict[str, list[str]], drifts: dict[str, float]) -> None:
    """The table: a line for each contestant; ``limits``: column title -> whose fastest it is compared with."""
    rows = []
    for name, own in times.items():
        seconds = [f"{min(own):.4f}", f"{median(own):.4f}", f"{crops / min(own):.1f}"]
        ratios = [f"{ratio(times, name, limit):.2f}" if limit else "" for limit in limits.values()]
        rows.append([name, *seconds, *ratios, f"{drifts[name]:.1e}" if name in drifts else ""])
    print_table(["", "min s", "median s", "crops/s", *limits, "drift"], rows)


def drift(net: CaffeNet, x: torch.Tensor, scores: dict[str, torch.Tensor]) -> dict[str, float]:
    """Name -> largest difference of ``scores`` to the net in float64, over the largest score."""
    with torch.no_grad():
        exact = forward(net.double(), x.double())()
    net.float()
    return {name: ((each.cpu() - exact).abs().max() / exact.abs().max()).item() for name, each in scores.items()}


def worker_memory(net: CaffeNet, args: argparse.Namespace) -> float:
    """Peak megabytes of a process that does what a worker of eval_net.py does, less the reading of frames."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PROTOTXT).write_text(prototxt(args.classes))
        save_caffemodel(Path(folder, CAFFEMODEL), net)
        return peak_memory(work_alone, folder, args.crops, args.threads)


def work_alone(folder: str, crops: int, threads: int) -> None:
    """Loads and fuses the net, and runs a few forwards."""
    torch.set_num_threads(threads)
    fused = fuse(load_net(Path(folder, PROTOTXT), Path(folder, CAFFEMODEL)))
    for _ in range(3):
        fused(pixels(crops), SCORES)


def cuda_table(args: argparse.Namespace) -> None:
    """Times the precisions on the GPU, with and without torch.compile, and prints the table."""
    net, x = caffe_net(args.classes), pixels(args.crops).to(args.device)
    nets = {"fp32, NCHW": fuse(net, channels_last=False)}
    for precision in ("fp32", "tf32", "bf16"):
        nets[precision] = fuse(net, precision=precision)
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: cpu)")
    parser.add_argument("--crops", type=int, help="crops a forward (default: 10 on the CPU, 250 on a GPU)")
    parser.add_argument("--rounds", type=int, default=30, help="turns that each contestant takes (default: 30)")
    parser.add_argument("--threads", type=int, default=cores, help="default: all cores")
    parser.add_argument("--classes", type=int, default=101, help="default: 101")
    args = parser.parse_args()
    args.crops = args.crops or (10 if args.device == "cpu" else 250)
    (cpu_table if args.device == "cpu" else cuda_table)(args)


if __name__ == "__main__":
    main()
