"""The test-time net: takes snippets of a video, returns class scores of ten crops.

Source: the original's ``pyActionRecog/action_caffe.py``. Letters: T snippets, C input channels of the net (3, 10 for
flow, 15 for rgbdiff), P planes of a snippet (C, but 18 for rgbdiff), H, W frame size, S the crop's side, K classes.
"""

import os
from dataclasses import dataclass

import numpy as np
import torch

from converter.core_threads import CoreThreads
from converter.errors import PytsnError
from converter.fused import FusedNet, fuse
from converter.net import CaffeNet, load_net
from converter.proto import NetFile
from pytsn.data.modalities import modality_of_channels
from pytsn.data.rgb_difference import DIFFERENCES, frame_differences
from pytsn.data.ten_crops import centre_crops, ten_crops
from pytsn.evaluation.layout import fastest
from pytsn.models.snippet_net import SCORE_NAMES
from pytsn.runtime.device import PRECISIONS, pick_device

NUM_CROPS = 10


@dataclass(frozen=True)
class NetOptions:
    """How to run the net. device: auto, cpu, cuda or cuda:N; precision: fp32 or on CUDA tf32x3 (parity), tf32 or bf16;
    score_name: the score blob, None for fc-action or fc_action; batch_size: crops per forward pass, None for the
    default; rgbdiff: differences that a net of 15 channels was trained on, signed or absolute
    (pytsn/data/rgb_difference.py); crops: 10, or 1 for the centre crop only (a tenth of the work, but the papers report
    ten)."""

    device: str = "auto"
    precision: str = "fp32"
    bn_style: str = "var"
    score_name: str | None = None
    batch_size: int | None = None
    rgbdiff: str = "signed"
    crops: int = NUM_CROPS


class ActionNet:
    """A deploy prototxt with weights, ready to score snippets.

    ``report`` says what was loaded, ``drift`` (None for fp32) how much the first scores differ from fp32. Raises
    PytsnError for weights of another net, a missing score blob, or an input that is not (N, C, S, S).
    """

    def __init__(self, net_proto: NetFile, net_weights: str | os.PathLike, options: NetOptions = NetOptions()) -> None:
        if options.precision not in PRECISIONS:
            raise PytsnError(f"precision '{options.precision}': one of {', '.join(PRECISIONS)} was expected")
        if options.rgbdiff not in DIFFERENCES:
            raise PytsnError(f"rgbdiff '{options.rgbdiff}': one of {', '.join(DIFFERENCES)} was expected")
        if options.crops not in (1, NUM_CROPS):
            raise PytsnError(f"{options.crops} crops a snippet: 1 (the centre) or {NUM_CROPS} was expected")
        self._difference, self.crops = options.rgbdiff, options.crops
        self.device, self.precision = pick_device(options.device), options.precision
        if self.precision != "fp32" and self.device.type != "cuda":
            raise PytsnError(f"precision {self.precision} needs a CUDA device; the CPU runs fp32")
        net = load_net(net_proto, net_weights, bn_style=options.bn_style)
        assert net.report is not None  # weights were given
        self.report = net.report
        self.report.require_complete()
        self.score_name = _score_name(net, options.score_name, net_proto)
        self.num_classes = self._width(net, net_proto)
        self.channels, self.crop_size = _input_size(net, net_proto)
        self._row = modality_of_channels(self.channels)
        self.batch_size = options.batch_size or (10 if self.device.type == "cpu" else 250)
        self.mean = torch.tensor(self._mean(), dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
        self._cores = CoreThreads(None if self.device.type == "cpu" else 1)
        self.net = self._fuse(net)
        self._unfused = net if self.precision != "fp32" else None  # for the drift, measured once
        self.drift: tuple[float, float] | None = None

    @torch.inference_mode()
    def _fuse(self, net: CaffeNet) -> FusedNet:
        """The net for inference, on the device, in the memory layout that is fastest there."""

        def make(channels_last: bool) -> FusedNet:
            # the kernel of tf32x3 wants channels last; its rival is fp32, which keeps parity too
            precision = self.precision if channels_last or self.precision != "tf32x3" else "fp32"
            return fuse(net, keep=(self.score_name,), precision=precision, channels_last=channels_last)

        def run(fused: FusedNet) -> torch.Tensor:
            shape = (self.batch_size, self.planes, self.crop_size, self.crop_size)
            return self._forward(fused, torch.zeros(shape, dtype=torch.uint8, device=self.device))

        return fastest(make, run, self.device)

    @property
    def modality(self) -> str:
        """rgb for 3 channels, rgbdiff for 15, flow for any other number."""
        return self._row.name

    @property
    def is_flow(self) -> bool:
        """Whether the net takes flow images."""
        return self._row.is_flow

    @property
    def planes(self) -> int:
        """Planes of a snippet: the net's input channels, or for rgbdiff the planes of the frames."""
        return self.channels + self._row.difference * self._row.images.planes

    @torch.inference_mode()
    def score_snippets(self, planes: np.ndarray) -> np.ndarray:
        """Scores before the softmax, float32 (T, 10, K), of snippets uint8 (T, P, H, W); (T, 1, K) with one crop.

        Planes are B, G, R of each frame, or x, y of each flow pair, at the size that crops are cut from (256 x 340).
        Crop order as in pytsn.data.ten_crops. Raises PytsnError when planes do not fit the net.
        """
        self.check_planes(planes)
        crops = self.cut(torch.from_numpy(planes).to(self.device, non_blocking=True))
        scores = self._cores.run(self.score_crops, crops, self.batch_size)
        self.compare_with_fp32(crops[: self.batch_size], scores[: self.batch_size])
        return scores.unflatten(0, (len(planes), self.crops)).cpu().numpy()

    def check_planes(self, planes: np.ndarray) -> None:
        """Raises PytsnError for snippets, uint8 (T, P, H, W), that do not fit the net."""
        if planes.ndim != 4 or planes.shape[1] != self.planes:
            raise PytsnError(f"snippets of {planes.shape[1:2]} planes, the net takes {self.planes}: other modality?")

    def cut(self, snippets: torch.Tensor) -> torch.Tensor:
        """Crops of snippets uint8 (T, P, H, W), on the same device: (10 T, P, S, S), or (T, P, S, S) for one crop."""
        if self.crops == 1:
            return centre_crops(snippets, self.crop_size)
        return ten_crops(snippets, self.crop_size, self.is_flow)

    def score_crops(self, crops: torch.Tensor) -> torch.Tensor:
        """Scores float32 (N, K) of crops uint8 (N, P, S, S). Does not wait for the device."""
        return self._forward(self.net, crops)

    def compare_with_fp32(self, crops: torch.Tensor, scores: torch.Tensor) -> None:
        """Sets ``drift`` from the first crops that were scored in another precision than fp32."""
        if self._unfused is not None:
            self.drift = self._measure_drift(self._unfused, crops, scores)

    def _forward(self, net: FusedNet, crops: torch.Tensor) -> torch.Tensor:
        """Crops uint8 (N, P, S, S) -> scores float32 (N, K)."""
        if self._row.difference:
            values = frame_differences(crops, self._row.stack, kind=self._difference)  # (N, P, ..) -> (N, C, ..)
        else:
            values = crops - self.mean
        scores = net(values, blobs=(self.score_name,))[self.score_name]
        return self._shaped(scores)

    def _mean(self) -> tuple[float, ...]:
        """The mean to subtract from each channel: the one recorded with the weights if there is one, else Caffe's; 0
        for differences, where it cancels."""
        trained = self.report.means(self.channels)
        if trained is not None:
            return tuple(trained.reshape(-1).tolist())
        mean = self._row.mean or (0,)
        return mean if len(mean) == self.channels else mean * self.channels

    def _width(self, net: CaffeNet, source: NetFile) -> int:
        """Values per crop in the score blob. Raises PytsnError when the blob holds no class scores."""
        return _num_classes(net, self.score_name, source)

    def _shaped(self, scores: torch.Tensor) -> torch.Tensor:
        """The score blob as (N, K): a 1x1 convolution as classifier gives (N, K, 1, 1)."""
        return scores.flatten(1)

    def _measure_drift(self, unfused: CaffeNet, crops: torch.Tensor, fast: torch.Tensor) -> tuple[float, float]:
        """Largest difference from fp32 over the largest magnitude; share of crops with the same best class."""
        exact = self._forward(fuse(unfused, keep=(self.score_name,)).to(self.device), crops)
        self._unfused = None
        relative = (exact - fast).abs().max() / exact.abs().max()
        return relative.item(), (exact.argmax(1) == fast.argmax(1)).float().mean().item()


def _score_name(net: CaffeNet, wanted: str | None, source: NetFile) -> str:
    if wanted is not None:
        net.graph.value_of(wanted)
        return wanted
    for name in SCORE_NAMES:
        if name in net.blob_names:
            return name
    raise PytsnError(
        f"{source}: has no blob {' or '.join(SCORE_NAMES)}; name the score blob with --score_name"
        f" (the net's outputs are: {', '.join(net.outputs)})"
    )


def _num_classes(net: CaffeNet, score_name: str, source: NetFile) -> int:
    shape = net.blob_shapes[score_name]
    if len(shape) < 2 or any(dim != 1 for dim in shape[2:]):
        raise PytsnError(f"{source}: blob '{score_name}' has shape {shape}; class scores (N, K) were expected")
    return shape[1]


def _input_size(net: CaffeNet, source: NetFile) -> tuple[int, int]:
    shapes = [shape for shape in net.inputs.values() if shape and len(shape) == 4]
    if len(net.inputs) != 1 or not shapes or shapes[0][2] != shapes[0][3]:
        found = ", ".join(f"{blob} {shape}" for blob, shape in net.inputs.items())
        raise PytsnError(f"{source}: a deploy net with one square input (N, C, S, S) was expected, it has {found}")
    return shapes[0][1], shapes[0][2]
