"""`pytsn ablation` on the tiny videos: plan, runs, resuming, modalities without images; and the demo's settings."""

import json
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from converter.net import load_net
from converter.state_files import read_state, write_state
from pytsn.ablation import run as ablation_module
from pytsn.ablation.cell import CellRun
from pytsn.ablation.demo import demo_arguments
from pytsn.cli import main
from pytsn.finetune.checkpoints import state_for_tests
from pytsn.models.tsn import TSN
from pytsn.runtime.locks import LOCK, only_user
from pytsn.scores.score_file import read_scores, write_scores

#: one update of two videos; frames are lossless, so the tests read what training reads
TRAIN = ("--batch_size=2", "--accumulate=1", "--lr=0.01", "--dropout=0.5", "--set=clip_gradients=1", "--partial_bn=no")
MACHINE = ("--device=cpu", "--workers=0")
PATTERNS = ("--rgb_pattern=img_%05d.png", "--flow_pattern=flow_%c_%05d.png")


@pytest.fixture(scope="module", autouse=True)
def lists(tiny_folder) -> None:
    """The tiny videos, v0 to v4 to train on, v1, v3, v4 and v5 to test; other nets; flow once more as warped flow."""
    lines = (tiny_folder / "list.txt").read_text().splitlines(keepends=True)
    (tiny_folder / "train.txt").write_text("".join(lines[:5]))
    (tiny_folder / "val.txt").write_text("".join(lines[1:2] + lines[3:]))
    deploy = (tiny_folder / "deploy.prototxt").read_text()
    (tiny_folder / "wide.prototxt").write_text(deploy.replace("num_output: 8", "num_output: 9"))
    (tiny_folder / "deep.prototxt").write_text(deploy.replace("dim: 3\n", "dim: 20\n", 1))
    for video in (tiny_folder / "frames").iterdir():
        (tiny_folder / "warped" / "frames" / video.name).mkdir(parents=True)
        for path in video.glob("flow_*"):
            shutil.copy(path, tiny_folder / "warped" / "frames" / video.name)


@pytest.fixture(autouse=True)
def quick_nets(monkeypatch) -> None:
    """Nets are timed as taking a microsecond, however slow the machine."""

    def clock(work, device: torch.device) -> float:
        work()
        return 1e-6

    monkeypatch.setattr("pytsn.ablation.progress._clock", clock)


def ablate(out: str, *more: str) -> int:
    lists = ("--train_list=train.txt", "--val_list=val.txt")
    sizes = ("--num_segments=2", "--consensus=weighted,max", "--iterations=2", "--num_frame_per_video=2", "--crops=1")
    net = [] if any(text.startswith("--net=") for text in more) else ["--net=tiny=deploy.prototxt"]
    return main(["ablation", "custom", ".", f"--out={out}", *net, *lists, *sizes, *TRAIN, *MACHINE, *PATTERNS, *more])


def figures_of(out: str) -> dict[tuple[str, str, str], dict]:
    content = json.loads(Path(out, "results.json").read_text())
    return {(item["table"], item["name"], item["column"]): item for item in content["figures"]}


def test_dry_run_trains_nothing(tiny, capsys):
    assert ablate("dry", "--dry_run") == 0
    output = capsys.readouterr().out
    assert "warped is left out, no --warped_path: `pytsn build-of VIDEOS WARPED --flow_type warp_tvl1` makes" in output
    # rgb, rgbdiff, flow on one snippet; two kinds of consensus of rgb and flow; + TSN is of average: two more
    assert "9 rows (modalities, consensus, depth) of 9 training runs on cpu:" in output
    assert "  tiny-flow-2seg-weighted: 2 updates; train 0 s, test 0 s" in output
    assert "about 0 s to go, images not read" in output
    assert "no test video" not in output
    assert list(Path("dry/cells").iterdir()) == []
    assert not Path("dry/results.json").exists()


def score_by_hand(deploy: str, weights: str, lines: list[str], ticks: dict[str, tuple[int, int]]) -> list[np.ndarray]:
    """Scores (3,) of rgb videos: two frames each at 340x256, the middle 64x64 pixels, mean off, scores averaged."""
    net, scores = load_net(deploy, weights), []
    for line in lines:
        path, found = line.split()[0], []
        for tick in ticks[path]:
            image = cv2.resize(cv2.imread(f"{path}/img_{tick:05d}.png"), (340, 256)).astype(np.float32)
            crop = image[96:160, 138:202] - np.float32([104, 117, 123])
            with torch.no_grad():
                found.append(net(torch.from_numpy(crop.transpose(2, 0, 1)[None]))["fc-action"][0].numpy())
        scores.append(np.mean(found, axis=0))
    return scores


def test_a_cell_is_finetune_and_a_test(tiny, capsys):
    """Weights as `pytsn finetune` leaves them; scores as read, cropped and scored one by one; the figure from them."""
    assert ablate("one", "--tables=modalities", "--modalities=rgb", "--seeds=4") == 0
    output = capsys.readouterr().out
    assert "[1/1] tiny-rgb-1seg-seed4: trained in" in output
    mine = ["--num_segments=1", "--num_classes=3", "--seed=4", "--epochs=0.8", "--net=one/nets/tiny-rgb.prototxt"]
    same = ["--set=name_pattern=img_%05d.png", "--set=snapshot=1"]
    assert main(["finetune", "train.txt", "--out=alone", *mine, *same, *TRAIN, *MACHINE]) == 0
    cell = Path("one/cells/tiny-rgb-1seg-seed4")
    trained, alone = (read_state(path)[0] for path in (cell / "train/last.safetensors", "alone/last.safetensors"))
    assert set(trained) == set(alone)
    for key, tensor in alone.items():
        torch.testing.assert_close(trained[key], tensor, rtol=0, atol=0)
    start = load_net("one/nets/tiny-rgb.prototxt").state_dict()
    assert any((trained[key] != start[key]).any() for key in alone)
    # 2 snippets: at frames 1 and 1 + (count - 1)
    lines = Path("val.txt").read_text().splitlines()
    ticks = {line.split()[0]: (1, int(line.split()[1])) for line in lines}
    wanted = score_by_hand(str(cell / "train/deploy.prototxt"), str(cell / "train/last.safetensors"), lines, ticks)
    file = read_scores(cell / "scores.npz")
    assert [array.shape for array in file.scores] == [(2, 1, 3)] * 4
    found = [array.mean(axis=(0, 1)) for array in file.scores]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)  # BN is folded into convolutions for the test
    hits = [int(np.argmax(score)) == int(line.split()[2]) for score, line in zip(wanted, lines, strict=True)]
    classes = {label: [hit for hit, line in zip(hits, lines, strict=True) if line.endswith(label)] for label in "012"}
    expected = 100 * np.mean([np.mean(each) for each in classes.values()])
    figure = figures_of("one")["modalities", "rgb", "accuracy"]
    assert figure["accuracies"] == pytest.approx([expected])
    assert f"rgb      {'1':>7}  {expected:>8.1f}  {'84.5':>21}" in output
    assert Path("one/ablation.png").stat().st_size > 10000
    assert "| rgb | 1 |" in Path("one/results.md").read_text()
    assert not (cell / "train/state").exists()


def test_every_table(tiny, capsys):
    """All runs of the plan, warped flow from its own folder; flow nets start from rgb's weights, averaged."""
    start = "rgb_step/init_iter_0.caffemodel"
    more = ("--warped_path=warped", f"--init={start}", "--iterations=1")
    assert ablate("all", *more) == 0
    output = capsys.readouterr().out
    assert "left out" not in output
    found = figures_of("all")
    assert len(found) == 9 + 2 * 3 + 2 * 3
    assert all(0 <= item["mean"] <= 100 for item in found.values())
    log = Path("all/cells/tiny-warped-1seg-seed0/train.log").read_text()
    assert "filters of rgb averaged over the colours for 10 channels" in log
    listed = Path("all/lists/warped_train.txt").read_text().splitlines()
    assert listed[0] == "warped/./frames/v0 40 0" or listed[0] == "warped/frames/v0 40 0"
    fused = found["consensus", "weighted", "fused"]
    assert (fused["weights"], fused["paper_ucf101_split1"]) == ({"rgb": 1, "flow": 1.5}, 92.4)
    learned = read_state("all/cells/tiny-flow-2seg-weighted-seed0/train/last.safetensors")[0]["consensus.weight"]
    assert learned.shape == (2,)
    assert float(learned.sum()) == pytest.approx(1, abs=1e-6)
    assert "consensus functions (tiny, 2 segments; rgb 1 : flow 1.5)" in output


# The signal is looked for after each update (6 a run) and each test video (4): the 8th look is in the first run's test,
# the 14th in the second run's training.
@pytest.mark.parametrize(("look", "state", "kept"), [(8, "trained", "scores.npz.partial/*.npy"), (14, "started", "")])
def test_a_stopped_ablation_goes_on(tiny, capsys, monkeypatch, look, state, kept):
    """What is done is kept, the end is that of an ablation without the break."""
    whole = ("--tables=consensus", "--modalities=rgb", "--iterations=6", "--seeds=1")
    broken = f"broken_{look}"
    assert ablate("whole", *whole) == 0
    run_cells = ablation_module.run_cells
    calls = []

    def stop_early(ablation, workers, progress, asked):
        def signalled() -> int:
            calls.append(None)
            return signal.SIGTERM if len(calls) == look else 0

        return run_cells(ablation, workers, progress, signalled)

    with monkeypatch.context() as patch:
        patch.setattr(ablation_module, "run_cells", stop_early)
        assert ablate(broken, *whole) == 128 + signal.SIGTERM
    assert "the same command goes on from here" in capsys.readouterr().err
    first, second = (Path(broken, "cells", f"tiny-rgb-2seg-{name}-seed1") for name in ("weighted", "max"))
    stopped = first if kept else second
    assert json.loads((stopped / "cell.json").read_text())["state"] == state
    assert len(list((stopped / "train/state").glob("*.solverstate"))) == 1
    assert len(list(first.glob(kept or "scores.npz"))) == (2 if kept else 1)
    before = (first / "train/last.safetensors").stat().st_mtime_ns
    assert ablate(broken, *whole) == 0
    assert ("tiny-rgb-2seg-weighted-seed1: done before" in capsys.readouterr().out) == (stopped == second)
    assert (first / "train/last.safetensors").stat().st_mtime_ns == before
    assert ("goes on from" in (second / "train.log").read_text()) == (stopped == second)
    for name in (first.name, second.name):
        ours, theirs = (read_scores(Path(out, "cells", name, "scores.npz")).scores for out in (broken, "whole"))
        np.testing.assert_array_equal(ours, theirs)
    assert figures_of(broken) == figures_of("whole")


def test_a_changed_setting_does_its_cells_again(tiny, capsys):
    wish = ("--tables=modalities", "--modalities=rgb,rgbdiff")
    assert ablate("changed", *wish) == 0
    for path in Path("changed/cells").glob("*/scores.npz"):
        os.utime(path, ns=(1, 1))  # one that is written again has another time
    capsys.readouterr()
    assert ablate("changed", *wish, "--lr=rgbdiff=0.02", "--dry_run") == 0
    planned = capsys.readouterr().out
    assert "tiny-rgbdiff-1seg-seed0 was made with other settings (lr): will be done again" in planned
    assert "tiny-rgb-1seg: 2 updates; train 0 s, test 0 s, 1 done" in planned
    assert ablate("changed", *wish, "--lr=rgbdiff=0.02") == 0
    output = capsys.readouterr().out
    assert "tiny-rgbdiff-1seg-seed0: made with other settings (lr): done again" in output
    assert "tiny-rgb-1seg-seed0: done before" in output
    after = {path.parent.name: path.stat().st_mtime_ns for path in Path("changed/cells").glob("*/scores.npz")}
    assert sorted(after) == ["tiny-rgb-1seg-seed0", "tiny-rgbdiff-1seg-seed0"]
    assert [name for name in after if after[name] != 1] == ["tiny-rgbdiff-1seg-seed0"]


def test_scores_are_fused_before_the_softmax(tiny, capsys):
    """v1, of class 0: rgb gives class 1 30 and flow class 0 1.5 x 10, so class 1 wins; after the softmax it would be
    1 against 1.5. The other videos (classes 1, 2, 2) are right: 0, 1, 1 make 66.67."""
    wish = ("--tables=modalities", "--modalities=rgb,flow")
    assert ablate("sums", *wish) == 0
    own = {"rgb": (0, 30, 0), "flow": (10, 0, 0)}
    for modality, first in own.items():
        path = Path(f"sums/cells/tiny-{modality}-1seg-seed0/scores.npz")
        file = read_scores(path)
        videos = np.float32([first, (0, 1, 0), (0, 0, 1), (0, 0, 1)])
        write_scores(path, list(np.tile(videos[:, None, None], (1, 2, 1, 1))), file.labels, file.names, file.settings)
    assert ablate("sums", *wish) == 0
    assert "trained in" not in capsys.readouterr().out.split("wrote")[-2]
    found = {key[1]: item["mean"] for key, item in figures_of("sums").items()}
    assert found == pytest.approx({"rgb": 200 / 3, "flow": 100, "rgb + flow": 200 / 3})


def test_a_damaged_record_does_its_cell_again(tiny, capsys):
    wish = ("--tables=modalities", "--modalities=rgb")
    assert ablate("torn", *wish) == 0
    cell = Path("torn/cells/tiny-rgb-1seg-seed0")
    whole = (cell / "cell.json").read_text()
    (cell / "cell.json").write_text(whole[:100])
    capsys.readouterr()
    assert ablate("torn", *wish) == 0
    assert "tiny-rgb-1seg-seed0: trained in" in capsys.readouterr().out
    assert json.loads((cell / "cell.json").read_text())["settings"] == json.loads(whole)["settings"]


def test_a_run_that_diverges_leaves_the_others(tiny, capsys):
    assert ablate("wild", "--tables=modalities", "--modalities=rgb,rgbdiff", "--lr=rgb=1e30") == 1
    captured = capsys.readouterr()
    assert "tiny-rgb-1seg-seed0: diverged: iteration" in captured.out
    assert "error: tiny-rgb-1seg-seed0: iteration" in captured.err
    found = figures_of("wild")
    assert found["modalities", "rgb", "accuracy"]["mean"] is None
    assert found["modalities", "rgb + rgbdiff", "accuracy"]["mean"] is None
    assert found["modalities", "rgbdiff", "accuracy"]["mean"] is not None


def test_folders_as_users_bring_them(tiny, capsys, tmp_path):
    """Numbered from 0, under other names, one in another case: the same plan, the same lists but for the case."""
    for video in Path("frames").iterdir():
        folder = tmp_path / "frames" / (video.name.upper() if video.name == "v3" else video.name)
        folder.mkdir(parents=True)
        for path in video.iterdir():
            kind, number = path.stem.rsplit("_", 1)
            (folder / f"{kind}-{int(number) - 1}.png").symlink_to(path.resolve())
    frames = [f"--train_list={Path('train.txt').resolve()}", f"--val_list={Path('val.txt').resolve()}"]
    command = ["ablation", "custom", str(tmp_path), f"--out={tmp_path / 'out'}", *frames, "--tables=modalities"]
    command += [
        "--net=tiny=deploy.prototxt",
        "--device=cpu",
        "--iterations=1",
        "--modalities=rgb,flow",
        "--batch_size=1",
    ]
    patterns = ["--frame_pattern=img-%d.png", "--flow_pattern=flow_%c-%d.png"]
    assert main([*command, *patterns, "--dry_run"]) == 0
    output = capsys.readouterr().out
    assert output.count("note: 1 name differs from its folder in case alone") == 1
    assert output.count("note: frames are numbered from 0\n") == 1
    text = (tmp_path / "out/lists/rgb_train.txt").read_text()
    assert text == Path("train.txt").read_text().replace("frames/v3", "frames/V3").replace(
        "frames/", f"{tmp_path}/frames/"
    )
    assert main([*command, *patterns, "--num_frame_per_video=1", "--crops=1", "--workers=0", "--accumulate=1"]) == 0
    (tmp_path / "frames/v1/img-7.png").unlink()
    assert main([*command, *patterns, "--dry_run"]) == 2
    assert "frames/v1: the images img-%d.png have no number 7 (img-7.png), though" in capsys.readouterr().err


def test_modalities_without_images(tiny, capsys, tmp_path):
    """No flow image anywhere: flow is left out. One video without: an error that names it, or left out on wish."""
    for video in Path("frames").iterdir():
        (tmp_path / "frames" / video.name).mkdir(parents=True)
        for path in video.glob("img_*" if video.name != "v3" else "*"):
            (tmp_path / "frames" / video.name / path.name).symlink_to(path.resolve())
    frames = [f"--train_list={Path('train.txt').resolve()}", f"--val_list={Path('val.txt').resolve()}"]
    command = ["ablation", "custom", str(tmp_path), f"--out={tmp_path / 'out'}", *frames, "--dry_run", *PATTERNS]
    command += ["--net=tiny=deploy.prototxt", "--device=cpu", "--iterations=1"]
    assert main([*command, "--modalities=rgb,flow"]) == 2
    message = capsys.readouterr().err
    assert "train: 4 of 5 videos have no frames in" in message
    assert "--allow_missing" in message
    shutil.rmtree(tmp_path / "frames" / "v3")
    assert main([*command, "--modalities=rgb,flow", "--allow_missing"]) == 0
    output = capsys.readouterr().out
    assert f"flow is left out, no flow images in {tmp_path}: `pytsn build-of VIDEOS {tmp_path}` makes them" in output
    assert "warning: train: 1 of 5 videos has no frames" in output
    assert "warning: 3 videos are trained on and tested: v1, v3, v4" in output
    # v3 was all that class 1 had
    assert "1 of 3 classes has no test video, the mean leaves it out: 1" in output
    assert main([*command, "--modalities=flow"]) == 2
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--modalities=sound"], "--modalities sound: one of"),
        (["--seeds=a"], "--seeds a: whole numbers"),
        (["--rgb_pattern=frame.jpg"], "patterns frame.jpg"),
        (["--net=x=absent.prototxt"], "absent.prototxt: no such file"),
        (["--set=new_widht=3"], "did you mean 'new_width'"),
        (["--val_list=absent.txt"], "absent.txt: no such file"),
        (["--set=name_pattern=x", "--init=absent.caffemodel"], "absent.caffemodel: no such file"),
        (["--solver=rgb_step/solver.prototxt"], "leave out --epochs, --lr"),
        (["--set=crop_size=200"], "rgb_train.txt: layer 'data' (VideoData): ./frames/v0: frames of 170x128 pixels"),
        (["--init=rgb_step/init_iter_0.caffemodel", "--net=x=wide.prototxt"], "shape (8, 3, 7, 7), the net has (9, 3"),
        (["--net=x:flow=deep.prototxt", "--modalities=flow"], "takes 20 channels, tests of flow have snippets of 10"),
    ],
)
def test_bad_input_in_a_line(tiny, capsys, more, words):
    assert ablate("bad", *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert "Traceback" not in error


def test_a_folder_of_other_files_is_left_alone(tiny, capsys):
    wish = ("--tables=modalities", "--modalities=rgb")
    folder = Path("mine/cells/tiny-rgb-1seg-seed0")
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert ablate("mine", *wish) == 2
    assert "holds other files than a cell's" in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_cell_cut_short_while_testing(tiny, monkeypatch):
    """Trained, half of the videos scored: only the other half is scored when it goes on."""
    wish = ("--tables=modalities", "--modalities=rgb")
    assert ablate("cut", *wish) == 0
    cell = Path("cut/cells/tiny-rgb-1seg-seed0")
    whole = read_scores(cell / "scores.npz").scores
    record = json.loads((cell / "cell.json").read_text())
    (cell / "cell.json").write_text(json.dumps(record | {"state": "trained"}))
    (cell / "scores.npz").unlink()
    from pytsn.scores.resume import ScoreStore

    names = [f"v{index}" for index in (1, 3, 4, 5)]
    store = ScoreStore(cell / "scores.npz", names, [0, 1, 2, 2], record["settings"])
    marked = np.full_like(whole[1], 7)  # a score that only this test has
    store.add(1, marked)
    monkeypatch.setattr(CellRun, "_train", None)
    assert ablate("cut", *wish) == 0
    found = read_scores(cell / "scores.npz").scores
    np.testing.assert_array_equal(found, [whole[0], marked, *whole[2:]])


def test_weights_of_a_negative_sum_turn_the_scores(tiny):
    """A weighted consensus that has learned -0.5 and -0.7: a snippet's scores count -1.2 times, as they do in training,
    where every one of S = 2 equal snippets with scores f makes g = -0.5 f - 0.7 f. The file that finetune writes has
    that factor in its classifier, and segment weights of sum 1, so that the test has nothing to multiply by."""
    wish = ("--tables=consensus", "--modalities=rgb", "--consensus=weighted")
    assert ablate("signs", *wish) == 0
    cell = Path("signs/cells/tiny-rgb-2seg-weighted-seed0")
    weights = str(cell / "train/last.safetensors")
    state, metadata = read_state(weights)
    before = read_scores(cell / "scores.npz").scores
    learned = state.pop("consensus.weight")
    assert learned.tolist() != [0.5, 0.5]
    assert float(learned.sum()) == pytest.approx(1, abs=1e-6)
    tsn = TSN(load_net(cell / "train/deploy.prototxt"), 2, consensus="weighted")
    tsn.base.load_state_dict(state)
    tsn.consensus.weight.data = torch.tensor([-0.5, -0.7])
    written = state_for_tests(tsn)
    assert float(written["consensus.weight"].sum()) == pytest.approx(1, abs=1e-6)
    write_state(weights, written, metadata)
    (cell / "scores.npz").unlink()
    assert ablate("signs", *wish) == 0
    after = read_scores(cell / "scores.npz").scores
    # float32 rounds the classifier's weights once, and sums of their products
    largest = np.abs(before).max()
    np.testing.assert_allclose(after, -1.2 * np.asarray(before), rtol=1e-5, atol=1e-5 * largest)


def test_the_demos_nets(tmp_path):
    """A net for every modality and depth, dropout before the classifier; rgb alone has given filters, which stay."""
    (tmp_path / "data/ucf101_splits").mkdir(parents=True)
    (tmp_path / "data/ucf101_splits/classInd.txt").write_text("1 a\n")
    (tmp_path / "frames").mkdir()
    arguments = demo_arguments(tmp_path, tmp_path / "out")
    nets = dict(text.split("=") for text in arguments["net"])
    assert len(nets) == 12
    for key, path in nets.items():
        name, modality = key.split(":")
        net = load_net(path)
        kinds = [step.param.type for step, _ in net.layers()]
        assert kinds.count("Convolution") == int(name[-1])
        assert kinds[-2:] == ["Dropout", "InnerProduct"]
        (shape,) = net.inputs.values()
        assert shape == (1, {"rgb": 3, "flow": 10, "warped": 10, "rgbdiff": 15}[modality], 224, 224)
        (first,) = (step.param for step, _ in net.layers() if step.param.name == "conv1")
        assert first.param[0].lr_mult == (0 if modality == "rgb" else 1)
    assert arguments["warped_path"] is None
    (tmp_path / "warped").mkdir()
    assert demo_arguments(tmp_path, tmp_path / "out")["warped_path"] == str(tmp_path / "warped")


def test_a_second_ablation_in_the_same_folder_is_refused(tiny, capsys):
    with only_user("shared_out", "this test"):
        assert ablate("shared_out", "--tables=modalities", "--modalities=rgb") == 2
        assert list(Path("shared_out").iterdir()) == [Path("shared_out", LOCK)]
    assert capsys.readouterr().err == (
        "error: shared_out: another ablation is at work there; wait for its end, or name another folder\n"
    )
