"""Arguments that several commands share: the same choices everywhere, those of the code behind them."""

import argparse
import subprocess
import sys

import pytest

from converter.fused import PRECISIONS as FUSED_PRECISIONS
from converter.weights import BN_STYLES as CONVERTER_BN_STYLES
from pytsn.cli import COMMANDS, load_command, make_parser, run_command
from pytsn.commands.arguments import BN_STYLES
from pytsn.data.datasets import DATASETS
from pytsn.data.modalities import MODALITIES
from pytsn.runtime.device import PRECISIONS, TRAINING_PRECISIONS


def actions(command: str) -> dict[str, argparse.Action]:
    """The arguments of a command by their names."""
    return {action.dest: action for action in make_parser(command, command)._actions}


def test_choices_are_those_of_the_converter():
    assert tuple(FUSED_PRECISIONS) == PRECISIONS
    assert BN_STYLES == CONVERTER_BN_STYLES


def test_precision_is_the_same_everywhere():
    found = {name: actions(name)["precision"] for name in COMMANDS if "precision" in actions(name)}
    training, tests = {"train", "finetune", "ablation"}, {"eval-net", "predict", "features"}
    assert set(found) == training | tests
    assert {(found[name].choices, found[name].default) for name in training} == {(("fp32", "tf32", "bf16"), "fp32")}
    assert {(found[name].choices, found[name].default) for name in tests} == {
        (("fp32", "tf32x3", "tf32", "bf16"), "fp32")
    }
    assert set(TRAINING_PRECISIONS) < set(PRECISIONS)


@pytest.mark.parametrize("command", ["eval-net", "features", "make-prototxt"])
def test_modalities_are_those_that_nets_tell_apart(command):
    assert actions(command)["modality"].choices == ("rgb", "flow", "rgbdiff")


def test_predict_has_a_net_for_every_modality():
    assert set(MODALITIES) <= set(actions("predict"))


def test_datasets_are_those_with_splits():
    assert actions("eval-net")["dataset"].choices == (
        "ucf101",
        "hmdb51",
        "activitynet_1.2",
        "activitynet_1.3",
        "custom",
    )
    assert actions("ablation")["dataset"].choices == ("ucf101", "hmdb51", "custom", "demo")
    assert actions("get-models")["dataset"].choices == ("ucf101", "hmdb51")
    assert set(actions("get-models")["dataset"].choices) <= set(DATASETS)
    assert actions("eval-net")["split"].choices == actions("get-models")["split"].choices == (1, 2, 3)


@pytest.mark.parametrize(
    ("command", "prefixes"),
    [("eval-net", ("img_", "flow_x_", "flow_y_")), ("build-file-list", ("img_", "flow_x", "flow_y"))],
)
def test_prefixes_are_the_originals(command, prefixes):
    found = actions(command)
    assert tuple(found[name].default for name in ("rgb_prefix", "flow_x_prefix", "flow_y_prefix")) == prefixes


def test_help_of_every_command_is_had_without_torch():
    """Only names of tables are needed for it: torch alone takes seconds to import."""
    code = (
        "import sys\n"
        "from pytsn.cli import COMMANDS, make_parser\n"
        "for name in COMMANDS: make_parser(name, name).format_help()\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("command", "option"), [("identify", "--json"), ("predict", "--top=3"), ("eval-scores", "--aggregation=mean")]
)
@pytest.mark.parametrize("line", ["A OPTION B C", "A OPTION B OPTION C", "OPTION -- A B C"])
def test_options_may_stand_between_files(command, option, line, monkeypatch):
    seen = []
    monkeypatch.setattr(load_command(command), "run", seen.append)
    assert run_command(command, line.replace("OPTION", option).split()) == 0
    name = {"identify": "files", "predict": "videos", "eval-scores": "score_files"}[command]
    assert [getattr(args, name) for args in seen] == [["A", "B", "C"]]


def test_a_wrong_option_between_files_and_missing_arguments_are_named(capsys):
    for command, argv, told in (
        ("predict", ["A", "--tip", "3", "B"], "unrecognized arguments: --tip"),
        ("predict", ["A", "--top", "x", "B"], "argument --top: invalid int value: 'x'"),
        ("features", [], "required: LIST, -o/--output, --modality, --net"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run_command(command, argv)
        assert told in capsys.readouterr().err
