"""`pytsn.load` and `pytsn predict VIDEO WEIGHTS`: the scores are those of the prototxt, to the last bit; what weights
cannot tell is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import pytsn
from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import load_net
from converter.state_files import write_state
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.class_names import CLASS_NAMES
from pytsn.data.datasets import DATASETS
from pytsn.evaluation.action_net import NetOptions
from pytsn.models.inception_table import FEATURES
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from pytsn.predict.known import divide, know
from pytsn.predict.labels import read_labels
from pytsn.predict.load import find_labels
from pytsn.predict.scores import Predictor, Sampling, load_nets
from tests.flow.flow_videos import make_video
from tests.weights.weight_files import bn_inception_blobs, few_convolutions, save_blobs, small_net

NAME = "ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """BN-Inception with the fillers' weights as a released caffemodel and as two other kinds; a video of 9 frames."""
    root = tmp_path_factory.mktemp("load")
    (root / "rgb.prototxt").write_text(deploy_prototxt(NetSpec("ucf101", "rgb")))
    net = load_net(root / "rgb.prototxt", generator=torch.Generator().manual_seed(1))
    save_caffemodel(root / NAME, net)
    write_state(root / "rgb.safetensors", net.state_dict(), {})
    write_state(root / "rgb.pth", net.state_dict(), {})
    make_video(root / "video.avi", 9)
    return root


def explicit(folder: Path, weights: str) -> Predictor:
    return Predictor(
        load_nets({"rgb": (f"{folder}/rgb.prototxt", f"{folder}/{weights}")}, NetOptions("cpu", crops=1)),
        sampling=Sampling(2),
    )


def test_the_scores_are_those_of_the_prototxt_to_the_last_bit(folder, capsys, monkeypatch):
    """In Python and by the command, which loads the same nets and prints the same classes."""
    video = str(folder / "video.avi")
    loaded: list = []

    def load_once(*given):
        if loaded:
            assert given[:2] == loaded[0][:2]
        else:
            loaded.append((*given[:2], load_nets(*given)))
        return loaded[0][2]

    for module in ("load", "setup"):
        monkeypatch.setattr(f"pytsn.predict.{module}.load_nets", load_once)
    model = pytsn.load(folder / NAME, num_frames=2, crops=1, device="cpu")
    found = model.predict(folder / "video.avi")
    wanted = explicit(folder, NAME).predict(video)
    np.testing.assert_array_equal(found.scores["rgb"], wanted.scores["rgb"])
    assert np.ptp(found.scores["rgb"]) > 0
    best = int(wanted.probabilities().argmax())
    name = CLASS_NAMES["ucf101"][best]
    assert found.top(1) == [(name, float(wanted.probabilities()[best]))]
    assert (str(found).splitlines()[0], repr(found)[:19]) == (f"video: {name}", "<Prediction video: ")
    assert wanted.top(1)[0][0] == f"class {best}"
    options = ["--num_frames", "2", "--crops", "1", "--device", "cpu", "--no_picture"]
    assert run_command("predict", [video, str(folder / NAME), *options, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    (told,) = json.loads(out)["videos"]
    assert told["top"][0] == {"label": best, "class": name, "probability": found.top(1)[0][1]}
    assert str(found) + "\n" == err  # the text goes there: --json - takes stdout


@pytest.mark.parametrize(("channels", "modality", "classes"), [(3, "rgb", 101), (10, "flow", 51), (15, "rgbdiff", 7)])
def test_the_net_is_that_of_make_prototxt(tmp_path, monkeypatch, channels, modality, classes):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    known = know(small_net(tmp_path / "net.caffemodel", classes, channels))
    made, wanted = (text_format.Parse(text, pb.NetParameter()) for text in (known.net.text, deploy(classes, modality)))
    assert made == wanted
    assert (known.stream, known.bn_style, len(known.labels)) == (modality, None, classes if classes > 9 else 0)


def deploy(classes: int, modality: str) -> str:
    return deploy_prototxt(NetSpec("own", modality, num_classes=classes))


@pytest.mark.parametrize("name", ["rgb.safetensors", "rgb.pth", "no_ending"])
def test_other_kinds_of_files(folder, tmp_path, name):
    if name == "no_ending":
        shutil.copy(folder / NAME, tmp_path / name)
    path = (tmp_path if name == "no_ending" else folder) / name
    known = know(path)
    assert (known.stream, known.labels[2]) == ("rgb", "Archery")
    assert known.label_note == f"{path}: 101 classes, taken for UCF101's; labels give other names"
    assert divide([str(path), str(folder / "video.avi"), str(folder)]) == (
        [str(folder / "video.avi"), str(folder)],
        [str(path)],
    )


def test_a_classifier_of_another_name_and_the_inverse_deviation(tmp_path, monkeypatch):
    """Kinetics' nets call it fc_action; files from before 27 April 2016 hold 1 / sqrt(variance)."""
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    blobs = bn_inception_blobs(400, 3, few_convolutions)
    blobs["fc_action"] = blobs.pop("fc-action")
    for name, values in blobs.items():
        if name.endswith("_bn"):
            values[3] = 1 / np.sqrt(values[3] + 1e-5)
    known = know(save_blobs(tmp_path / "tsn_warped_flow.caffemodel", blobs))
    (layer,) = [
        each for each in text_format.Parse(known.net.text, pb.NetParameter()).layer if each.type == "InnerProduct"
    ]
    assert (layer.name, list(layer.top), layer.inner_product_param.num_output) == ("fc_action", ["fc-action"], 400)
    assert known.bn_style == "invstd"
    assert [note for note in known.notes if "inverse standard deviation" in note]
    assert [note for note in known.notes if "warped nets read 10 channels" in note]


def test_streams_by_channels_and_name(tmp_path, monkeypatch):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    for name, wanted in (("a", "flow"), ("hmdb51_warped_flow", "warped"), ("temporal", "flow")):
        assert know(small_net(tmp_path / f"{name}.caffemodel", 51, 10)).stream == wanted


def test_what_cannot_be_told_is_said(tmp_path, monkeypatch, folder):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    few = bn_inception_blobs(101, 3, few_convolutions)
    no_bn = {name: blobs for name, blobs in few.items() if not name.endswith("_bn")}
    no_scores = {name: blobs for name, blobs in few.items() if name != "fc-action"}
    other = {"conv_a": [np.zeros((2, 3, 5, 5), np.float32)], "fc": [np.zeros((4, 9), np.float32)]}
    own_input = bn_inception_blobs(101, 4, few_convolutions)
    bad = {name: [blob.copy() for blob in blobs] for name, blobs in few.items()}
    bad["fc-action"][0][0, :FEATURES] = np.nan
    (tmp_path / "page.caffemodel").write_text("<html><title>Gone</title></html>")
    hint = "give its prototxt: --rgb, --flow, --warped or --rgbdiff PROTO WEIGHTS, in Python nets="
    cases = {
        "BN-Inception without BN; " + hint: no_bn,
        "BN-Inception without a layer that scores; " + hint: no_scores,
        "the layers of no net known here, and BN-Inception alone is made without a prototxt; " + hint: other,
        "4 input channels, those of no modality; " + hint: own_input,
        "NaN or infinite weights in layer 'fc-action'; `pytsn identify` tells more": bad,
    }
    for words, blobs in cases.items():
        path = save_blobs(tmp_path / "x.caffemodel", blobs)
        with pytest.raises(PytsnError) as caught:
            pytsn.load(path)
        assert str(caught.value).startswith(f"{path}: {words}")
    with pytest.raises(PytsnError, match=r"page\.caffemodel: no weights: an HTML page"):
        pytsn.load(tmp_path / "page.caffemodel")
    with pytest.raises(PytsnError, match=r"rgb.pth: a net for rgb, as .*caffemodel is; one net a stream"):
        pytsn.load(folder / NAME, folder / "rgb.pth")
    with pytest.raises(PytsnError, match="load: no weights; give a file"):
        pytsn.load()
    with pytest.raises(PytsnError, match="stream 'sound': one of rgb, flow"):
        pytsn.load(nets={"sound": ("a", "b")})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{net}"], ".caffemodel: weights, and no video given"),
        (["{video}", "{proto}", "{net}"], "rgb.prototxt: a prototxt goes with its net's stream: --rgb PROTO WEIGHTS"),
        (["{video}", "{folder}/absent.pth"], "absent.pth: no such file or folder"),
        (["{video}", "{net}", "--rgb", "{proto}", "{net}"], "a net for rgb, as"),
        (["{video}", "{net}", "-o", "{folder}/x.jpg"], "x.jpg: pictures are written as png, pdf or svg"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, said):
    words = {"net": folder / NAME, "video": folder / "video.avi", "folder": folder, "proto": folder / "rgb.prototxt"}
    before = sorted(folder.iterdir())
    assert run_command("predict", [text.format(**words) for text in arguments] + ["--device", "cpu"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert not out
    assert sorted(folder.iterdir()) == before


def test_labels_that_do_not_go():
    assert find_labels(["a", "b"], [], 2, "net") == ["a", "b"]
    assert find_labels(None, [], 2, "net") == ["class 0", "class 1"]
    with pytest.raises(PytsnError, match="labels: 2 class names, but net has 3 classes"):
        find_labels(["a", "b"], [], 3, "net")


def test_class_names_by_datasets():
    for dataset, names in CLASS_NAMES.items():
        assert len(set(names)) == len(names) == DATASETS[dataset].classes


@pytest.mark.golden
def test_class_names_are_those_of_the_datasets_lists(shared):
    data = shared / "tsn" / "data"
    assert list(CLASS_NAMES["ucf101"]) == read_labels(data / "ucf101_splits/classInd.txt", 101, "net")
    assert list(CLASS_NAMES["hmdb51"]) == read_labels(data / "hmdb51_splits/class_list.txt", 51, "net")
