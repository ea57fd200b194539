"""Every code block of the README and the docs runs as pasted, in reading order, and prints what the page shows.

A block that cannot run says why in a comment before it, `<!-- not run: reason -->`; its commands are parsed.
Files that the blocks name are small ones under those names (workspace.py).
"""

import contextlib
import io
import re
import shutil
import subprocess

import pytest

from pytsn.cli import COMMANDS, make_parser, run_command
from pytsn.data.video_list import read_video_list
from pytsn.predict.labels import read_labels
from tests.docs.markdown import PAGES, RUN, SHOWN, Block, blocks, pytsn_command
from tests.docs.printed import assert_printed

ALL = [block for page in PAGES for block in blocks(page)]
NOT_RUN = [block for block in ALL if block.reason]


def place(item) -> str:
    return item.place if isinstance(item, Block) else item.name


def test_every_fence_is_understood():
    for page in PAGES:
        assert page.read_text().count("```") == 2 * len(blocks(page)), f"{page.name}: a fence inside other text"
    assert not [block.place for block in ALL if block.language not in RUN + SHOWN]
    marks = sum(page.read_text().count("<!-- not run") for page in PAGES)
    assert marks == len(NOT_RUN), "a mark that no block follows"


@pytest.mark.parametrize("page", [page for page in PAGES if any(not b.reason for b in blocks(page))], ids=place)
def test_blocks_run_and_print_what_is_shown(page, user_folder):
    names: dict = {"__name__": "__main__"}
    for block in blocks(page):
        if block.reason or block.language in SHOWN:
            continue
        if block.language == "python":
            run_python(block, names)
            continue
        for line, shown in block.commands():
            printed = run_line(line, block)
            if block.language == "console":
                assert_printed(printed.splitlines(), shown, block.place)


@pytest.mark.parametrize("block", NOT_RUN, ids=place)
def test_blocks_that_are_not_run_are_parsed(block):
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return
    for line, _ in block.commands():
        found = pytsn_command(line)
        if found is None:
            assert subprocess.run(["bash", "-n", "-c", line], check=False).returncode == 0, block.place
            continue
        name, arguments = found
        assert name in COMMANDS, f"{block.place}: no command {name}"
        make_parser(name, f"pytsn {name}").parse_args(arguments)  # SystemExit, with argparse's message, is the failure


def run_line(line: str, block: Block) -> str:
    """Runs one command, ours in this process, any other in a shell. Returns what it printed. It must succeed."""
    found = pytsn_command(line)
    if found is None:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.place}: {line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = run_command(*found)
    assert status == 0, f"{block.place}: {line}\n{printed.getvalue()}"
    return printed.getvalue()


def run_python(block: Block, names: dict) -> None:
    """Runs a block in the page's namespace; what its ``print(...)  # text`` lines say is compared."""
    printed = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    shown = re.findall(r"^print\(.*\) +# (.+)$", block.text, re.MULTILINE)
    if shown:
        assert_printed(printed.getvalue().splitlines(), shown, block.place)


def test_videos_to_a_model_makes_lists_that_training_reads(user_folder):
    """The README's lines up to training, on videos of three classes; training and prediction are not run there."""
    block = next(block for block in NOT_RUN if "build-file-list folders videos" in block.text)
    for name in ("One", "Three", "Two"):
        (user_folder / "videos" / name).mkdir(parents=True)
        for number in (1, 2):
            shutil.copy("VIDEO.avi", f"videos/{name}/{name} {number}.mp4".replace(" ", "-"))
    make_lists, train, predict = [line for line, _ in block.commands()]
    run_line(make_lists.partition("#")[0], block)
    lists = re.findall(r"data/folders_rgb_(?:train|val)_split_1\.txt", train)
    found = [line for path in lists for line in (user_folder / path).read_text().splitlines()]
    wanted = [
        f"videos/{name}/{name}-{number}.mp4 3 {label}"
        for label, name in enumerate(("One", "Three", "Two"))
        for number in (1, 2)
    ]
    assert len(lists) == 2
    assert sorted(found) == sorted(wanted)
    assert [read_video_list(path)[-1].label for path in lists] == [2, 2]
    (labels,) = re.findall(r"data/\S+_classes\.txt", predict)
    assert read_labels(labels, 3, "net") == ["One", "Three", "Two"]
