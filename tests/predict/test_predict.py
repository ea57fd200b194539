"""`pytsn predict`: scores are those of extraction and evaluation; which flow is computed, fusion, labels, the picture,
and what goes wrong."""

import json
import os
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.decoded_snippets import look_through
from pytsn.data.frame_folders import make_videos, parse_directory
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.data.sources import Source, find_sources
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.score_videos import EvalOptions, score_videos
from pytsn.flow.extract.video import ExtractSettings, extract_video, make_extract_flow
from pytsn.flow.methods import make_flow
from pytsn.flow.on_the_fly import FlowWork
from pytsn.predict.labels import read_labels
from pytsn.predict.picture import picture_figure
from pytsn.predict.result import Prediction, default_weights
from pytsn.predict.scores import Predictor, Sampling, load_nets
from pytsn.scores.aggregation import parse_aggregation
from tests.converter.nets import build
from tests.flow.flow_videos import cut_short, decode, make_sound, make_video

NET = """
input: "data" input_shape { dim: 1 dim: %d dim: 40 dim: 40 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 5
        stride: 5 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc-action" type: "InnerProduct" bottom: "conv" top: "fc-action" inner_product_param { num_output: %d
        weight_filler { type: "gaussian" std: 0.02 } } }
"""
CLASSES = 7
PLANES = {"rgb": 3, "flow": 10, "warped": 10, "rgbdiff": 15}
LABELS = ["Archery", "Bowling", "Crawling", "Diving", "Eating", "Fencing", "Golf"]


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[str, tuple[str, str]]:
    """(prototxt, weights) of small nets with random weights, by stream."""
    root = tmp_path_factory.mktemp("nets")
    for channels in sorted(set(PLANES.values())):
        (root / f"{channels}.prototxt").write_text(NET % (channels, CLASSES))
        save_caffemodel(root / f"{channels}.caffemodel", build(NET % (channels, CLASSES)))
    return {name: (f"{root}/{count}.prototxt", f"{root}/{count}.caffemodel") for name, count in PLANES.items()}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """long.avi (19 frames), short.avi (4 frames)."""
    root = tmp_path_factory.mktemp("videos")
    make_video(root / "long.avi", 19)
    make_video(root / "short.avi", 4, seed=1)
    return root


@pytest.fixture(scope="module")
def extracted(videos, tmp_path_factory) -> dict[str, Path]:
    """What build-of writes of both videos with Farneback's flow: kind of flow -> root of the folders."""
    roots = {kind: tmp_path_factory.mktemp(kind) for kind in ("tvl1", "warp_tvl1")}
    for kind, root in roots.items():
        settings = ExtractSettings(flow_type=kind, algorithm="farneback", preset="")
        for name in ("long", "short"):
            (root / name).mkdir()
            flow = make_extract_flow(settings, "cpu")
            extract_video(str(videos / f"{name}.avi"), str(root / name), settings, flow, 3)
    return roots


def evaluated(files: tuple[str, str], root: Path, name: str, modality: str, num_frames: int) -> np.ndarray:
    """eval-net's scores of one extracted video: (T, 10, K)."""
    video = make_videos([(name, 0)], parse_directory(str(root)))[0]
    options = EvalOptions(snippets=SnippetOptions(modality, num_frames))
    return next(score_videos(ActionNet(*files, NetOptions("cpu")), [video], options))[1]


def make_predictor(nets, streams, num_frames=4, flow=None, **options) -> Predictor:
    loaded = load_nets({name: nets[name] for name in streams}, NetOptions("cpu"))
    work = FlowWork(flow or make_flow("farneback"), 3)
    return Predictor(loaded, sampling=Sampling(num_frames, **options), flow=work)


def predict(nets, *arguments: object, streams=("rgb",)) -> int:
    given = [item for stream in streams for item in (f"--{stream}", *nets[stream])]
    return run_command(
        "predict", [*map(str, arguments), *given, "--device", "cpu", "--algorithm", "farneback", "--num_frames", "3"]
    )


@pytest.mark.parametrize("num_frames", [3, 8], ids=["apart", "overlapping"])
@pytest.mark.parametrize("name", ["long", "short"])
def test_scores_are_those_of_extraction_and_evaluation(nets, videos, extracted, name, num_frames):
    """The same bytes reach the same nets, so no tolerance: JPEG and 8-bit rounding included, and a video too short."""
    found = make_predictor(nets, PLANES, num_frames).predict(Source(str(videos / f"{name}.avi"), name, True))
    for stream, scores in found.scores.items():
        root = extracted["warp_tvl1" if stream == "warped" else "tvl1"]
        modality = {"warped": "flow"}.get(stream, stream)
        wanted = evaluated(nets[stream], root, name, modality, num_frames)
        assert wanted.shape == (num_frames, 10, CLASSES)
        np.testing.assert_array_equal(scores, wanted, err_msg=stream)


@pytest.mark.slow
def test_scores_with_the_released_models_flow_through_both_commands(nets, tmp_path):
    """TV-L1 and the two commands themselves."""
    video = make_video(tmp_path / "v.avi", 13)
    assert run_command("build-of", [str(video), str(tmp_path / "frames"), "--num_worker", "1"]) == 0
    wanted = evaluated(nets["flow"], tmp_path / "frames", "v", "flow", 2)
    found = make_predictor(nets, ("flow",), 2, make_flow("tvl1")).predict(Source(str(video), "v", True))
    np.testing.assert_array_equal(found.scores["flow"], wanted)


def test_a_folder_of_frames_gives_the_same(nets, videos, extracted, tmp_path):
    predictor = make_predictor(nets, PLANES, 4, warped_frames=str(extracted["warp_tvl1"]))
    video = predictor.predict(Source(str(videos / "long.avi"), "long", True))
    folder = predictor.predict(Source(str(extracted["tvl1"] / "long"), "long", False))
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
        for path in sorted((extracted["tvl1"] / "long").iterdir()):
            archive.write(path, path.name)
    predictor = make_predictor(nets, ("rgb", "flow"), 4)
    archived = predictor.predict(Source(str(tmp_path / "long.zip"), "long", False))
    for stream in PLANES:
        np.testing.assert_array_equal(folder.scores[stream], video.scores[stream], err_msg=stream)
    for stream in ("rgb", "flow"):
        np.testing.assert_array_equal(archived.scores[stream], video.scores[stream], err_msg=stream)


@pytest.mark.parametrize("streams", [("flow",), ("rgb", "flow"), ("warped", "flow")])
@pytest.mark.parametrize(("num_frames", "ticks"), [(3, [1, 7, 13]), (8, [1, 2, 3, 4, 5, 6, 7, 8]), (1, [7])])
def test_only_the_pairs_that_snippets_need_each_once(nets, videos, streams, num_frames, ticks):
    """Of 18 pairs, those of five in a row from each tick. (Warped flow looks at some frames again, seen from the first
    one's camera.)"""
    seen = []

    def flow(gray0, gray1):
        seen.extend((first.tobytes(), second.tobytes()) for first, second in zip(gray0, gray1, strict=True))
        return np.zeros((*gray0.shape, 2), np.float32)

    make_predictor(nets, streams, num_frames, flow).predict(Source(str(videos / "long.avi"), "long", True))
    frames = [cv2.resize(frame, (340, 256)) for frame in decode(videos / "long.avi")]
    grays = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).tobytes() for frame in frames]
    needed = sorted({tick + offset for tick in ticks for offset in range(5)})
    assert [pair for pair in seen if pair[1] in grays] == [(grays[pair - 1], grays[pair]) for pair in needed]


def test_snippets_at_a_rate(nets, videos):
    """19 frames at the 25 a second that the file says, 5 snippets a second: every fifth image."""
    facts = look_through(str(videos / "long.avi"))
    assert (facts.images, facts.height, facts.width, facts.fps) == (18, 48, 64, 25.0)
    predictor = make_predictor(nets, ("rgb", "flow"), snippet_rate=Fraction(5))
    found = predictor.predict(Source(str(videos / "long.avi"), "long", True))
    assert found.ticks == {"rgb": [1, 6, 11, 16], "flow": [1, 6, 11]}
    assert found.snippet_probabilities().shape == (3, CLASSES)


def test_one_crop_is_the_centre(nets, videos):
    ten = make_predictor(nets, ("rgb",)).predict(Source(str(videos / "long.avi"), "long", True))
    loaded = load_nets({"rgb": nets["rgb"]}, NetOptions("cpu", crops=1))
    one = Predictor(loaded, sampling=Sampling(4)).predict(Source(str(videos / "long.avi"), "long", True))
    # other batches: the convolution may sum in another order
    np.testing.assert_allclose(one.scores["rgb"][:, 0], ten.scores["rgb"][:, 4], rtol=0, atol=1e-5)
    assert one.scores["rgb"].shape == (4, 1, CLASSES)


def test_streams_whose_nets_have_crops_of_other_sizes(nets, videos, tmp_path):
    """Each stream's frames are as large as its net asks for: 340x256 and 454x342."""
    text = (NET % (3, CLASSES)).replace("dim: 40 dim: 40", "dim: 299 dim: 299")
    (tmp_path / "large.prototxt").write_text(text)
    save_caffemodel(tmp_path / "large.caffemodel", build(text))
    files = {"rgb": (f"{tmp_path}/large.prototxt", f"{tmp_path}/large.caffemodel"), "rgbdiff": nets["rgbdiff"]}
    source = Source(str(videos / "long.avi"), "long", True)
    both = Predictor(load_nets(files, NetOptions("cpu")), sampling=Sampling(3))
    assert both.frame_sizes == {"rgb": (454, 342), "rgbdiff": (340, 256)}
    found = both.predict(source)
    for stream in files:
        alone = Predictor(load_nets({stream: files[stream]}, NetOptions("cpu")), sampling=Sampling(3)).predict(source)
        np.testing.assert_array_equal(found.scores[stream], alone.scores[stream], err_msg=stream)
    assert [picture.shape for _, picture in found.thumbnails] == [(256, 341, 3)] * 3


def some_prediction(weights: dict[str, float], seed: int = 0, **options) -> Prediction:
    rng = np.random.default_rng(seed)
    scores = {name: rng.normal(0, 2, (6, 10, CLASSES)).astype(np.float32) for name in weights}
    ticks = {name: [1, 6, 11, 16, 21, 26] for name in weights}
    thumbnails = [(tick, rng.integers(0, 256, (30, 40, 3), np.uint8)) for tick in (1, 11, 21)]
    options = {"source": Source("folder/clip.avi", "clip", True), "images": 30, "fps": 10.0} | options
    return Prediction(ticks=ticks, scores=scores, weights=weights, thumbnails=thumbnails, **options)


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum(-1, keepdims=True)


def test_fusion_by_hand():
    weights = {"rgb": 1.0, "flow": 1.5}
    found = some_prediction(weights)
    video = sum(weight * found.scores[name].astype(float).mean((0, 1)) for name, weight in weights.items())
    snippets = sum(weight * found.scores[name].astype(float).mean(1) for name, weight in weights.items())
    np.testing.assert_allclose(found.probabilities(), softmax(video), rtol=1e-5)
    np.testing.assert_allclose(found.snippet_probabilities(), softmax(snippets), rtol=1e-5)
    best = found.scores["rgb"].astype(float).mean(1)
    topk = some_prediction({"rgb": 1.0}, aggregation=parse_aggregation("topk:2"))
    np.testing.assert_allclose(topk.probabilities(), softmax(np.sort(best, 0)[-2:].mean(0)), rtol=1e-5)


def test_default_weights():
    assert default_weights(("rgb", "flow")) == {"rgb": 1, "flow": 1.5}
    assert default_weights(("rgb", "flow", "warped")) == {"rgb": 1, "flow": 1, "warped": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{number} {name}\n" for number, name in enumerate(LABELS, 1)),
        "".join(f"{number} {name}\n" for number, name in reversed(list(enumerate(LABELS, 1)))),
        "".join(f"{number} {name}\r\n" for number, name in enumerate(LABELS)),
        "\n".join(LABELS),
    ],
    ids=["ucf101", "any order", "from 0", "hmdb51"],
)
def test_labels(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text)
    assert read_labels(tmp_path / "labels.txt", CLASSES, "net") == LABELS


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "count", "third"),
    [("ucf101_splits/classInd.txt", 101, "Archery"), ("hmdb51_splits/class_list.txt", 51, "catch")],
)
def test_labels_of_the_datasets(shared, name, count, third):
    assert read_labels(shared / "tsn" / "data" / name, count, "net")[2] == third


@pytest.mark.parametrize(
    ("text", "classes", "said"),
    [
        ("a\nb\n", 3, "2 class names, but net.prototxt has 3 classes"),
        ("1 a\n1 b\n", 2, "numbers are not 1 to 2"),
        ("1 a\n3 b\n", 2, "numbers are not 1 to 2"),
        ("2 a\n3 b\n", 2, "numbers are not 1 to 2"),
    ],
)
def test_labels_that_do_not_go(tmp_path, text, classes, said):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(PytsnError, match=said):
        read_labels(tmp_path / "labels.txt", classes, "net.prototxt")


def test_sources(videos, extracted, tmp_path):
    root = tmp_path / "all"
    for place in ("b.mp4", "A/b.avi", "A/c.MKV", "x/A/d.avi"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"-")
    (root / "A" / "notes.txt").write_text("none")
    (root / "frames").mkdir()
    (root / "frames" / "img_00001.jpg").write_bytes(b"-")
    (root / "zipped").mkdir()
    with zipfile.ZipFile(root / "zipped" / "flow_x.zip", "w") as archive:
        archive.writestr("x_00001.jpg", b"-")
    with zipfile.ZipFile(root / "other.zip", "w") as archive:
        archive.writestr("readme", b"-")
    found = [(Path(source.path).relative_to(root).as_posix(), source.name) for source in find_sources([str(root)])]
    assert found == [
        ("A/b.avi", "A_b"),
        ("A/c.MKV", "c"),
        ("b.mp4", "all_b"),
        ("frames", "frames"),
        ("x/A/d.avi", "d"),
        ("zipped", "zipped"),
    ]
    twice = find_sources([str(videos / "long.avi"), str(videos)])
    assert [source.name for source in twice] == ["long", "short"]  # named twice, predicted once


def test_command_text_json_and_picture(nets, videos, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    more = ["--labels", tmp_path / "labels.txt", "-o", tmp_path / "out", "--json", tmp_path / "found.json", "--top", 2]
    assert predict(nets, videos, *more, streams=("rgb", "flow")) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["settings"]["streams"]["flow"]["weight"] == 1.5
    assert [video["name"] for video in found["videos"]] == ["long", "short"]
    long = found["videos"][0]
    direct = make_predictor(nets, ("rgb", "flow"), 3).predict(Source(str(videos / "long.avi"), "long", True))
    order = np.argsort(-direct.probabilities())
    assert [(item["label"], item["class"]) for item in long["top"]] == [(label, LABELS[label]) for label in order[:2]]
    assert long["top"][0]["probability"] == pytest.approx(direct.probabilities().max(), abs=1e-6)
    assert [snippet["image"] for snippet in long["snippets"]] == [1, 9, 17]
    assert lines[0] == f"long: {LABELS[order[0]]}"
    assert lines[1].split() == ["fused", "rgb", "flow"]
    assert lines[2].split()[0] == f"{direct.probabilities().max() * 100:.1f}"
    for name in ("long", "short"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}_prediction.png")).shape[1] == 1240


def test_pictures_of_other_formats(nets, videos, tmp_path, capsys):
    """One picture by its file's ending; those in a folder by --picture_format."""
    assert predict(nets, videos / "short.avi", "-o", tmp_path / "new" / "one.pdf") == 0
    assert predict(nets, videos / "short.avi", "-o", tmp_path / "in.v2", "--picture_format", "svg") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("wrote ")] == [
        f"wrote {tmp_path}/new/one.pdf",
        f"wrote {tmp_path}/in.v2/short_prediction.svg",
    ]
    assert (tmp_path / "new/one.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "in.v2/short_prediction.svg").read_bytes().startswith(b"<?xml")
    assert predict(nets, videos, "-o", tmp_path / "all.pdf") == 2
    assert "all.pdf: the file of one picture, for 2 videos; give a folder" in capsys.readouterr().err


def test_json_to_stdout_is_nothing_but_json(nets, videos, capsys):
    assert predict(nets, videos / "short.avi", "--json", "-", "--no_picture") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["videos"][0]["top"][0]["class"].startswith("class ")


def test_windows_over_a_fixed_number_of_snippets_are_noted(nets, videos, capsys):
    assert predict(nets, videos / "short.avi", "--aggregation", "window", "--json", "-", "--no_picture") == 0
    out, err = capsys.readouterr()
    assert err.startswith("note: aggregation window takes the snippets for 1 a second")
    assert json.loads(out)["videos"][0]["top"]


def test_weights_choose_the_stream(nets, videos, capsys):
    """With weight 0 for rgb, what is told is flow's own; with 2 for flow its scores are doubled."""
    given = ["--weights", "0", "2", "--json", "-", "--no_picture", "--top", CLASSES]
    assert predict(nets, videos / "long.avi", *given, streams=("rgb", "flow")) == 0
    found = json.loads(capsys.readouterr().out)["videos"][0]
    fused, flow = (
        np.array([item["probability"] for item in part["top"]]) for part in (found, found["streams"]["flow"])
    )
    assert [item["label"] for item in found["top"]] == [item["label"] for item in found["streams"]["flow"]["top"]]
    np.testing.assert_allclose(fused, flow**2 / (flow**2).sum(), rtol=1e-4)


def test_a_run_that_is_stopped_keeps_what_it_has(nets, videos, tmp_path, monkeypatch):
    done = Predictor.predict

    def stop_at_short(self, source, progress):
        if source.name == "short":
            raise KeyboardInterrupt
        return done(self, source, progress)

    monkeypatch.setattr(Predictor, "predict", stop_at_short)
    assert predict(nets, videos, "--json", tmp_path / "j", "--no_picture") == 130
    assert [video["name"] for video in json.loads((tmp_path / "j").read_text())["videos"]] == ["long"]


def test_flow_without_a_way_to_compute_it(nets, videos):
    predictor = Predictor(load_nets({"flow": nets["flow"]}, NetOptions("cpu")))
    with pytest.raises(PytsnError, match="FlowWork"):
        predictor.predict(Source(str(videos / "long.avi"), "long", True))


def test_a_broken_video_is_named_and_the_rest_go_on(nets, videos, tmp_path, capsys):
    make_sound(tmp_path / "b_sound.avi")
    cut_short(videos / "long.avi", tmp_path / "c_cut.avi", 0.02)
    make_video(tmp_path / "d_one.avi", 1)
    (tmp_path / "e_empty.avi").touch()
    make_video(tmp_path / "f_whole.avi", 5)
    (tmp_path / "g_frames").mkdir()
    cv2.imwrite(str(tmp_path / "g_frames" / "flow_x_00001.jpg"), np.zeros((9, 9), np.uint8))
    assert predict(nets, tmp_path, "--no_picture", "--json", tmp_path / "j") == 1
    out, err = capsys.readouterr()
    assert "f_whole: class " in out
    for name, said in {
        "b_sound.avi": "no video stream",
        "c_cut.avi": "",
        "d_one.avi": "only 1 frame",
        "e_empty.avi": "empty",
        "g_frames": "1 x and 0 y flow images",
    }.items():
        assert any(line.startswith("error: ") and name in line and said in line for line in err.splitlines()), name
    assert "5 of 6 videos failed" in err
    assert "Traceback" not in err
    kinds = ["error" in video for video in json.loads((tmp_path / "j").read_text())["videos"]]
    assert kinds == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{videos}"], "no net given"),
        (["{videos}/none.avi", "--rgb", "{rgb}"], "no such file or folder"),
        (["{empty}", "--rgb", "{rgb}"], "no videos"),
        (["{videos}", "--rgb", "{flow}"], "takes 10 planes (flow), but --rgb feeds 3"),
        (["{videos}", "--flow", "{rgb}"], "takes 3 planes (rgb), but --flow feeds 10"),
        (["{videos}", "--rgb", "{rgb}", "--flow", "{five}"], "5 classes, but"),
        (["{videos}", "--rgb", "{rgb}", "--labels", "{five_names}"], "5 class names, but"),
        (["{videos}", "--rgb", "{rgb}", "--weights", "1", "2"], "2 numbers for 1 streams"),
        (["{videos}", "--rgb", "{rgb}", "--weights", "-1"], "numbers from 0"),
        (["{videos}", "--rgb", "{rgb}", "--weights", "nan"], "numbers from 0"),
        (["{videos}", "--rgb", "{rgb}", "--weights", "1e308"], "numbers from 0 to 1e+06"),  # scores would overflow
        (["{videos}", "--rgb", "{rgb}", "--num_frames", "999999999999"], "--num_frames 999999999999: 100000 at most"),
        (["{videos}", "--rgb", "{rgb}", "--top", "0"], "at least 1"),
        (["{videos}", "--rgb", "{rgb}", "--aggregation", "best"], "not known"),
        (
            ["{videos}", "--rgb", "{rgb}", "--snippet_rate", "2", "--aggregation", "multiscale:fps=1"],
            "counts on 1 snippet a second, --snippet_rate is 2",
        ),
        (["{videos}", "--rgb", "{rgb}", "--video_fps", "5"], "goes with --snippet_rate"),
        (["{videos}", "--rgb", "{rgb}", "--json", "{empty}/none/x.json"], "folder that exists"),
        (["{videos}", "--rgb", "{rgb}", "-o", "{five_names}"], "five.txt: is a file; -o is a folder"),
        (["{videos}", "--rgb", "{rgb}", "-o", "/proc"], "/proc: no such file or folder; pictures go there"),
    ],
)
def test_wrong_arguments_are_told_before_any_work(nets, videos, tmp_path, capsys, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    (tmp_path / "five.prototxt").write_text(NET % (10, 5))
    save_caffemodel(tmp_path / "five.caffemodel", build(NET % (10, 5)))
    places = {"videos": str(videos), "empty": f"{tmp_path}/empty", "five_names": f"{tmp_path}/five.txt"}
    pairs = {"{rgb}": nets["rgb"], "{flow}": nets["flow"], "{five}": (f"{tmp_path}/five.prototxt",)}
    pairs["{five}"] += (f"{tmp_path}/five.caffemodel",)
    given = [part for item in arguments for part in pairs.get(item) or (item.format(**places),)]
    assert run_command("predict", [*given, "--device", "cpu"]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert said in err
    assert not out


@pytest.mark.parametrize("streams", [("rgb",), ("rgb", "flow"), tuple(PLANES)])
def test_picture_shows_the_numbers_and_nothing_overlaps(streams):
    names = ["a very long name of a class that goes on and on", *LABELS[1:]]
    source = Source(f"{'a long name of a video ' * 9}$1$.avi", "name", True)
    prediction = some_prediction(dict.fromkeys(streams, 1.0), source=source)
    subtitle = " + ".join(f"{stream} x 1.5" for stream in streams) + "; 25 snippets, 10 crops"
    figure = picture_figure(prediction, names, subtitle)
    figure.canvas.draw()
    curves = next(axes for axes in figure.axes if axes.get_xlabel() == "seconds")
    best = int(prediction.probabilities().argmax())
    drawn = curves.lines[-1].get_xydata()  # the best class lies on top
    np.testing.assert_allclose(drawn[:, 0], [0.1, 0.6, 1.1, 1.6, 2.1, 2.6])
    np.testing.assert_allclose(drawn[:, 1], 100 * prediction.snippet_probabilities()[:, best])
    bars = [axes for axes in figure.axes if axes.patches]
    assert max(axes.get_window_extent().x1 for axes in bars) > 1100  # of 1240: no empty place beside them
    assert len(bars) == (1 if len(streams) == 1 else 1 + len(streams))
    for axes, values in zip(bars[1:], map(prediction.stream_probabilities, streams), strict=False):
        assert axes.patches[0].get_width() == pytest.approx(100 * values[best])
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.texts if text.get_text()]
    texts += [text for axes in bars for text in axes.texts]
    boxes = [text.get_window_extent(renderer) for text in texts]
    boxes += [axes.get_window_extent(renderer) for axes in figure.axes if axes.images]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= 1240, texts[index].get_text()
        for other in range(index):
            assert not box.overlaps(boxes[other]), (index, other)


def test_picture_of_one_snippet_without_a_frame_rate():
    scores = {"rgb": np.random.default_rng(0).normal(size=(1, 1, CLASSES)).astype(np.float32)}
    thumbnails = [(15, np.zeros((60, 20, 3), np.uint8))]
    one = Prediction(Source("f", "f", False), 30, None, {"rgb": [15]}, scores, {"rgb": 1.0}, thumbnails=thumbnails)
    figure = picture_figure(one, LABELS)
    curves = next(axes for axes in figure.axes if axes.get_xlabel() == "image number")
    np.testing.assert_allclose(
        curves.lines[-1].get_xydata(), [[15, 100 * softmax(scores["rgb"][0, 0]).max()]], rtol=1e-5
    )


def test_scores_that_are_no_numbers(nets, videos):
    predictor = make_predictor(nets, ("rgb",))
    predictor.nets["rgb"].score_snippets = lambda planes: np.full((len(planes), 10, CLASSES), np.nan, np.float32)
    with pytest.raises(PytsnError, match=r"long\.avi: the rgb net's scores are not finite"):
        predictor.predict(Source(str(videos / "long.avi"), "long", True))


def test_names_that_are_not_utf8(nets, extracted, tmp_path, capsys):
    """A folder may have such a name; OpenCV opens no video of that kind, which is told."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copytree(extracted["tvl1"] / "short", folder)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/th\xe9.avi")).write_bytes(b"-")
    assert predict(nets, tmp_path, "--json", tmp_path / "j", "-o", tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "caf\\xe9: class " in out
    assert "error: " in err
    assert [video["name"] for video in json.loads((tmp_path / "j").read_text())["videos"]] == ["caf\\xe9", "th\\xe9"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["caf\\xe9_prediction.png"]
