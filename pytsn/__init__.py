"""Temporal Segment Networks, as Caffe computes them, in PyTorch. What a user calls:

- ``load(weights).predict(video)``: the actions in a video, by nets that need no prototxt.
- ``load_net(prototxt, caffemodel)``: any Caffe net of the original's layers, as an nn.Module; ``net(x)[blob]``.
- ``BNInception(num_classes, in_channels=3)``: the papers' network by hand; pixels (N, C, 224, 224) -> scores (N, K).
- ``TSN(base, num_segments, consensus)``: segments and consensus over a net; ``load_caffemodel`` takes released weights.
- ``ActionNet(prototxt, weights)``: the test-time net: snippets of a video -> the scores of their ten crops.
- ``compute_flow(first, second, preset)``: TV-L1 optical flow as the released models saw it.
- ``read_scores(path)``: a score file, also one that Python 2 wrote.

The rest lies in rooms: ``pytsn.data``, ``pytsn.models``, ``pytsn.scores``, ``pytsn.training``, ...; see
docs/architecture.md.
The package ``converter`` reads and writes Caffe's files. The command line is ``pytsn``, or ``python -m pytsn``.
"""

from typing import TYPE_CHECKING

from converter.errors import PytsnError
from pytsn.runtime.version import __version__

if TYPE_CHECKING:
    from converter.net import load_net
    from pytsn.evaluation.action_net import ActionNet
    from pytsn.flow.tvl1.compute import compute_flow
    from pytsn.models.bn_inception import BNInception
    from pytsn.models.tsn import TSN
    from pytsn.predict.load import load
    from pytsn.scores.score_file import read_scores

__all__ = [
    "TSN",
    "ActionNet",
    "BNInception",
    "PytsnError",
    "__version__",
    "compute_flow",
    "load",
    "load_net",
    "read_scores",
]

_HOMES = {  # name -> module, imported on first use: torch takes seconds, and `pytsn --help` must not wait for it
    "ActionNet": "pytsn.evaluation.action_net",
    "BNInception": "pytsn.models.bn_inception",
    "TSN": "pytsn.models.tsn",
    "compute_flow": "pytsn.flow.tvl1.compute",
    "load": "pytsn.predict.load",
    "load_net": "converter.net",
    "read_scores": "pytsn.scores.score_file",
}
_ROOMS = (
    *("ablation", "caffe_random", "data", "demo", "evaluation", "features", "finetune", "flow", "models"),
    *("parity", "predict", "runtime", "scores", "training", "weights"),
)


def __getattr__(name: str):
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"pytsn.{name}")
    raise AttributeError(f"module 'pytsn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
