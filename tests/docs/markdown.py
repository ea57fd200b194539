"""What stands in a markdown page: its fenced blocks with their marks, its links, the paths it names."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: sh: lines to paste; console: `$ ` lines and what they print; python: run in one namespace a page
RUN, SHOWN = ("sh", "console", "python"), ("text", "bibtex")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: ((?:(?!-->).)+) -->\s*\Z", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"(?<![\w./-])((?:pytsn|converter|tests|tools|docs|benchmarks|protos)/[\w/.-]*\w)")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``line``: of its first line of content, from 1; ``reason``: why it is not run, or None."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> list[tuple[str, list[str]]]:
        """The commands of a shell block, each with the lines that it shows as printed (sh: none)."""
        text = self.text.replace("\\\n", " ")
        if self.language == "sh":
            return [(line, []) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        found: list[tuple[str, list[str]]] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return found


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text, found = page.read_text(), []
    for fence in _FENCE.finditer(text):
        mark = _MARK.search(text[: fence.start()])
        line = text.count("\n", 0, fence.start()) + 2
        found.append(Block(page, line, fence[1], fence[2], mark and " ".join(mark[1].split())))
    return found


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def named_paths(page: Path) -> set[str]:
    """The repository's files and folders that a page names, in text, code and links to itself."""
    return set(_PATH.findall(page.read_text()))


def pytsn_command(line: str) -> tuple[str, list[str]] | None:
    """(name, arguments) of a line that runs a command of ours: `pytsn X`, `python tools/x.py`, or either under
    torchrun; None for any other."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["torchrun"]:
        words = words[next(index for index, word in enumerate(words) if word.startswith("tools/")) - 1 :]
    if words[:1] == ["pytsn"] and len(words) > 1:
        return words[1], words[2:]
    if len(words) > 1 and re.fullmatch(r"tools/\w+\.py", words[1]):
        return _command_of(ROOT / words[1]), words[2:]
    return None


def _command_of(tool: Path) -> str:
    """`tools/train_tsn.py` -> train, as the file itself says."""
    return re.search(r'run_command\("([\w-]+)"', tool.read_text())[1]
