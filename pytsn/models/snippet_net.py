"""Describes the net that scores single snippets for TSN: a BNInception, or a CaffeNet of a deploy prototxt."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converter.errors import PytsnError
from converter.layers.activation import Dropout
from converter.net import CaffeNet
from pytsn.models.bn_inception import BNInception
from pytsn.models.inception_table import CLASSIFIER, FEATURES, GLOBAL_POOL

#: score blob names of the released nets, in search order
SCORE_NAMES = ("fc-action", "fc_action")


@dataclass(frozen=True)
class SnippetNet:
    """channels: of the input. score, num_classes: the blob of class scores and its width. features, feature_size: the
    blob that the classifier reads and its values per snippet. classifier: the layer that computes the scores."""

    channels: int
    score: str
    num_classes: int
    features: str
    feature_size: int
    classifier: str


def describe(base: nn.Module, score_name: str | None = None, feature_name: str | None = None) -> SnippetNet:
    """Describes ``base``. ``score_name``: None finds fc-action, fc_action or the net's only result; ``feature_name``:
    None is the bottom of the layer that computes the scores.

    Raises PytsnError for other modules, for nets without exactly one input (N, C, H, W), and for unknown blobs.
    """
    if isinstance(base, BNInception):
        classes = base.fc_action.out_features
        return SnippetNet(base.in_channels, CLASSIFIER, classes, GLOBAL_POOL.name, FEATURES, CLASSIFIER)
    if not isinstance(base, CaffeNet):
        raise PytsnError(f"TSN: the base is a {type(base).__name__}; a BNInception or a CaffeNet was expected")
    shapes = list(base.inputs.values())
    if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 4:
        found = ", ".join(f"{blob} {shape}" for blob, shape in base.inputs.items())
        raise PytsnError(f"TSN: the base must be a deploy net with one input (N, C, H, W); it has {found}")
    score = _score_blob(base, score_name)
    step = next(step for step in base.graph.steps if base.graph.final[score] in step.tops)
    if score_name is None and step.param.type == "Softmax":
        before = step.bottoms[0].rpartition("@")[0]
        raise PytsnError(f"TSN: blob '{score}' is a softmax; name the blob of the scores before it: '{before}'?")
    scores = base.blob_shapes[score]
    if len(scores) < 2 or any(dim != 1 for dim in scores[2:]):
        raise PytsnError(f"TSN: blob '{score}' has shape {scores}; class scores (N, K) were expected")
    features = feature_name or _bottom_blob(base, step)
    base.graph.value_of(features)  # raises for an unknown blob
    feature_size = math.prod(base.blob_shapes[features][1:])
    return SnippetNet(shapes[0][1], score, scores[1], features, feature_size, step.param.name)


def _score_blob(base: CaffeNet, wanted: str | None) -> str:
    results = base.graph.results()
    found = wanted or next((name for name in SCORE_NAMES if name in base.blob_names), None)
    if found is None and len(results) == 1:
        found = results[0]
    if found is None:
        raise PytsnError(f"TSN: which blob holds the scores? name it: {', '.join(results)}")
    base.graph.value_of(found)
    return found


def _bottom_blob(base: CaffeNet, step) -> str:
    value = step.bottoms[0]
    blob = value.rpartition("@")[0]
    if base.graph.final[blob] != value:
        raise PytsnError(f"TSN: {step.label} reads blob '{blob}', which is overwritten later: name the features' blob")
    return blob


def run_base(base: nn.Module, about: SnippetNet, x: Tensor, features: bool) -> tuple[Tensor, Tensor | None]:
    """Scores (M, K) of snippets x (M, C, H, W) and, if ``features``, their features (M, D); at least float32."""
    if features:
        blobs = base(x, blobs=(about.score, about.features))
        return _precise(blobs[about.score]), _precise(blobs[about.features])
    return _precise(base(x, blobs=(about.score,))[about.score]), None


def _precise(blob: Tensor) -> Tensor:
    """(M, ..) -> (M, K) in float32: autocast leaves 8 bits of a score, too few for a consensus and a loss."""
    return (blob.float() if blob.dtype in (torch.bfloat16, torch.float16) else blob).flatten(1)


def set_dropout(base: nn.Module, ratio: float, required: bool) -> None:
    """Sets the ratio of the dropout before the classifier: a CaffeNet's last Dropout layer.

    Raises PytsnError for a ratio outside [0, 1), and for a net without such a layer if ``required``.
    """
    if not 0 <= ratio < 1:
        raise PytsnError(f"TSN: dropout {ratio:g}: a ratio in [0, 1) was expected")
    if isinstance(base, BNInception):
        base.dropout = ratio
        return
    layers = [module for module in base.modules() if isinstance(module, Dropout)]
    if layers:
        layers[-1].ratio = ratio
    elif required and ratio:
        raise PytsnError(f"TSN: dropout {ratio:g}: the net has no Dropout layer: add one before its classifier")
