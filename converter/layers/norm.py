"""Batch normalisation: the fork's BN and BVLC's BatchNorm."""

import torch
import torch.nn.functional as F
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.layers.base import CaffeLayer, Context, Shape, check_axes, require
from converter.layers.channels_last_bn import has_channels_last, normalise_pixels


def gradient_through_statistics(
    x: torch.Tensor, y: torch.Tensor, inverse: torch.Tensor, axes: list[int]
) -> torch.Tensor:
    """Zeros whose gradient is Caffe's for a normalisation y = (x - mean) * inverse.

    With dy the gradient of y and means over ``axes``: dx = inverse * (dy - mean(dy) - y * mean(dy * y)). Caffe's
    backward pass uses this formula even if mean and inverse are not x's own statistics, or if an eps makes it inexact.
    In these cases the layers below compute the value otherwise and add these zeros.
    """
    z, y = x * inverse.detach(), y.detach()
    z = z - z.mean(axes, keepdim=True) - y * (z * y).mean(axes, keepdim=True)
    return z - z.detach()


class BN(CaffeLayer):
    """The fork's batch normalisation, y = slope * (x - mean) / sqrt(var + eps) + bias, of (N, C), (N, C, H) or NCHW.

    Blobs, (C,) here and (1, C) in files: weight (slope), bias, running_mean, running_var (a variance). Frozen or not
    training: uses the running statistics. Otherwise uses the batch's mean and biased variance, and each forward sets
    running = momentum * running + (1 - momentum) * batch. The batch variance in this update is biased, as in Caffe's
    own code, or unbiased, as in cuDNN: ``unbiased_running_var`` True or False chooses; None means cuDNN's on CUDA
    unless ``engine: CAFFE``. Frozen slope and bias get no gradient, and the input's is dy * slope / sqrt(var + eps).
    An unfrozen BN in TEST phase keeps Caffe's backward pass, the training formula with running statistics inserted.
    Source: bn_layer.cpp, cudnn_bn_layer.cu.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        bn = param.bn_param
        check_axes(bottom_shapes[0], 2, 4)
        channels = bottom_shapes[0][1]
        self.eps, self.momentum, self.frozen = bn.eps, bn.momentum, bn.frozen
        self.unbiased_running_var: bool | None = None
        self.folded = False  # applied by the convolution before it (converter/frozen_bn.py)
        self.cudnn = bn.engine != pb.BNParameter.CAFFE
        # Filled in the file's shape, which xavier and similar fillers use.
        self.add_parameter("weight", (1, channels), bn.slope_filler, context)
        self.add_parameter("bias", (1, channels), bn.bias_filler, context)
        for parameter in (self.weight, self.bias):
            parameter.data = parameter.data[0]
            parameter.requires_grad_(not self.frozen)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), 1.0 if self.frozen else 0.0))
        self.blob_names = ("weight", "bias", "running_mean", "running_var")

    def caffe_shape(self, blob_name: str) -> Shape:
        return (1, *getattr(self, blob_name).shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.folded:
            return x
        if self.training and not self.frozen:
            return self._train(x)
        if self.frozen:  # detached: stays frozen even if requires_grad is set on all parameters
            slope, bias = self.weight.detach(), self.bias.detach()
            return F.batch_norm(x, self.running_mean, self.running_var, slope, bias, eps=self.eps)
        if not (x.requires_grad and torch.is_grad_enabled()):
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return self._test_with_gradient(x)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and shift, (C,) each, without gradient: y = x * scale + shift with the running statistics."""
        scale = self.weight.detach() * (self.running_var + self.eps).rsqrt()
        return scale, torch.addcmul(self.bias.detach(), self.running_mean, scale, value=-1)

    def _per_channel(self, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return values.reshape((-1,) + (1,) * (x.dim() - 2))  # (C,) -> (C, 1, 1)

    def _test_with_gradient(self, x: torch.Tensor) -> torch.Tensor:
        value = x.detach()
        top = F.batch_norm(value, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        inverse = self._per_channel((self.running_var + self.eps).rsqrt(), x)
        normalised = (value - self._per_channel(self.running_mean, x)) * inverse
        zeros = gradient_through_statistics(x, normalised, inverse, _all_but_channels(x))
        return top + self._per_channel(self.weight.detach(), x) * zeros

    def _train(self, x: torch.Tensor) -> torch.Tensor:
        count = x.numel() // x.shape[1]
        if count == 1:  # the batch's variance is 0: x - x keeps the gradient, which is 0 too
            mean, variance = x.detach().flatten(), torch.zeros_like(self.running_var)
            y = (x - x) * self._per_channel(self.weight, x) + self._per_channel(self.bias, x)
        else:
            # With momentum 1 PyTorch stores the batch's own statistics, with the unbiased variance, in these two.
            mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
            y = _by_batch(x, mean, variance, self.weight, self.bias, self.eps)
            if not self.averages_unbiased(x):
                variance = variance * ((count - 1) / count)
        self.average(mean, variance)
        return y

    @torch.no_grad()
    def average(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Takes a batch's statistics into the running ones."""
        self.running_mean.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.running_var.mul_(self.momentum).add_(variance, alpha=1 - self.momentum)

    def averages_unbiased(self, x: torch.Tensor) -> bool:
        """Whether it averages the unbiased variance of batches like x."""
        if self.unbiased_running_var is not None:
            return self.unbiased_running_var
        return self.cudnn and x.is_cuda


class BatchNorm(CaffeLayer):
    """BVLC's batch normalisation, without slope and bias: y = (x - mean) / sqrt(var + eps); (N, C, ..) or (N,) = one
    channel.

    Blobs: running_mean (C,), running_var (C,), scale_factor (1,): sums over the batches so far, to be divided by the
    factor (a factor of 0 gives mean 0 and variance 0). ``use_global_stats`` unset: uses the stored statistics when not
    training. Otherwise uses the batch's mean and biased variance, and each forward in training updates all three blobs:
    sum = moving_average_fraction * sum + batch, with the unbiased variance; the factor likewise, + 1. Source: BVLC
    Caffe 1.0, batch_norm_layer.cpp.
    """

    blob_names = ("running_mean", "running_var", "scale_factor")
    running_mean: torch.Tensor
    running_var: torch.Tensor
    scale_factor: torch.Tensor

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        bn = param.batch_norm_param
        channels = (*bottom_shapes[0], 1)[1] if len(bottom_shapes[0]) > 1 else 1
        self.eps, self.fraction = bn.eps, bn.moving_average_fraction
        self.use_global_stats = bn.use_global_stats if bn.HasField("use_global_stats") else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.zeros(channels))
        self.register_buffer("scale_factor", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stored = not self.training if self.use_global_stats is None else self.use_global_stats
        columns = x if x.dim() > 1 else x.unsqueeze(1)  # (N,) -> (N, 1)
        y = self._by_stored(columns) if stored else self._by_batch(columns)
        return y.reshape(x.shape)

    def _by_stored(self, x: torch.Tensor) -> torch.Tensor:
        empty = self.scale_factor == 0
        factor = torch.where(empty, 0.0, 1 / torch.where(empty, 1.0, self.scale_factor))
        return F.batch_norm(x, self.running_mean * factor, self.running_var * factor, eps=self.eps)

    def _by_batch(self, x: torch.Tensor) -> torch.Tensor:
        count = x.numel() // x.shape[1]
        require(
            count > 1, f"batch statistics need more than one value a channel, found a bottom of shape {tuple(x.shape)}"
        )
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = _by_batch(x, mean, variance, None, None, self.eps)  # leaves the unbiased variance
        with torch.no_grad():
            self.scale_factor.mul_(self.fraction).add_(1)
            self.running_mean.mul_(self.fraction).add_(mean)
            self.running_var.mul_(self.fraction).add_(variance)
        return y


def _by_batch(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, weight, bias, eps: float) -> torch.Tensor:
    """Normalises x by the batch's statistics and stores them in mean and variance (the unbiased one).

    On a CPU PyTorch's own statistics are exact only for planar data (converter/layers/channels_last_bn.py).
    """
    if has_channels_last(x):
        y, batch_mean, biased = normalise_pixels(x, weight, bias, eps)
        count = x.numel() // x.shape[1]
        mean.copy_(batch_mean)
        variance.copy_(biased * (count / (count - 1)))
        return y
    x = x.contiguous() if x.device.type == "cpu" else x
    return F.batch_norm(x, mean, variance, weight, bias, True, 1.0, eps)


def _all_but_channels(x: torch.Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]
