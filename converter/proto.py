"""Caffe's files as messages: prototxts and solvers (text), caffemodels, solverstates and mean files (binary).

Everything returned is in the current form of the fork's dialect (converter/dialect.py). Every error is a PytsnError
that names the file, and for text also line, column and field.
"""

import difflib
import os
import re
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from converter import caffe_tsn_pb2 as pb
from converter import wire
from converter.dialect import upgrade_net
from converter.errors import PytsnError
from converter.files import read_bytes, read_text
from converter.foreign_fields import skip_foreign_fields

AnyMessage = TypeVar("AnyMessage", bound=Message)
_NO_FIELD = re.compile(r'Message type "[\w.]*?(\w+)" has no field named "([^"]*)"')
_NO_VALUE = re.compile(r'Enum type "([\w.]+)" has no value named (\S+?)\.?$')


def parse_text(text: str, message: AnyMessage, source: str) -> AnyMessage:
    """Fills ``message`` from prototxt text. Raises PytsnError "FILE:LINE:COLUMN: what, did you mean ..."."""
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        where = f"{source}:{error.GetLine() or 1}:{error.GetColumn() or 1}"
        reason = re.sub(r"^\d+:\d+ : ", "", str(error))
        raise PytsnError(f"{where}: {_explain(reason, message)}") from None
    except RecursionError:
        raise PytsnError(f"{source}: messages nested too deep") from None
    except (ValueError, TypeError, UnicodeError, OverflowError) as error:
        raise PytsnError(f"{source}: not a prototxt: {error}") from None


def _explain(reason: str, message: Message) -> str:
    if found := _NO_FIELD.search(reason):
        kind, wrong = found.groups()
        descriptor = message.DESCRIPTOR.file.message_types_by_name.get(kind)
        return f"{kind} has no field '{wrong}'" + _near_miss(wrong, descriptor.fields_by_name if descriptor else ())
    if found := _NO_VALUE.search(reason):
        kind, wrong = found.groups()
        return f"'{wrong}' is not one of {kind.rpartition('.')[2]}'s values" + _near_miss(
            wrong, _enum_values(message, kind)
        )
    if reason.endswith("Couldn't parse integer: ["):
        return f"{reason}: one number is needed here (a list is another Caffe's, for nets in three dimensions)"
    return reason


def _enum_values(message: Message, full_name: str) -> list[str]:
    owner, _, name = full_name.removeprefix(message.DESCRIPTOR.file.package + ".").rpartition(".")
    file = message.DESCRIPTOR.file
    scope = file.message_types_by_name.get(owner) or file
    enum = scope.enum_types_by_name.get(name)
    return [value.name for value in enum.values] if enum else []


def _near_miss(wrong: str, known) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    close = close or [name for name in known if name.lower() == wrong.lower()]
    return f"; did you mean '{close[0]}'?" if close else ""


def parse_net(text: str, source: str = "prototxt", notes: list[str] | None = None) -> pb.NetParameter:
    """A net from prototxt text, upgraded.

    ``notes``: for nets whose data layers are not run. Unknown fields of data layers are then skipped and named in a
    line here; elsewhere, and without ``notes``, unknown fields are errors.
    """
    net = _parse_net(text, source, notes)
    try:
        upgrade_net(net)
    except PytsnError as error:
        raise PytsnError(f"{source}: {error}") from None
    return net


def _parse_net(text: str, source: str, notes: list[str] | None) -> pb.NetParameter:
    try:
        return parse_text(text, pb.NetParameter(), source)
    except PytsnError as error:
        kept, foreign = skip_foreign_fields(text)
        if notes is not None and foreign:
            net = parse_text(kept, pb.NetParameter(), source)
            notes += [f"{each.label}: fields of another Caffe skipped: {', '.join(each.fields)}" for each in foreign]
            return net
        cause = next((each for each in foreign if any(f"'{name}'" in str(error) for name in each.fields)), None)
        if cause is None:
            raise
        raise PytsnError(
            f"{error}: {cause.label} is for another Caffe; its net loads for tests and conversion, but cannot be"
            " trained from that layer: use VideoData"
        ) from None


@dataclass(frozen=True)
class NetText:
    """A prototxt in memory, taken wherever the path of one is. ``name`` stands for the path in messages."""

    text: str
    name: str

    def __str__(self) -> str:
        return self.name


#: where a prototxt is read from
NetFile = str | os.PathLike | NetText


def read_net(path: NetFile, notes: list[str] | None = None) -> pb.NetParameter:
    """A net from a prototxt, upgraded; ``notes`` as in ``parse_net``."""
    return parse_net(path.text if isinstance(path, NetText) else read_text(path), str(path), notes)


def parse_solver(text: str, source: str = "solver") -> pb.SolverParameter:
    """A solver from prototxt text."""
    return parse_text(text, pb.SolverParameter(), source)


def read_solver(path: str | os.PathLike) -> pb.SolverParameter:
    """A solver prototxt file."""
    return parse_solver(read_text(path), str(path))


def filter_net(
    net: pb.NetParameter, phase: str = "TEST", level: int = 0, stages: tuple[str, ...] = ()
) -> pb.NetParameter:
    """Copies the net with the layers that its include/exclude rules keep in this state.

    Source: Net::FilterNet. The given phase overrides the net's own `state`; the state's level and stages also count.
    Raises PytsnError for a layer with both kinds of rules.
    """
    state = pb.NetState(phase=phase, level=level or net.state.level, stage=[*net.state.stage, *stages])
    kept = pb.NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    kept.state.CopyFrom(state)
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise PytsnError(f"layer '{layer.name}' has include and exclude rules: use one kind")
        if layer.include:
            keep = any(_meets(rule, state) for rule in layer.include)
        else:
            keep = not any(_meets(rule, state) for rule in layer.exclude)
        if keep:
            kept.layer.append(layer)
    return kept


def _meets(rule: pb.NetStateRule, state: pb.NetState) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and all(stage in state.stage for stage in rule.stage)
        and not any(stage in state.stage for stage in rule.not_stage)
    )


def _parse_binary(data: bytes, message: AnyMessage, source: str) -> AnyMessage:
    try:
        message.ParseFromString(data)
    except (DecodeError, RecursionError):
        raise PytsnError(f"{source}: damaged, or not a {type(message).__name__} file") from None
    return message


def read_solverstate(path: str | os.PathLike) -> pb.SolverState:
    """A `.solverstate` file. Raises PytsnError if it holds neither an iteration nor history."""
    data = read_bytes(path)
    state = _parse_binary(data, pb.SolverState(), str(path))
    if not state.HasField("iter") and not state.history:
        raise PytsnError(f"{path}: not a solverstate (no iteration in it)")
    return state


def read_mean(path: str | os.PathLike) -> np.ndarray:
    """A mean file (binaryproto): float32 (C, H, W) in BGR order, range 0 to 255, whatever legacy axes the file has."""
    try:
        blob = wire.parse_blob(memoryview(read_bytes(path)))
    except PytsnError as error:
        raise PytsnError(f"{path}: not a mean file: {error}") from None
    shape = tuple(dim for dim in blob.shape[:-3] if dim != 1) + blob.shape[-3:]
    if len(shape) != 3 or not blob.data.size:
        raise PytsnError(f"{path}: not a mean file: shape {blob.shape}, (1, C, H, W) was expected")
    return blob.data.reshape(shape)
