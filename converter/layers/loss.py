"""Softmax, losses and accuracy."""

import math

import torch
import torch.nn.functional as F

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.base import CaffeLayer, Context, Shape, canonical_axis, require

_Loss = pb.LossParameter

#: Caffe clamps a probability to at least FLT_MIN before the logarithm.
MAX_LOSS = -math.log(torch.finfo(torch.float32).tiny)


class Softmax(CaffeLayer):
    """exp(x) over its sum along ``axis``. Source: softmax_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.axis = canonical_axis(param.softmax_param.axis, bottom_shapes[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.softmax(x, self.axis)


class _Labelled(CaffeLayer):
    """A layer whose bottoms are scores, with classes along ``axis``, and one label for each position of the others."""

    def read_labels(self, axis: int, param, bottom_shapes: list[Shape]) -> None:
        """Stores the axis and the ignored label; checks that there are as many labels as predictions."""
        scores, labels = bottom_shapes
        self.axis = canonical_axis(axis, scores)
        self.classes = scores[self.axis]
        self.ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        wanted, found = math.prod(scores[: self.axis] + scores[self.axis + 1 :]), math.prod(labels)
        require(wanted == found, f"scores of shape {scores} need {wanted} labels, found {found} of shape {labels}")

    def aligned(self, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class indices, int64, and whether each counts (is not ignored), both with size 1 along the axis."""
        shape = (*scores.shape[: self.axis], 1, *scores.shape[self.axis + 1 :])
        labels = labels.reshape(shape).long()
        if self.ignore_label is None:
            return labels, torch.ones_like(labels, dtype=torch.bool)
        counts = labels != self.ignore_label
        return torch.where(counts, labels, 0), counts

    def of_label(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The values at the labels' classes. Raises PytsnError (on a CPU) for a label that is not a class."""
        try:
            return values.gather(self.axis, labels)
        except RuntimeError as error:
            if "out of bounds" not in str(error):
                raise
            raise PytsnError(f"a label lies outside the classes 0..{self.classes - 1}") from error


class SoftmaxWithLoss(_Labelled):
    """Mean of -log(softmax(scores)[label]), a scalar; an optional second top holds the probabilities.

    Bottoms: scores, with classes along ``softmax_param.axis``, and labels (float or integer; any shape of the right
    count). The divisor: labels that are not ignored (``normalize``, the default), or with ``normalize: false`` the
    product of the axes before the classes; BVLC's ``normalization`` FULL (all labels), VALID, BATCH_SIZE and NONE
    choose the same way. Probabilities are clamped to at least FLT_MIN, which the gradient, softmax - one-hot, ignores.
    No gradient reaches the labels or comes from the second top. If every label is ignored the loss is 0, as in BVLC
    (the fork divides by 0). Raises PytsnError if the numbers of scores and labels disagree. Source:
    softmax_loss_layer.cpp.
    """

    is_loss = True

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.read_labels(param.softmax_param.axis, param.loss_param, bottom_shapes)
        self.tops = len(param.top)
        by_flag = _Loss.VALID if param.loss_param.normalize else _Loss.BATCH_SIZE
        self.normalization = param.loss_param.normalization if param.loss_param.HasField("normalization") else by_flag

    def _divisor(self, scores: torch.Tensor, counts: torch.Tensor):
        if self.normalization == _Loss.VALID:
            return counts.sum().clamp(min=1)
        if self.normalization == _Loss.BATCH_SIZE:
            return math.prod(scores.shape[: self.axis])
        return counts.numel() if self.normalization == _Loss.FULL else 1

    def forward(self, scores: torch.Tensor, labels: torch.Tensor):
        labels, counts = self.aligned(scores, labels)
        losses = -self.of_label(F.log_softmax(scores, self.axis), labels)
        floored = losses + (losses.clamp(max=MAX_LOSS) - losses).detach()
        loss = torch.where(counts, floored, 0).sum() / self._divisor(scores, counts)
        return (loss, F.softmax(scores.detach(), self.axis)) if self.tops > 1 else loss


class Accuracy(_Labelled):
    """Fraction of labels among the ``top_k`` best scores, a scalar; labels equal to ``ignore_label`` are left out.

    Among equal scores the larger class index ranks first: Caffe sorts (score, index) pairs. Bottoms as for
    SoftmaxWithLoss, with ``accuracy_param.axis``. Raises PytsnError for top_k above the number of classes. Source:
    accuracy_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.read_labels(param.accuracy_param.axis, param.accuracy_param, bottom_shapes)
        self.top_k = param.accuracy_param.top_k
        require(self.top_k <= self.classes, f"top_k {self.top_k} is larger than the number of classes, {self.classes}")

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        scores = scores.detach()
        labels, counts = self.aligned(scores, labels)
        own = self.of_label(scores, labels)
        shape = [1] * scores.dim()
        shape[self.axis] = -1
        classes = torch.arange(scores.shape[self.axis], device=scores.device).reshape(shape)
        ahead = (scores > own) | ((scores == own) & (classes > labels))
        hits = (ahead.sum(self.axis, keepdim=True) < self.top_k) & counts
        return hits.sum().to(scores.dtype) / counts.sum()


class EuclideanLoss(CaffeLayer):
    """Sum of squared differences of two bottoms over 2 N, a scalar; both get a gradient. Source:
    euclidean_loss_layer.cpp."""

    is_loss = True

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        first, second = bottom_shapes
        same = first[:1] == second[:1] and math.prod(first) == math.prod(second) and first
        require(bool(same), f"bottoms must agree in N and in the number of values, found {first} and {second}")

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (x - target.reshape(x.shape)).square().sum() / (2 * x.shape[0])
