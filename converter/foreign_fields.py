"""Finds and blanks out unknown fields of other Caffes' data layers in a prototxt's text.

What a data layer reads does not matter if its tops are inputs of the net. Everywhere else an unknown field is an error,
since it could change what the net computes. Source of the syntax: protobuf's text format specification.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from converter import caffe_tsn_pb2 as pb

_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[{}\[\]<>:;,]|[^\s{}\[\]<>:;,"'#]+""")
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_LAYERS = {"layer": pb.LayerParameter.DESCRIPTOR, "layers": pb.V1LayerParameter.DESCRIPTOR}
_SHAPED = ("Input", "DummyData", "DUMMY_DATA")  # they give the net's shapes: none of their fields may be skipped


@dataclass(frozen=True)
class ForeignFields:
    """A data layer with unknown fields: its name and type, and the names of the fields."""

    layer: str
    type: str
    fields: tuple[str, ...]

    @property
    def label(self) -> str:
        """The layer as errors name it."""
        return f"layer '{self.layer}' ({self.type})"


@dataclass
class _Entry:
    """A field in the text: its name, position, the fields inside it, and the value of a plain field."""

    name: str
    start: int
    end: int = 0
    inside: "list[_Entry]" = field(default_factory=list)
    value: str = ""


def skip_foreign_fields(text: str) -> tuple[str, list[ForeignFields]]:
    """Blanks out unknown fields of data layers (lines and columns stay). Returns the text and the fields found.

    Text that is not a prototxt is returned unchanged; the parser then reports the error.
    """
    tokens = [found for found in _TOKEN.finditer(text) if not found[0].startswith("#")]
    try:
        entries = _Reader(tokens).entries("")
    except (IndexError, RecursionError):
        return text, []
    skipped, spans = [], []
    for entry in entries:
        if entry.name in _LAYERS and _is_data_layer(entry):
            unknown = list(_unknown(entry, _LAYERS[entry.name]))
            spans += unknown
            if unknown:
                names = tuple(dict.fromkeys(each.name for each in unknown))
                skipped.append(ForeignFields(_value(entry, "name"), _value(entry, "type"), names))
    for span in reversed(spans):
        text = text[: span.start] + re.sub(r"[^\n]", " ", text[span.start : span.end]) + text[span.end :]
    return text, skipped


def _value(entry: _Entry, name: str) -> str:
    return next((each.value.strip("\"'") for each in entry.inside if each.name == name), "")


def _is_data_layer(entry: _Entry) -> bool:
    kind = _value(entry, "type")
    reads = kind.lower().endswith("data") and kind not in _SHAPED
    return reads and not any(each.name == "bottom" for each in entry.inside)


def _unknown(entry: _Entry, message: Any) -> Iterator[_Entry]:
    """The fields that ``message``, a Descriptor, lacks, also those in known messages inside it."""
    for each in entry.inside:
        known = message.fields_by_name.get(each.name)
        if known is None:
            yield each
        elif known.message_type is not None:
            yield from _unknown(each, known.message_type)


class _Reader:
    """Parses tokens into entries. IndexError: the text ends too early, or is not a prototxt."""

    def __init__(self, tokens: list[re.Match]) -> None:
        self._tokens, self._at = tokens, 0

    def entries(self, closing: str) -> list[_Entry]:
        """The fields up to ``closing``, which is consumed too; "": up to the end."""
        found = []
        while self._at < len(self._tokens) if not closing else self._look() != closing:
            if self._look() in (",", ";"):
                self._next()
            else:
                found.append(self._entry())
        if closing:
            self._next()
        return found

    def _entry(self) -> _Entry:
        token = self._next()
        entry = _Entry(token[0], token.start())
        if self._look() == ":":
            self._next()
        if self._look() in ("{", "<"):
            entry.inside = self.entries(_CLOSING[self._next()[0]])
        elif self._look() == "[":
            while self._next()[0] != "]":
                pass
        else:
            entry.value = self._next()[0]
            while self._at < len(self._tokens) and self._look()[0] in "\"'":  # adjacent strings are one
                self._next()
        entry.end = self._tokens[self._at - 1].end()
        return entry

    def _look(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> re.Match:
        self._at += 1
        return self._tokens[self._at - 1]
