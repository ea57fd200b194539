"""docs/tsn.ipynb: its cells run in order on the demo's videos, and print what the notebook holds as printed."""

import contextlib
import io
import json

import matplotlib
import pytest

from tests.docs.printed import assert_printed
from tests.places import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "tsn.ipynb").read_text())


@pytest.fixture
def no_windows():
    """Figures are drawn and kept, never shown."""
    import matplotlib.pyplot as plt

    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield plt
    plt.close("all")
    plt.switch_backend(before)


def test_cells_run_and_print_what_they_hold(user_folder, no_windows):
    names: dict = {}
    for number, cell in enumerate(NOTEBOOK["cells"]):
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        shown = [line for output in cell["outputs"] if "text" in output for line in output["text"]]
        assert_printed(printed.getvalue().splitlines(), [line.rstrip("\n") for line in shown], f"cell {number}")
        pictures = sum("data" in output for output in cell["outputs"])
        assert len(no_windows.get_fignums()) == pictures, f"cell {number}"
        no_windows.close("all")


def test_the_notebook_is_small():
    assert (ROOT / "docs" / "tsn.ipynb").stat().st_size < 100_000
    assert NOTEBOOK["nbformat"] == 4
