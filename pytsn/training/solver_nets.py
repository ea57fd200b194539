"""The nets of a solver: their prototxts, states and shared weights.

Source: Solver::InitTrainNet, InitTestNets and Net::ShareTrainedLayersWith of the fork (solver.cpp, net.cpp).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.dialect import upgrade_net
from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.proto import filter_net, read_net
from pytsn.training.overrides import Override, override_net

_TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


@dataclass(frozen=True)
class NetSpec:
    """A net to build: ``source`` names it in errors, ``param`` is upgraded and filtered for ``phase``."""

    source: str
    param: pb.NetParameter
    phase: str


def train_spec(solver: pb.SolverParameter, overrides: Sequence[Override] = ()) -> NetSpec:
    """The training net. Raises PytsnError unless the solver names exactly one."""
    given = [name for name in _TRAIN_FIELDS if solver.HasField(name)]
    if len(given) != 1:
        raise PytsnError(
            f"the solver must give one of {', '.join(_TRAIN_FIELDS)}; it gives {', '.join(given) or 'none'}"
        )
    return _spec(getattr(solver, given[0]), given[0], "TRAIN", solver.train_state, overrides)


def specs_for_tests(solver: pb.SolverParameter, overrides: Sequence[Override] = ()) -> list[NetSpec]:
    """The test nets: those of test_net_param and test_net, then the training net's file for the remaining test_iter.

    Raises PytsnError if test_iter, test_interval or test_state do not fit them.
    """
    named = [("test_net_param", net) for net in solver.test_net_param] + [
        ("test_net", path) for path in solver.test_net
    ]
    generic = next((name for name in ("net_param", "net") if solver.HasField(name)), None)
    left = len(solver.test_iter) - len(named)
    if left < 0 or (left and generic is None):
        raise PytsnError(
            f"test_iter must be given once for each of {len(named)} test nets, found {len(solver.test_iter)}"
        )
    named += [(generic, getattr(solver, generic)) for _ in range(left)] if generic else []
    if named and solver.test_interval <= 0:
        raise PytsnError("test_interval must be above 0 where there are test nets: set it, or leave test_iter out")
    if any(count < 1 for count in solver.test_iter):
        raise PytsnError(f"test_iter must be at least 1, found {min(solver.test_iter)}")
    if solver.test_state and len(solver.test_state) != len(named):
        raise PytsnError(f"test_state must be given once for each of {len(named)} test nets, or not at all")
    states = list(solver.test_state) or [pb.NetState()] * len(named)
    pairs = zip(named, states, strict=True)
    return [_spec(net, name, "TEST", state, overrides) for (name, net), state in pairs]


def _spec(net: str | pb.NetParameter, field: str, phase: str, state: pb.NetState, overrides) -> NetSpec:
    if isinstance(net, str):
        source, param = net, read_net(net)
    else:
        source, param = field, pb.NetParameter()
        param.CopyFrom(net)
        upgrade_net(param)
    try:
        param = filter_net(param, phase, state.level, tuple(state.stage))
    except PytsnError as error:
        raise PytsnError(f"{source}: {error}") from None
    override_net(param, phase, overrides)
    return NetSpec(source, param, phase)


def check_processes(spec: NetSpec, world: int) -> None:
    """With several processes, raises PytsnError for layers that would move blobs between them."""
    for layer in spec.param.layer if world > 1 else ():
        if layer.type in ("Gather", "Scatter"):
            label = f"{spec.source}: layer '{layer.name}' ({layer.type})"
            raise PytsnError(f"{label} moves blobs between processes, which is not supported: use one process")


def share_weights(target: CaffeNet, owner: CaffeNet) -> None:
    """Lets ``target`` use the blobs of ``owner``'s layers with the same names. Raises PytsnError if shapes differ."""
    owners = {step.param.name: module for step, module in owner.layers() if module.blob_names}
    for step, module in target.layers():
        source = owners.get(step.param.name)
        if source is None:
            continue
        found = [getattr(module, name).shape for name in module.blob_names]
        wanted = [getattr(source, name).shape for name in source.blob_names]
        if found != wanted:
            raise PytsnError(f"{step.label}: blobs {_text(found)} in a test net, {_text(wanted)} in the training net")
        for name, of_source in zip(module.blob_names, source.blob_names, strict=True):
            tensor = getattr(source, of_source)
            own = module._parameters if isinstance(tensor, nn.Parameter) else module._buffers
            own[name] = tensor


def _text(shapes) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes) or "none"
