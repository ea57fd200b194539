"""`pytsn finetune` against Caffe's recorded runs and `pytsn train`; validation, checkpoints, best weights, resuming."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.files import put_in_place
from converter.net import load_net
from converter.proto import read_net
from converter.solverstate import read_solverstate
from converter.state_files import read_state, write_state
from pytsn.cli import main
from pytsn.finetune.checkpoints import Checkpoints
from pytsn.finetune.passes import ValidationPass
from pytsn.models import TSN
from pytsn.runtime.distributed import Processes
from pytsn.training.hardware import Hardware
from pytsn.training.input.data_layers import DataLayers
from tests.finetune.finetune_runs import DATA
from tests.held import popen_stepwise
from tests.places import TOOLS
from tests.training.train_runs import START, assert_log, log_of, one_thread, read_until
from tests.waiting import PATIENCE

#: the issue's bound for losses; measured: every printed digit equal
CLOSE = 1e-5
#: the papers' training crops off, frames as the det nets take them: nothing random is left
FIXED = [f"--set={text}" for text in ("shuffle=false", "mirror=false", "multi_scale=false", "fix_crop=false")]
FIXED += ["--set=new_height=64", "--set=new_width=64"]
QUICK = ("--batch_size=4", "--accumulate=1", "--lr=0.01", "--set=display=1", "--set=clip_gradients=0.5")


def finetune(out: str, *more: str, net: str = "deploy.prototxt", init: str = START) -> int:
    weights = [f"--init={init}"] if init else []
    train = () if more and not more[0].startswith("-") else ("list.txt",)
    return main(["finetune", *train, *more, f"--out={out}", f"--net={net}", *weights, *DATA])


def numbers(output: str) -> list[str]:
    """The lines that the solver route prints too."""
    return [line for line in log_of(output) if re.match(r"Iteration|    T|Gradient|MultiStep", line)]


@pytest.mark.parametrize("run", ["det_fixed", "det_step_clip", "det_multistep_itersize"])
def test_it_is_caffes_run(tiny, capsys, run):
    """The recorded runs of real Caffe without random numbers: losses, rates, clipping, test passes, for 20 updates."""
    batch = 2 if "itersize" in run else 4
    options = [f"--solver={run}/solver.prototxt", f"--batch_size={batch}", "--val_batch_size=2", "--dropout=0", *FIXED]
    videos = ("list_det_rgb.txt", "--val_list=list_det_rgb.txt")
    assert finetune(run + "_ours", *videos, *options) == 0
    recorded = numbers((tiny / run / "train.log").read_text())
    # After the last update Caffe snapshots, prints the loss and tests; so does this
    assert_log(numbers(capsys.readouterr().out), recorded, CLOSE)


def test_it_is_the_solver_route(tiny, capsys):
    """Shuffle, mirror, crops and scales from the same draws, dropout off: the log of `pytsn train`, and its weights."""
    net = (tiny / "rgb_step/train_val.prototxt").read_text().replace("dropout_ratio: 0.5", "dropout_ratio: 0")
    (tiny / "plain.prototxt").write_text(net)
    solver = (tiny / "rgb_step/solver.prototxt").read_text().replace("rgb_step/train_val.prototxt", "plain.prototxt")
    (tiny / "solver.prototxt").write_text(solver.replace("rgb_step/snap", "plain"))
    route = ["--set=max_iter=30", "--workers=0"]
    assert main(["train", "--solver=solver.prototxt", f"--weights={START}", "--rng=torch", *route]) == 0
    wanted = numbers(capsys.readouterr().out)
    sizes = ["--batch_size=4", "--val_batch_size=2", "--dropout=0"]
    assert finetune("route", "--val_list=list.txt", "--solver=solver.prototxt", *sizes, *route) == 0
    assert_log(numbers(capsys.readouterr().out)[: len(wanted)], wanted, CLOSE)
    trained = load_net("deploy.prototxt", "plain_iter_30.caffemodel").state_dict()
    for key, tensor in read_state("route/last.safetensors")[0].items():
        torch.testing.assert_close(tensor, trained[key], rtol=1e-5, atol=1e-6)


def accuracy_by_hand(weights: str, videos: Path, segments: int) -> float:
    """The share of videos whose mean score is best at their label: frames read, cropped and scored one by one."""
    net, hits, lines = load_net("deploy.prototxt", weights), 0, videos.read_text().splitlines()
    for line in lines:
        path, frames, label = line.split()
        average, scores = int(frames) // segments, []
        for k in range(segments):
            offset = average // 2 + k * average if average >= 1 else 0  # new_length 1: (average - 1 + 1) // 2
            image = cv2.imread(f"{path}/img_{offset + 1:05d}.png").astype(np.float32)
            top, left = (image.shape[0] - 64) // 2, (image.shape[1] - 64) // 2
            crop = image[top : top + 64, left : left + 64] - np.float32([104, 117, 123])
            with torch.no_grad():
                scores.append(net(torch.from_numpy(crop.transpose(2, 0, 1)[None]))["fc-action"][0].numpy())
        hits += int(np.mean(scores, axis=0).argmax() == int(label))
    return hits / len(lines)


def test_best_and_last_are_what_they_say(tiny, capsys):
    """Five videos in batches of two: each counts once in every pass. Accuracy goes up and down on the way."""
    lines = (tiny / "list.txt").read_text().splitlines()
    (tiny / "five.txt").write_text("\n".join(lines[:4] + lines[5:]) + "\n")
    options = ["--epochs=20", "--lr_steps=15", "--val_batch_size=2", "--seed=4", "--num_segments=2", "--dropout=0"]
    assert finetune("best", "--val_list=five.txt", *options, *QUICK) == 0
    output = capsys.readouterr().out
    tested = re.findall(r"Iteration (\d+), Testing.*\n.*accuracy = (\S+)", output)
    accuracies = [float(value) for _, value in tested]
    assert len(set(accuracies)) > 2  # else the best could be any
    best = tested[accuracies.index(max(accuracies))]
    state, metadata = read_state("best/best.safetensors")
    assert (metadata["iteration"], float(metadata["accuracy"])) == (best[0], pytest.approx(float(best[1]), abs=1e-6))
    assert accuracy_by_hand("best/best.safetensors", tiny / "five.txt", 2) == pytest.approx(max(accuracies), abs=1e-6)
    assert accuracy_by_hand("best/last.safetensors", tiny / "five.txt", 2) == pytest.approx(accuracies[-1], abs=1e-6)
    assert set(state) == set(load_net("deploy.prototxt").state_dict())
    assert f"best accuracy {float(best[1]):.4f}, iteration {best[0]}: best/best.safetensors" in output
    found = sorted(path.name for path in (tiny / "best").iterdir())
    assert found == ["accuracy.png", "best.safetensors", "deploy.prototxt", "last.safetensors", "loss.png", "state"]
    assert len(list((tiny / "best/state").iterdir())) == 3  # of the newest checkpoint only


def test_of_equal_validations_the_first_is_best(tiny):
    """Nothing is learned here, so that all are equal."""
    options = ["--epochs=4", "--lr=1e-20", "--seed=4", "--dropout=0", "--set=test_interval=2", "--partial_bn=yes"]
    assert finetune("equal", "--val_list=list.txt", *QUICK, *options) == 0
    assert read_state("equal/best.safetensors")[1]["iteration"] == "2"
    assert read_state("equal/last.safetensors")[1]["iteration"] == "6"


class Half(Processes):
    """One of two processes, whose sums stay its own."""

    def mean_(self, tensors) -> None:
        pass


@pytest.mark.parametrize(("rank", "rows"), [(0, (0, 1, 4)), (1, (2, 3))])
def test_processes_share_a_validation(tiny, rank, rows):
    """Five videos in batches of two over two processes: rank 0 has the first and the third batch. Twice the same."""
    lines = (tiny / "list.txt").read_text().splitlines()
    order = [lines[index] for index in (0, 2, 4, 1, 5)]
    (tiny / "order.txt").write_text("\n".join(order) + "\n")
    layer = text_format.Parse(
        'video_data_param { source: "order.txt" batch_size: 2 num_segments: 2 modality: RGB'
        ' name_pattern: "img_%05d.png" } transform_param { crop_size: 64 mean_value: [104, 117, 123, 104, 117, 123] }',
        pb.LayerParameter(name="data", type="VideoData", top=["data", "label"]),
    )
    data_layers = DataLayers("TEST", rank=rank, world=2)
    data_layers.on_data_layer(layer)
    tsn, seen = TSN(load_net("deploy.prototxt", START), 2), []
    validation = ValidationPass(tsn, data_layers, Hardware(), Half(rank, 2), lambda *found: seen.append(found))
    assert validation.batches == 2
    single = DataLayers("TEST")
    layer.video_data_param.batch_size = 5
    single.on_data_layer(layer)
    batch = single.next_batch(torch.device("cpu"))
    with torch.no_grad():
        scores = tsn.eval()(batch["data"])[list(rows)]
    labels = batch["label"][list(rows)]
    assert labels.tolist() == [int(order[row].split()[2]) for row in rows]
    losses = F.cross_entropy(scores, labels, reduction="none").clamp(max=87.33654)  # Caffe's floor, -log(FLT_MIN)
    wanted = (float((scores.argmax(1) == labels).float().mean()), float(losses.mean()))
    for _ in range(2):
        validation.test(validation.batches)
        assert seen[-1] == pytest.approx(wanted, rel=1e-5)
        assert tsn.training


@pytest.mark.parametrize("consensus", ["max", "topk:2", "weighted", "attention"])
def test_weights_go_into_eval_net_and_convert(tiny, capsys, consensus):
    """With deploy.prototxt beside them; a learned consensus rides along and has moved from its start."""
    from pytsn.evaluation.action_net import ActionNet

    out = f"into_{consensus.replace(':', '_')}"
    assert finetune(out, "--val_list=list.txt", f"--consensus={consensus}", "--epochs=3", "--format=pth", *QUICK) == 0
    assert main(["convert", f"{out}/deploy.prototxt", f"{out}/last.pth", "-o", f"{out}/last.caffemodel"]) == 0
    snippets = np.random.default_rng(0).integers(0, 256, (2, 3, 70, 80), np.uint8)
    scores = [ActionNet(f"{out}/deploy.prototxt", f"{out}/last.{kind}") for kind in ("pth", "caffemodel")]
    first, second = (net.score_snippets(snippets) for net in scores)
    assert first.shape == (2, 10, 3)
    np.testing.assert_array_equal(first, second)
    state = read_state(f"{out}/last.pth")[0]
    learned = state.get("consensus.weight")
    assert (learned is not None) == (consensus in ("weighted", "attention"))
    if learned is not None:
        start = {"weighted": torch.full((3,), 1 / 3), "attention": torch.zeros(18)}[consensus]
        assert learned.shape == start.shape
        assert (learned - start).abs().max() > 1e-6
        capsys.readouterr()
        more = [f"--consensus={consensus}", "--epochs=0.1", *QUICK]
        assert finetune(f"{out}_2", *more, init=f"{out}/last.pth") == 0
        assert "consensus as in the file" in capsys.readouterr().out


LONG = ("--val_list=list.txt", "--epochs=16", "--lr_steps=9", "--seed=5", "--consensus=weighted", *QUICK)


@pytest.mark.parametrize("weights", [(-0.38, -0.34, -0.3), (0.2, 0.9, 0.4)])
def test_files_of_weighted_segments_are_right_under_the_plain_average(tiny, weights):
    """eval-net averages snippets. The TSN's own scores do not change by how its files hold it."""
    tsn = TSN(load_net("deploy.prototxt", START), 3, consensus="weighted", dropout=0).eval()
    tsn.consensus.weight.data = torch.tensor(weights)
    x = torch.randn(2, 9, *tsn.base.inputs["data"][2:], generator=torch.Generator().manual_seed(1)) * 60
    with torch.no_grad():
        wanted, snippets = tsn(x), tsn.segment_scores(x)
        Checkpoints(tiny / f"weighted{weights[0]}").prepare(resume=False)
        checkpoints = Checkpoints(tiny / f"weighted{weights[0]}")
        checkpoints.write_best(tsn, {})
        state = read_state(checkpoints.best)[0]
        tsn.consensus.weight.data = state.pop("consensus.weight")
        tsn.base.load_state_dict(state)
        assert tsn.consensus.weight.sum().item() == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(tsn(x), wanted, rtol=1e-5, atol=1e-5 * wanted.abs().max().item())
        plain = tsn.segment_scores(x).mean(1)
    true = snippets.mean(1) * sum(weights)  # each snippet counts as the mean of the weights
    torch.testing.assert_close(plain, true, rtol=1e-5, atol=1e-5 * true.abs().max().item())


def test_a_run_killed_in_its_last_checkpoint_ends_with_its_last_weights(tiny, monkeypatch):
    """Killed before each of the files that the checkpoint of the last iteration writes or removes, the resumed run ends
    with the folder of one that was left alone: a checkpoint that counts has nothing left to be done."""
    more = ("--epochs=2", "--seed=3", "--set=snapshot=1", *QUICK)
    assert finetune("left_alone", *more) == 0
    wanted = {path.name: path.read_bytes() for path in Path("left_alone/state").iterdir()}
    last = read_state("left_alone/last.safetensors")
    for name in ("iter_3.safetensors", "last.safetensors", "iter_3.pytsnstate", "iter_3.solverstate", "removal"):
        with monkeypatch.context() as patch:
            time = 3 if name == "last.safetensors" else 1
            patch.setattr("converter.files.put_in_place", _killed_at(name, put_in_place, time))
            patch.setattr(Path, "unlink", _killed_at("iter_2.solverstate" if name == "removal" else "", Path.unlink))
            with pytest.raises(Killed):
                finetune(f"killed_{name}", *more)
        assert finetune(f"killed_{name}", *more, "--resume") == 0
        assert sorted(path.name for path in Path(f"killed_{name}/state").iterdir()) == sorted(wanted)
        state, metadata = read_state(f"killed_{name}/last.safetensors")
        assert metadata == last[1]
        assert all(torch.equal(state[key], value) for key, value in last[0].items())


class Killed(BaseException):
    """In the place of SIGKILL."""


def _killed_at(name: str, function, time: int = 1):
    left = [time]

    def act(path, *more, **options):
        left[0] -= Path(more[0] if more else path).name == name
        if not left[0]:
            raise Killed
        return function(path, *more, **options)

    return act


def start(out: str, folder: Path) -> subprocess.Popen:
    """The LONG run in a process of its own, which stops at the second line that nobody has read."""
    command = [sys.executable, str(TOOLS / "finetune.py"), "list.txt", f"--out={out}", "--net=deploy.prototxt"]
    return popen_stepwise([*command, f"--init={START}", *DATA, *LONG], cwd=folder, env=one_thread())


def without_checkpoints(lines: list[str]) -> list[str]:
    return [
        line.replace("SIGTERM/", "whole/").replace("SIGKILL/", "whole/") for line in lines if "Checkpoint" not in line
    ]


@pytest.fixture(scope="module")
def whole(tiny_folder) -> list[str]:
    """The log of the LONG run, left alone."""
    with start("whole", tiny_folder) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return without_checkpoints(log_of(output))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tiny, capsys, whole, name):
    """Stopped in the middle, then --resume: dropout, crops and shuffles go on where they were. Weights, history and
    every line printed on the way are those of the run that was left alone, to the last bit."""
    number = signal.Signals[name]
    with start(name, tiny) as process:
        lines = read_until(process, "Iteration 10, lr")
        process.send_signal(number)
        rest, errors = process.stdout.read(), process.stderr.read()  # communicate() would lose what is buffered
    assert process.returncode == (-number if name == "SIGKILL" else 128 + number)
    states = sorted(path.name for path in (tiny / name / "state").glob("*.solverstate"))
    assert 10 <= int(re.fullmatch(r"iter_(\d+)\.solverstate", states[-1])[1]) < 24
    (tiny / name / "state" / ".iter_10.k1ll3d.safetensors").write_bytes(b"half")  # as SIGKILL leaves them
    assert finetune(name, *LONG, "--resume") == 0
    after = without_checkpoints(log_of(capsys.readouterr().out))
    if name == "SIGTERM":
        assert f"--resume goes on from SIGTERM/state/{states[-1]}" in errors
        after = without_checkpoints(log_of("\n".join([*lines, *rest.splitlines()]))) + after
        assert after == whole
    assert after == whole[-len(after) :]
    assert len(list((tiny / name / "state").iterdir())) == 3  # nothing that the killed one left
    for file in ("last.safetensors", "best.safetensors"):
        (one, facts), (two, others) = (read_state(f"{out}/{file}") for out in ("whole", name))
        assert facts == others
        assert all(torch.equal(tensor, two[key]) for key, tensor in one.items())
    one, two = (read_solverstate(f"{out}/state/iter_24.solverstate").arrays() for out in ("whole", name))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_longer_run_keeps_the_best_weights_of_the_shorter_one(tiny):
    """The validation at a run's end comes after its last checkpoint; what it found best is not to be lost when the run
    goes on for more epochs. Here that best is out of reach."""
    assert finetune("longer", "--val_list=list.txt", "--epochs=1", "--seed=2", *QUICK) == 0
    state, metadata = read_state("longer/best.safetensors")
    write_state("longer/best.safetensors", state, {**metadata, "accuracy": "2.000000"})
    before = Path("longer/best.safetensors").read_bytes()
    assert finetune("longer", "--val_list=list.txt", "--epochs=3", "--seed=2", "--resume", *QUICK) == 0
    assert Path("longer/best.safetensors").read_bytes() == before


def test_bf16_is_close_to_fp32(tiny, capsys):
    """Losses of six updates within 2 %, and not rounded to bfloat16's 8 bits themselves."""
    losses = []
    for precision in ("fp32", "bf16"):
        assert finetune(precision, f"--precision={precision}", "--epochs=4", "--seed=2", "--dropout=0", *QUICK) == 0
        losses.append(np.float32(re.findall(r"Train net.* loss = (\S+) \(", capsys.readouterr().out)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    rounded = torch.from_numpy(losses[1]).bfloat16().float().numpy()
    assert np.abs(rounded / losses[1] - 1).max() > 1e-4


def test_accumulating_is_a_larger_batch(tiny, capsys):
    """Two batches of two are one of four, clipping included; without BN, whose first averages over each batch."""
    net = read_net("deploy.prototxt")
    for layer in [layer for layer in net.layer if layer.type == "BN"]:
        layer.type = "Power"
        layer.power_param.scale = 0.01 if layer.name == "conv1_bn" else 1
        layer.ClearField("bn_param")
        layer.ClearField("param")
    (tiny / "power.prototxt").write_text(text_format.MessageToString(net))
    more = ["--epochs=4", "--lr=0.01", "--dropout=0", "--set=display=1", "--set=clip_gradients=0.5", *FIXED]
    outputs, states = [], []
    for sizes in (["--batch_size=4", "--accumulate=1"], ["--batch_size=2", "--accumulate=2"]):
        out = f"batch_{sizes[0][-1]}"
        assert finetune(out, "list_det_rgb.txt", *sizes, *more, net="power.prototxt") == 0
        outputs.append(numbers(capsys.readouterr().out))
        states.append(read_state(f"{out}/last.safetensors")[0])
    assert any("Gradient clipping" in line for line in outputs[0])
    assert_log(
        [line for line in outputs[1] if "loss =" not in line], [x for x in outputs[0] if "loss =" not in x], CLOSE
    )
    for key, tensor in states[0].items():  # gradients are summed in another order
        torch.testing.assert_close(states[1][key], tensor, rtol=0, atol=CLOSE * float(tensor.abs().max()))


@pytest.mark.slow
def test_two_processes_are_one_that_accumulates(tiny):
    """torchrun, gloo: the same losses, and the same accuracy over five videos in three batches; rank 0 alone writes."""
    (tiny / "odd.txt").write_text("".join((tiny / "list.txt").read_text().splitlines(True)[:5]))
    common = [str(TOOLS / "finetune.py"), "list_det_rgb.txt", "--val_list=odd.txt", "--net=deploy.prototxt", *DATA]
    common += [f"--init={START}", "--batch_size=2", "--epochs=6", "--lr=0.01", "--dropout=0", "--set=display=1", *FIXED]
    launchers = {"alone": [], "both": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]}
    outputs = []
    for out, launcher in launchers.items():
        command = [sys.executable, *launcher, *common, f"--out={out}", f"--accumulate={1 if launcher else 2}"]
        result = subprocess.run(command, cwd=tiny, capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert "effective batch: 4 videos (2 x 1 accumulated x 2 processes)" in outputs[1]
    losses = [re.findall(r"Iteration \d+, loss = (\S+)", text)[:-1] for text in outputs]  # the last: over other batches
    np.testing.assert_allclose(np.float64(losses[0]), np.float64(losses[1]), rtol=CLOSE)
    first, second = (re.findall(r"accuracy = (\S+)\n.*loss = (\S+) ", text) for text in outputs)
    assert len(first) == len(second) > 2
    assert first[0][0] == second[0][0]  # losses differ: each process has averages of its own batches in its BN


@pytest.mark.golden
@pytest.mark.slow
def test_bn_inception_learns_as_its_train_val_net_does(golden, rgb_caffemodel, tmp_path, monkeypatch, capsys):
    """Nothing but a list and a solver given: the original's train_val net by the solver route, dropout off, same draws,
    for two updates; and before them the loss over the list that Caffe itself printed."""
    folder = golden / "bn_inception" / "train_rgb"
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)
    net = (folder / "train_val.prototxt").read_text()
    assert "dropout_ratio: 0.8" in net
    (tmp_path / "plain.prototxt").write_text(net.replace("dropout_ratio: 0.8", "dropout_ratio: 0"))
    solver = (folder / "solver.prototxt").read_text().replace('"train_val.prototxt"', f'"{tmp_path}/plain.prototxt"')
    (tmp_path / "solver.prototxt").write_text(solver.replace('"snap"', f'"{tmp_path}/snap"'))
    route = [f"--solver={tmp_path}/solver.prototxt", "--set=max_iter=2", "--set=test_interval=2", "--workers=0"]
    more = [f"--weights={rgb_caffemodel}", "--rng=torch", "--set=test_iter=6"]
    assert main(["train", *route, *more]) == 0
    wanted = numbers(capsys.readouterr().out)
    (tmp_path / "three.txt").write_text("".join((folder / "list.txt").read_text().splitlines(True)[:3]))
    sizes = ["--batch_size=2", "--val_batch_size=1", "--dropout=0", "--num_classes=101"]
    start = [f"--init={rgb_caffemodel}", f"--out={tmp_path}/run"]
    assert main(["finetune", "list.txt", "--val_list=list.txt", *start, *sizes, *route]) == 0
    assert_log(numbers(capsys.readouterr().out), wanted, CLOSE)
    again = [f"--init={rgb_caffemodel}", f"--out={tmp_path}/three", f"--val_list={tmp_path}/three.txt", "--epochs=0.1"]
    assert main(["finetune", "list.txt", *again, *sizes, "--set=test_initialization=true", "--accumulate=1"]) == 0
    recorded = re.search(r"loss = (\S+) ", (folder / "train.log").read_text())[1]  # three batches of one video
    found = re.search(r"Testing.*\n.*accuracy = 0\n.*loss = (\S+) ", capsys.readouterr().out)[1]
    assert float(found) == pytest.approx(float(recorded), rel=CLOSE)
