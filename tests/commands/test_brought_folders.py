"""Folders of frames as users bring them: numbered from 0, under other names, in another case. The same images must give
the same scores, lists and features whatever they are called."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.frame_images import load_cv2
from pytsn.scores.score_file import read_scores
from tests.commands.eval_nets import NET, write_frames
from tests.converter.nets import build

COUNTS = {"v_A_g01_c01": 30, "v_B_g01_c01": 49}
CHANNELS = {"rgb": 3, "flow": 10, "rgbdiff": 15}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Two videos with the original's names, UCF101's split files, nets."""
    root = tmp_path_factory.mktemp("world")
    write_frames(root / "frames", COUNTS)
    splits = root / "data" / "ucf101_splits"
    splits.mkdir(parents=True)
    (splits / "classInd.txt").write_text("1 A\n2 B\n")
    for number in (1, 2, 3):
        (splits / f"testlist{number:02d}.txt").write_text("".join(f"{name[2]}/{name}.avi\n" for name in COUNTS))
        (splits / f"trainlist{number:02d}.txt").write_text("")
    (root / "list.txt").write_text("".join(f"{name} {count} 0\n" for name, count in COUNTS.items()))
    for modality, channels in CHANNELS.items():
        (root / f"{modality}.prototxt").write_text(NET % channels)
        save_caffemodel(root / f"{modality}.caffemodel", build(NET % channels))
    return root


def renamed(world: Path, target: Path, first: int = 0, rgb="img_{:05d}.jpg", flow="flow_{}_{:05d}.jpg") -> Path:
    """The world's frames under other names, numbered from ``first``."""
    for name, count in COUNTS.items():
        (target / name).mkdir(parents=True)
        for number in range(1, count + 1):
            old, new = world / "frames" / name, first + number - 1
            shutil.copyfile(old / f"img_{number:05d}.jpg", target / name / rgb.format(new))
            for axis in "xy":
                shutil.copyfile(old / f"flow_{axis}_{number:05d}.jpg", target / name / flow.format(axis, new))
    return target


def one_more_image(world: Path, target: Path) -> Path:
    """As denseflow writes: numbered from 0, the video's first frame too, so one image more than pairs."""
    renamed(world, target)
    for name, count in COUNTS.items():
        image = np.full((30, 40, 3), 200, np.uint8)
        load_cv2().imwrite(str(target / name / f"img_{count:05d}.jpg"), image)
    return target


def zipped(world: Path, target: Path) -> Path:
    """Numbered from 0, an archive a kind."""
    renamed(world, target)
    for name in COUNTS:
        for kind, short in (("img", "img"), ("flow_x", "x"), ("flow_y", "y")):
            with zipfile.ZipFile(target / name / f"{kind}.zip", "w") as out:
                for path in sorted((target / name).glob(f"{kind}_*.jpg")):
                    out.write(path, short + path.name.removeprefix(kind))
                    path.unlink()
    return target


def other_names(world: Path, target: Path) -> Path:
    return renamed(world, target, 0, "frame{}.png", "of_{}-{:06d}.jpeg")


PATTERNS = ("--frame_pattern", "frame%d.png", "--flow_pattern", "of_%c-%06d.jpeg")
LAYOUTS = {"from 0": (renamed, ()), "zips from 0": (zipped, ()), "other names": (other_names, PATTERNS)}


def scores(world, frames, modality, out, *more, dataset="ucf101") -> list[np.ndarray]:
    net = [f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel"]
    own = ["--split_path", f"{world}/data", "--device", "cpu", "--num_frame_per_video", "6", "--save_scores", str(out)]
    argv = [dataset, "1", modality, str(frames), *net, *own, *map(str, more)]
    assert run_command("eval-net", argv) == 0
    return read_scores(f"{out}.npz").scores


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("modality", CHANNELS)
@pytest.mark.parametrize("dataset", ["ucf101", "custom"])
def test_scores_are_those_of_the_originals_names(world, tmp_path, capsys, layout, modality, dataset):
    make, more = LAYOUTS[layout]
    listed = ("--test_list", world / "list.txt") if dataset == "custom" else ()
    wanted = scores(world, world / "frames", modality, tmp_path / "wanted", *listed, dataset=dataset)
    assert "numbered" not in capsys.readouterr().err
    frames = make(world, tmp_path / "frames")
    found = scores(world, frames, modality, tmp_path / "found", *listed, *more, dataset=dataset)
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "note: frames are numbered from 0\n" in capsys.readouterr().err


def test_one_more_image_than_pairs(world, tmp_path, capsys):
    """A list with the number of images serves both; its last pair is the one before."""
    frames = one_more_image(world, tmp_path / "frames")
    (tmp_path / "list.txt").write_text("".join(f"{name} {count + 1} 0\n" for name, count in COUNTS.items()))
    for modality in ("rgb", "flow"):
        listed = scores(world, frames, modality, tmp_path / "l", "--test_list", tmp_path / "list.txt", dataset="custom")
        split = scores(world, frames, modality, tmp_path / "s")
        for one, other in zip(listed, split, strict=True):
            np.testing.assert_array_equal(one, other)
    plain = scores(world, world / "frames", "flow", tmp_path / "p")
    np.testing.assert_array_equal(split[1], plain[1])
    assert "numbered from 0" in capsys.readouterr().err


def refused(capsys, command, *argv) -> str:
    assert run_command(command, [str(item) for item in argv]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def custom(world, frames, path, modality="rgb"):
    files = [frames, f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel"]
    return ["custom", "1", modality, *files, "--test_list", path, "--device", "cpu"]


def test_lists_that_promise_too_much_and_gaps(world, tmp_path, capsys):
    frames = renamed(world, tmp_path / "frames")
    (tmp_path / "list.txt").write_text("v_A_g01_c01 30 0\n\nv_B_g01_c01 600 1\n")
    err = refused(capsys, "eval-net", *custom(world, frames, tmp_path / "list.txt"))
    assert f"{tmp_path}/list.txt, line 3: 600 frames listed, but {frames}/v_B_g01_c01 has 49, img_00000.jpg to " in err
    (frames / "v_B_g01_c01/img_00017.jpg").unlink()
    (tmp_path / "list.txt").write_text("v_B_g01_c01 40 1\n")
    gap = f"{frames}/v_B_g01_c01: the images img_ have no number 17 (img_00017.jpg), though there are 48, from number 0"
    assert gap in refused(capsys, "eval-net", *custom(world, frames, tmp_path / "list.txt"))
    given = ["--split_path", f"{world}/data", "--out_list_path", tmp_path]
    assert gap in refused(capsys, "build-file-list", "ucf101", frames, *given)
    net = ["--net", f"{world}/rgb.prototxt", f"{world}/rgb.caffemodel"]
    assert gap in refused(capsys, "features", frames, "-o", tmp_path / "f.npz", "--modality", "rgb", *net)
    assert run_command("eval-net", [*map(str, custom(world, frames, tmp_path / "list.txt", "flow"))]) == 0


def test_names_that_nobody_told(world, tmp_path, capsys):
    frames = renamed(world, tmp_path / "frames", 1, "image_{:06d}.jpg")
    hint = f"{frames}/v_A_g01_c01 holds files such as image_000001.jpg: name them by --frame_pattern or --flow_pattern"
    for path in frames.glob("*/flow_*"):
        path.unlink()
    assert hint in refused(capsys, "eval-net", *custom(world, frames, world / "list.txt"))
    own = ["--split_path", f"{world}/data"]
    assert hint in refused(capsys, "build-file-list", "ucf101", frames, *own, "--out_list_path", tmp_path)
    bad = [*custom(world, frames, world / "list.txt"), "--frame_pattern", "image_.jpg"]
    assert "--frame_pattern image_.jpg: a file name with one number" in refused(capsys, "eval-net", *bad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lists_and_features(world, tmp_path, capsys, layout):
    make, more = LAYOUTS[layout]
    frames = make(world, tmp_path / "frames")
    own = ["--split_path", f"{world}/data", "--num_split", "1"]
    assert run_command("build-file-list", ["ucf101", str(frames), *own, "--out_list_path", str(tmp_path), *more]) == 0
    for modality in ("rgb", "flow"):
        text = (tmp_path / f"ucf101_{modality}_val_split_1.txt").read_text()
        assert text == f"{frames}/v_A_g01_c01 30 0\n{frames}/v_B_g01_c01 49 1\n"
    found = []
    sources = {"plain": world / "frames", "folder": frames, "list": tmp_path / "ucf101_rgb_val_split_1.txt"}
    for name, source in sources.items():
        net = ["--net", f"{world}/rgb.prototxt", f"{world}/rgb.caffemodel", "--device", "cpu", "--num_frames", "3"]
        given = [str(source), "-o", f"{tmp_path}/{name}.npz", "--modality", "rgb", *net]
        assert run_command("features", [*given, *(() if name == "plain" else more)]) == 0
        with np.load(tmp_path / f"{name}.npz") as file:
            found.append(file["features_000001"])
    assert capsys.readouterr().err.count("note: frames are numbered from 0\n") == 3
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_predict_on_folders(world, tmp_path, capsys, stream):
    found = []
    for frames, more in (
        (world / "frames", ()),
        (renamed(world, tmp_path / "zero"), ()),
        (other_names(world, tmp_path / "other"), PATTERNS),
    ):
        net = [f"--{stream}", f"{world}/{stream}.prototxt", f"{world}/{stream}.caffemodel", "--device", "cpu"]
        own = [f"{frames}/v_B_g01_c01", "--num_frames", "3", "-o", str(tmp_path)]
        assert run_command("predict", [*own, *net, *more]) == 0
        captured = capsys.readouterr()
        found.append(captured.out)
        assert ("note: frames are numbered from 0\n" in captured.err) == (frames != world / "frames")
    assert found[1] == found[2] == found[0]


def test_names_of_another_case(world, tmp_path, capsys):
    """UCF101's lists and its folders: 28 test videos of split 1 differ so."""
    frames = renamed(world, tmp_path / "frames", 1)
    (frames / "v_B_g01_c01").rename(frames / "v_b_g01_c01")
    note = "note: 1 name differs from its folder in case alone and is taken for it, first 'v_B_g01_c01' for "
    wanted = scores(world, world / "frames", "rgb", tmp_path / "w")
    for dataset, listed in (("ucf101", ()), ("custom", ("--test_list", world / "list.txt"))):
        found = scores(world, frames, "rgb", tmp_path / "f", *listed, dataset=dataset)
        np.testing.assert_array_equal(found[1], wanted[1])
        assert read_scores(tmp_path / "f.npz").names == tuple(COUNTS)
        assert f"{note}'v_b_g01_c01'\n" in capsys.readouterr().err
    own = ["--split_path", f"{world}/data", "--num_split", "1", "--out_list_path", str(tmp_path)]
    assert run_command("build-file-list", ["ucf101", str(frames), *own]) == 0
    assert f"{frames}/v_b_g01_c01 49 1\n" in (tmp_path / "ucf101_rgb_val_split_1.txt").read_text()
    assert capsys.readouterr().err == f"{note}'v_b_g01_c01'\n"
    (tmp_path / "list.txt").write_text(f"{frames}/V_B_g01_c01 49 1\n")
    net = ["--net", f"{world}/rgb.prototxt", f"{world}/rgb.caffemodel", "--device", "cpu", "--num_frames", "3"]
    given = [f"{tmp_path}/list.txt", "-o", f"{tmp_path}/f2.npz", "--modality", "rgb", *net]
    assert run_command("features", given) == 0
    assert "first 'V_B_g01_c01' for 'v_b_g01_c01'\n" in capsys.readouterr().err
    shutil.copytree(frames / "v_b_g01_c01", frames / "V_b_g01_c01")
    err = refused(capsys, "eval-net", *custom(world, frames, world / "list.txt"))
    assert f"{frames}/V_b_g01_c01 and {frames}/v_b_g01_c01; rename the right one" in err
