"""How far each precision's rounding moves scores from Caffe's, without a GPU: its products, emulated on the CPU.

    python benchmarks/precision_emulated.py                       three snippets of each recorded clip
    python benchmarks/precision_emulated.py --snippets 25 --only tf32x3
    python benchmarks/precision_emulated.py --snippets 1 --cut    sums as tensor cores make them; minutes

Needs the recordings in ../shared. Runs the recorded UCF101 rgb net with its factors split and rounded as the kernel of
tf32x3 does; products of such factors are exact in float32. Sums are those of the CPU's convolutions in float32. With
--cut, they are instead what is known of tensor cores: 8 exact products and the sum so far, cut off after 24 bits;
after 32 the sum goes to a total in float32 (converter/tf32x3_kernel.py). Blobs between layers stay float32, so the row
bf16 shows its products alone.
"""

import argparse
import lzma
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from flow_contestants import SHARED

from converter.fused_layers import FusedConv
from converter.tf32x3 import DEPTH
from pytsn.data.snippet_reader import SnippetOptions, read_snippet, video_ticks
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.runtime.cores import cpu_count
from pytsn.scores.score_file import read_scores

Rounding = Callable[[torch.Tensor], torch.Tensor]
Pairs = list[tuple[torch.Tensor, torch.Tensor]]
_TOGETHER = 8  # products that a tensor core adds at once


def tf32(value: torch.Tensor) -> torch.Tensor:
    """float32 to 10 bits of mantissa, to the nearest, halves away from 0."""
    return ((value.contiguous().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


def tf32_cut(value: torch.Tensor) -> torch.Tensor:
    """float32 to 10 bits of mantissa, the others cut off."""
    return (value.contiguous().view(torch.int32) & -0x2000).view(torch.float32)


def bf16(value: torch.Tensor) -> torch.Tensor:
    """float32 to 7 bits of mantissa, to the nearest, halves to even."""
    return value.bfloat16().float()


def once(rounding: Rounding, x: torch.Tensor, weight: torch.Tensor) -> Pairs:
    """One product of rounded factors."""
    return [(rounding(x), rounding(weight))]


def thrice(rounding: Rounding, x: torch.Tensor, weight: torch.Tensor) -> Pairs:
    """low * high, high * low, high * high."""
    (x_high, x_low), (high, low) = ((rounding(v), rounding(v - rounding(v))) for v in (x, weight))
    return [(x_low, high), (x_high, low), (x_high, high)]


#: precision -> the pairs of factors whose products are added
PRECISIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], Pairs]] = {
    "fp32": partial(once, lambda value: value),
    "tf32x3": partial(thrice, tf32),
    "bf16x3": partial(thrice, bf16),
    "tf32": partial(once, tf32),
    "tf32, cut off": partial(once, tf32_cut),
    "bf16": partial(once, bf16),
}


def sums(pairs: Pairs, layer: FusedConv) -> torch.Tensor:
    """The convolutions of the pairs, (N, C, H, W) and (O, C, h, w) each, added in order: float32 (N, O, H', W')."""
    parts = [torch.conv2d(x, weight, None, layer.stride, layer.padding) for x, weight in pairs]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def cut_sums(pairs: Pairs, layer: FusedConv) -> torch.Tensor:
    """The same with the sums of tensor cores, image by image."""
    kernel = layer.weight.shape[2:]
    weights = [weight.permute(0, 2, 3, 1).flatten(1).T.double() for _, weight in pairs]  # (depth, O)
    images = []
    for index in range(len(pairs[0][0])):
        rows = [_unfolded(x[index : index + 1], kernel, layer) for x, _ in pairs]  # (H' W', depth)
        total = torch.zeros(len(rows[0]), weights[0].shape[1])
        for start in range(0, len(weights[0]), DEPTH):
            part = torch.zeros(total.shape, dtype=torch.float64)
            for row, weight in zip(rows, weights, strict=True):
                for at in range(start, min(start + DEPTH, len(weight)), _TOGETHER):
                    few = slice(at, min(at + _TOGETHER, start + DEPTH))
                    part = torch.addmm(part, row[:, few], weight[few])
                    part.view(torch.int64).bitwise_and_(-(1 << 29))  # 52 - 29 bits of mantissa are float32's
            total += part.float()
        images.append(total.T)
    height = (pairs[0][0].shape[2] + 2 * layer.padding[0] - kernel[0]) // layer.stride[0] + 1
    return torch.stack(images).unflatten(2, (height, -1))


def _unfolded(image: torch.Tensor, kernel: torch.Size, layer: FusedConv) -> torch.Tensor:
    """(1, C, H, W) -> float64 (H' W', kernel_h kernel_w C), the kernel's order of the depth."""
    padding, stride = tuple(layer.padding), tuple(layer.stride)
    columns = torch.nn.functional.unfold(image, kernel, padding=padding, stride=stride)[0]
    return columns.unflatten(0, (image.shape[1], -1)).transpose(0, 1).flatten(0, 1).T.double()


def emulate(net: torch.nn.Module, precision: str, cut: bool = False) -> None:
    """Makes all fused convolutions of the net compute like this from now on."""

    def convolution(layer: FusedConv, x: torch.Tensor) -> torch.Tensor:
        assert layer.groups == 1
        assert layer.dilation == [1, 1]
        y = (cut_sums if cut else sums)(PRECISIONS[precision](x, layer.weight), layer)
        y = y if layer.bias is None else y + layer.bias[:, None, None]
        return y if layer.slope is None else torch.nn.functional.leaky_relu(y, layer.slope)

    for layer in net.modules():
        if isinstance(layer, FusedConv):
            layer._by_onednn = layer._by_torch = partial(convolution, layer)  # type: ignore[method-assign]


def recorded_snippets(golden: Path, snippets: int, clips: int = 6) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each of the first clips: T = ``snippets`` planes uint8 (T, 3, 256, 340) and Caffe's scores (T, 10, 101)."""
    options = SnippetOptions()
    truth = read_scores(golden / "eval" / "scores_rgb.npz").scores
    folders = sorted((golden / "eval" / "frames").iterdir())
    for folder, scores in zip(folders[:clips], truth[:clips], strict=True):
        count = len(list(folder.glob("img_*.jpg")))
        video = Video(folder.name, 0, str(folder), count, count)
        ticks = video_ticks(video, options)
        chosen = np.linspace(0, len(ticks) - 1, snippets).astype(int)
        planes = [read_snippet(video, ticks[index], options)[0] for index in chosen]
        yield np.stack(planes), scores[chosen]


def unpacked_weights(shared: Path, folder: str) -> Path:
    """The recorded caffemodel, unpacked in ``folder``."""
    weights = Path(folder, "net.caffemodel")
    packed = shared / "golden" / "bn_inception" / "tsn_bn_inception_rgb.caffemodel.xz"
    weights.write_bytes(lzma.decompress(packed.read_bytes()))
    return weights


def recorded_net(shared: Path, weights: Path, options: NetOptions) -> ActionNet:
    """The recorded UCF101 rgb net."""
    return ActionNet(shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt", weights, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snippets", type=int, default=3, help="snippets of each of the six clips (default: 3)")
    parser.add_argument("--only", nargs="+", choices=tuple(PRECISIONS), default=tuple(PRECISIONS), metavar="P")
    parser.add_argument("--cut", action="store_true", help="sums as tensor cores make them")
    args = parser.parse_args()
    torch.set_num_threads(cpu_count())
    clips = list(recorded_snippets(SHARED / "golden", args.snippets))
    truth = np.concatenate([scores for _, scores in clips])
    print(f"{truth.shape[0] * truth.shape[1]} crops, scores up to {np.abs(truth).max():.2f}", flush=True)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        weights = unpacked_weights(SHARED, folder)
        for precision in args.only:
            net = recorded_net(SHARED, weights, NetOptions("cpu"))
            emulate(net.net, precision, args.cut)
            start = time.perf_counter()
            scores = np.concatenate([net.score_snippets(planes) for planes, _ in clips])
            same = (scores.argmax(2) == truth.argmax(2)).mean()
            worst = np.abs(scores - truth).max()
            seconds = time.perf_counter() - start
            print(f"{precision:14} {worst:.1e} off, best class kept for {same:.1%} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
