"""The page in headless Chromium: nothing in a name runs, nothing is asked of anybody, and the matrix answers."""

import json

import pytest

from pytsn.evaluation.fused_scores import fuse
from pytsn.report.findings import find
from pytsn.report.text import shown
from pytsn.report.write import ReportOptions, write_report
from pytsn.scores.score_file import read_scores
from tests.report.browser import Browser, find_chromium
from tests.report.made_scores import HOSTILE, LABELS, NAMES, fused_streams, hostile_file

CANVAS = "document.getElementById('cells')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(folder):
    """Chromium; one in a sandbox of its own (Ubuntu's snap) may not read what the tests write."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (Debian's package: chromium)")
    (folder / "trial.html").write_text("<!DOCTYPE html><title>trial</title>")
    with Browser(program) as browser:
        try:
            browser.open(folder / "trial.html")
        except AssertionError as error:
            pytest.skip(f"{program} cannot open files here: {error}")
        yield browser


def center(browser, row: int, column: int, count: int) -> tuple[float, float]:
    """Where the middle of a cell is in the window; cells fill the lower right of the canvas."""
    browser.ask(f"{CANVAS}.scrollIntoView()")
    x, y, width, height = browser.ask(
        f"(box => [box.x, box.y, box.width, box.height])({CANVAS}.getBoundingClientRect())"
    )
    left, top, side = json.loads(browser.ask(f"{CANVAS}.dataset.cells"))
    assert 0 <= left < width
    assert 0 <= top < height
    return x + left + (column + 0.5) / count * side, y + top + (row + 0.5) / count * side


def text_of(browser, name: str) -> str:
    return browser.ask(f"document.getElementById('{name}').textContent")


def assert_quiet(browser, path) -> None:
    """One request, for the page; no dialog, no error, nothing on the console, no blocked script."""
    assert [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")] == [path.resolve().as_uri()]
    for method in (
        "Page.javascriptDialogOpening",
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
    ):
        assert browser.seen(method) == []


def test_hostile_names_run_nothing(browser, folder):
    path = folder / "hostile.html"
    write_report(
        fuse([read_scores(hostile_file(folder / "hostile.npz"))]), ReportOptions(str(path), command=HOSTILE[0])
    )
    browser.open(path)
    count = len(HOSTILE)
    assert browser.ask("document.scripts.length") == 2
    assert browser.ask("document.images.length") == 0
    for row in (1, 2):  # an uneven one is right, an even one is taken for the next
        column = row if row % 2 else row + 1
        x, y = center(browser, row, column, count)
        browser.move(x, y)
        browser.click(x, y)
        assert text_of(browser, "cell-videos") == shown(HOSTILE[row])
        browser.press("Escape")
    browser.ask("document.querySelectorAll('#class-table button').forEach(button => button.click())")
    assert_quiet(browser, path)
    assert "innerHTML" not in browser.ask("document.scripts[1].textContent")
    assert browser.ask("Object.keys({}).length + Object.keys(Object.prototype).length") == 0
    html, policy = path.read_text(encoding="utf-8"), '<meta http-equiv="Content-Security-Policy" '
    assert policy in html
    bare = folder / "bare.html"  # escaping holds without the policy too
    bare.write_text(html.replace(policy, "<meta "), encoding="utf-8")
    browser.open(bare)
    assert browser.ask("document.images.length") == 0
    assert_quiet(browser, bare)


def test_the_matrix_answers_to_mouse_and_keys(browser, folder):
    path = folder / "report.html"
    write_report(fused_streams(folder), ReportOptions(str(path)))
    browser.open(path)
    found = find(fused_streams(folder))
    pair = found.pairs(1)[0]
    share = f"{100 * pair.videos / pair.total:.1f}"
    words = (
        f"True class {pair.true}, predicted class {pair.predicted}: {pair.videos} of {pair.total} videos ({share} %)."
    )
    point = center(browser, pair.true, pair.predicted, 7)
    browser.move(*point)
    assert text_of(browser, "cell") == words
    browser.click(*point)
    predictions = found.predictions.tolist()
    names = [n for n, i, j in zip(NAMES, LABELS, predictions, strict=True) if (i, j) == (pair.true, pair.predicted)]
    assert browser.ask("Array.from(document.querySelectorAll('#cell-videos li'), item => item.textContent)") == names
    browser.move(*center(browser, 0, 0, 7))
    assert text_of(browser, "cell") == words  # a click holds the cell
    browser.press("Escape")
    assert text_of(browser, "cell") == ""

    for key in ("ArrowDown", "ArrowDown", "End", "PageDown", "ArrowRight", "Home"):
        browser.press(key)
    assert text_of(browser, "cell") == "True class 6, predicted class 0: 0 of 0 videos."
    for key in ("PageUp", "Enter"):
        browser.press(key)
    right = found.matrix[0, 0]
    share = f"{100 * right / LABELS.count(0):.1f}"
    assert (
        text_of(browser, "cell") == f"True class 0, predicted right: {right} of {LABELS.count(0)} videos ({share} %)."
    )
    assert browser.ask("document.querySelectorAll('#cell-videos li').length") == right
    assert_quiet(browser, path)


def test_column_heads_sort(browser, folder):
    column = "Array.from(document.querySelectorAll('#class-table tbody tr'), row => row.cells[{}].textContent)"
    path = folder / "sorted.html"
    write_report(fused_streams(folder), ReportOptions(str(path)))
    browser.open(path)
    before = [float(text) for text in browser.ask(column.format(1))]
    assert before == sorted(before)
    press = "document.querySelectorAll('#class-table button')[{}].click()"
    browser.ask(press.format(1))
    assert [float(text) for text in browser.ask(column.format(1))] == before[::-1]
    browser.ask(press.format(0))
    assert browser.ask(column.format(0)) == [f"class {label}" for label in range(6)]
    assert browser.ask("document.querySelectorAll('[aria-sort]').length") == 1


def test_the_matrix_is_drawn_in_the_page_s_colours(browser, folder):
    """Blue is right, over a ground that is light, and dark once the scheme has changed."""
    path = folder / "colours.html"
    write_report(fused_streams(folder), ReportOptions(str(path)))
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.open(path)
    dark = "window.matchMedia('(prefers-color-scheme: dark)')"  # the page's own listener comes before this one
    browser.ask(f"void (window.changed = new Promise(resolve => {dark}.addEventListener('change', () => resolve(1))))")
    assert min(pixel(browser, 6, 0)) > 200  # class 6 has no video
    assert_blue(pixel(browser, 0, 0))
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.ask("window.changed") == 1
    assert max(pixel(browser, 6, 0)) < 80
    assert_blue(pixel(browser, 0, 0))
    browser.call("Emulation.setEmulatedMedia", features=[])


def pixel(browser, row: int, column: int) -> list[int]:
    """Red, green and blue near the upper left corner of a cell, clear of its number."""
    left, top, side = json.loads(browser.ask(f"{CANVAS}.dataset.cells"))
    x, y = left + (column + 0.12) / 7 * side, top + (row + 0.12) / 7 * side
    return browser.ask(f"Array.from({CANVAS}.getContext('2d').getImageData({x}, {y}, 1, 1).data).slice(0, 3)")


def assert_blue(colour: list[int]) -> None:
    red, _, blue = colour
    assert blue > red + 30


@pytest.mark.parametrize("width", [360, 1400])
def test_no_width_makes_the_page_scroll_sideways(browser, folder, width):
    path = folder / "wide.html"
    write_report(fuse([read_scores(hostile_file(folder / "wide.npz"))]), ReportOptions(str(path), worst=4))
    browser.resize(width, 800)
    browser.open(path)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("document.getElementById('cells').getBoundingClientRect().width") > 0.8 * min(width, 736) - 40
    browser.resize(1100, 900)
