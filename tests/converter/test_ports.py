"""Checkpoints of tsn-pytorch and mmaction: read by the table, reported, with their own means, into every format."""

import numpy as np
import pytest
import torch

from converter.convert import load_for_conversion, source_metadata, write_net
from converter.errors import PytsnError
from converter.file_kinds import is_state_file
from converter.net import load_net
from converter.state_files import read_state, read_state_file, write_state
from pytsn.models import BNInception
from pytsn.weights.identify import identify
from tests.converter.nets import build, pixels
from tests.converter.port_checkpoints import SMALL, as_mmaction, as_tsn_pytorch, small_state, tsn_pytorch_file

MEANS = "trained on pixels minus 104, 117, 128 (Caffe's nets: minus 104, 117, 123)"


@pytest.fixture
def proto(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(SMALL % 3)
    return path


def layouts(state):
    yield as_tsn_pytorch(state)
    yield as_tsn_pytorch(state, rows=True)
    yield as_tsn_pytorch(state, classifier="module.base_model.fc.")
    yield {key.removeprefix("module."): value for key, value in as_tsn_pytorch(state).items()}
    yield as_mmaction(state)
    yield {f"module.{key}": value for key, value in as_mmaction(state).items()}


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("old_layout", [False, True])
def test_every_layout_gives_our_keys_and_numbers(index, old_layout, tmp_path):
    state = small_state()
    path = tsn_pytorch_file(tmp_path / "c.pth.tar", list(layouts(state))[index], old_layout)
    found, metadata = read_state(path)
    kept = {key: value for key, value in found.items() if not key.endswith("num_batches_tracked")}
    assert set(kept) == set(state)
    for key, value in state.items():
        assert torch.equal(kept[key], value), key
    assert metadata == {
        "origin_port": "mmaction" if index > 3 else "tsn-pytorch",
        "origin_epoch": "80",
        "origin_best": "85.12",
        "means": "104,117,128",
    }


def test_a_whole_bn_inception(tmp_path):
    torch.manual_seed(1)
    net, again = BNInception(5).eval(), BNInception(5).eval()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if "running" in key or "_bn.weight" in key:
                value.uniform_(0.5, 2)
    path = tsn_pytorch_file(tmp_path / "ucf_rgb_model_best.pth.tar", as_tsn_pytorch(net.state_dict(), rows=True))
    report = again.load_caffemodel(path)
    assert (len(report.matched), report.missing) == (139, [])
    assert report.notes[0] == "tsn-pytorch checkpoint, epoch 80, best 85.12"
    x = pixels(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    answer = identify(path)
    assert (answer.net, answer.layers, answer.classes, answer.is_fine) == ("BN-Inception", 139, 5, True)
    assert answer.notes[0] == "tsn-pytorch checkpoint, epoch 80, best 85.12"
    assert answer.notes[1].startswith(MEANS)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_converted_files_keep_the_origin_and_the_means(suffix, proto, tmp_path):
    path = tsn_pytorch_file(tmp_path / "checkpoint", as_tsn_pytorch(small_state()))
    net = load_for_conversion(proto, path)
    assert net.report.lines()[-2:][0] == "note: tsn-pytorch checkpoint, epoch 80, best 85.12"
    assert net.report.lines()[-1].startswith(f"note: {MEANS}")
    write_net(net, tmp_path / f"a{suffix}", source_metadata(net, proto, path))
    second = load_for_conversion(proto, tmp_path / f"a{suffix}")
    write_net(second, tmp_path / f"b{suffix}", source_metadata(second, proto, tmp_path / f"a{suffix}"))
    third = load_net(proto, tmp_path / f"b{suffix}")
    assert third.report.notes[0] == "converted from a tsn-pytorch checkpoint, epoch 80, best 85.12"
    assert third.report.notes[1].startswith(MEANS)
    assert third.report.metadata["means"] == "104,117,128"
    np.testing.assert_array_equal(third.report.means(3).reshape(-1), [104, 117, 128])
    x = pixels(2, 3, 24, 24)
    assert torch.equal(third(x)["fc-action"], net(x)["fc-action"])


def test_a_caffemodel_loses_the_means_and_says_so(proto, tmp_path):
    path = tsn_pytorch_file(tmp_path / "c.pth.tar", as_tsn_pytorch(small_state()))
    net = load_for_conversion(proto, path)
    notes = write_net(net, tmp_path / "c.caffemodel", source_metadata(net, proto, path))
    assert len(notes) == 1
    assert "minus 104, 117, 128: tests with it subtract 104, 117, 123" in notes[0]
    again = load_net(proto, tmp_path / "c.caffemodel")
    assert again.report.notes == []
    for key, value in small_state().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_onnx_files_tell_the_means(proto, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tsn_pytorch_file(tmp_path / "c.pth.tar", as_tsn_pytorch(small_state()))
    net = load_for_conversion(proto, path)
    write_net(net, tmp_path / "c.onnx", source_metadata(net, proto, path))
    told = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "c.onnx")).metadata_props}
    assert (told["means"], told["origin_port"]) == ("104,117,128", "tsn-pytorch")


def test_flow_checkpoints_have_caffes_means(tmp_path):
    path = tsn_pytorch_file(tmp_path / "flow.pth.tar", as_tsn_pytorch(small_state(10)))
    _, metadata = read_state(path)
    assert "means" not in metadata
    assert identify(path).notes == ["tsn-pytorch checkpoint, epoch 80, best 85.12"]


def test_epoch_and_best_in_other_places_or_none(tmp_path):
    mmcv = {"meta": {"epoch": 12, "time": "today"}, "state_dict": as_mmaction(small_state()), "optimizer": {}}
    torch.save(mmcv, tmp_path / "epoch_12.pth")
    assert read_state(tmp_path / "epoch_12.pth")[1]["origin_epoch"] == "12"
    tensor = {
        "epoch": torch.tensor([3]),
        "best_prec1": torch.tensor(71.25),
        "state_dict": as_tsn_pytorch(small_state()),
    }
    torch.save(tensor, tmp_path / "tensor.pth")
    assert read_state(tmp_path / "tensor.pth")[1]["origin_best"] == "71.25"
    torch.save(as_tsn_pytorch(small_state()), tmp_path / "bare.pth")
    assert identify(tmp_path / "bare.pth").notes[0] == "tsn-pytorch checkpoint"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("backbone.layer1.0.conv1.conv.weight", "cls_head.fc_cls.weight"), "a mmaction checkpoint of a ResNet"),
        (("module.base_model.layer1.0.conv1.weight", "module.new_fc.weight"), "a tsn-pytorch checkpoint of a ResNet"),
        (("module.base_model.features.0.weight", "module.new_fc.weight"), "a tsn-pytorch checkpoint of a VGG"),
    ],
)
def test_other_nets_of_the_ports_are_one_line(keys, line, proto, tmp_path):
    state = {key: torch.ones(2, 2, 1, 1) if "conv" in key or "features" in key else torch.ones(2, 2) for key in keys}
    torch.save({"state_dict": state}, tmp_path / "net.pth.tar")
    with pytest.raises(PytsnError, match=f"net.pth.tar: {line}; of this port only BN-Inception is read"):
        load_net(proto, tmp_path / "net.pth.tar")
    answer = identify(tmp_path / "net.pth.tar")
    assert answer.holds_weights
    assert line in answer.notes[-1]


def test_names_that_only_look_like_a_ports_stay(tmp_path):
    torch.save({"base.weight": torch.ones(3, 3), "backbone.weight": torch.ones(2, 2)}, tmp_path / "net.pth")
    assert set(read_state(tmp_path / "net.pth")[0]) == {"base.weight", "backbone.weight"}
    torch.save({"base_model.conv.weight": torch.ones(1, 1, 3, 3)}, tmp_path / "other.pth")  # no net that is known
    found = read_state_file(tmp_path / "other.pth")
    assert (set(found.state), found.metadata, found.unread) == ({"conv.weight"}, {}, "")


def test_metadata_of_strangers_does_no_harm(tmp_path):
    net = build(SMALL % 3)
    for means in ("", "a,b,c", "1,2", "nan,0,0", "1e999,0,0", ",,"):
        write_state(tmp_path / "w.safetensors", net.state_dict(), {"means": means, "origin_port": "x\x1b[2J\n" * 99})
        report = build(SMALL % 3).load_caffemodel(tmp_path / "w.safetensors")
        assert report.means(3) is None
        assert all(note.isprintable() for note in report.notes)
        assert len(report.notes[0]) <= 200
    assert is_state_file(tmp_path / "w.safetensors")
