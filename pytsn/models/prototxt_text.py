"""Prototxt text from Python values: ``field("kernel_size", 3)`` -> ``kernel_size: 3``."""

import json
from collections.abc import Mapping
from typing import Any


class Word(str):
    """A value written without quotes: an enum's name."""

    __slots__ = ()


def value_text(value: object) -> str:
    """One scalar: text quoted, booleans in lower case."""
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, (int, float)) else json.dumps(value, ensure_ascii=False)


def field(name: str, value: object) -> str:
    """One field on one line; a dict is a nested message, a tuple a repeated scalar, a list a repeated field."""
    if isinstance(value, dict):
        return f"{name} {{ {fields(**value)} }}"
    if isinstance(value, list):
        return " ".join(field(name, item) for item in value)
    if isinstance(value, tuple) and len(value) != 1:
        return f"{name}: [{', '.join(value_text(item) for item in value)}]"
    return f"{name}: {value_text(value[0] if isinstance(value, tuple) else value)}"


def fields(**values: object) -> str:
    """Several fields on one line; a field with an empty list is left out."""
    return " ".join(field(name, value) for name, value in values.items() if value != [])


def layer(name: str, kind: str, bottoms: list[str], tops: list[str], *messages: Mapping[str, Any]) -> str:
    """A layer: one line with name, type, bottoms and tops, then ``messages`` (field name -> value), one line each if
    they fit."""
    head = fields(name=name, type=kind, bottom=bottoms, top=tops)
    if not messages:
        return f"layer {{ {head} }}\n"
    lines = "".join(_message_lines(name, value) for message in messages for name, value in message.items())
    return f"layer {{\n  {head}\n{lines}}}\n"


def _message_lines(name: str, value: object) -> str:
    line = f"  {field(name, value)}\n"
    if len(line) <= 100 or not isinstance(value, dict):
        return line
    inner = "".join(f"    {field(*item)}\n" for item in value.items())
    return f"  {name} {{\n{inner}  }}\n"


def heading(title: str) -> str:
    """A comment line that starts a section of the file."""
    return f"\n# ---- {title} ----\n"
