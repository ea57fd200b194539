"""Weights of the demo's nets without any training loop: frozen filters, calibrated BN, and a classifier in closed form.

conv1 of rgb    edge filters, sixteen directions, on the grey value
the others      random (msra), frozen
BN              mean and variance of the training crops, level by level
fc-action       linear discriminant analysis of `global_pool` over the training crops
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from converter.files import write_bytes
from converter.net import CaffeNet, load_net
from converter.weights import save_caffemodel
from pytsn.crops import FLOW_MEAN, RGB_MEAN_BGR, oversample_flow, oversample_rgb
from pytsn.demo.nets import FEATURE_BLOB, Stream, deploy_prototxt
from pytsn.frames import read_flow_stack, read_rgb
from pytsn.sampling import STACK_DEPTH, flow_indices, frame_ticks

_GREY = (0.114, 0.587, 0.299)  # of B, G, R: ITU-R BT.601, OpenCV's weights
_SHRINKAGE = 1e-3


@dataclass(frozen=True)
class TrainingVideo:
    """A frame folder with its number of images and its label from 0."""

    folder: str
    frame_count: int
    label: int


def edge_filters(count: int, size: int = 7, sigma: float = 2.0) -> np.ndarray:
    """(count, 3, size, size) float32: derivatives of a Gaussian along ``count`` directions around the circle, on the
    grey value of B, G, R. Each sums to 0: an even colour, whichever it is, gives no response."""
    place = np.arange(size) - (size - 1) / 2
    angle = 2 * np.pi * np.arange(count)[:, None, None] / count
    along = np.cos(angle) * place[None, None, :] + np.sin(angle) * place[None, :, None]  # (count, size, size)
    bell = np.exp(-(place[:, None] ** 2 + place[None, :] ** 2) / (2 * sigma**2))
    return (along * bell / bell.sum())[:, None].astype(np.float32) * np.float32(_GREY)[None, :, None, None]


def linear_discriminants(features: np.ndarray, labels: np.ndarray, num_classes: int, shrinkage: float = _SHRINKAGE):
    """Weight (K, D) and bias (K,), float32, of the classes' log-likelihoods, up to a common term: closed form.

    features (N, D), labels (N,). With S the covariance within the classes, mixed with ``shrinkage`` of its mean
    variance on the diagonal (features standardised first, so that units do not matter), and m_k the mean of class k:
    weight_k = S^-1 m_k, bias_k = -m_k' S^-1 m_k / 2. Classes count alike, whatever their number of samples.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    standard = (features - centre) / spread
    means = np.stack([standard[labels == label].mean(axis=0) for label in range(num_classes)])  # (K, D)
    residual = standard - means[labels]
    within = residual.T @ residual / len(residual)
    within += shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    weight = np.linalg.solve(within, means.T).T
    bias = -0.5 * (weight * means).sum(axis=1)
    weight = weight / spread  # the standardisation folds into weight and bias
    return weight.astype(np.float32), (bias - weight @ centre).astype(np.float32)


def read_crops(stream: Stream, video: TrainingVideo, snippets: int) -> torch.Tensor:
    """(snippets * 5, C, 224, 224) float32: each snippet's crops as at test time, mean subtracted.

    The mirrored five of the ten are left out: they would double the time and add little.
    """
    crops = []
    for tick in frame_ticks(video.frame_count, snippets, STACK_DEPTH[stream.modality]):
        if stream.modality == "rgb":
            planes = oversample_rgb(read_rgb(video.folder, index=tick))
        else:
            indices = flow_indices(tick, video.frame_count)
            planes = oversample_flow(read_flow_stack(video.folder, "flow_x_", "flow_y_", indices))
        crops.append(planes[: len(planes) // 2])
    mean = np.float32(RGB_MEAN_BGR if stream.modality == "rgb" else FLOW_MEAN).reshape(1, -1, 1, 1)
    return torch.from_numpy(np.concatenate(crops) - mean)


@torch.inference_mode()
def calibrate(net: CaffeNet, stream: Stream, crops: torch.Tensor) -> None:
    """Sets the BN layers' mean and (biased) variance to those of ``crops`` (N, C, 224, 224), from the input upwards."""
    for level in range(1, len(stream.widths) + 1):
        response = net(crops, blobs=(f"conv{level}",))[f"conv{level}"]
        bn = getattr(net, f"conv{level}_bn")
        variance, mean = torch.var_mean(response, dim=(0, 2, 3), correction=0)  # (N, C, H, W) -> (C,)
        bn.running_mean.copy_(mean)
        bn.running_var.copy_(variance)


def make_model(
    stream: Stream, videos: Sequence[TrainingVideo], num_classes: int, folder: Path, snippets: int, seed: int
) -> tuple[Path, Path]:
    """Writes demo_<modality>_deploy.prototxt and demo_<modality>.caffemodel into ``folder``; returns both paths."""
    prototxt, caffemodel = (folder / f"demo_{stream.modality}{end}" for end in ("_deploy.prototxt", ".caffemodel"))
    write_bytes(prototxt, deploy_prototxt(stream, num_classes).encode())
    net = load_net(prototxt, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        if stream.modality == "rgb":
            net.conv1.weight.copy_(torch.from_numpy(edge_filters(stream.widths[0])))
        some = [
            read_crops(stream, video, 1)[::4] for video in videos
        ]  # first corner and centre of every training video
        calibrate(net, stream, torch.cat(some))
        weight, bias = _classifier(net, stream, videos, num_classes, snippets)
        net.fc_action.weight.copy_(torch.from_numpy(weight))
        net.fc_action.bias.copy_(torch.from_numpy(bias))
    save_caffemodel(caffemodel, net)
    return prototxt, caffemodel


def _classifier(net: CaffeNet, stream: Stream, videos: Sequence[TrainingVideo], num_classes: int, snippets: int):
    def pooled(video: TrainingVideo) -> np.ndarray:
        with torch.inference_mode():  # holds for one thread only
            features = net(read_crops(stream, video, snippets), blobs=(FEATURE_BLOB,))[FEATURE_BLOB]
        return features.flatten(1).double().numpy()  # (N, D, 1, 1) -> (N, D)

    with ThreadPoolExecutor(2) as pool:  # one reads while the other computes
        bar = tqdm(pool.map(pooled, videos), f"{stream.modality} features", len(videos), unit="video", disable=None)
        features = list(bar)
    labels = np.repeat([video.label for video in videos], [len(rows) for rows in features])
    return linear_discriminants(np.concatenate(features), labels, num_classes)
