"""`pytsn features`: values against recorded Caffe blobs and the unfused net, layout of the files, resuming, errors."""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from converter.net import load_net
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.frame_images import read_flow_stack, read_rgb
from pytsn.data.snippet_ticks import flow_indices, frame_ticks
from pytsn.evaluation.action_net import NUM_CROPS, NetOptions
from pytsn.features.extract import FeatureOptions
from pytsn.features.files import FeatureIndex, file_names, read_index
from pytsn.features.net import FeatureNet
from pytsn.features.resume import FeatureStore
from tests.converter.nets import build
from tests.data.crop_oracles import frame_crops, stack_crops

NET = """
input: "data" input_shape { dim: 1 dim: %d dim: 24 dim: 24 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 5
        stride: 3 weight_filler { type: "gaussian" std: 0.05 } bias_filler { type: "gaussian" std: 0.2 } } }
layer { name: "bn" type: "BN" bottom: "conv" top: "bn" bn_param { frozen: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "global_pool" type: "Pooling" bottom: "bn" top: "global_pool" pooling_param { pool: AVE kernel_size: 7 } }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
"""
COUNTS = {"A": 9, "B": 21, "C": 3}
LABELS = {"A": 4, "B": 0, "C": 2}
T = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Folders of frames and flow images, a list of them, an rgb and a flow net."""
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    for name, count in COUNTS.items():
        folder = root / "frames" / name
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            cv2.imwrite(f"{folder}/img_{number:05d}.jpg", rng.integers(0, 256, (30, 40, 3), np.uint8))
            for axis in "xy":
                cv2.imwrite(f"{folder}/flow_{axis}_{number:05d}.jpg", rng.integers(0, 256, (30, 40), np.uint8))
    lines = [f"{root}/frames/{name} {count} {LABELS[name]}\n" for name, count in COUNTS.items()]
    (root / "list.txt").write_text("".join(lines))
    for modality, channels in (("rgb", 3), ("flow", 10)):
        (root / f"{modality}.prototxt").write_text(NET % channels)
        save_caffemodel(root / f"{modality}.caffemodel", build(NET % channels))
    return root


def features(world, output, *more, modality="rgb", source="list.txt") -> int:
    net = [f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel"]
    given = [
        f"{world}/{source}",
        "-o",
        output,
        "--modality",
        modality,
        "--net",
        *net,
        "--num_frames",
        T,
        "--device",
        "cpu",
    ]
    return run_command("features", [str(item) for item in (*given, *more)])


def caffe_blob(world, name: str, modality: str, blob: str) -> np.ndarray:
    """(T, 10, D, h, w): the unfused net on crops by slices, one snippet after the other."""
    net, folder = load_net(f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel"), f"{world}/frames/{name}"
    found = []
    for tick in frame_ticks(COUNTS[name], T, 5 if modality == "flow" else 1):
        if modality == "flow":
            stack = read_flow_stack(folder, "flow_x_", "flow_y_", flow_indices(tick, COUNTS[name]))
            crops = stack_crops(stack, 24).astype(np.float32) - 128
        else:
            mean = np.float32([104, 117, 123])[:, None, None]
            crops = frame_crops(read_rgb(folder, "img_", tick), 24).astype(np.float32) - mean
        with torch.no_grad():
            values = net(torch.from_numpy(crops), blobs=(blob,))[blob].numpy()
        found.append(values.reshape(*values.shape[:2], *(values.shape[2:] or (1, 1))))
    return np.stack(found)


@pytest.mark.parametrize("modality", ["rgb", "flow"])
@pytest.mark.parametrize("blob", ["global_pool", "conv", "fc-action"])
@pytest.mark.parametrize("crops", ["mean", "centre", "all"])
def test_values_are_the_unfused_nets(world, tmp_path, modality, blob, crops):
    """Folding BN into the convolution rounds otherwise: 1e-5 of the largest value (measured: 1e-6)."""
    spatial = blob == "conv"
    more = ["--blob", blob, "--crops", crops, *(["--spatial"] if spatial else [])]
    assert features(world, tmp_path / "f.npz", *more, modality=modality) == 0
    with np.load(tmp_path / "f.npz", allow_pickle=False) as found:
        assert found["names"].tolist() == list(COUNTS)
        assert found["labels"].tolist() == list(LABELS.values())
        for number, name in enumerate(COUNTS):
            wanted = caffe_blob(world, name, modality, blob)
            wanted = {"mean": wanted.mean(1), "centre": wanted[:, 4], "all": wanted}[crops]
            wanted = wanted if spatial else wanted[..., 0, 0]
            got = found[f"features_{number:06d}"]
            assert (got.dtype, got.shape) == (np.float32, wanted.shape)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
            ticks = frame_ticks(COUNTS[name], T, 5 if modality == "flow" else 1)
            assert found[f"ticks_{number:06d}"].tolist() == ticks


def test_spatial_blobs_are_averaged_over_space_unless_kept(world, tmp_path):
    assert features(world, tmp_path / "mean.npz", "--blob", "conv") == 0
    assert features(world, tmp_path / "maps.npz", "--blob", "conv", "--spatial") == 0
    mean, maps = (np.load(tmp_path / f"{name}.npz")["features_000001"] for name in ("mean", "maps"))
    assert (mean.shape, maps.shape) == ((T, 6), (T, 6, 7, 7))
    np.testing.assert_allclose(mean, maps.mean((2, 3)), rtol=0, atol=1e-5 * np.abs(maps).max())


def whole_frame(crops: np.ndarray) -> np.ndarray:
    """(10, 3, 224, 224) -> the (3, 256, 340) that they were cut from: four corners cover it."""
    frame = np.empty((3, 256, 340), np.uint8)
    for crop, (y, x) in zip(crops, ((0, 0), (0, 116), (32, 0), (32, 116)), strict=False):
        frame[:, y : y + 224, x : x + 224] = crop
    return frame


@pytest.mark.golden
@pytest.mark.parametrize("blob", ["global_pool", "inception_4c/output"])
def test_values_are_those_that_caffe_wrote(shared, golden, rgb_caffemodel, blob):
    """2e-5 of the largest: Caffe and this code sum products in another order."""
    with np.load(golden / "bn_inception" / "forward_rgb.npz") as recorded:
        crops, wanted = recorded["crops_uint8"], recorded[f"mean:{blob}"]
    proto = shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    net = FeatureNet(str(proto), str(rgb_caffemodel), NetOptions("cpu", score_name=blob), "all")
    found = net.features(whole_frame(crops)[None])
    assert found.shape == (1, NUM_CROPS, wanted.shape[1])
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def content(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return [file[f"features_{number:06d}"] for number in range(len(file["names"]))]


def test_a_folder_holds_one_file_a_video(world, tmp_path):
    assert features(world, tmp_path / "f.npz") == 0
    assert features(world, f"{tmp_path}/out/", source="frames") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["A.npy", "B.npy", "C.npy", "index.json"]
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert (index["names"], index["files"], index["labels"]) == (["A", "B", "C"], ["A.npy", "B.npy", "C.npy"], [-1] * 3)
    assert index["ticks"][0] == frame_ticks(9, T)
    for name, wanted in zip("ABC", content(tmp_path / "f.npz"), strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False), wanted)
    assert features(world, tmp_path / "out", source="frames") == 0  # an earlier run's folder may be replaced
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "out"]


def test_file_names_of_a_folder():
    assert file_names(["a", "b/a", "b_a", "/x/../y", "A"]) == [
        "a.npy", "b_a.npy", "b_a_000002.npy", "x_.._y.npy", "A_000004.npy",
    ]  # fmt: skip


@pytest.mark.parametrize("output", ["f.npz", "out"])
def test_an_interrupted_run_goes_on_and_ends_in_the_same(world, tmp_path, monkeypatch, output, capsys):
    (tmp_path / "straight").mkdir()
    assert features(world, tmp_path / "straight" / output) == 0

    add, added = FeatureStore.add, []

    def stop_after_two(self, index, array):
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(index)
        add(self, index, array)

    monkeypatch.setattr(FeatureStore, "add", stop_after_two)
    assert features(world, tmp_path / output) == 130
    assert not (tmp_path / output).exists()
    monkeypatch.setattr(FeatureStore, "add", lambda self, index, array: (added.append(index), add(self, index, array)))
    assert features(world, tmp_path / output, "--resume") == 0
    assert added == [0, 1, 2]
    assert "2 of 3 videos are done already" in capsys.readouterr().out
    pairs = [(tmp_path / "straight" / output, tmp_path / output)]
    if output == "out":
        pairs = [(path, tmp_path / output / path.name) for path in pairs[0][0].iterdir()]
    for first, second in pairs:
        assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output, "straight"])
    assert features(world, tmp_path / output, "--resume") == 0  # nothing left to do
    assert added == [0, 1, 2]


def test_resuming_with_other_settings_is_refused(world, tmp_path, capsys):
    assert features(world, tmp_path / "f.npz") == 0
    before = (tmp_path / "f.npz").read_bytes()
    assert features(world, tmp_path / "f.npz", "--resume", "--blob", "conv") == 2
    assert "was made with blob = 'global_pool', now it is 'conv'" in capsys.readouterr().err
    assert (tmp_path / "f.npz").read_bytes() == before


def test_processes_give_the_same_file(world, tmp_path):
    assert features(world, tmp_path / "one.npz") == 0
    assert features(world, tmp_path / "two.npz", "--num_worker", "2") == 0
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_hdf5(world, tmp_path):
    h5py = pytest.importorskip("h5py")
    assert features(world, tmp_path / "f.npz") == 0
    assert features(world, tmp_path / "f.h5") == 0
    with h5py.File(tmp_path / "f.h5") as file:
        assert [name.decode() for name in file["names"]] == list(COUNTS)
        assert file["labels"][()].tolist() == list(LABELS.values())
        assert file["ticks/000001"][()].tolist() == frame_ticks(21, T)
        assert json.loads(file.attrs["settings"])["blob"] == "global_pool"
        for number, wanted in enumerate(content(tmp_path / "f.npz")):
            np.testing.assert_array_equal(file[f"features/{number:06d}"][()], wanted)
    assert read_index(tmp_path / "f.h5", "h5") == read_index(tmp_path / "f.npz", "npz")
    assert features(world, tmp_path / "f.h5", "--resume") == 0


def test_hdf5_without_h5py(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert features(world, tmp_path / "f.h5") == 2
    assert "pip install h5py" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "more", "said"),
    [
        ("f.csv", [], "written as .npz"),
        ("none/f.npz", [], "there is no folder"),
        ("f.npz", ["--blob", "global_pol"], "global_pool"),
        ("f.npz", ["--blob", "fc-action", "--spatial"], "nothing spatial"),
        ("f.npz", ["--modality", "flow"], "takes 3 planes, modality flow gives 10"),
        ("f.npz", ["--num_frames", "0"], "at least 1"),
        ("f.npz", ["--num_frames", "999999999999"], "--num_frames 999999999999: 100000 at most"),
        ("f.npz", ["--snippet_rate", "1"], "go together"),
        ("full", [], "other things than features"),
    ],
)
def test_wrong_arguments(world, tmp_path, capsys, output, more, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert features(world, tmp_path / output, *more) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["full"]
    assert os.listdir(tmp_path / "full") == ["mine.txt"]


def test_videos_without_frames(world, tmp_path, capsys):
    (world / "more.txt").write_text((world / "list.txt").read_text() + f"{world}/frames/none 7 1\n")
    assert features(world, tmp_path / "f.npz", source="more.txt") == 2
    assert "1 of 4 videos has no frames" in capsys.readouterr().err
    assert features(world, tmp_path / "f.npz", "--allow_missing", source="more.txt") == 0
    assert read_index(tmp_path / "f.npz", "npz").names == list(COUNTS)


def test_the_index_read_back_is_the_one_written(tmp_path):
    store = FeatureStore(tmp_path / "f.npz", FeatureIndex(["a"], [3], {"k": 1}, [[1, 2]]))
    store.add(0, np.zeros((2, 5)))
    store.finish()
    assert read_index(tmp_path / "f.npz", "npz") == FeatureIndex(["a"], [3], {"k": 1}, [[1, 2]])


def test_workers_on_one_gpu_are_threads_that_read(monkeypatch):
    """As in eval-net: one net for each GPU, however many workers are asked for."""
    monkeypatch.setattr("pytsn.evaluation.score_videos.pick_device", torch.device)
    assert FeatureOptions(NetOptions("cuda:0"), num_worker=4, gpus=(1,)).devices() == ("cuda:1",)
    assert FeatureOptions(NetOptions("cuda:0"), num_worker=4, gpus=(0, 1)).devices() == ("cuda:0", "cuda:1")
    assert FeatureOptions(NetOptions("cpu"), num_worker=3).devices() == ("cpu",) * 3
