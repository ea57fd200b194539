"""Segmental consensus: combines the scores of a video's snippets into the video's scores.

Source: ECCV paper (1608.00859), section 3.1; TPAMI paper (1705.02953), section 3.3. Symbols: N videos, S segments (one
snippet each), K classes, D features of a snippet.
"""

import difflib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converter.errors import PytsnError


class Consensus(nn.Module):
    """``forward(scores, features)``: (N, S, K) and (N, S, D), or None unless ``needs_features``, -> (N, K).

    decay_mult: factor on the weight decay of the consensus's parameters (their factor on the learning rate is 1).
    """

    needs_features = False
    decay_mult = 0.0


class Average(Consensus):
    """g = mean over segments: the pooling of the released train_val nets, whose sum it reproduces to the last bit."""

    def forward(self, scores: Tensor, features: Tensor | None = None) -> Tensor:
        pooled = F.avg_pool2d(scores.unsqueeze(1), (scores.shape[1], 1))  # (N, S, K) -> (N, 1, 1, K)
        return pooled.flatten(1)


class Max(Consensus):
    """g_i = the largest score of class i among the segments; if several are equal, one segment gets the gradient."""

    def forward(self, scores: Tensor, features: Tensor | None = None) -> Tensor:
        return scores.max(dim=1).values  # (N, S, K) -> (N, K)


class TopK(Consensus):
    """g_i = mean of the ``k`` largest scores of class i; k = 1 is max, k = S is average."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, scores: Tensor, features: Tensor | None = None) -> Tensor:
        return scores.topk(self.k, dim=1).values.mean(dim=1)  # (N, S, K) -> (N, k, K) -> (N, K)

    def extra_repr(self) -> str:
        return f"k={self.k}"


class Weighted(Consensus):
    """g = sum over segments of w_k f_k; ``weight`` (S,) is learned and starts as the average, 1/S each.

    The weights have no weight decay, which would pull the video's scores towards 0.
    """

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((num_segments,), 1 / num_segments))

    def forward(self, scores: Tensor, features: Tensor | None = None) -> Tensor:
        return (scores * self.weight[:, None]).sum(dim=1)  # (N, S, K) -> (N, K)


class Attention(Consensus):
    """g = sum over segments of a_k f_k with a = softmax over segments of w^T R(T_k), R a snippet's pooled features.

    ``weight`` (D,) is learned and starts at 0, which is the average. R is the classifier's input, after dropout.
    """

    needs_features = True
    decay_mult = 1.0

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(feature_size))

    def attention(self, features: Tensor) -> Tensor:
        """The weights of the segments: (N, S, D) -> (N, S), positive, with sum 1."""
        return (features * self.weight).sum(dim=2).softmax(dim=1)  # no matmul, which autocast would round

    def forward(self, scores: Tensor, features: Tensor | None = None) -> Tensor:
        assert features is not None  # see needs_features
        return (self.attention(features).unsqueeze(2) * scores).sum(dim=1)  # (N, S, 1) * (N, S, K) -> (N, K)


#: name -> builder of the module from the number of segments and the size of a snippet's features
CONSENSUS = {
    "average": lambda segments, features: Average(),
    "max": lambda segments, features: Max(),
    "weighted": lambda segments, features: Weighted(segments),
    "attention": lambda segments, features: Attention(features),
}
NAMES = (*CONSENSUS, "topk:K")


def make_consensus(text: str, num_segments: int, feature_size: int) -> Consensus:
    """Makes a consensus by name: average, max, weighted, attention, or topk:K with K from 1 to ``num_segments``.

    Raises PytsnError for any other text.
    """
    if text in CONSENSUS:
        return CONSENSUS[text](num_segments, feature_size)
    name, _, count = text.partition(":")
    if name != "topk":
        near = difflib.get_close_matches(text, NAMES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"one of {', '.join(NAMES)} was expected"
        raise PytsnError(f"consensus '{text}': {hint}")
    if not count.isdecimal() or not 1 <= int(count) <= num_segments:
        raise PytsnError(f"consensus '{text}': topk:K with K from 1 to {num_segments}, the segments, was expected")
    return TopK(int(count))
