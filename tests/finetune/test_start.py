"""What `pytsn finetune` starts from and refuses: nets, classes, start weights, schedules; one line for bad input."""

import math
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import load_net
from converter.proto import read_net
from converter.state_files import read_state, write_state
from pytsn.cli import main
from pytsn.data.modalities import find_modality
from pytsn.finetune.init import start_from
from pytsn.finetune.net import set_factors
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.schedule import clip_on, effective_batch, plan_schedule, rate_text
from pytsn.models import TSN, BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from pytsn.runtime.locks import LOCK, only_user
from tests.finetune.finetune_runs import DATA
from tests.training.train_runs import START

SHORT = ("--batch_size=2", "--accumulate=1", "--epochs=1")


def finetune(
    *more: str, net: str | None = "deploy.prototxt", init: str | None = START, videos: str = "list.txt"
) -> int:
    given = [f"--net={net}"] * bool(net) + [f"--init={init}"] * bool(init)
    return main(["finetune", videos, "--out=run", *given, *DATA, *SHORT, *more])


def wide_net(channels: int) -> str:
    """deploy.prototxt for another number of channels."""
    net = read_net("deploy.prototxt")
    net.input_shape[0].dim[1] = channels
    Path("wide.prototxt").write_text(text_format.MessageToString(net))
    return "wide.prototxt"


@pytest.mark.parametrize(("modality", "channels"), [("flow", 10), ("warped", 6), ("rgbdiff", 15)])
def test_cross_modality_start(own_tiny, capsys, modality, channels):
    """rgb weights into a net of other channels: the mean of the filters over the colours on every plane."""
    pattern = "flow_%c_%05d.png" if modality != "rgbdiff" else "img_%05d.png"
    net = wide_net(channels)
    tsn = TSN(load_net(net), modality=modality)
    start_from(tsn, START)
    rgb = load_net("deploy.prototxt", START).state_dict()
    mean = np.mean([rgb["conv1.weight"][:, colour].double().numpy() for colour in range(3)], axis=0)
    for plane in range(channels):
        np.testing.assert_allclose(tsn.base.conv1.weight[:, plane].detach().numpy(), mean, rtol=1e-6)
    assert torch.equal(tsn.base.fc_action.weight, rgb["fc_action.weight"])
    assert finetune(f"--modality={modality}", f"--set=name_pattern={pattern}", "--set=display=1", net=net) == 0
    output = capsys.readouterr().out
    assert f"'conv1': filters of rgb averaged over the colours for {channels} channels" in output
    assert len(re.findall(r"Iteration \d, loss = \d", output)) == 3 + 1  # the last after the last update
    assert read_state("run/last.safetensors")[0]["conv1.weight"].shape == (8, channels, 7, 7)


def test_another_number_of_classes(own_tiny, capsys):
    """The classifier of the net grows and starts afresh, which is said; all else comes from the file."""
    assert finetune("--num_classes=5", "--lr=1e-12") == 0
    output = capsys.readouterr().out
    assert "deploy.prototxt: classifier 'fc-action' made 5 classes wide, from 3" in output
    assert "classifier 'fc-action': 3 classes in the file, 5 here: starts afresh" in output
    net = load_net("run/deploy.prototxt", "run/last.safetensors")
    net.report.require_complete()
    assert net.blob_shapes["fc-action"] == (1, 5)
    rgb = load_net("deploy.prototxt", START).state_dict()
    torch.testing.assert_close(net.state_dict()["a_3x3.weight"], rgb["a_3x3.weight"])
    assert net.state_dict()["fc_action.weight"].abs().max() > 0.01  # gaussian, std 0.05


def test_classes_come_from_the_lists(own_tiny, capsys):
    """A label 6 makes seven classes; lists that do not show all of a net's classes leave it as it is."""
    Path("seven.txt").write_text("frames/v0 40 6\nframes/v1 12 0\n")
    assert finetune(videos="seven.txt") == 0
    assert "average, 7 classes" in capsys.readouterr().out
    Path("one.txt").write_text("frames/v0 40 1\nframes/v1 12 0\n")
    assert finetune("--out=other", videos="one.txt") == 0
    assert "average, 3 classes" in capsys.readouterr().out


def test_other_forms_of_start_weights(own_tiny):
    """A TSN's own state dict, with `base.` before its keys, and one of DataParallel's."""
    wanted = load_net("deploy.prototxt", START).state_dict()
    for number, prefix in enumerate(("base.", "module.", "")):
        state = {f"{prefix}{key}": tensor for key, tensor in wanted.items()}
        extra = {"consensus.weight": torch.tensor([0.2, 0.3, 0.5])} if prefix == "base." else {}
        write_state(f"{number}.pth", state | extra, {})
        tsn = TSN(load_net("deploy.prototxt"), consensus="weighted")
        start_from(tsn, f"{number}.pth")
        assert all(torch.equal(tensor, wanted[key]) for key, tensor in tsn.base.state_dict().items())
        assert tsn.consensus.weight.tolist() == pytest.approx([0.2, 0.3, 0.5] if extra else [1 / 3] * 3)


@pytest.mark.slow
def test_bn_inception_is_the_default(own_tiny, capsys):
    """Two updates; what is left fits BNInception and the deploy prototxt of make-prototxt."""
    Path("two.txt").write_text("frames/v0 40 1\nframes/v1 12 0\n")
    options = ["--batch_size=1", "--num_segments=2", "--set=new_height=224", "--set=new_width=298", "--set=display=1"]
    assert finetune(*options, net=None, init=None, videos="two.txt") == 0
    output = capsys.readouterr().out
    assert "model: BN-Inception, rgb, 3 channels, 2 segments, consensus average, 2 classes" in output
    assert "BN: 69 learn, 0 frozen; dropout 0.8" in output  # from scratch there are no statistics to keep
    assert "warning: no --init: from scratch" in output
    assert Path("run/deploy.prototxt").read_text() == deploy_prototxt(NetSpec("finetune", "rgb", num_classes=2))
    BNInception(2).load_state_dict(read_state("run/last.safetensors")[0])


def test_factors_are_the_released_nets():
    """Nothing said: weights 1 and biases 2, undecayed; conv1 5 and 10 for flow; a net's own factors stay."""
    text = """layer { name: "c" type: "Convolution" } layer { name: "b" type: "BN" }
        layer { name: "d" type: "Convolution" param { lr_mult: 3 } } layer { name: "r" type: "ReLU" }
        layer { name: "i" type: "InnerProduct" }"""
    for modality, first in (("rgb", [(1, 1), (2, 0)]), ("flow", [(5, 1), (10, 0)])):
        net = text_format.Parse(text, pb.NetParameter())
        set_factors(net, find_modality(modality))
        found = {layer.name: [(spec.lr_mult, spec.decay_mult) for spec in layer.param] for layer in net.layer}
        assert found == {"c": first, "b": [(1, 0)] * 2, "d": [(3, 1)], "r": [], "i": [(1, 1), (2, 0)]}
        assert (net.layer[1].bn_param.engine == net.layer[1].bn_param.CAFFE) == (modality == "flow")


def options(**changes) -> FinetuneOptions:
    return FinetuneOptions(**{"train_list": "a.txt", "out": "b", **changes})


def test_the_papers_schedule_on_ucf101():
    """9537 videos, 128 an update: the released solvers, update by update."""
    for modality, steps, last, rate, clip in (
        ("rgb", [1500, 3000], 3500, 0.001, 40),
        ("flow", [10000, 16000], 18000, 0.005, 20),
    ):
        solver = plan_schedule(options(modality=modality), find_modality(modality), 9537, 1)
        assert (list(solver.stepvalue), solver.max_iter, solver.clip_gradients) == (steps, last, clip)
        assert (solver.iter_size, effective_batch(options(), solver, 1)) == (4, 128)
        assert solver.base_lr == pytest.approx(rate)
        assert (solver.momentum, solver.weight_decay) == pytest.approx((0.9, 0.0005))
        assert (solver.test_interval, solver.snapshot) == (75, 75)  # an epoch
    assert plan_schedule(options(), find_modality("rgb"), 9537, 4).iter_size == 1


def test_a_schedule_of_ones_own():
    """640 videos, 16 x 2 x 2 processes = 64 an update: ten updates an epoch."""
    own = options(batch_size=16, accumulate=2, epochs=30, lr_steps=(12.5, 25), lr=0.02)
    solver = plan_schedule(own, find_modality("rgb"), 640, 2)
    assert (solver.max_iter, list(solver.stepvalue), solver.test_interval) == (300, [125, 250], 10)
    assert rate_text(solver) == "0.02, 0.002 from update 125, 0.0002 from update 250"
    assert list(plan_schedule(options(epochs=7), find_modality("rgb"), 1280, 1).stepvalue) == [30, 60]
    assert (clip_on(options()), clip_on(options(solver="s"))) == ("mean", "sum")


def test_a_solver_file_says_how_to_learn(own_tiny):
    """All but nets and lists; decays of every kind are spoken of."""
    Path("s.prototxt").write_text(
        'net: "nowhere.prototxt" test_iter: 9 base_lr: 0.5 lr_policy: "poly" power: 2 max_iter: 8 type: "Nesterov"'
        ' momentum: 0.7 weight_decay: 0.01 regularization_type: "L1" iter_size: 3 snapshot: 4 snapshot_prefix: "no/a"'
    )
    solver = plan_schedule(options(solver="s.prototxt", seed=6), find_modality("flow"), 96, 1)
    assert (solver.base_lr, solver.lr_policy, solver.power, solver.type) == (0.5, "poly", 2, "Nesterov")
    assert (solver.regularization_type, solver.iter_size, solver.snapshot, solver.random_seed) == ("L1", 3, 4, 6)
    assert (solver.clip_gradients, list(solver.test_iter), solver.net) == (-1, [], "")
    assert rate_text(solver) == f"0.5 to {0.5 * (1 / 8) ** 2:.3g} (poly)"


def test_the_summary_says_what_is_trained(own_tiny, capsys):
    """Counted by hand: conv1 8*3*49+8, its BN 16, 3x3 12*8*9+12, projection 6*8+6, classifier 3*18+3; frozen 2*12."""
    learned = (8 * 147 + 8) + 16 + (12 * 72 + 12) + (48 + 6) + (54 + 3)
    assert finetune("--val_list=list.txt", "--consensus=attention") == 0
    output = capsys.readouterr().out
    assert (
        f"learned: {learned + 18:,} values in 6 layers; frozen: 24 in 1; BN: 1 learn, 1 frozen; dropout 0.8" in output
    )
    assert "effective batch: 2 videos (2 x 1 accumulated x 1 process)" in output
    assert "schedule: 3 updates, 1 epochs; learning rate 0.001, 0.0001 from update 1" in output
    assert "warning: the learning rate is the papers', for updates of 128 videos" in output


def test_numbers_that_are_no_longer_finite_stop_it(own_tiny, capsys):
    """Exit status 1, the iteration, and the last checkpoint is finite and still there."""
    more = ["--epochs=20", "--lr=1e15", "--set=clip_gradients=-1", "--set=snapshot=1", "--set=weight_decay=1"]
    assert finetune(*more) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert re.search(r"error: iteration \d+: .*(loss|gradient norm|weights)", error[0])
    last = re.search(r"last checkpoint: (\S+)\.solverstate", error[0])
    if last:
        state, _ = read_state(f"{last[1]}.safetensors")
        assert all(math.isfinite(float(tensor.sum())) for tensor in state.values())
    else:
        assert "no checkpoint yet" in error[0]


def test_other_names_and_numbers_are_the_same_run(own_tiny, capsys):
    """--frame_pattern on frames numbered from 0, one folder in another case, one as an archive: the same log."""
    options = ["--set=display=1", "--epochs=1", "--accumulate=1", "--batch_size=2", "--seed=3", "--lr=0.01"]
    logs = []
    own = ["finetune", "list.txt", "--net=deploy.prototxt", f"--init={START}", "--workers=0", "--device=cpu", *options]
    for out, pattern in (("one", "img_%05d.png"), ("two", "f%d.png")):
        assert main([*own, f"--out={out}", f"--frame_pattern={pattern}"]) == 0
        output = capsys.readouterr().out
        logs.append([line for line in output.splitlines() if line.startswith("Iteration")])
        if out == "two":
            assert "list.txt: frames are numbered from 0" in output
            assert "list.txt: 1 name differs from its folder in case alone and is taken for it" in output
            break
        for path in sorted(Path("frames").glob("*/img_*.png")):
            path.rename(path.with_name(f"f{int(path.stem[4:]) - 1}.png"))
        Path("frames/v3").rename("frames/V3")
        with zipfile.ZipFile("frames/v1.zip", "w") as archive:
            for path in Path("frames/v1").glob("f*.png"):
                archive.write(path, path.name)
        shutil.rmtree("frames/v1")
    assert logs[0] == logs[1] != []


def spoil(folder: Path, line: str) -> None:
    (folder / "list.txt").write_text(f"frames/v0 40 0\n{line}\n")


def holds_a_run(folder: Path) -> None:
    assert finetune() == 0


def changed_run(folder: Path) -> None:
    assert finetune("--consensus=max") == 0


BAD = {
    "no list": (lambda f: (f / "list.txt").unlink(), [], r"list\.txt: no such file"),
    "two fields": (lambda f: spoil(f, "frames/v1 26"), [], r"list\.txt, line 2: .* found 2 fields"),
    "no folder": (lambda f: spoil(f, "frames/none 26 1"), [], r"list\.txt, line 2: no folder 'frames/none', and 0 of"),
    "no frames": (lambda f: (f / "list.txt").write_text("rgb_step 26 1\n"), [], r"rgb_step.img_000"),
    "label too large": (None, ["--num_classes=2"], r"list\.txt, line 5: label 2 .* 2 classes, 0 to 1"),
    "one class": (lambda f: spoil(f, "frames/v1 12 0"), ["--num_classes=1"], "nothing to tell apart"),
    "no val list": (None, ["--val_list=none.txt"], r"none\.txt: no such file"),
    "no weights": (None, ["--init=none.caffemodel"], r"none\.caffemodel: no such file"),
    "other weights": (None, ["--init=list.txt"], r"list\.txt"),
    "no net": (None, ["--net=none.prototxt"], r"none\.prototxt: no such file"),
    "net of training": (None, ["--net=rgb_step/train_val.prototxt"], "one input .N, C, H, W."),
    "modality": (None, ["--modality=depth"], "modality 'depth'"),
    "channels": (None, ["--modality=flow"], "modality flow has a multiple of 2"),
    "consensus": (None, ["--consensus=averge"], "did you mean 'average'"),
    "dropout": (None, ["--dropout=1"], "dropout 1: a ratio in"),
    "lr_steps": (None, ["--lr_steps=1;2"], "numbers of epochs with commas"),
    "falling lr_steps": (None, ["--lr_steps=3,2"], "rising order"),
    "batch": (None, ["--batch_size=0"], "--batch_size 0: must be above 0"),
    "schedule twice": (None, ["--solver=rgb_step/solver.prototxt"], "leave out --epochs"),
    "own option": (None, ["--set=test.batch_size=2"], "use --batch_size and --val_batch_size"),
    "segments by --set": (None, ["--set=new_length=2"], "6 channels|18 channels, the net takes 3 segments of 3"),
    "unknown field": (None, ["--set=mirro=false"], "did you mean 'mirror'"),
    "device": (None, ["--device=cuda:99"], "device 'cuda:99'"),
    "score blob": (None, ["--score_name=fc"], "no blob named 'fc'"),
    "nothing to resume": (None, ["--resume"], "no checkpoint to go on from"),
    "run in the way": (holds_a_run, [], "run: holds a run already: --resume goes on"),
    "other settings": (changed_run, ["--resume"], "a run with consensus max, not average"),
    "endless": (None, ["--epochs=inf"], "--epochs: that is inf updates"),
    "too long": (None, ["--epochs=1e300"], "--epochs: that is .* updates"),
    "steps never": (None, ["--lr_steps=1,inf"], "--lr_steps: that is inf updates"),
    "steps no number": (None, ["--lr_steps=nan"], "--lr_steps: that is nan updates"),
    "out is a file": (lambda f: (f / "run").write_text(""), [], "run"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_one_line(own_tiny, capsys, case):
    spoil_it, more, message = BAD[case]
    if spoil_it:
        spoil_it(own_tiny)
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    capsys.readouterr()
    assert finetune(*more) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
    assert lines[0].startswith("error: ")
    written = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*") if path.is_file()}
    assert all(before.get(path) == time for path, time in written.items())  # nothing written, nothing overwritten


def test_going_on_without_init_does_not_set_bn_free(own_tiny, capsys):
    """BN is frozen where there are start weights; --resume reads none, and must not learn BN from there on."""
    assert finetune() == 0
    capsys.readouterr()
    assert finetune("--resume", init=None) == 2
    assert re.search("a run with partial_bn yes, not no: --resume needs the same", capsys.readouterr().err)
    assert finetune("--resume", "--partial_bn=yes", init=None) == 0


def test_weights_of_another_net_are_refused(own_tiny):
    tsn = TSN(load_net("deploy.prototxt"))
    state = load_net("deploy.prototxt", START).state_dict()
    write_state("part.pth", {key: state[key] for key in state if not key.startswith("a_3x3")}, {})
    with pytest.raises(PytsnError, match=r"part\.pth: weights of another net\? 2 of .* 'a/3x3', 'a/3x3_bn'"):
        start_from(tsn, "part.pth")
    write_state("thin.pth", state | {"conv1.weight": torch.zeros(8, 4, 7, 7)}, {})
    with pytest.raises(
        PytsnError, match=r"thin\.pth: 'conv1\.weight': shape \(8, 4, 7, 7\), the net has \(8, 3, 7, 7\)"
    ):
        start_from(tsn, "thin.pth")


def test_a_second_run_in_the_same_folder_is_refused(tiny, capsys):
    """Before anything is loaded, in one line, and nothing is written there."""
    with only_user("shared", "this test"):
        assert finetune("--out=shared") == 2
        assert list(Path("shared").iterdir()) == [Path("shared", LOCK)]
    captured = capsys.readouterr()
    line = "error: shared: another run is at work there; wait for its end, or name another folder\n"
    assert (captured.out, captured.err) == ("", line)
