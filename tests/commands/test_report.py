"""pytsn report, and --report of eval-scores and eval-net: the same page, and one line for what is wrong."""

import re

import pytest

from converter.weights import save_caffemodel
from pytsn.cli import make_parser, run_command
from pytsn.report.write import WORST
from pytsn.scores.score_file import read_scores, write_scores
from tests.commands.eval_nets import NET, write_frames
from tests.converter.nets import build
from tests.report.html_text import Parsed
from tests.report.made_scores import CLASSES, LABELS, NAMES, raw_scores, two_streams

#: the command line, and where the page was written: what differs between two pages of the same scores
COMMAND = re.compile(r"<pre><code>.*?</code></pre>", re.DOTALL)


def run(capsys, name, *arguments):
    status = run_command(name, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two score files, class names, and frames of most of the videos."""
    root = tmp_path_factory.mktemp("scores")
    two_streams(root)
    (root / "names.txt").write_text("".join(f"{n} Class{n}\n" for n in range(1, CLASSES + 1)))
    write_frames(root / "frames", dict.fromkeys(NAMES[::2], 6), (20, 16))
    return root


def test_report_shows_what_eval_scores_prints(folder, tmp_path, capsys):
    files = (folder / "rgb.npz", folder / "flow.npz", "--score_weights", 1, 1.5)
    options = ("--labels", folder / "names.txt", "--frames", folder / "frames")
    page = tmp_path / "report.html"
    status, out, err = run(capsys, "report", *files, *options, "-o", page)
    assert (status, out, err) == (0, f"wrote {page} ({page.stat().st_size:,} bytes)\n", "")
    status, out, _ = run(capsys, "eval-scores", *files, *options, "--report", tmp_path / "same.html")
    assert status == 0
    html, same = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "same.html"))
    assert COMMAND.sub("", html) == COMMAND.sub("", same)
    found = Parsed(html)
    accuracy = float(out.splitlines()[0].removeprefix("Final accuracy ").removesuffix("%"))
    assert found.tables["accuracy"][-1][2] == f"{accuracy:.2f}"
    assert f"pytsn report {folder}/rgb.npz {folder}/flow.npz --score_weights 1 1.5" in found.text
    assert sorted(row[0] for row in found.tables["classes"][1:]) == [f"Class{n}" for n in range(1, CLASSES)]
    shown = [name in NAMES[::2] for name in re.findall(r"<h3><bdi>(.*?)</bdi></h3>", html)]
    assert 0 < sum(shown) < len(shown) == 12
    assert found.text.count("No frames: no frames of it in") == shown.count(False)
    assert len({own["src"] for tag, own in found.elements if tag == "img"}) > sum(shown)
    status, _, _ = run(capsys, "report", *files, *options, "-o", page)
    assert page.read_text(encoding="utf-8") == html
    assert status == 0


def test_the_help_tells_the_default():
    assert make_parser("report", "report").get_default("worst") == WORST


def test_one_crop_and_another_aggregation(folder, tmp_path, capsys):
    options = ("--aggregation", "topk:2", "--crop_agg", "max", "--worst", 2)
    assert run(capsys, "report", folder / "rgb.npz", *options, "-o", tmp_path / "r.html")[0] == 0
    _, out, _ = run(capsys, "eval-scores", folder / "rgb.npz", *options[:4])
    found = Parsed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert found.tables["accuracy"][1][1] == f"{float(out.split()[2].removesuffix('%')):.2f}"
    assert "Snippets merged by topk:2, crops by max" in found.text
    assert sum(tag == "article" for tag, _ in found.elements) == 2


def test_a_file_of_the_original_says_what_is_not_recorded(folder, tmp_path, capsys):
    write_scores(tmp_path / "old.npz", raw_scores(0), LABELS)
    assert run(capsys, "report", tmp_path / "old.npz", "-o", tmp_path / "r.html")[0] == 0
    found = Parsed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert ["weights, sha256", "not recorded"] in found.tables["settings"]
    assert "video 1" in found.text


@pytest.mark.golden
def test_a_file_that_the_original_wrote(golden, tmp_path, capsys):
    assert run(capsys, "report", golden / "eval/scores_rgb.npz", "-o", tmp_path / "r.html")[0] == 0
    found = Parsed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert found.tables["accuracy"][1][1] == "16.67"


def test_bad_input_ends_in_one_line_and_status_2(folder, tmp_path, capsys):
    rgb, flow, page = folder / "rgb.npz", folder / "flow.npz", tmp_path / "r.html"
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "no_frames").mkdir()
    write_scores(tmp_path / "old.npz", raw_scores(0), LABELS)
    write_scores(tmp_path / "other.npz", raw_scores(1), LABELS, [f"w{name}" for name in NAMES])
    settings = {"label_sets": [[] for _ in LABELS]}
    write_scores(tmp_path / "unlabelled.npz", raw_scores(1), LABELS, NAMES, settings)
    cases = (
        ((rgb, "-o", tmp_path / "gone" / "r.html"), "no folder"),
        ((rgb, "-o", tmp_path), "': is a folder; give the report's file name"),
        ((rgb, "-o", ""), "'': is a folder; give the report's file name"),
        ((rgb, "-o", "/dev/null"), "is a device or a pipe"),
        ((rgb, "-o", rgb), "is read or written here; the report needs a file name of its own"),
        ((rgb, "-o", page, "--frames", tmp_path / "gone"), "gone: no such folder"),
        ((rgb, "-o", page, "--frames", tmp_path / "no_frames"), "holds no frames and no video files of the"),
        ((tmp_path / "old.npz", "-o", page, "--frames", folder / "frames"), "holds no video names"),
        ((rgb, "-o", page, "--labels", tmp_path / "gone.txt"), "gone.txt: no such file"),
        ((rgb, "-o", page, "--labels", tmp_path / "empty.txt"), "0 class names, but"),
        ((rgb, "-o", page, "--worst", -1), "--worst -1: a number of videos from 0 to 200 was expected"),
        ((rgb, flow, "-o", page, "--score_weights", 1), "1 weight for 2 score files"),
        ((rgb, tmp_path / "other.npz", "-o", page), "40 videos of"),
        ((tmp_path / "gone.npz", "-o", page), "no such file"),
        ((tmp_path / "unlabelled.npz", "-o", page), "its videos have no labels, so there is nothing to report"),
    )
    before = rgb.read_bytes()
    for arguments, words in cases:
        status, out, err = run(capsys, "report", *arguments)
        (line,) = err.splitlines()
        assert (status, out) == (2, "")
        assert line.startswith("error: ")
        assert words in line
    status, _, err = run(capsys, "eval-scores", rgb, "--labels", folder / "names.txt")
    assert (status, err) == (2, "error: --labels goes with --report FILE\n")
    assert not page.exists()
    assert rgb.read_bytes() == before


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A net of seven classes, three videos and their list."""
    root = tmp_path_factory.mktemp("net")
    write_frames(root / "frames", {"a": 9, "b": 4, "c": 30})
    (root / "net.prototxt").write_text(NET % 3)
    save_caffemodel(root / "net.caffemodel", build(NET % 3))
    (root / "list.txt").write_text("a 9 0\nb 4 1\nc 30 2\n")
    return root


def test_eval_net_writes_the_page_of_its_score_file(net, tmp_path, capsys):
    own = (net / "frames", net / "net.prototxt", net / "net.caffemodel", "--test_list", net / "list.txt")
    argv = ("custom", 1, "rgb", *own, "--device", "cpu", "--num_frame_per_video", 3)
    saved = ("--save_scores", tmp_path / "s", "--report", tmp_path / "saved.html")
    status, out, _ = run(capsys, "eval-net", *argv, *saved)
    assert status == 0
    assert out.splitlines()[-1].startswith(f"wrote {tmp_path}/saved.html (")
    assert "command_line" not in out
    files = (tmp_path / "s.npz", "--frames", net / "frames", "-o", tmp_path / "later.html")
    assert run(capsys, "report", *files)[0] == 0
    html = {name: (tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in ("saved", "later")}
    assert COMMAND.sub("", html["saved"]) == COMMAND.sub("", html["later"])
    found = Parsed(html["saved"])
    settings = read_scores(tmp_path / "s.npz").settings
    assert ["weights, sha256", settings["net_weights_sha256"]] in found.tables["settings"]
    wrong = sum(tag == "article" for tag, _ in found.elements)
    assert sum(tag == "img" for tag, _ in found.elements) == 3 * wrong > 0

    assert run(capsys, "eval-net", *argv, "--report", tmp_path / "alone.html")[0] == 0
    alone = Parsed((tmp_path / "alone.html").read_text(encoding="utf-8"))
    assert ["score file", "not saved"] in alone.tables["settings"]
    assert alone.tables["accuracy"] == found.tables["accuracy"]
    assert alone.scripts[0] == found.scripts[0]


def test_eval_net_refuses_a_report_before_the_work(net, tmp_path, capsys):
    own = (net / "frames", net / "net.prototxt", net / "net.caffemodel", "--test_list", net / "list.txt")
    for more, words in (
        (("--report", tmp_path / "gone" / "r.html"), "no folder"),
        (("--report", net / "net.caffemodel"), "is read or written here"),
        (("--report", tmp_path / "s.npz", "--save_scores", tmp_path / "s"), "is read or written here"),
        (("--labels", net / "list.txt"), "--labels goes with --report FILE"),
        (("--report", tmp_path / "r.html", "--labels", net / "list.txt"), "3 class names, but"),
    ):
        status, out, err = run(capsys, "eval-net", "custom", 1, "rgb", *own, *more)
        assert status == 2
        assert words in err.splitlines()[-1]
        assert "done" not in out
    assert list(tmp_path.iterdir()) == []
    assert (net / "net.caffemodel").stat().st_size > 1000
