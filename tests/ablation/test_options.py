"""`pytsn ablation`: its tables' arithmetic by hand, rows and runs, options; runs are in test_ablation_run.py."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from converter.errors import PytsnError
from converter.net import load_net
from pytsn.ablation import progress as ablation_progress
from pytsn.ablation.nets import write_net
from pytsn.ablation.options import AblationOptions, NetChoice, parse_choices, parse_nets
from pytsn.ablation.plan import Cell, make_cells, make_rows
from pytsn.ablation.plot import ablation_picture
from pytsn.ablation.table import as_json, make_results, markdown_table, table_cells, text_table
from pytsn.ablation.training import cell_training, schedule

EVERY = ("rgb", "flow", "warped", "rgbdiff")


def options(**changes) -> AblationOptions:
    return AblationOptions("ucf101", "frames", "out", **changes)


def cell(modality: str, seed: int = 0, segments: int = 1) -> Cell:
    return Cell("bn-inception", modality, segments, "average", seed)


# Five videos of three classes: two of class 0, two of class 1, one of class 2. By hand, the best class of each video:
#   rgb                              0 1 1 1 2   class accuracies 1/2, 1, 1    mean 83.33
#   flow                             0 0 1 0 0                    1, 1/2, 0         50
#   rgb + 1.5 flow, e.g. video 1: (0 + 3, 1 + 0, 0) -> 0
#                                    0 0 1 0 2                    1, 1/2, 1         83.33
LABELS = np.array([0, 0, 1, 1, 2])
RGB = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 4]], np.float32)
FLOW = np.array([[1, 0, 0], [2, 0, 0], [0, 1, 0], [1, 0, 0], [2, 0, 0]], np.float32)
# A second seed in which rgb knows nothing but class 0: class accuracies 1, 0, 0, mean 33.33; fused as flow alone: 50
ZERO = np.zeros_like(RGB)


def modality_results(seeds=(0,)):
    rows = make_rows(options(tables=("modalities",)), ("rgb", "flow"))
    scores = {cell("rgb"): RGB, cell("flow"): FLOW, cell("rgb", 1): ZERO, cell("flow", 1): FLOW}
    return make_results(rows, seeds, scores, LABELS)


def test_accuracies_by_hand():
    found = {result.row.name: result for result in modality_results()}
    assert list(found) == ["rgb", "flow", "rgb + flow"]
    means = {name: result.mean(0) for name, result in found.items()}
    assert means == pytest.approx({"rgb": 250 / 3, "flow": 50.0, "rgb + flow": 250 / 3})
    assert found["rgb"].spread(0) is None


def test_fusion_weighs_flow_by_one_and_a_half():
    """Video 1 decides: at 1 : 1.5 flow's 0.9 for class 0 beats rgb's 1 for class 1 (1.35), at 1 : 1 it does not."""
    flow = FLOW.copy()
    flow[1] = (0.9, 0, 0)
    rows = make_rows(options(tables=("modalities",)), ("rgb", "flow"))
    fused = make_results(rows, (0,), {cell("rgb"): RGB, cell("flow"): flow}, LABELS)[-1]
    assert fused.mean(0) == pytest.approx(250 / 3)  # at 1 : 1 class 0 has 1/2 and class 1 has 1/2: 66.67


def test_mean_and_deviation_over_seeds():
    """83.33 and 33.33: mean 58.33, deviation of a sample of two |a - b| / sqrt(2) = 35.36."""
    rgb, flow, fused = modality_results((0, 1))
    assert (rgb.mean(0), rgb.spread(0)) == pytest.approx((175 / 3, 50 / 2**0.5))
    assert (flow.mean(0), flow.spread(0)) == pytest.approx((50, 0))
    assert (fused.mean(0), fused.spread(0)) == pytest.approx((200 / 3, 100 / 3 / 2**0.5))
    missing = modality_results((0, 2))[0]  # no run of seed 2
    assert missing.values == ((pytest.approx(250 / 3), None),)
    assert (missing.mean(0), missing.spread(0)) == (pytest.approx(250 / 3), None)


def test_tables_keep_the_papers_figures_apart():
    lines = table_cells(modality_results((0, 1)), "modalities")
    assert lines == [
        ["setting", "weights", "accuracy", "paper, UCF101 split 1"],
        ["rgb", "1", "58.3 ± 35.4", "84.5"],
        ["flow", "1", "50.0 ± 0.0", "87.2"],
        ["rgb + flow", "1 : 1.5", "66.7 ± 23.6", "92.0"],
    ]
    assert text_table(lines)[3] == "rgb + flow  1 : 1.5  66.7 ± 23.6                   92.0"
    assert markdown_table(lines)[:2] == [
        "| setting | weights | accuracy | paper, UCF101 split 1 |",
        "| --- | --- | --- | --- |",
    ]
    figures = json.loads(json.dumps(as_json(modality_results((0, 1)))))
    assert figures[2]["weights"] == {"rgb": 1, "flow": 1.5}
    assert figures[2]["accuracies"] == pytest.approx([250 / 3, 50])
    assert (figures[2]["paper_ucf101_split1"], figures[2]["name"]) == (92.0, "rgb + flow")


def test_the_papers_three_figures_stand_in_one_column():
    rows = make_rows(options(tables=("consensus",), consensus=("max", "attention")), ("rgb", "flow"))
    lines = table_cells(make_results(rows, (0,), {}, LABELS), "consensus")
    assert lines == [
        ["setting", "rgb", "flow", "fused", "paper, UCF101 split 1 (rgb / flow / fused)"],
        ["max", "-", "-", "-", "85.0 / 86.0 / 91.6"],
        ["attention", "-", "-", "-", "-"],
    ]


def test_rows_of_the_three_tables():
    """The rows and figures of the ECCV paper's tables 2, 3 and 4, and top-K and attention of the TPAMI paper."""
    rows = make_rows(options(), EVERY)
    modalities = {row.name: row.figures[0] for row in rows if row.table == "modalities"}
    assert {name: figure.published for name, figure in modalities.items()} == {
        "rgb": 84.5,
        "rgbdiff": 83.8,
        "rgb + rgbdiff": 87.3,
        "flow": 87.2,
        "warped": 86.9,
        "flow + warped": 87.8,
        "rgb + flow": 92.0,
        "rgb + flow + warped": 92.3,
        "rgb + rgbdiff + flow + warped": 91.7,
    }
    assert modalities["rgb + flow + warped"].weights == {"rgb": 1, "flow": 1, "warped": 0.5}
    consensus = {row.name: [item.published for item in row.figures] for row in rows if row.table == "consensus"}
    assert consensus == {
        "max": [85.0, 86.0, 91.6],
        "average": [85.7, 87.9, 93.5],
        "weighted": [86.2, 87.7, 92.4],
        "topk:2": [None] * 3,
        "attention": [None] * 3,
    }
    depth = {(row.name, row.segments): [item.published for item in row.figures] for row in rows if row.table == "depth"}
    assert depth == {("bn-inception", 1): [84.5, 87.2, 92.0], ("bn-inception + TSN", 3): [85.7, 87.9, 93.5]}
    assert {row.segments for row in rows if row.table == "modalities"} == {1}
    assert {row.segments for row in rows if row.table == "consensus"} == {3}


def test_runs_that_tables_share_are_done_once():
    """One net: 4 modalities, 5 consensus x 2; the depth table's four runs are all among them. A second net: 2 more."""
    assert len(make_cells(make_rows(options(), EVERY), (0,))) == 14
    both = options(nets=parse_nets(["bn-inception", "vgg-16=v.prototxt"]))
    cells = make_cells(make_rows(both, EVERY), (0, 5))
    assert len(cells) == len({each.name for each in cells}) == 32
    rows = make_rows(both, EVERY)
    assert [item.published for item in rows[-2].figures] == [79.8, 85.7, 90.9]  # the paper's VGG-16, by its name
    assert (rows[-2].name, rows[-1].name) == ("vgg-16", "bn-inception + TSN")


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [(("rgb",), ["rgb"]), (("rgb", "rgbdiff"), ["rgb", "rgbdiff", "rgb + rgbdiff"]), (("warped",), ["warped"])],
)
def test_rows_without_some_modalities(modalities, expected):
    rows = make_rows(options(), modalities)
    assert [row.name for row in rows if row.table == "modalities"] == expected
    columns = {figure.column for row in rows if row.table != "modalities" for figure in row.figures}
    assert columns == ({"rgb"} if "rgb" in modalities else set())


def test_one_segment_is_enough_for_the_other_tables():
    single = options(segments=1, tables=("modalities", "depth"))
    assert len(make_cells(make_rows(single, EVERY), (0,))) == 4


def test_choices_by_net_and_modality():
    nets = parse_nets(["bn-inception", "small=a.prototxt", "small:flow=b.prototxt"])
    assert (nets[1].file("rgb"), nets[1].file("flow"), nets[0].file("rgb")) == ("a.prototxt", "b.prototxt", None)
    lr = parse_choices("lr", ["0.1", "flow=0.2", "small=0.3", "small:flow=0.4"], nets)
    chosen = options(nets=nets, choices={"lr": lr})
    found = [chosen.find_choice("lr", *pair.split(":")) for pair in ("bn-inception:rgb", "bn-inception:flow")]
    found += [chosen.find_choice("lr", *pair.split(":")) for pair in ("small:rgb", "small:flow")]
    assert found == [0.1, 0.2, 0.3, 0.4]
    assert chosen.find_choice("dropout", "small", "rgb") is None


def training_of(chosen: AblationOptions, modality: str):
    return cell_training(chosen, cell(modality), 3, "list.txt", 10, None)


def test_other_modalities_start_from_rgbs_weights():
    chosen = options(choices={"init": {"rgb": "imagenet", "rgbdiff": "own", "warped": "none"}})
    found = {modality: training_of(chosen, modality).init for modality in EVERY}
    assert found == {"rgb": "imagenet", "flow": "imagenet", "warped": None, "rgbdiff": "own"}
    alone = options(choices={"init": {"flow": "own"}})
    assert [training_of(alone, modality).init for modality in EVERY] == [None, "own", None, None]


@pytest.mark.parametrize(("batch", "accumulate"), [(4, 3), (4, None), (32, None), (300, None)])
def test_so_many_iterations_are_so_many_updates(batch, accumulate):
    chosen = options(batch_size=batch, accumulate=accumulate, choices={"iterations": {"": 7, "flow": 23}})
    solvers = [schedule(training_of(chosen, modality), 10) for modality in ("rgb", "flow")]
    assert [solver.max_iter for solver in solvers] == [7, 23]
    assert [solver.snapshot for solver in solvers] == [1, 3]  # ten checkpoints or fewer


def test_the_papers_schedule_where_nothing_is_said():
    """ECCV paper, section 4.1, as released: rgb 0.001, 3500 updates of 128 of 9537 videos; flow 0.005, 18000."""
    chosen = options()
    solvers = [schedule(cell_training(chosen, cell(name), 101, "x", 9537, None), 9537) for name in ("rgb", "flow")]
    assert [(solver.max_iter, solver.iter_size) for solver in solvers] == [(3500, 4), (18000, 4)]
    assert [solver.base_lr for solver in solvers] == pytest.approx([0.001, 0.005])
    assert list(solvers[1].stepvalue) == [10000, 16000]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: options(tables=("depht",)), "--tables depht: one of modalities, consensus, depth"),
        (lambda: options(modalities=("rgb", "audio")), "--modalities audio: one of rgb, flow, warped, rgbdiff"),
        (lambda: options(consensus=("topk:4",)), "topk:K with K from 1 to 3"),
        (lambda: options(consensus=("mean",)), "consensus 'mean'"),
        (lambda: options(consensus=("max", "max")), "--consensus max,max: at least one, and each once"),
        (lambda: options(snippets=0), "--num_frame_per_video 0: must be above 0"),
        (lambda: options(segments=1), "the consensus table needs at least 2"),
        (lambda: options(train_list="a"), "'custom' goes with --train_list FILE and --val_list FILE"),
        (lambda: options(choices={"epochs": {"": 1}, "iterations": {"": 1}}), "leave out one"),
        (lambda: parse_nets(["resnet"]), "only bn-inception needs no file"),
        (lambda: parse_nets(["rgb=a.prototxt"]), "NAME not a modality's"),
        (lambda: parse_nets(["a:sound=a.prototxt"]), "one of rgb, flow"),
        (lambda: parse_nets(["a="]), "NAME=FILE"),
        (lambda: parse_nets(["a:flow=b"])[0].file("rgb"), "no file for rgb: give a:rgb=FILE"),
        (lambda: parse_choices("lr", ["x=0.1"], ()), "before '=' stands"),
        (lambda: parse_choices("lr", ["fast"], ()), "'fast' is not a number"),
        (lambda: parse_choices("epochs", ["flow=-2"], ()), "must be above 0"),
        (lambda: parse_choices("iterations", ["2.5"], ()), "not a number"),
    ],
)
def test_bad_wishes(make, words):
    with pytest.raises(PytsnError) as error:
        make()
    assert words in str(error.value)


INPUTS = {
    "dims": 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8',
    "shape": 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }',
    "layer": 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }',
}
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc-action" inner_product_param { num_output: 5 } }
"""


@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize(("modality", "channels"), [("rgb", 3), ("flow", 10), ("warped", 10), ("rgbdiff", 15)])
def test_one_prototxt_serves_every_modality(tmp_path, form, modality, channels):
    (tmp_path / "net.prototxt").write_text(INPUTS[form] + CONV)
    path = write_net(NetChoice("a", {"": str(tmp_path / "net.prototxt")}), modality, tmp_path)
    net = load_net(path)
    assert net.conv.weight.shape == (2, channels, 3, 3)
    assert path == str(tmp_path / f"a-{modality}.prototxt")


def test_a_file_of_its_own_keeps_its_channels(tmp_path):
    (tmp_path / "net.prototxt").write_text(INPUTS["dims"].replace("input_dim: 3", "input_dim: 4") + CONV)
    path = write_net(NetChoice("a", {"flow": str(tmp_path / "net.prototxt")}), "flow", tmp_path)
    assert load_net(path).conv.weight.shape[1] == 4
    (tmp_path / "two.prototxt").write_text('input: "x" ' + INPUTS["layer"] + CONV)
    with pytest.raises(PytsnError, match=r"two.prototxt: a deploy net with one input"):
        write_net(NetChoice("a", {"": str(tmp_path / "two.prototxt")}), "flow", tmp_path)


class Clock:
    """Time as the tests want it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_what_is_left_by_the_pace_so_far(monkeypatch, capsys):
    """Four runs of 10 + 2 units. The first was done before, the second trained before: what counts is the 2 units of
    its test, in 6 s, so 24 units are 72 s. Then 12 more units in 18 s: 14 in 24 s, the last 12 take 21 s."""
    clock = Clock()
    monkeypatch.setattr(ablation_progress, "time", clock)
    runs = [SimpleNamespace(cell=cell("rgb", seed), changes=list) for seed in range(4)]
    with ablation_progress.AblationProgress(runs, [(10.0, 2.0)] * 4) as progress:
        progress.start(runs[0])
        progress.finish(runs[0], "done before")
        progress.start(runs[1])
        progress.done(1, 0)
        progress.done(1, 0.5)
        clock.now = 6.0
        progress.finish(runs[1], "tested")
        progress.start(runs[2])
        progress.done(0, 0)
        clock.now = 24.0
        progress.finish(runs[2], "trained and tested")
        progress.start(runs[3])
        progress.finish(runs[3], "at last")
    assert capsys.readouterr().out.splitlines() == [
        "[1/4] bn-inception-rgb-1seg-seed0: done before; 36 s left",
        "[2/4] bn-inception-rgb-1seg-seed1: tested; 72 s left",
        "[3/4] bn-inception-rgb-1seg-seed2: trained and tested; 21 s left",
        "[4/4] bn-inception-rgb-1seg-seed3: at last",
    ]


def test_durations():
    texts = [ablation_progress.duration(seconds) for seconds in (0.4, 89, 90, 5399, 5400, 129600)]
    assert texts == ["0 s", "89 s", "2 min", "90 min", "1.5 h", "1.5 days"]


def test_the_picture_shows_the_figures():
    """Bars are as long as the accuracies, a dot for each seed, an open mark at the paper's figure, chance as a line."""
    results = modality_results((0, 1))
    (axes,) = ablation_picture(results, "five videos", 100 / 3).axes
    bars = [patch.get_width() for patch in axes.patches]
    assert bars == pytest.approx([175 / 3, 50, 200 / 3])
    marks = [points.get_offsets()[:, 0].tolist() for points in axes.collections]
    assert marks[0::2] == [pytest.approx(list(result.values[0])) for result in results]
    assert marks[1::2] == [[84.5], [87.2], [92.0]]
    assert [text.get_text() for text in axes.texts] == ["58.3 ± 35.4", "50.0 ± 0.0", "66.7 ± 23.6"]
    assert axes.lines[0].get_xdata()[0] == pytest.approx(100 / 3)
    picture = ablation_picture(results, "many videos, and more of them, " * 5, 100 / 3, published=False)
    picture.canvas.draw()
    heading = picture.get_suptitle(), picture._suptitle.get_window_extent()
    assert heading[0].replace("\n", " ") == ("many videos, and more of them, " * 5).strip()
    assert 0 < heading[1].x0 < heading[1].x1 < picture.bbox.x1
    (plain,) = picture.axes  # not the paper's videos
    assert [points.get_offsets()[:, 0].tolist() for points in plain.collections] == marks[0::2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rgb", "flow", "rgb + flow"]
