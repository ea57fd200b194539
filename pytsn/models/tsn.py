"""Temporal Segment Networks: one net over the snippets of a video, and the consensus of its scores.

Source: ECCV paper (1608.00859), section 3.1, equation 1. Symbols: N videos, S segments, C channels of a snippet, K
classes, D features.
"""

import os

from torch import Tensor, nn

from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.weights import LoadReport
from pytsn.data.modalities import Modality, find_modality
from pytsn.models.bn_inception import BNInception
from pytsn.models.consensus import make_consensus
from pytsn.models.partial_bn import hold_frozen, set_partial_bn
from pytsn.models.snippet_net import describe, run_base, set_dropout


class TSN(nn.Module):
    """A snippet net over S snippets of each video: (N, S*C, H, W) -> scores before the softmax, (N, K).

    base: BNInception, or a CaffeNet of a deploy prototxt (blob ``fc-action`` or ``fc_action``, else its only result;
    ``score_name`` and ``feature_name`` name other blobs). modality: rgb, flow, warped or rgbdiff; C is the base's: 3
    for rgb, 2 (x, y) for each flow frame, 3 for each difference. consensus: average, max, topk:K, weighted or attention
    (consensus.py). dropout: ratio on every snippet's features before the classifier; None is the modality's, if the
    base has such a layer. partial_bn: only the first BN learns, even after ``train()``; False: all of them do.

    State-dict keys: ``base.`` and the base's own (``base.conv1_7x7_s2.weight``), then ``consensus.weight`` of a learned
    consensus: (S,) of weighted, (D,) of attention. Raises PytsnError for settings that do not fit together.
    """

    def __init__(
        self,
        base: BNInception | CaffeNet,
        num_segments: int = 3,
        modality: str = "rgb",
        consensus: str = "average",
        dropout: float | None = None,
        partial_bn: bool = True,
        *,
        score_name: str | None = None,
        feature_name: str | None = None,
    ) -> None:
        super().__init__()
        if num_segments < 1:
            raise PytsnError(f"TSN: {num_segments} segments: at least 1 is needed")
        self.modality, self.num_segments = find_modality(modality), num_segments
        self.about = describe(base, score_name, feature_name)
        _check_channels(self.about.channels, self.modality)
        set_dropout(base, self.modality.training.dropout if dropout is None else dropout, required=dropout is not None)
        self.base = base
        self.consensus = make_consensus(consensus, num_segments, self.about.feature_size)
        self._frozen = tuple(set_partial_bn(base, partial_bn))

    @property
    def num_classes(self) -> int:
        """K."""
        return self.about.num_classes

    def train(self, mode: bool = True) -> "TSN":
        """Like nn.Module's; layers frozen by partial BN stay frozen."""
        super().train(mode)
        hold_frozen(self._frozen)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Video scores (N, K) of x, float (N, S*C, H, W): segments outermost, then frames, then their planes;
        pixels 0 to 255 in BGR order, flow as x, y, all minus the mean. Raises PytsnError for another shape."""
        scores, features = self._segments(x, self.consensus.needs_features)
        return self.consensus(scores, features)

    def segment_scores(self, x: Tensor) -> Tensor:
        """The scores of the single snippets, (N, S, K), of x as in ``forward``."""
        return self._segments(x, features=False)[0]

    def _segments(self, x: Tensor, features: bool) -> tuple[Tensor, Tensor | None]:
        channels, segments = self.about.channels, self.num_segments
        if x.dim() != 4 or x.shape[1] != segments * channels:
            expected = f"(N, {segments} * {channels}, H, W)"
            raise PytsnError(f"TSN: input of shape {tuple(x.shape)}, {expected} is needed")
        snippets = x.reshape(-1, channels, *x.shape[2:])  # (N, S*C, H, W) -> (N*S, C, H, W)
        found = run_base(self.base, self.about, snippets, features)  # -> (N*S, K), (N*S, D)
        scores, features_found = found
        each = (-1, segments)  # (N*S, ..) -> (N, S, ..)
        return scores.unflatten(0, each), None if features_found is None else features_found.unflatten(0, each)

    def load_caffemodel(self, path: str | os.PathLike, bn_style: str = "var") -> LoadReport:
        """Loads the base's weights from a caffemodel, a converted file or a port's checkpoint; the consensus keeps its
        weights. Returns the report.

        Raises PytsnError naming file and layer unless the file has weights for every layer of the base.
        """
        return self.base.load_caffemodel(path, bn_style)


def _check_channels(channels: int, modality: Modality) -> None:
    single, planes = modality.length == 1, modality.images.planes
    if channels % planes or (single and channels != planes):
        wanted = f"{planes}" if single else f"a multiple of {planes} ({modality.channels} released)"
        raise PytsnError(f"TSN: modality {modality.name} has {wanted} channels, the base takes {channels}: other net?")
