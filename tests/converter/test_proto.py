"""Schema and parsing against the fork's field numbers, the original prototxts and hand-made old files."""

import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import descriptor_pb2

from converter import caffe_tsn_pb2 as pb
from converter import proto
from converter.errors import PytsnError
from tests.places import ROOT

# Field numbers from the facts page (caffe-semantics.md, section 1), which took them from the fork's caffe.proto.
NUMBERS = {
    "NetParameter": "name 1, layers 2, input 3, input_dim 4, force_backward 5, state 6, debug_info 7, "
    "input_shape 8, layer 100, mem_param 200",
    "BlobProto": "num 1, channels 2, height 3, width 4, data 5, diff 6, shape 7, double_data 8, double_diff 9",
    "SolverParameter": "train_net 1, test_net 2, test_iter 3, test_interval 4, base_lr 5, display 6, max_iter 7, "
    "lr_policy 8, gamma 9, power 10, momentum 11, weight_decay 12, stepsize 13, snapshot 14, "
    "snapshot_prefix 15, snapshot_diff 16, solver_mode 17, device_id 18, test_compute_loss 19, "
    "random_seed 20, train_net_param 21, test_net_param 22, debug_info 23, net 24, net_param "
    "25, train_state 26, test_state 27, snapshot_after_train 28, regularization_type 29, "
    "solver_type 30, delta 31, test_initialization 32, average_loss 33, stepvalue 34, "
    "clip_gradients 35, iter_size 36, richness 37, group_id 38",
    "SolverState": "iter 1, learned_net 2, history 3, current_step 4",
    "ParamSpec": "name 1, share_mode 2, lr_mult 3, decay_mult 4",
    "LayerParameter": "name 1, type 2, bottom 3, top 4, loss_weight 5, param 6, blobs 7, include 8, exclude 9, "
    "phase 10, propagate_down 11, transform_param 100, loss_param 101, bn_param 137, "
    "batch_norm_param 139, video_data_param 140, seg_data_param 141, scale_param 160, "
    "bias_param 161",
    "BNParameter": "slope_filler 1, bias_filler 2, momentum 3, eps 4, frozen 5, engine 6",
    "VideoDataParameter": "source 1, scale 2, mean_file 3, batch_size 4, crop_size 5, mirror 6, rand_skip 7, shuffle "
    "8, new_height 9, new_width 10, new_length 11, num_segments 12, modality 13, name_pattern "
    "14, encoded 15, grayscale 16",
    "TransformationParameter": "scale 1, mirror 2, crop_size 3, mean_file 4, mean_value 5, force_color 6, "
    "force_gray 7, fix_crop 10, multi_scale 11, scale_ratios 12, max_distort 13, is_flow 14, more_fix_crop "
    "15, stride 16, upper_size 17, upper_height 18, upper_width 19, original_image 20",
}
DEFAULTS = {
    "BNParameter": {"momentum": 0.9, "eps": 1e-5, "frozen": False},
    "VideoDataParameter": {"new_height": 0, "new_length": 1, "num_segments": 1, "modality": pb.VideoDataParameter.FLOW},
    "SolverParameter": {
        "solver_mode": pb.SolverParameter.GPU,
        "random_seed": -1,
        "clip_gradients": -1,
        "richness": 300,
    },
    "TransformationParameter": {"max_distort": 1, "scale": 1},
    "ParamSpec": {"lr_mult": 1.0, "decay_mult": 1.0},
}


@pytest.mark.parametrize("message", NUMBERS)
def test_field_numbers_are_the_forks(message):
    fields = getattr(pb, message).DESCRIPTOR.fields_by_name
    wanted = dict(item.split() for item in NUMBERS[message].split(", "))
    assert {name: fields[name].number for name in wanted} == {name: int(number) for name, number in wanted.items()}


@pytest.mark.parametrize("message", DEFAULTS)
def test_defaults_are_the_forks(message):
    empty = getattr(pb, message)()
    assert {name: getattr(empty, name) for name in DEFAULTS[message]} == pytest.approx(DEFAULTS[message])


def test_device_id_is_repeated_in_the_forks_solver():
    assert list(proto.parse_solver("device_id: [0,1,2,3]").device_id) == [0, 1, 2, 3]


def test_committed_module_is_what_protoc_makes_of_the_schema(tmp_path):
    out = tmp_path / "set.bin"
    _run_protoc(f"--descriptor_set_out={out}")
    made = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    committed = descriptor_pb2.FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    assert _normal(made) == _normal(committed)


def test_committed_types_are_what_protoc_makes_of_the_schema(tmp_path):
    _run_protoc(f"--pyi_out={tmp_path}")
    made, committed = (
        _normal_types((folder / "caffe_tsn_pb2.pyi").read_text()) for folder in (tmp_path, ROOT / "converter")
    )
    assert "class NetParameter(_message.Message):" in made
    assert made == committed


def _run_protoc(output: str) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="needs grpcio-tools (the test extra)")
    assert protoc.main(["protoc", f"-I{ROOT / 'protos'}", output, str(ROOT / "protos" / "caffe_tsn.proto")]) == 0


def _normal_types(text: str) -> list[str]:
    # protoc's versions differ in where they import from, and older ones do not say that a bool may be left out as None
    lines = [line.replace("_Optional[bool]", "bool") for line in text.splitlines()]
    return [line for line in lines if not line.startswith(("from ", "import "))]


def _normal(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    for field in (field for message in file.message_type for field in message.field):
        field.ClearField("json_name")  # in descriptor sets only, not in generated modules
        if field.type == field.TYPE_FLOAT and field.default_value:  # "0.9" or "0.899999976", as protoc's version likes
            field.default_value = str(np.float32(field.default_value))
    return file


@pytest.mark.parametrize("order", ["theirs first", "ours first"])
def test_imports_beside_pycaffes_module(order):
    # pycaffe registers a file caffe.proto, package caffe, with messages of the same names.
    theirs = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "f = descriptor_pb2.FileDescriptorProto(name='caffe.proto', package='caffe', syntax='proto2')\n"
        "m = f.message_type.add(name='NetParameter'); m.field.add(name='name', number=1, type=9, label=1)\n"
        "f.message_type.add(name='LayerParameter'); f.message_type.add(name='BlobProto')\n"
        "descriptor_pool.Default().Add(f)\n"
    )
    ours = "from converter import caffe_tsn_pb2 as pb; assert pb.NetParameter(name='x').name == 'x'\n"
    code = theirs + ours if order == "theirs first" else ours + theirs
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.golden
def test_every_original_prototxt_parses(shared):
    nets = sorted((shared / "tsn" / "models").rglob("*.prototxt"))
    assert len(nets) >= 19
    for path in nets:
        if "solver" in path.name:
            assert proto.read_solver(path).net.startswith("models/")
        else:
            assert len(proto.read_net(path).layer) >= 20


@pytest.mark.golden
def test_quirks_of_the_released_files(shared):
    folder = shared / "tsn" / "models" / "ucf101"
    solver = proto.read_solver(folder / "tsn_bn_inception_rgb_solver.prototxt")
    assert list(solver.test_iter) == [950]  # written without a space
    assert list(solver.device_id) == [0, 1, 2, 3]
    net = proto.read_net(folder / "tsn_bn_inception_rgb_train_val.prototxt")
    train = proto.filter_net(net, "TRAIN")
    assert [layer.name for layer in net.layer[:2]] == ["data", "data"]
    assert train.layer[0].video_data_param.batch_size == 32
    assert list(train.layer[0].transform_param.scale_ratios) == pytest.approx([1, 0.875, 0.75, 0.66])
    assert proto.filter_net(net, "TEST").layer[0].video_data_param.batch_size == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name: "n"\nlayer {\n  nme: "x" }', "p.prototxt:3:3: LayerParameter has no field 'nme'; did you mean 'name'?"),
        ("layer { pooling_param { pool: MX } }", "'MX' is not one of PoolMethod's values; did you mean 'MAX'"),
        ("layer {\n phase: TRIAN }", "p.prototxt:2:9: 'TRIAN' is not one of Phase's values; did you mean 'TRAIN'"),
        ("layer { convolution_param { num_output: x } }", "p.prototxt:1:41"),
        ('layer { name: "a" name: "b" }', "name"),
        ("layer {", "p.prototxt:1:"),
        ("layers { layer { } }", "V1LayerParameter has no field 'layer'"),
        ('input: "data" input_dim: 1 input_dim: 3', "1 inputs need 4 input_dim, found 2"),
        ('layer { name: "a" } layers { name: "b" type: RELU }', "mixes"),
    ],
)
def test_text_errors_name_file_line_column_and_field(text, words):
    with pytest.raises(PytsnError) as caught:
        proto.parse_net(text, "p.prototxt")
    assert words in str(caught.value)
    assert str(caught.value).startswith("p.prototxt")
    assert "\n" not in str(caught.value)


def test_binary_given_as_text_says_so(recordings):
    with pytest.raises(PytsnError, match=r"snap_iter_10.caffemodel: not a text file"):
        proto.read_net(recordings / "tiny" / "det_fixed" / "snap_iter_10.caffemodel")


def test_missing_file_and_folder_are_one_line(tmp_path):
    with pytest.raises(PytsnError, match=r"nowhere.prototxt: no such file"):
        proto.read_net(tmp_path / "nowhere.prototxt")
    with pytest.raises(PytsnError, match="is a folder"):
        proto.read_net(tmp_path)


V1_NET = """
name: "old" input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
         weight_decay: 0 convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "conv" top: "fc" param: "shared" blob_share_mode: PERMISSIVE
         inner_product_param { num_output: 5 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" bottom: "label" top: "loss" loss_weight: 2
         include { phase: TRAIN } }
"""
NEW_NET = """
name: "old" input: "data" input_shape { dim: 2 dim: 3 dim: 8 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 decay_mult: 1 }
        param { lr_mult: 2 decay_mult: 0 } convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" param { name: "shared" share_mode: PERMISSIVE }
        inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 2
        include { phase: TRAIN } }
"""


def test_v1_text_upgrades_to_what_one_would_write_today():
    assert proto.parse_net(V1_NET) == proto.parse_net(NEW_NET)


def test_every_v1_type_upgrades_to_a_type_that_caffe_registers():
    from converter.dialect import v1_type_name

    # REGISTER_LAYER_CLASS names in the fork's src/caffe/layers, plus Python's own for those kept in layer_factory.cpp.
    known = [
        "AbsVal",
        "Accuracy",
        "ArgMax",
        "BNLL",
        "Concat",
        "ContrastiveLoss",
        "Convolution",
        "Data",
        "Deconvolution",
        "Dropout",
        "DummyData",
        "Eltwise",
        "EuclideanLoss",
        "Exp",
        "Flatten",
        "HDF5Data",
        "HDF5Output",
        "HingeLoss",
        "Im2col",
        "ImageData",
        "InfogainLoss",
        "InnerProduct",
        "LRN",
        "MVN",
        "MemoryData",
        "MultinomialLogisticLoss",
        "Pooling",
        "Power",
        "ReLU",
        "Sigmoid",
        "SigmoidCrossEntropyLoss",
        "Silence",
        "Slice",
        "Softmax",
        "SoftmaxWithLoss",
        "Split",
        "TanH",
        "Threshold",
        "WindowData",
    ]
    names = [v1_type_name(pb.V1LayerParameter(type=n)) for n in pb.V1LayerParameter.LayerType.values() if n]
    assert sorted(names) == sorted(known)


def test_stages_and_levels_filter():
    net = proto.parse_net(
        'layer { name: "a" include { stage: "deploy" not_stage: "debug" } }'
        'layer { name: "b" exclude { min_level: 2 } }'
        ' layer { name: "c" include { phase: TEST min_level: 1 } include { phase: TRAIN } }'
    )
    names = lambda **kw: [layer.name for layer in proto.filter_net(net, **kw).layer]  # noqa: E731 a test's shorthand
    assert names(phase="TEST") == ["b"]
    assert names(phase="TRAIN", stages=("deploy",)) == ["a", "b", "c"]
    assert names(phase="TEST", stages=("deploy", "debug"), level=1) == ["b", "c"]
    assert names(phase="TEST", level=2) == ["c"]


def test_include_and_exclude_together_are_refused():
    net = proto.parse_net('layer { name: "a" include { phase: TEST } exclude { phase: TRAIN } }')
    with pytest.raises(PytsnError, match="include and exclude"):
        proto.filter_net(net)


def test_solverstate_of_caffe(recordings):
    state = proto.read_solverstate(recordings / "tiny" / "det_multistep_itersize" / "snap_iter_20.solverstate")
    assert state.iter == 20
    assert state.learned_net.endswith("snap_iter_20.caffemodel")
    assert state.current_step == 3  # stepvalue: [5, 9, 12]
    assert len(state.history) == 2 + 4 + 2 + 4 + 2 + 2  # conv1, its BN, a/3x3, its BN, a/pool_proj, fc-action


def test_a_caffemodel_is_no_solverstate_and_rubbish_neither(tmp_path):
    (tmp_path / "x.solverstate").write_bytes(b"\xff\xff\xff")
    with pytest.raises(PytsnError, match=r"x.solverstate: damaged"):
        proto.read_solverstate(tmp_path / "x.solverstate")


def test_mean_file_of_old_and_new_shape(tmp_path):
    mean = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    old = pb.BlobProto(num=1, channels=3, height=2, width=4, data=mean.ravel())
    new = pb.BlobProto(data=mean.ravel())
    new.shape.dim.extend([3, 2, 4])
    for name, message in (("old", old), ("new", new)):
        (tmp_path / name).write_bytes(message.SerializeToString())
        np.testing.assert_array_equal(proto.read_mean(tmp_path / name), mean)
    (tmp_path / "bad").write_bytes(b"not a blob")
    with pytest.raises(PytsnError, match="bad: not a mean file"):
        proto.read_mean(tmp_path / "bad")
