"""BN-Inception with Caffe's names and torch's own layers: (N, C, 224, 224) pixels -> (N, classes) scores."""

import difflib
import math
import os
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converter.errors import PytsnError
from converter.names import state_name
from converter.ports import origin_notes
from converter.weights import LoadReport, read_any_weights, same_shape
from pytsn.models.inception_table import (
    BN_EPS,
    CLASSIFIER,
    FEATURES,
    GLOBAL_POOL,
    INPUT_SIZE,
    Conv,
    Pool,
    blocks,
    convolutions,
    stem,
)


class BatchNorm(nn.BatchNorm2d):
    """torch's own, without ``num_batches_tracked``: Caffe has no such count, so it is neither saved nor required."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=BN_EPS, momentum=0.1)  # running = 0.9 * running + 0.1 * batch
        self.num_batches_tracked = None

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)  # files of other PyTorch ports may hold it
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args)


class BNInception(nn.Module):
    """The snippet network of TSN (models/*/tsn_bn_inception_*_deploy.prototxt of the original).

    num_classes: width of the scores. in_channels: 3 for rgb, 10 for flow (5 pairs, x then y), 15 for rgb difference.
    dropout: ratio on ``global_pool`` in train mode; the original uses 0.8 (rgb) and 0.7 (flow).

    State-dict keys are Caffe's layer names with ``/`` and ``-`` as ``_``, in the prototxt's order:
    ``conv1_7x7_s2.weight``, ``inception_3a_1x1_bn.running_mean``, ``fc_action.weight``. New weights are
    drawn by the prototxt's fillers.
    In train mode every BN normalises by its batch and averages the unbiased variance, as the fork does with cuDNN; with
    ``engine: CAFFE`` (the flow train_val nets) the fork averages the biased one.
    """

    fc_action: nn.Linear

    def __init__(self, num_classes: int = 101, in_channels: int = 3, dropout: float = 0.8) -> None:
        super().__init__()
        if num_classes < 1 or in_channels < 1 or not 0 <= dropout < 1:
            raise PytsnError(
                f"BNInception: num_classes {num_classes}, in_channels {in_channels}, dropout {dropout}: "
                "positive counts and a ratio in [0, 1) are needed"
            )
        self.in_channels, self.dropout = in_channels, dropout
        for conv in convolutions(in_channels):
            layer = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel, conv.stride, conv.pad)
            self.add_module(state_name(conv.name), layer)
            self.add_module(state_name(f"{conv.name}_bn"), BatchNorm(conv.out_channels))
        self.add_module(state_name(CLASSIFIER), nn.Linear(FEATURES, num_classes))
        self.apply(_fill)

    def forward(self, x: Tensor, blobs: Iterable[str] | None = None) -> Tensor | dict[str, Tensor]:
        """Scores ``fc-action`` before the softmax, (N, num_classes), of x, (N, in_channels, 224, 224).

        x: float32, planes in BGR order, pixel values minus the mean (104, 117, 123), or flow values minus 128.
        blobs: names of blobs of the deploy prototxt; the result is then a dict name -> tensor, with the values after
        Caffe's in-place layers: ``*_bn`` after the ReLU, a convolution's own blob before its BN, ``global_pool``
        (N, 1024, 1, 1) after the dropout. Raises PytsnError for an unknown blob or another shape of x.
        """
        if x.ndim != 4 or x.shape[1:] != (self.in_channels, INPUT_SIZE, INPUT_SIZE):
            expected = f"(N, {self.in_channels}, {INPUT_SIZE}, {INPUT_SIZE})"
            raise PytsnError(f"BNInception: input of shape {tuple(x.shape)}, {expected} is needed")
        wanted = _Wanted(self, (CLASSIFIER,) if blobs is None else blobs)
        x = self._chain(stem(self.in_channels), wanted.see("data", x), wanted)  # (N, C, 224, 224) -> (N, 192, 28, 28)
        for block, channels in blocks():  # -> (N, 1024, 7, 7)
            branches = [self._chain(chain, x, wanted) for chain in block.branches(channels)]
            x = wanted.see(f"{block.name}/output", torch.cat(branches, dim=1))
        x = F.dropout(_pool(GLOBAL_POOL, x), self.dropout, self.training)  # (N, 1024, 7, 7) -> (N, 1024, 1, 1)
        wanted.see(GLOBAL_POOL.name, x)
        scores = wanted.see(CLASSIFIER, self._layer(CLASSIFIER)(x.flatten(1)))  # -> (N, K)
        return scores if blobs is None else wanted.seen

    def load_caffemodel(self, path: str | os.PathLike, bn_style: str = "var") -> LoadReport:
        """Loads weights by layer name; ``bn_style`` as in converter.net.load_net. Returns the report.

        The file may be a caffemodel, a converted one or a port's checkpoint, whatever its name.

        Raises PytsnError naming file and layer unless the file has weights of the right shape for every layer; a file
        for another number of classes or channels is refused.
        """
        state, metadata = read_any_weights(path, bn_style, BN_EPS)
        report = LoadReport(str(path), bn_style, metadata=metadata, notes=origin_notes(metadata))
        return _copy_state(self, state, report)

    def _chain(self, steps: tuple[Conv | Pool, ...], x: Tensor, wanted: "_Wanted") -> Tensor:
        for step in steps:
            if isinstance(step, Pool):
                x = wanted.see(step.name, _pool(step, x))
            else:
                x = wanted.see(step.name, self._layer(step.name)(x))
                x = wanted.see(f"{step.name}_bn", F.relu(self._layer(f"{step.name}_bn")(x), inplace=True))
        return x

    def _layer(self, name: str) -> nn.Module:
        return getattr(self, state_name(name))

    def blob_names(self) -> list[str]:
        """Names of all blobs of the deploy net, in Caffe's order."""
        names = ["data", *_chain_blobs(stem(self.in_channels))]
        for block, channels in blocks():
            for chain in block.branches(channels):
                names += _chain_blobs(chain)
            names.append(f"{block.name}/output")
        return [*names, GLOBAL_POOL.name, CLASSIFIER]


class _Wanted:
    """Keeps the requested blobs as they are computed; all others are freed after their last use."""

    def __init__(self, net: BNInception, names: Iterable[str]) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.seen: dict[str, Tensor] = {}
        if set(self.names) - {CLASSIFIER}:
            known = net.blob_names()
            for name in self.names:
                if name not in known:
                    near = difflib.get_close_matches(name, known, 1) or ["inception_5b/output"]
                    raise PytsnError(f"BNInception: no blob '{name}'; did you mean '{near[0]}'?")

    def see(self, name: str, blob: Tensor) -> Tensor:
        if name in self.names:
            self.seen[name] = blob
        return blob


def _pool(pool: Pool, x: Tensor) -> Tensor:
    if pool.kind == "MAX":
        return F.max_pool2d(x, pool.kernel, pool.stride, pool.pad, ceil_mode=True)
    return F.avg_pool2d(x, pool.kernel, pool.stride, pool.pad, ceil_mode=True, count_include_pad=True)


def _chain_blobs(steps: tuple[Conv | Pool, ...]) -> list[str]:
    return [
        name for step in steps for name in ([step.name] if isinstance(step, Pool) else [step.name, f"{step.name}_bn"])
    ]


def _fill(layer: nn.Module) -> None:
    """The prototxt's fillers: xavier by fan-in and bias 0.2; gaussian 0.001 and bias 0 for the classifier."""
    if isinstance(layer, nn.Conv2d):
        bound = math.sqrt(3 / layer.weight[0].numel())
        nn.init.uniform_(layer.weight, -bound, bound)
        assert layer.bias is not None  # this net's convolutions all have one
        nn.init.constant_(layer.bias, 0.2)
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.001)
        nn.init.zeros_(layer.bias)


def _copy_state(net: BNInception, state: dict[str, Tensor], report: LoadReport) -> LoadReport:
    """Copies all of the net's weights from a caffemodel's state, or none."""
    own = net.state_dict()
    layers = dict.fromkeys(key.rpartition(".")[0] for key in own)
    held = {key.rpartition(".")[0] for key in state}
    report.matched = [layer for layer in layers if layer in held]
    report.missing = [layer for layer in layers if layer not in held]
    report.unused = sorted(held - set(layers))
    report.require_complete()
    for key, tensor in own.items():
        found = tuple(state[key].shape) if key in state else None
        if found is None or not same_shape(found, tuple(tensor.shape)):
            raise PytsnError(f"{report.source}: '{key}': {found} in the file, {tuple(tensor.shape)} in the net")
    net.load_state_dict({key: state[key].reshape(tensor.shape) for key, tensor in own.items()})
    return report
