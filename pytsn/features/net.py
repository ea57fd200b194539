"""A net whose output is any of its blobs. Letters: T snippets, P planes, D channels of the blob, h x w its size."""

import os

import numpy as np
import torch

from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.proto import NetFile
from pytsn.evaluation.action_net import NUM_CROPS, ActionNet, NetOptions

#: crops of a snippet: the mean of ten, the centre only, or all ten
CROPS = ("mean", "centre", "all")
#: most snippets per forward pass: the first convolution's blob of ten crops takes 32 MB each
_SNIPPETS = 8


class FeatureNet(ActionNet):
    """A deploy prototxt with weights whose named blob is the output.

    The fused net keeps this blob, so its values are Caffe's up to rounding. ``options.score_name`` names the blob;
    ``options.crops`` must fit ``crops``. Raises PytsnError as ActionNet does, and for a blob without channels.
    """

    def __init__(
        self,
        net_proto: str | os.PathLike,
        net_weights: str | os.PathLike,
        options: NetOptions,
        crops: str = "mean",
        spatial: bool = False,
    ) -> None:
        if crops not in CROPS:
            raise PytsnError(f"crops '{crops}': one of {', '.join(CROPS)} was expected")
        if options.crops != (1 if crops == "centre" else NUM_CROPS):
            raise PytsnError(f"crops '{crops}' does not go with {options.crops} crops a snippet")
        self.kept, self.spatial = crops, spatial
        super().__init__(net_proto, net_weights, options)

    def features(self, planes: np.ndarray) -> np.ndarray:
        """The blob for snippets uint8 (T, P, H, W): float32 (T, D); spatial: (T, D, h, w); crops all: (T, 10, ...)."""
        parts = [self._part(planes[start : start + _SNIPPETS]) for start in range(0, len(planes), _SNIPPETS)]
        return np.concatenate(parts)

    def _part(self, planes: np.ndarray) -> np.ndarray:
        values = self.score_snippets(planes)  # (T, crops, D, ...)
        return values if self.kept == "all" else values.mean(axis=1)

    def _width(self, net: CaffeNet, source: NetFile) -> int:
        shape = net.blob_shapes[self.score_name]
        if len(shape) not in (2, 4):
            raise PytsnError(f"{source}: blob '{self.score_name}' has shape {shape}; (N, D) or (N, D, h, w) go")
        if self.spatial and len(shape) == 2:
            raise PytsnError(f"{source}: blob '{self.score_name}' has shape {shape}: nothing spatial to keep")
        return shape[1]

    def _shaped(self, scores: torch.Tensor) -> torch.Tensor:
        """(N, D), or (N, D, h, w) averaged over space unless spatial."""
        return scores if self.spatial or scores.dim() == 2 else scores.mean((2, 3))
