"""What the name of a weight file promises, and what the file itself turns out to be."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from converter import caffe_tsn_pb2 as pb
from pytsn.cli import main
from pytsn.models import TSN, BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from pytsn.weights.identify import identify
from pytsn.weights.identity_text import identity_lines
from pytsn.weights.released_models import RELEASED, Promise, promised
from tests.hostile.mutations import mutate_bytes
from tests.weights.weight_files import bn_inception_blobs, few_convolutions, save_blobs, small_net

BN = "BN-Inception"
NAMES = {
    "ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel": ("ucf101", 1, "rgb", BN),
    "hmdb51_split_3_tsn_flow_reference_bn_inception.caffemodel.v5": ("hmdb51", 3, "flow", BN),
    "ucf101_split1_tsn_rgb_bn_inception_iter_3500.caffemodel": ("ucf101", 1, "rgb", BN),
    "hmdb51_split_2_tsn_flow_bn_inception_iter_7000.solverstate": ("hmdb51", 2, "flow", BN),
    "ucf101_split_2_tsn_rgb_reference_bn_inception.safetensors": ("ucf101", 2, "rgb", BN),
    "UCF-101_split-3_warped_flow.pth": ("ucf101", 3, "warped", None),
    "ucf101_split_1_tsn_rgbdiff_seg7.pth": ("ucf101", 1, "rgbdiff", None),
    "ucf101_rgb_diff.pth": ("ucf101", None, "rgbdiff", None),
    "bn_inception_flow_init.caffemodel": (None, None, "flow", BN),
    "bn_inception_kinetics_flow_pretrained.caffemodel": ("kinetics", None, "flow", BN),
    "inception_v3_kinetics_rgb_pretrained.caffemodel": ("kinetics", None, "rgb", "Inception V3"),
    "bn_inception_anet_2016_temporal.caffemodel.v5": ("activitynet_1.3", None, "flow", BN),
    "resnet200_anet_2016.caffemodel": ("activitynet_1.3", None, None, "ResNet-200"),
    "ucf101_split_2_rgb_kinetics_pretrained.pth": ("ucf101", 2, "rgb", None),
    # contradictions promise nothing, whatever else they say
    "ucf101_hmdb51_split_1_rgb.pth": (None, 1, "rgb", None),
    "ucf101_split_1_then_split_2_rgb.pth": ("ucf101", None, "rgb", None),
    "ucf101_split_1_rgb_flow.pth": ("ucf101", 1, None, None),
    # words of another kind
    "kinetics_600_rgb.pth": (None, None, "rgb", None),
    "temporal_segment_networks_ucf101_rgb.pth": ("ucf101", None, "rgb", None),
    "ucf101_split_12_rgb.pth": ("ucf101", 12, "rgb", None),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_promises(name):
    expected = Promise(*NAMES[name])
    assert promised(name) == expected
    assert promised(f"/weights/hmdb51_split_9_flow/{name}") == expected  # the folder does not count


@pytest.mark.parametrize("name", ["net.caffemodel", "overflow.pth", "my_splitter_4.pth", "ucf1010.pth", "", "."])
def test_names_that_promise_nothing(name):
    assert promised(name) is None


def test_released_names_promise_what_the_table_says():
    files = [file for kind in RELEASED.values() for file in kind]
    assert len(files) == 14  # 2 datasets x 2 modalities x 3 splits, and two to start from
    for file in files:
        assert promised(file.name) == promised(file.address) == file.promise
    assert {(f.promise.classes, f.promise.channels) for f in files if f.dataset == "hmdb51"} == {(51, 3), (51, 10)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A caffemodel of all of BN-Inception, 41 MB, random weights: UCF101's classes, rgb."""
    return save_blobs(tmp_path_factory.mktemp("nets") / "net.caffemodel", bn_inception_blobs())


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)


@pytest.mark.golden
def test_the_net_that_caffe_wrote(rgb_caffemodel):
    found = identify(rgb_caffemodel)
    assert (found.kind, found.size) == ("caffemodel", 41_616_401)
    assert (found.net, found.net_name, found.layers) == (BN, "BN-Inception", 139)
    assert (found.score_layer, found.classes, found.dataset) == ("fc-action", 101, "UCF101")
    assert (found.channels, found.modality) == (3, "rgb")
    assert (found.bn, found.bn_shape) == ("variance", (1, 64))
    assert found.is_fine
    assert found.damage == found.contradictions == found.notes == []
    assert found.sha256 == hashlib.sha256(rgb_caffemodel.read_bytes()).hexdigest()


def test_a_whole_net_and_its_conversions(whole, tmp_path, capsys):
    prototxt = tmp_path / "deploy.prototxt"
    prototxt.write_text(deploy_prototxt(NetSpec("ucf101", "rgb")))
    outputs = [tmp_path / f"net{suffix}" for suffix in (".pth", ".safetensors")]
    argv = ["convert", str(prototxt), str(whole), *(word for path in outputs for word in ("-o", str(path)))]
    assert main(argv) == 0
    first = identify(whole)
    assert first.is_fine
    assert first.numbers == 10_393_797  # 10,373,765 learned ones and 2 x 10,016 statistics
    for path, kind in zip(outputs, ("PyTorch file", "safetensors file"), strict=True):
        found = identify(path)
        assert found.kind == kind
        assert found.is_fine
        assert found.score_layer == "fc_action"
        same = ("net", "classes", "dataset", "channels", "modality", "bn", "layers", "numbers")
        assert [getattr(found, name) for name in same] == [getattr(first, name) for name in same]
        assert found.notes == [f"converted from {whole.name}"]


NETS = {
    # classes, channels -> what is said of them
    (51, 10): ("HMDB51", "flow (plain or warped)"),
    (400, 3): ("Kinetics-400", "rgb"),
    (200, 15): ("ActivityNet 1.3", "rgb difference"),
    (100, 3): ("ActivityNet 1.2", "rgb"),
    (1000, 3): ("ImageNet", "rgb"),
    (48, 6): (None, None),
    (None, 10): (None, "flow (plain or warped)"),
}


@pytest.mark.parametrize("shape", NETS)
def test_datasets_and_modalities(few, tmp_path, shape):
    found = identify(small_net(tmp_path / "net.caffemodel", *shape))
    assert (found.net, found.classes, found.channels) == (BN, *shape)
    assert (found.dataset, found.modality) == NETS[shape]
    assert found.is_fine


def test_a_name_that_does_not_fit(few, tmp_path):
    found = identify(small_net(tmp_path / "hmdb51_split_2_tsn_flow_reference_bn_inception.caffemodel"))
    assert found.damage == []
    assert found.contradictions == [
        "hmdb51 has 51 classes, the net scores 101",
        "flow nets read 10 channels, this one 3",
    ]
    found = identify(small_net(tmp_path / "inception_v3_rgb.caffemodel"))
    assert found.contradictions == ["Inception V3 promised, BN-Inception found"]
    assert not found.is_fine


def test_warped_flow_and_splits_cannot_be_told(few, tmp_path):
    found = identify(small_net(tmp_path / "ucf101_split_3_warped_flow.caffemodel", 101, 10))
    assert found.is_fine
    assert "  name says      ucf101 split 3 warped: agrees (which split, no file can tell)" in identity_lines(found)


def nan(blobs):
    blobs["conv2/3x3"][0][5, 3] = np.nan


def infinite(blobs):
    blobs["conv1/7x7_s2"][1][0] = np.inf


def negative(blobs):
    blobs["conv1/7x7_s2_bn"][3][0, 7] = -1e-3


def flat(blobs):
    blobs["conv2/3x3_bn"][3][:] = 0


def one_dead(blobs):
    blobs["conv2/3x3_bn"][3][0, 9] = 0


def no_layer(blobs):
    del blobs["conv2/3x3_reduce"]


def wrong_shape(blobs):
    blobs["conv2/3x3"][0] = blobs["conv2/3x3"][0][:, :, :2]


def wrong_features(blobs):
    blobs["fc-action"][0] = blobs["fc-action"][0][:, :512]


def invstd(blobs):
    for name in blobs:
        if name.endswith("_bn"):
            blobs[name][3] = 1 / np.sqrt(blobs[name][3] + 1e-5)


def untrained(blobs):
    blobs["fc-action"][0][:] = 0


DAMAGE = {
    nan: "NaN or infinite weights in layer 'conv2/3x3'",
    infinite: "NaN or infinite weights in layer 'conv1/7x7_s2'",
    negative: "negative variances in layer 'conv1/7x7_s2_bn'",
    flat: "no variance but 0 (saved before any training?) in layer 'conv2/3x3_bn'",
    no_layer: "1 of BN-Inception's 12 convolutions and BN layers is missing, the first is 'conv2_3x3_reduce'",
    wrong_shape: "layer 'conv2/3x3' has the shapes 192x64x2x3 192, BN-Inception has 192x64x3x3 192",
    wrong_features: "score layer 'fc-action' reads 512 features, BN-Inception gives 1024",
}


@pytest.mark.parametrize("spoil", DAMAGE, ids=lambda spoil: spoil.__name__)
def test_damage_inside_a_file_that_parses(few, tmp_path, spoil):
    blobs = bn_inception_blobs(convolutions=few_convolutions)
    spoil(blobs)
    found = identify(save_blobs(tmp_path / "net.caffemodel", blobs))
    assert found.net == BN
    assert [line for line in found.damage if line.startswith(DAMAGE[spoil])], found.damage
    assert len(found.damage) == 1


NOTES = {
    one_dead: ("variance", ["1 channel with variance 0 (they died in training)"]),
    untrained: ("variance", ["weights that are all 0 (untrained?) in layer 'fc-action'"]),
    invstd: ("inverse standard deviation", []),
}


@pytest.mark.parametrize("change", NOTES, ids=lambda change: change.__name__)
def test_oddities_that_are_no_damage(few, tmp_path, change):
    blobs = bn_inception_blobs(convolutions=few_convolutions)
    change(blobs)
    found = identify(save_blobs(tmp_path / "net.caffemodel", blobs))
    assert (found.bn, found.notes) == NOTES[change]
    assert found.is_fine


def test_old_shapes_of_four_axes(few, tmp_path):
    blobs = bn_inception_blobs(convolutions=few_convolutions)
    for name, own in blobs.items():
        if name.endswith("_bn"):
            blobs[name] = [blob.reshape(1, -1, 1, 1) for blob in own]
    blobs["fc-action"][0] = blobs["fc-action"][0][None, None]  # (1, 1, 101, 1024)
    found = identify(save_blobs(tmp_path / "net.caffemodel", blobs))
    assert found.is_fine
    assert (found.classes, found.bn_shape) == (101, (1, 64, 1, 1))


@pytest.mark.parametrize("end", [0.999, 0.5, 0.01])
def test_a_net_cut_short_says_where(whole, tmp_path, end):
    data = whole.read_bytes()
    size = int(len(data) * end)
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(data[:size])
    found = identify(path)
    layer = layer_at(data, size)
    assert found.damage[0].startswith(f"cut short inside layer '{layer.name}' (which begins at byte {layer.start:,} of")
    assert f"{layer.end - size:,} bytes of it are missing" in found.damage[0]
    assert found.net == BN  # what there is still tells
    assert found.channels == 3


def layer_at(data, position):
    """The layer in which byte ``position`` lies, by protobuf's own parser: name, start, end."""
    message = pb.NetParameter.FromString(data)
    at = len(pb.NetParameter(name=message.name).SerializeToString())
    for layer in message.layer:
        size = layer.ByteSize()
        end = at + size + 2 + (size.bit_length() + 6) // 7  # two bytes of tag, the length as a varint
        if end > position:
            return SimpleNamespace(name=layer.name, start=at, end=end)
        at = end
    raise AssertionError("beyond the end")


def test_a_download_that_left_zeros(whole, tmp_path):
    data = whole.read_bytes()
    path = tmp_path / "zeros.caffemodel"
    path.write_bytes(data[:400_000] + bytes(600_000))
    found = identify(path)
    assert not found.is_fine
    assert "the last 600,0" in found.damage[0]
    assert "are zeros (a download that failed?)" in found.damage[0]


def test_a_cut_between_two_layers_is_seen_by_what_is_missing(whole, tmp_path):
    data = whole.read_bytes()
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(data[: layer_at(data, 20_000_000).start])
    found = identify(path)
    assert len(found.damage) == 1
    assert "of BN-Inception's 138 convolutions and BN layers are missing" in found.damage[0]


def other_net(path, kernels, products):
    """A caffemodel with convolutions of such kernels and so many InnerProducts, each weight tiny."""
    blobs = {f"conv_{i}": [np.ones((1, 3, *kernel), np.float32)] for i, kernel in enumerate(kernels)}
    blobs |= {f"fc{i + 6}": [np.ones((7, 2), np.float32)] for i in range(products)}
    return save_blobs(path, blobs)


OTHERS = {  # convolutions of the published nets, counted by hand from their papers' tables
    "VGG-16": ([(3, 3)] * 13, 3),
    "VGG-19": ([(3, 3)] * 16, 3),
    "CaffeNet or AlexNet": ([(11, 11)] + [(3, 3)] * 4, 3),
    "CNN-M (ClarifaiNet of the two-stream papers)": ([(7, 7)] + [(3, 3)] * 4, 3),
    "ResNet-50": ([(7, 7)] + [(1, 1)] * (3 * 16 + 4), 1),
    "ResNet-152": ([(7, 7)] + [(1, 1)] * (3 * 50 + 4), 1),
    "ResNet-200": ([(7, 7)] + [(1, 1)] * (3 * 66 + 4), 1),
    "Inception V3": ([(3, 3)] * 80 + [(1, 7), (7, 1)] * 7, 1),
    None: ([(3, 3)] * 4, 1),
}


@pytest.mark.parametrize("net", OTHERS)
def test_other_nets(tmp_path, net):
    found = identify(other_net(tmp_path / "net.caffemodel", *OTHERS[net]))
    assert found.net == net
    assert (found.classes, found.channels) == (7, 3)
    assert found.is_fine


def test_an_inception_of_other_widths_is_not_called_damaged(tmp_path):
    blobs = bn_inception_blobs()
    for name in blobs:
        if not name.startswith("fc"):
            blobs[name] = [np.ones((2, 2), np.float32)] * len(blobs[name])
    found = identify(save_blobs(tmp_path / "net.caffemodel", blobs))
    assert found.net is None
    assert found.damage == []


def zip_bytes(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


KINDS = {
    "empty file": b"",
    "HTML page ('Error 404')": b"\n<!DOCTYPE html>\n<html lang=en><title>Error 404</title>",
    "HTML page ('Caf\xe9')": "<html><title>Caf\xe9</title>".encode("latin-1"),
    "HTML page": b"<!-- hello --> <head>",
    "XML answer of a server ('BlobNotFound')": b'\xef\xbb\xbf<?xml version="1.0"?>'
    b"<Error><Code>BlobNotFound</Code></Error>",
    "JSON text": b'{"error": "quota"}',
    "Git LFS pointer to a file of 41,616,401 bytes": b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a\nsize 41616401\n",
    "gzip archive": gzip.compress(b"x"),
    "xz archive": lzma.compress(b"x"),
    "bzip2 archive": bz2.compress(b"x"),
    "zip archive (it begins with 'a/net.caffemodel')": zip_bytes("a/net.caffemodel"),
    "NumPy .npz archive": zip_bytes("scores.npy"),
    "HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "JPEG picture": b"\xff\xd8\xff\xe0" + bytes(99),
    "text file": "Grüße\n".encode(),
    "binary file of no kind known here": bytes(range(256)),
    "prototxt of a net ('TSN')": b'# a remark\n\n# another\nname: "TSN"\nlayer {',
    "prototxt of a solver": b'net: "train_val.prototxt"\n',
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_under_the_name_of_a_caffemodel(tmp_path, kind):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(KINDS[kind])
    found = identify(path)
    assert found.kind == kind
    assert not found.is_fine  # whatever it is, it is not what its suffix says
    assert found.layers == 0
    assert len(found.damage) == 1


@pytest.mark.parametrize("name", ["deploy.prototxt", "net.caffemodel.xz", "scores.npz", "log.txt"])
def test_other_files_under_their_own_names_are_fine(tmp_path, name):
    contents = {
        "deploy.prototxt": b"layer {",
        "net.caffemodel.xz": lzma.compress(b""),
        "scores.npz": zip_bytes("a.npy"),
    }
    (tmp_path / name).write_bytes(contents.get(name, b"hello"))
    assert identify(tmp_path / name).is_fine


def test_solverstates_onnx_and_mean_images(recordings, tmp_path):
    snapshot = recordings / "tiny" / "det_fixed" / "snap_iter_20.solverstate"
    found = identify(snapshot)
    assert (found.kind, found.damage, found.layers) == ("solverstate", [], 0)
    assert found.notes[0].startswith("iteration 20, 16 blobs of history, net '")
    (tmp_path / "cut.solverstate").write_bytes(snapshot.read_bytes()[:5000])
    assert "cut short" in identify(tmp_path / "cut.solverstate").damage[0]
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    assert identify(tmp_path / "net.onnx").kind == "ONNX file"
    mean = pb.BlobProto(num=1, channels=3, height=2, width=2, data=range(12))
    (tmp_path / "mean.binaryproto").write_bytes(mean.SerializeToString())
    assert identify(tmp_path / "mean.binaryproto").kind == "mean image (a single blob)"


@pytest.mark.parametrize("name", ["det_fixed/snap_iter_10", "rgb_step/snap_iter_30"])
def test_snapshots_of_caffe(recordings, name):
    path = recordings / "tiny" / f"{name}.caffemodel"
    found = identify(path)
    assert found.is_fine
    assert (found.bn, found.bn_shape[0]) == ("variance", 1)
    assert found.layers == sum(bool(layer.blobs) for layer in pb.NetParameter.FromString(path.read_bytes()).layer)


def test_a_snapshot_from_before_training_is_of_no_use(recordings):
    found = identify(recordings / "tiny" / "rgb_step" / "init_iter_0.caffemodel")
    assert found.damage == ["no variance but 0 (saved before any training?) in layer 'conv1_bn'"]


def test_files_of_other_pytorch_ports(tmp_path):
    state = {f"module.base_model.{key}": value for key, value in BNInception(101, 10).state_dict().items()}
    state = {key: value for key, value in state.items() if "fc_action" not in key}
    state |= {"module.new_fc.weight": torch.ones(51, 1024), "module.new_fc.bias": torch.zeros(51)}
    torch.save({"epoch": 80, "arch": "BNInception", "state_dict": state}, tmp_path / "hmdb51_flow.pth.tar.pth")
    found = identify(tmp_path / "hmdb51_flow.pth.tar.pth")
    assert (found.net, found.score_layer, found.classes, found.channels) == (BN, "fc_action", 51, 10)
    assert found.is_fine


def test_a_tsn_with_a_learned_consensus(tmp_path):
    tsn = TSN(BNInception(51, 10), 3, "flow", "attention")  # its consensus has weights, and they come last
    torch.save(tsn.state_dict(), tmp_path / "tsn.pth")
    found = identify(tmp_path / "tsn.pth")
    assert (found.net, found.score_layer, found.classes, found.channels) == (BN, "fc_action", 51, 10)


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_nothing_in_a_pytorch_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "new.pth")
    torch.save({"a": Evil()}, "old.pth", _use_new_zipfile_serialization=False)
    for name in ("new.pth", "old.pth"):
        found = identify(name)
        assert found.kind == "PyTorch file"
        assert len(found.damage) == 1
    assert not os.path.exists("pwned")


def test_tensors_that_claim_more_than_the_file_holds(tmp_path):
    huge = torch.zeros(1).expand(1 << 20, 1 << 20)  # a view of one number, 4 TiB by its shape
    torch.save({"fc.weight": huge}, tmp_path / "net.pth")
    found = identify(tmp_path / "net.pth")
    assert "claims the shape (1048576, 1048576)" in found.damage[0]


def test_many_views_of_few_numbers(tmp_path):
    numbers = torch.zeros(1 << 16)
    torch.save({f"fc{i}.weight": numbers.expand(1, 1 << 16) for i in range(50)}, tmp_path / "net.pth")
    found = identify(tmp_path / "net.pth")
    assert re.match(r"its tensors claim more than [\d,]+ bytes, the file has [\d,]+$", found.damage[0])
    assert not found.holds_weights


@pytest.mark.filterwarnings("ignore")  # torch: some of these are on their way out, or in beta
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.empty(3, 3, device="meta"),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda: torch.ones(3, 3, dtype=torch.complex64),
    ],
    ids=["sparse", "csr", "meta", "nested", "complex"],
)
def test_tensors_that_are_no_plain_numbers(tmp_path, make):
    torch.save({"fc.weight": make()}, tmp_path / "net.pth")
    assert identify(tmp_path / "net.pth").damage == ["not a state dict (entry ['fc.weight'] is not a tensor)"]


def test_a_pytorch_file_with_numbers_for_names(tmp_path):
    torch.save({1: torch.ones(3, 3)}, tmp_path / "net.pth")
    assert identify(tmp_path / "net.pth").damage == ["not a state dict (entry [1] is not a tensor)"]


def test_archives_that_would_blow_up_or_were_cut(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(8 << 20))
    assert "would unpack from" in identify(tmp_path / "bomb.pth").damage[0]
    torch.save({"fc.weight": torch.ones(9, 9)}, tmp_path / "net.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:-200])
    assert "cut short" in identify(tmp_path / "cut.pth").damage[0]
    safe = tmp_path / "net.safetensors"
    safe.write_bytes((tmp_path / "net.pth").read_bytes())
    assert identify(safe).damage == []  # a PyTorch file under another's suffix: the content tells
    assert identify(safe).kind == "PyTorch file"


def test_too_many_layers_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("pytsn.weights.weight_file._MOST_FIELDS", 10_000)
    layer = b"\xa2\x06\x02\x0a\x00"  # five bytes: a layer with an empty name
    (tmp_path / "net.caffemodel").write_bytes(layer * 30_000)
    tracemalloc.start()
    found = identify(tmp_path / "net.caffemodel")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.damage == ["more than 10,000 fields: no net has so many"]
    assert peak < 10 * found.size  # as message objects they would take hundreds of bytes each


def test_any_damage_is_told_and_never_raised(recordings, tmp_path):
    """Mutations of a text, a real snapshot and a PyTorch file."""
    sources = [
        recordings / "tiny" / "det_fixed" / "train_val.prototxt",
        recordings / "tiny" / "det_fixed" / "snap_iter_20.caffemodel",
    ]
    torch.save({"fc.weight": torch.ones(9, 9)}, tmp_path / "net.pth")
    rng = random.Random(5)
    for source in [*sources, tmp_path / "net.pth"]:
        original, path = source.read_bytes(), tmp_path / f"mutant{source.suffix}"
        for _ in range(150):
            path.write_bytes(mutate_bytes(original, rng))
            lines = identity_lines(identify(path))
            assert all(line.isprintable() for line in lines)


def test_names_that_are_no_text(tmp_path):
    path = save_blobs(tmp_path / "net.caffemodel", {"conv_naïve": [np.ones((1, 3, 7, 7), np.float32)]}, "naïve")
    path.write_bytes(path.read_bytes().replace("ï".encode(), b"\xff\xfe"))
    found = identify(path)
    assert found.damage == ["1 name or type of a layer is not text"]
    assert identity_lines(found)[3].endswith("calls itself 'na\ufffd\ufffdve'")


def test_names_in_a_file_cannot_play_with_the_terminal(tmp_path):
    name = "conv\x1b[2J\n" + "x" * 5000
    path = save_blobs(tmp_path / "net.caffemodel", {name: [np.full((1, 3, 7, 7), np.nan, np.float32)]}, "a\x1b]0;x\x07")
    lines = identity_lines(identify(path))
    assert all(line.isprintable() and len(line) < 450 for line in lines)


def test_the_command(few, tmp_path, capsys):
    good = small_net(tmp_path / "ucf101_split_1_rgb.caffemodel")
    bad = tmp_path / "bad.caffemodel"
    bad.write_bytes(b"<html>")
    assert main(["identify", str(good)]) == 0
    assert capsys.readouterr().out.startswith(f"{good}\n  kind           caffemodel, ")
    assert main(["identify", str(good), str(bad)]) == 1
    assert "DAMAGED        no weights: an HTML page" in capsys.readouterr().out
    assert main(["identify", str(tmp_path / "none"), str(tmp_path), "/dev/zero", str(good)]) == 2
    out, err = capsys.readouterr()
    assert err.count("error: ") == 3
    assert "/dev/zero: is a pipe, a socket or a device" in err
    assert str(good) in out  # one that cannot be read does not keep the others back


def test_the_command_for_machines(few, tmp_path, capsys):
    good = small_net(tmp_path / "hmdb51_rgb.caffemodel")
    assert main(["identify", "--json", str(good), str(tmp_path / "none")]) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert (first["classes"], first["dataset"], first["fine"]) == (101, "UCF101", False)
    assert first["contradictions"] == ["hmdb51 has 51 classes, the net scores 101"]
    assert second == {"path": str(tmp_path / "none"), "error": f"{tmp_path / 'none'}: no such file or folder"}
