"""Writes docs/api.md from the docstrings of the public names: `python docs/make_api.py`; `--check` only compares."""

import importlib
import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
#: module -> the names a user calls; None: its __all__
MODULES = {
    "pytsn": None,
    "converter": None,
    "pytsn.models": ("BNInception", "TSN"),
    "pytsn.evaluation.action_net": ("NetOptions",),
    "pytsn.scores.score_file": ("ScoreFile", "write_scores"),
    "pytsn.scores.aggregation": ("parse_aggregation", "default_aggregation"),
    "pytsn.scores.metrics": ("class_accuracy", "confusion_matrix"),
    "pytsn.weights.identify": ("identify",),
    "pytsn.predict.scores": ("load_nets", "Predictor"),
    "converter.onnx_export": ("export_onnx",),
    "converter.recording": ("record_blobs",),
}
HEAD = """# API

What Python code calls. Made from the docstrings by `python docs/make_api.py`; a test compares. Names load on first use,
so `import pytsn` is quick. Everything else is internal and may change; [architecture.md](architecture.md) shows it.
"""


def page() -> str:
    """The whole page. A class or function that several modules give is described once, where it is first named."""
    parts, seen = [HEAD], {}
    for name, names in MODULES.items():
        module = importlib.import_module(name)
        parts.append(f"## `{name}`\n")
        for item in sorted(names or module.__all__, key=str.lower):
            value = getattr(module, item)
            if isinstance(value, str):
                continue  # __version__
            if id(value) in seen:
                parts.append(f"### `{name}.{item}`\n\nThe same as `{seen[id(value)]}`.\n")
                continue
            seen[id(value)] = f"{name}.{item}"
            parts.extend(_describe(f"{name}.{item}", value))
    return "\n".join(parts)


def _describe(name: str, value: object) -> list[str]:
    lines = [f"### `{name}`\n", f"```text\n{name.rpartition('.')[2]}{_signature(value)}\n```\n", _text(value)]
    if not inspect.isclass(value):
        return lines
    init = vars(value).get("__init__")
    if init is not None and init.__doc__:
        lines.append(_text(init))
    members = [_member(key, member) for key, member in vars(value).items() if _is_public(key, member)]
    return [*lines, "\n".join(members) + "\n"] if members else lines


def _is_public(name: str, member: object) -> bool:
    known = inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
    return known and not name.startswith("_") and bool(inspect.getdoc(member))


def _member(name: str, member: object) -> str:
    shown = name if isinstance(member, property) else f"{name}{_signature(member)}"
    text = " ".join(inspect.getdoc(member).split("\n\n")[0].split())
    return f"- `{shown}`: {_code(text)}"


def _signature(value: object) -> str:
    """Parameters with their defaults, without annotations, which the docstrings tell better."""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
    parameters = inspect.signature(value).parameters.values()
    plain = [
        item.replace(annotation=inspect.Parameter.empty) for item in parameters if item.name not in ("self", "cls")
    ]
    text = str(inspect.Signature(plain))
    return re.sub(r"<(?:function|object) [^<>]*(?:<\w+>)?[^<>]* at 0x\w+>", "...", text)


def _text(value: object) -> str:
    return _code(inspect.getdoc(value)) + "\n"


def _code(text: str) -> str:
    """A docstring's ``double`` quotes as Markdown's single ones."""
    return text.replace("``", "`")


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.read_text() == text else 1
    PAGE.write_text(text)
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
