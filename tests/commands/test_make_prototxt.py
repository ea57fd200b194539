"""The prototxts we write: equal to the released ones where those exist, right for any class count and segments."""

import pytest
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.cli import main
from pytsn.models.net_spec import KINDS, NetSpec
from pytsn.models.prototxt import WRITERS, deploy_prototxt, solver_prototxt, train_val_prototxt

RELEASED = [(d, m, k) for d in ("ucf101", "hmdb51") for m in ("rgb", "flow") for k in KINDS]
# Fields in which our file may differ from the released one, with the reason: (dataset, modality, kind) -> {path: why}.
# None is needed: even names of layers that differ between the rgb and flow files are the released ones.
EXCEPTIONS: dict[tuple[str, str, str], dict[str, str]] = {}


def parse(text, kind):
    return text_format.Parse(text, pb.SolverParameter() if kind == "solver" else pb.NetParameter())


def net_of(writer, *args, **options):
    return parse(writer(NetSpec(*args, **options)), "net")


def leaves(message, path=""):
    """Every scalar that is set, by its path: {"layer[2].pooling_param.kernel_size[0]": 3, ...}."""
    found = {}
    for field, value in message.ListFields():
        repeated = hasattr(value, "extend")  # protobuf 4.25 has no field.is_repeated
        values = list(value) if repeated else [value]
        for i, item in enumerate(values):
            here = f"{path}.{field.name}" + (f"[{i}]" if repeated else "")
            found |= leaves(item, here) if field.message_type else {here: item}
    return found


@pytest.mark.golden
@pytest.mark.parametrize(("dataset", "modality", "kind"), RELEASED)
def test_equals_the_released_file_in_every_field(shared, dataset, modality, kind):
    spec = NetSpec(dataset, modality)
    released = (shared / "tsn" / "models" / dataset / spec.file_name(kind)).read_text()
    theirs, ours = leaves(parse(released, kind)), leaves(parse(WRITERS[kind](spec), kind))
    differing = {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)}
    assert differing == EXCEPTIONS.get((dataset, modality, kind), {}).keys()
    assert len(theirs) > (15 if kind == "solver" else 1000)  # the comparison saw the file


def test_leaves_sees_a_difference_anywhere():
    """The comparison itself: one changed number, one missing layer or one more field must show."""
    net = net_of(deploy_prototxt, "ucf101", "rgb")
    changed = pb.NetParameter()
    for change in ("kernel", "layer", "field"):
        changed.CopyFrom(net)
        if change == "kernel":
            changed.layer[40].convolution_param.kernel_size[0] += 1
        elif change == "layer":
            del changed.layer[40]
        else:
            changed.layer[2].relu_param.negative_slope = 0.1
        assert leaves(changed) != leaves(net), change


@pytest.mark.parametrize(("modality", "channels"), [("rgb", 3), ("flow", 10)])
@pytest.mark.parametrize(("classes", "segments"), [(2, 1), (7, 5), (400, 25)])
def test_class_count_and_segments_reach_every_layer_that_depends_on_them(modality, channels, classes, segments):
    options = {"num_classes": classes, "num_segments": segments, "split": 3, "batch_size": 6, "test_iter": 9}
    net = net_of(train_val_prototxt, "diving", modality, **options)
    layers = {layer.name: layer for layer in net.layer}
    fold, consensus = (["reshape_data", "segment_consensus"], ["data_reshape", "pool_fusion"])[modality == "flow"]
    assert list(layers[fold].reshape_param.shape.dim) == [-1, channels, 224, 224]  # -1: videos * segments
    assert list(layers["reshape_fc"].reshape_param.shape.dim) == [-1, 1, segments, classes]
    pool = layers[consensus].pooling_param
    assert (pool.kernel_h, pool.kernel_w, pool.pool) == (segments, 1, pb.PoolingParameter.AVE)
    assert layers["fc-action"].inner_product_param.num_output == classes
    for data in net.layer[:2]:
        video, mean = data.video_data_param, list(data.transform_param.mean_value)
        assert (video.num_segments, video.new_length) == (segments, channels // (2 if modality == "flow" else 3))
        assert mean == ([128] if modality == "flow" else [104, 117, 123] * segments)
        phase = ("train", "val")[data.include[0].phase == pb.TEST]
        assert video.source == f"data/diving_{modality}_{phase}_split_3.txt"
        assert video.batch_size == {"train": 6, "val": 1}[phase]
    deploy = net_of(deploy_prototxt, "diving", modality, **options)
    assert list(deploy.input_dim) == [1, channels, 224, 224]
    assert deploy.layer[-1].inner_product_param.num_output == classes
    assert parse(solver_prototxt(NetSpec("diving", modality, **options)), "solver").test_iter == [9]


def test_only_what_was_asked_for_changes():
    """Another class count and segment number leave every other field as released."""
    plain, other = (
        leaves(net_of(train_val_prototxt, "ucf101", "flow", **options))
        for options in ({}, {"num_classes": 9, "num_segments": 4})
    )
    changed = {path.rsplit(".", 1)[-1] for path in plain if plain[path] != other[path]}
    assert plain.keys() == other.keys()
    assert changed == {"num_segments", "num_output", "kernel_h", "dim[2]", "dim[3]"}


def test_every_bottom_is_made_before_it_is_used():
    for writer in (deploy_prototxt, train_val_prototxt):
        net = net_of(writer, "hmdb51", "flow")
        made = set(net.input)
        for layer in net.layer:
            assert made.issuperset(layer.bottom), layer.name
            made.update(layer.top)


def test_only_the_first_bn_follows_its_batches():
    """Partial BN (arXiv 1608.00859, section 3.2): all batch normalisation but the first is frozen."""
    net = net_of(train_val_prototxt, "ucf101", "rgb")
    free = [layer.name for layer in net.layer if layer.type == "BN" and not layer.bn_param.frozen]
    assert free == ["conv1/7x7_s2_bn"]


def test_paths_with_quotes_and_accents_survive():
    odd = 'li"sts\\é/train.txt'
    net = net_of(train_val_prototxt, "ucf101", "rgb", train_list=odd)
    assert net.layer[0].video_data_param.source == odd


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_classes": 1}, "num_classes 1"),
        ({"num_segments": 0}, "num_segments 0"),
        ({"split": 0}, "split 0"),
        ({"split": 4}, "splits 1 to 3"),
        ({"batch_size": -2}, "batch_size -2"),
        ({"test_iter": 0}, "test_iter 0"),
        ({"train_list": ""}, "train_list ''"),
        ({"val_list": "a\nb"}, "val_list"),
        ({"num_classes": 2**31}, "num_classes"),
        ({"dataset": "my set", "num_classes": 5}, "dataset 'my set'"),
        ({"dataset": "diving"}, "num_classes"),
        ({"modality": "sound"}, "modality 'sound'"),
    ],
)
def test_nonsense_is_refused_by_name(options, named):
    with pytest.raises(PytsnError, match=named):
        NetSpec(**{"dataset": "ucf101", "modality": "rgb", **options})


def test_a_solver_needs_to_know_its_test_pass():
    with pytest.raises(PytsnError, match="test_iter"):
        solver_prototxt(NetSpec("diving", "rgb", num_classes=5))


def test_command_writes_three_files_that_belong_together(tmp_path, capsys):
    assert main(["make-prototxt", "hmdb51", "flow", "-o", str(tmp_path / "new" / "folder")]) == 0
    files = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert files == [f"tsn_bn_inception_flow_{kind}.prototxt" for kind in sorted(KINDS)]
    printed = capsys.readouterr().out
    assert all(name in printed for name in files)
    solver = parse((tmp_path / "new" / "folder" / files[1]).read_text(), "solver")
    assert solver.net == str(tmp_path / "new" / "folder" / files[2])
    assert solver.snapshot_prefix.startswith(str(tmp_path / "new" / "folder"))


def test_command_keeps_what_is_there_unless_forced(tmp_path, capsys):
    path = tmp_path / "tsn_bn_inception_rgb_solver.prototxt"
    path.write_text("mine")
    command = ["make-prototxt", "ucf101", "rgb", "-o", str(tmp_path)]
    assert main(command) == 2
    assert str(path) in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # none of the others was written either
    assert path.read_text() == "mine"
    assert main([*command, "--force", "--kind", "solver"]) == 0
    assert parse(path.read_text(), "solver").max_iter == 3500


def test_command_counts_the_test_pass_of_a_custom_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val.txt").write_text("".join(f"clips/{i} 90 {i % 5}\n" for i in range(9)))
    command = ["make-prototxt", "diving", "rgb", "--num_classes", "5", "--val_list", "val.txt"]
    assert main(command) == 0
    solver = parse((tmp_path / "models/diving/tsn_bn_inception_rgb_solver.prototxt").read_text(), "solver")
    assert list(solver.test_iter) == [3]  # 9 videos over 4 processes
    assert solver.snapshot_prefix == "models/diving_split1_tsn_rgb_bn_inception"


@pytest.mark.parametrize(
    "wrong",
    [["--num_classes", "1"], ["--num_segments", "0"], ["-o", "file"], ["--split", "9"]],
)
def test_command_ends_in_one_line_and_status_2(tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["make-prototxt", "ucf101", "rgb", *wrong]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
