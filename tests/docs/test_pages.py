"""What the pages say of the repository is so: links, paths, commands in the text, published figures, the API."""

import importlib.util
import re

import pytest

from pytsn import __version__
from pytsn.cli import COMMANDS, make_parser
from pytsn.evaluation.published import find_published
from tests.docs.markdown import PAGES, anchors, links, named_paths, pytsn_command
from tests.places import ROOT

_INLINE = re.compile(r"(?<!`)`((?:pytsn|python tools/\w+\.py|torchrun) [^`]+)`")
#: scripts of mmaction2 (docs/migrating.md)
_THEIRS = {"tools/data/build_rawframes.py", "tools/train.py", "tools/test.py"}


def of(page) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_named_paths_exist(page):
    gone = {path for path in named_paths(page) if not (ROOT / path).exists()}
    assert not (gone - _THEIRS), page.name


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_commands_in_the_text_are_ours(page):
    """Names of commands exist; those written out whole are parsed."""
    for line in _INLINE.findall(page.read_text()):
        words = line.split()
        if words[1] in _THEIRS or (words[0] == "pytsn" and not re.fullmatch(r"[a-z][a-z-]*", words[1])):
            continue  # or `pytsn --help`
        name, arguments = pytsn_command(line)
        assert name in COMMANDS, f"{page.name}: {line}"
        if len(arguments) > 1 and "..." not in line:
            make_parser(name, f"pytsn {name}").parse_args(arguments)


def test_every_page_is_in_the_readmes_index():
    found = {link for link in links(ROOT / "README.md") if link.startswith("docs/")}
    assert {f"docs/{page.name}" for page in PAGES if page.parent == ROOT / "docs"} <= found


_ROWS = {
    "rgb": (("rgb",), (1,)),
    "flow": (("flow",), (1,)),
    "rgb + flow, 1 : 1.5": (("rgb", "flow"), (1, 1.5)),
    "warped flow": (("warped",), (1,)),
    "rgb + flow + warped, 1 : 1 : 0.5": (("rgb", "flow", "warped"), (1, 1, 0.5)),
}


@pytest.mark.parametrize("row", _ROWS)
def test_released_models_have_their_published_figures(row):
    text = (ROOT / "README.md").read_text()
    cells = [cell.strip() for cell in re.search(rf"^\| {re.escape(row)} \|(.+)\|$", text, re.MULTILINE)[1].split("|")]
    places = [(dataset, split) for dataset in ("ucf101", "hmdb51") for split in (1, 2, 3, None)]
    for cell, (dataset, split) in zip(cells, places, strict=True):
        found = find_published(dataset, split, *_ROWS[row])
        assert cell == (f"{found.value:.1f}" if found else "")


def test_the_api_page_is_that_of_the_docstrings():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.PAGE.read_text() == make_api.page(), "run: python docs/make_api.py"


def test_both_citations_name_both_papers():
    readme, cff = ((ROOT / name).read_text() for name in ("README.md", "CITATION.cff"))
    for title in (
        "Temporal Segment Networks: Towards Good Practices for Deep Action Recognition",
        "Temporal Segment Networks for Action Recognition in Videos",
    ):
        assert title in readme
        assert title in cff


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
