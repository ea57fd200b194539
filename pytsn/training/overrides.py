"""``--set field=value``: changes a field of the solver or of the data layers without editing files."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.data.frame_names import check_frame_pattern

#: message of a data layer -> its type; a bare name is searched in this order (mirror and crop_size are in both, and
#: VideoData reads the transform's)
_DATA = {"transform_param": pb.TransformationParameter, "video_data_param": pb.VideoDataParameter}
_PHASES = ("train", "test")
_SOLVER = "solver"


@dataclass(frozen=True)
class Override:
    """One change. message: "solver" or a message of a data layer; phase: "TRAIN", "TEST" or None for both."""

    message: str
    field: str
    value: str
    phase: str | None = None


@dataclass(frozen=True)
class PatternOverride(Override):
    """A name_pattern for the layers that read flow, or for those that do not."""

    flow: bool = False


def pattern_overrides(frame_pattern: str | None, flow_pattern: str | None) -> tuple[Override, ...]:
    """What --frame_pattern and --flow_pattern change. Raises PytsnError for a pattern that makes no file names."""
    found = []
    for option, pattern, flow in (("--frame_pattern", frame_pattern, False), ("--flow_pattern", flow_pattern, True)):
        if pattern is not None:
            check_frame_pattern(option, pattern, flow)
            found.append(PatternOverride("video_data_param", "name_pattern", pattern, flow=flow))
    return tuple(found)


def parse_override(text: str) -> Override:
    """``field=value``, ``message.field=value`` or ``train.field=value``, ``test.message.field=value``.

    Raises PytsnError for an unknown field, with a suggestion, and for a value that does not fit it.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise PytsnError(f"--set {text}: field=value was expected")
    *scopes, field = name.strip().split(".")
    phase = scopes.pop(0).upper() if scopes and scopes[0].lower() in _PHASES else None
    if len(scopes) > 1 or (scopes and scopes[0] not in (_SOLVER, *_DATA)) or (scopes == [_SOLVER] and phase):
        raise PytsnError(f"--set {text}: before a field, only solver, {', '.join(_DATA)}, train and test are allowed")
    override = Override(scopes[0] if scopes else _owner(field, phase, text), field, value.strip(), phase)
    _set(_new(override.message), override, text)
    return override


def _new(message: str) -> Message:
    return pb.SolverParameter() if message == _SOLVER else _DATA[message]()


def _owner(field: str, phase: str | None, text: str) -> str:
    """The message that a bare field name belongs to; for a phase, data layers only."""
    owners = [*_DATA] if phase else [_SOLVER, *_DATA]
    fields = {name: owner for owner in reversed(owners) for name in _new(owner).DESCRIPTOR.fields_by_name}
    if field not in fields:
        raise PytsnError(f"--set {text}: no field '{field}' in the solver or the data layers{_hint(field, fields)}")
    return fields[field]


def _hint(field: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(field, list(known), 1, 0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def _set(message: Message, override: Override, text: str) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name.get(override.field)
    if descriptor is None:
        known = message.DESCRIPTOR.fields_by_name
        raise PytsnError(f"--set {text}: no field '{override.field}'{_hint(override.field, known)}")
    if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
        raise PytsnError(f"--set {text}: '{override.field}' is a message, a plain field was expected")
    message.ClearField(override.field)
    repeated = hasattr(getattr(message, override.field), "extend")
    values = [part for part in override.value.strip("[]").split(",") if part] if repeated else [override.value]
    if descriptor.type == FieldDescriptor.TYPE_STRING:
        values = [_quote(value) for value in values]
    try:
        for value in values:
            text_format.Parse(f"{override.field}: {value}", message)
    except text_format.ParseError:
        names = ", ".join(value.name for value in descriptor.enum_type.values) if descriptor.enum_type else ""
        wanted = _KINDS.get(descriptor.type, f"one of {names}")
        raise PytsnError(f"--set {text}: {override.field} wants {wanted}, found '{override.value}'") from None


def _quote(text: str) -> str:
    return '"' + text.strip(" \"'").replace("\\", "\\\\").replace('"', '\\"') + '"'


_KINDS = {
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_FLOAT: "a number",
    FieldDescriptor.TYPE_INT32: "a whole number",
    FieldDescriptor.TYPE_INT64: "a whole number",
    FieldDescriptor.TYPE_UINT32: "a whole number of at least 0",
    FieldDescriptor.TYPE_STRING: "text",
}


def override_solver(solver: pb.SolverParameter, overrides: Sequence[Override]) -> None:
    """Changes the solver in place."""
    for override in overrides:
        if override.message == _SOLVER:
            _set(solver, override, f"{override.field}={override.value}")


def override_net(net: pb.NetParameter, phase: str, overrides: Sequence[Override]) -> None:
    """Changes the VideoData layers of a net that is filtered for ``phase``, in place."""
    for override in overrides:
        if override.message == _SOLVER or override.phase not in (None, phase):
            continue
        for layer in net.layer:
            if layer.type == "VideoData" and _concerns(override, layer.video_data_param):
                _set(getattr(layer, override.message), override, f"{override.field}={override.value}")


def _concerns(override: Override, video: pb.VideoDataParameter) -> bool:
    return not isinstance(override, PatternOverride) or override.flow == (video.modality == video.FLOW)
