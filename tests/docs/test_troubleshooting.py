"""Every message that docs/troubleshooting.md quotes is one that the code can print."""

import ast
import re

import pytest

from tests.places import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
_ROW = re.compile(r"^\| (`+)(.+?)\1 \|", re.MULTILINE)
_GAP = "\0"  # where a message takes a value


def quoted() -> list[str]:
    """The messages of the tables; those of exit statuses are numbers."""
    return [match[2] for match in _ROW.finditer(PAGE.read_text())]


def _template(node: ast.AST) -> str | None:
    """A string of the code with a gap for each value put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else _GAP for part in node.values)
    return None


@pytest.fixture(scope="module")
def templates() -> list[str]:
    """Every string in the code, docstrings aside."""
    found = set()
    for path in [*(ROOT / "pytsn").rglob("*.py"), *(ROOT / "converter").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found.update(_template(node) for node in ast.walk(tree) if id(node) not in bare)
    return sorted(found - {None})


@pytest.mark.parametrize("message", quoted())
def test_message_is_in_the_code(message, templates):
    parts = [part for part in message.split("...") if part]
    assert sum(len(part.strip()) for part in parts) >= 20, "too little to be told from other messages"
    # words as they stand, anything between them; a value may stand at either end of a gap
    pattern = re.compile(".*".join(re.escape(part.strip(" ")) for part in parts), re.DOTALL)
    assert any(pattern.search(text) for text in templates)


def test_the_page_has_all_groups():
    assert len(quoted()) > 80
    assert len(set(quoted())) == len(quoted())
