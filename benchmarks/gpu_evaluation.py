"""Rows of benchmarks/gpu.py on evaluation: the forward, parity with Caffe, the whole of eval-net."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from contestants import caffe_net, prototxt
from eval_speed import CAFFEMODEL, FLOP_PER_CROP, PROTOTXT
from flow_contestants import SHARED
from gpu_place import Place, product, row, seconds
from precision_emulated import recorded_net, recorded_snippets, unpacked_weights
from whole_eval import write_videos

from converter.tf32x3 import SplitConv
from converter.weights import save_caffemodel
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.pipeline import Pipeline
from pytsn.evaluation.score_videos import EvalOptions, scorer
from pytsn.evaluation.video_arrays import video_arrays


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
