"""Normalisation within a sample: MVN and LRN."""

import torch
import torch.nn.functional as F

from converter import caffe_tsn_pb2 as pb
from converter.layers.base import CaffeLayer, Context, Shape, check_axes, require
from converter.layers.norm import gradient_through_statistics


class MVN(CaffeLayer):
    """Mean-variance normalisation of every map, or with ``across_channels`` of every sample: y = (x - mean) / (std +
    eps).

    Bottom of 1 to 4 axes, top always (N, C, H, W). Without ``normalize_variance`` y = x - mean, and Caffe passes dy on
    unchanged: its gradient ignores the mean. Source: mvn_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        mvn = param.mvn_param
        check_axes(bottom_shapes[0], 1, 4)
        self.axes = [1, 2, 3] if mvn.across_channels else [2, 3]
        self.normalize_variance, self.eps = mvn.normalize_variance, mvn.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(tuple(x.shape) + (1,) * (4 - x.dim()))  # (N, C) -> (N, C, 1, 1)
        value = x.detach()
        centred = value - value.mean(self.axes, keepdim=True)
        if not self.normalize_variance:
            return centred + (x - value)
        inverse = 1 / (centred.square().mean(self.axes, keepdim=True).sqrt() + self.eps)
        y = centred * inverse
        return y + gradient_through_statistics(x, y, inverse, self.axes)


class LRN(CaffeLayer):
    """Local response normalisation, (N, C, H, W) -> same: x * (k + alpha * s)^-beta, s a mean of squares near the
    pixel.

    ACROSS_CHANNELS: over ``local_size`` channels; WITHIN_CHANNEL: over local_size x local_size pixels, with k always 1.
    Values outside count as 0. Raises PytsnError for an even local_size. Source: lrn_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        lrn = param.lrn_param
        check_axes(bottom_shapes[0], 4)
        require(lrn.local_size % 2 == 1, f"local_size must be odd, found {lrn.local_size}")
        self.across = lrn.norm_region == pb.LRNParameter.ACROSS_CHANNELS
        self.size, self.alpha, self.beta, self.k = lrn.local_size, lrn.alpha, lrn.beta, lrn.k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.across:
            return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
        squares = F.avg_pool2d(x * x, self.size, 1, self.size // 2)
        return x * (1 + self.alpha * squares).pow(-self.beta)
