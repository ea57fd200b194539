"""Nets of sibling forks: their data layers become inputs, and nothing else of theirs is guessed."""

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from converter.foreign_fields import skip_foreign_fields
from converter.net import load_net
from converter.proto import parse_net, read_net
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from tests.converter.nets import build, pixels

SEQUENCE = """
layer { name: "data" type: "SequenceData" top: "data" top: "label"
  sequence_data_param { video_source: "list.txt" shot_source: 'shots.txt' batch_size: 2 num_segments: 3 num_shots: 7
    modality: RGB name_pattern: "image_%06d.jpg" }
  transform_param { crop_size: 24 shot_crop: true is_shot < a: [1, 2] > mean_value: [104, 117, 123] }
  include: { phase: TRAIN } }
"""
VIDEO = """
layer { name: "data" type: "VideoData" top: "data" top: "label"
  video_data_param { source: "list.txt" batch_size: 1 new_length: 1 num_segments: 3 modality: RGB }
  transform_param { crop_size: 24 mean_value: [104, 117, 123] } include: { phase: TEST } }
"""
BODY = """
layer { name: "reshape" type: "Reshape" bottom: "data" top: "frames" reshape_param { shape { dim: [-1, 3, 24, 24] } } }
layer { name: "pool" type: "Pooling" bottom: "frames" top: "pool" pooling_param { pool: AVE kernel_size: 24 } }
layer { name: "fc-action" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 4
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "segments" type: "Reshape" bottom: "fc" top: "by_segment" reshape_param { shape { dim: [-1, 1, 3, 4] } } }
layer { name: "consensus" type: "Pooling" bottom: "by_segment" top: "scores"
        pooling_param { pool: AVE kernel_h: 3 kernel_w: 1 } }
"""
#: wanglimin/UntrimmedNet, models/temporal_untrimmednet_hard_bn_inception_train_val.prototxt: SequenceData in TRAIN,
#: VideoData in TEST, segments by Reshape and Pooling, the shots' best by BatchReduction
UNTRIMMED_TRAIN_VAL = (
    SEQUENCE
    + VIDEO
    + BODY
    + """
layer { name: "shots" type: "Reshape" bottom: "scores" top: "by_shot" reshape_param { shape { dim: [-1, 7, 4] } }
        include: { phase: TRAIN } }
layer { name: "best" type: "BatchReduction" bottom: "by_shot" top: "best"
        batch_reduction_param { reduction_param { operation: TOPK k: 3 axis: 1 } } include: { phase: TRAIN } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "best" bottom: "label" top: "loss-u" softmax_param { axis: 1 }
        include: { phase: TRAIN } }
layer { name: "top1" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy" accuracy_param { axis: 3 }
        include { phase: TEST } }
"""
)


@pytest.fixture
def train_val(tmp_path):
    path = tmp_path / "train_val.prototxt"
    path.write_text(UNTRIMMED_TRAIN_VAL)
    return path


def test_untrimmednets_train_val_in_both_phases(train_val):
    net = load_net(train_val)
    assert net.inputs == {"data": (1, 9, 24, 24), "label": (1,)}
    skipped = "layer 'data' (SequenceData): fields of another Caffe skipped: sequence_data_param, shot_crop, is_shot"
    assert net.notes == [skipped]
    net = load_net(train_val, phase="TRAIN", input_shapes={"data": (2, 63, 24, 24), "label": (2,)})
    assert net.notes == [
        skipped,
        "layer 'data' (SequenceData), a data layer of another Caffe: data, label are inputs here",
    ]
    x = pixels(2, 63, 24, 24)
    scores = net({"data": x, "label": torch.tensor([0.0, 3.0])}, blobs=("best",))["best"].detach().numpy()
    weight, bias = (value.detach().numpy() for value in (net.fc_action.weight, net.fc_action.bias))
    for video in range(2):
        shots = []
        for shot in range(7):
            frames = [x[video, 9 * shot + 3 * k : 9 * shot + 3 * k + 3].numpy().mean((1, 2)) for k in range(3)]
            shots.append(np.mean([weight @ frame + bias for frame in frames], axis=0))
        wanted = np.sort(np.stack(shots), axis=0)[-3:].mean(0)
        np.testing.assert_allclose(scores[video], wanted, rtol=1e-4, atol=1e-5)


def test_without_a_shape_the_line_says_how_to_give_it(train_val):
    with pytest.raises(PytsnError, match=r"the shape of input 'data': pass .*--input_shape data=N,C,H,W"):
        load_net(train_val, phase="TRAIN")


def test_training_from_such_a_layer_is_refused(train_val, tmp_path, capsys):
    line = r"cannot be trained from that layer: use VideoData"
    with pytest.raises(PytsnError, match=rf"train_val.prototxt:3:3: .*layer 'data' \(SequenceData\) .*{line}"):
        read_net(train_val)
    solver = f'net: "{train_val}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{tmp_path}/s"'
    (tmp_path / "solver.prototxt").write_text(solver)
    assert run_command("train", [f"--solver={tmp_path}/solver.prototxt"]) == 2
    assert "cannot be trained from that layer" in capsys.readouterr().err
    plain = UNTRIMMED_TRAIN_VAL.replace(SEQUENCE, SEQUENCE[: SEQUENCE.index("sequence_data_param")] + "}")
    train_val.write_text(plain)  # no unknown field: the type alone is another Caffe's
    assert run_command("train", [f"--solver={tmp_path}/solver.prototxt"]) == 2
    assert "the training net has no VideoData layer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("inner_product_param {", "inner_product_parm {", r"has no field 'inner_product_parm'; did you mean"),
        ("pooling_param { pool", "pooling_param { shots: 3 pool", r"PoolingParameter has no field 'shots'"),
        ('type: "SequenceData"', 'type: "SequenceData" bottom: "x"', r"has no field 'sequence_data_param'"),
        ('type: "SequenceData"', 'type: "Input"', r"has no field 'sequence_data_param'"),
        ('type: "SequenceData"', 'type: "Sequence"', r"has no field 'sequence_data_param'"),
        ("modality: RGB }\n  transform", "modality: SOUND }\n  transform", r"'SOUND' is not one of"),
        ("layer {", "optimize: true layer {", r"NetParameter has no field 'optimize'"),
    ],
)
def test_unknown_fields_elsewhere_stay_errors(old, new, line, tmp_path):
    (tmp_path / "net.prototxt").write_text(UNTRIMMED_TRAIN_VAL.replace(old, new))
    with pytest.raises(PytsnError, match=line):
        load_net(tmp_path / "net.prototxt")


def test_places_stay_and_only_the_fields_go():
    text, (found,) = skip_foreign_fields(SEQUENCE)
    assert (found.layer, found.type) == ("data", "SequenceData")
    assert found.fields == ("sequence_data_param", "shot_crop", "is_shot")
    assert [len(line) for line in text.splitlines()] == [len(line) for line in SEQUENCE.splitlines()]
    left = parse_net(text).layer[0]
    assert left.transform_param.crop_size == 24
    assert list(left.transform_param.mean_value) == [104, 117, 123]
    assert len(left.include) == 1


@pytest.mark.parametrize(
    "text", ["", "layer {", "layer { a", "}", "[", "{" * 100_000, "layer { a: [1", 'name: "', "a:"]
)
def test_what_is_no_prototxt_comes_back(text):
    assert skip_foreign_fields(text) == (text, [])


def test_commands_print_the_notes(tmp_path, capsys):
    net = SEQUENCE.replace("include: { phase: TRAIN }", "") + BODY
    (tmp_path / "net.prototxt").write_text(net)
    body = 'input: "data" input_shape { dim: [1, 9, 24, 24] }' + BODY
    save_caffemodel(tmp_path / "w", build(body))
    given = [f"{tmp_path}/net.prototxt", f"{tmp_path}/w", "-o", f"{tmp_path}/o.safetensors"]
    assert run_command("convert", given) == 2
    assert "--input_shape data=N,C,H,W" in capsys.readouterr().err
    assert run_command("convert", [*given, "--input_shape", "data=1,nine"]) == 2
    assert "--input_shape data=1,nine: BLOB=N,C,H,W was expected" in capsys.readouterr().err
    assert run_command("convert", [*given, "--input_shape", "data=1,9,24,24"]) == 0
    out = capsys.readouterr().out
    assert "note: layer 'data' (SequenceData): fields of another Caffe skipped: sequence_data_param" in out
    assert "note: layer 'data' (SequenceData), a data layer of another Caffe: data, label are inputs here" in out


#: repository, path -> what is particular in it, in a few lines of our own; the score blob and its shape
NETS = {
    # the released test net with a second classifier beside the first
    ("wanglimin/UntrimmedNet", "thumos_proto/spatial_untrimmednet_soft_bn_inception_deploy.prototxt"): (
        """
input: "data" input_dim: 1 input_dim: 3 input_dim: 24 input_dim: 24
layer { name: "pool" type: "Pooling" bottom: "data" top: "global_pool" pooling_param { pool: AVE kernel_size: 24 } }
layer { name: "dropout" type: "Dropout" bottom: "global_pool" top: "global_pool" }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param { num_output: 5 } }
layer { name: "fc-attention" type: "InnerProduct" bottom: "global_pool" top: "fc-attention"
        inner_product_param { num_output: 1 } }
""",
        {"fc-action": (1, 5), "fc-attention": (1, 1)},
    ),
    # fetched by models/get_reference_models.sh: names with dots, pre-activation BN, a sum, a Flatten before the scores
    ("yjxiong/anet2016-cuhk", "models/resnet200_anet_2016_deploy.prototxt"): (
        """
input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }
layer { name: "caffe.SpatialConvolution_0" type: "Convolution" bottom: "data" top: "caffe.SpatialConvolution_0"
        convolution_param { num_output: 4 kernel_size: 7 stride: 2 pad: 3 bias_term: false } }
layer { name: "caffe.BN_2" type: "BN" bottom: "caffe.SpatialConvolution_0" top: "caffe.BN_2" bn_param { frozen: true } }
layer { name: "caffe.ReLU_3" type: "ReLU" bottom: "caffe.BN_2" top: "caffe.BN_2" }
layer { name: "caffe.SpatialConvolution_4" type: "Convolution" bottom: "caffe.BN_2" top: "caffe.SpatialConvolution_4"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "caffe.CAddTable_5" type: "Eltwise" bottom: "caffe.SpatialConvolution_4"
        bottom: "caffe.SpatialConvolution_0" top: "caffe.CAddTable_5" eltwise_param { operation: SUM } }
layer { name: "caffe.Pooling_6" type: "Pooling" bottom: "caffe.CAddTable_5" top: "caffe.Pooling_6"
        pooling_param { pool: AVE kernel_size: 12 } }
layer { name: "caffe.Flatten_673" type: "Flatten" bottom: "caffe.Pooling_6" top: "caffe.Flatten_673" }
layer { name: "fc-action" type: "InnerProduct" bottom: "caffe.Flatten_673" top: "fc-action"
        inner_product_param { num_output: 200 } }
""",
        {"fc-action": (1, 200), "caffe.Flatten_673": (1, 4)},
    ),
}


@pytest.mark.parametrize("place", list(NETS), ids="/".join)
def test_test_nets_of_sibling_repositories_build_and_run(place):
    text, wanted = NETS[place]
    net = build(text)
    with torch.no_grad():
        found = net(pixels(1, 3, 24, 24), blobs=tuple(wanted))
    assert {name: tuple(value.shape) for name, value in found.items()} == wanted


#: wanglimin/ARTNet, models/112_artnet_resnet_18_deploy.prototxt: data without a name, filters in three dimensions
ARTNET = """
layer { type: "DummyData" top: "data" dummy_data_param { shape { dim: 10 dim: 3 dim: 16 dim: 112 dim: 112 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 64 pad: [0, 3, 3]
        kernel_size: [1, 7, 7] stride: [2, 2, 2] bias_term: false } }
"""
POOL = 'layer { name: "p" type: "Pooling" bottom: "conv1" top: "p" pooling_param { pool: AVE kernel_size: [1, 7, 7] } }'


def test_artnets_three_dimensions_are_one_line(tmp_path):
    (tmp_path / "net.prototxt").write_text(ARTNET)
    with pytest.raises(PytsnError, match=r"layer 'conv1' \(Convolution\): bottom must have 4 axes, found .*10, 3, 16"):
        load_net(tmp_path / "net.prototxt")
    (tmp_path / "net.prototxt").write_text(ARTNET + POOL)
    with pytest.raises(PytsnError, match=r"net\.prototxt:5:\d+: .*a list is another Caffe's, for nets in three"):
        load_net(tmp_path / "net.prototxt")
    video = VIDEO.replace("new_length: 1", "new_length: 1 length_first: true")  # its train_val's own field
    (tmp_path / "net.prototxt").write_text(video + BODY)
    net = load_net(tmp_path / "net.prototxt")
    assert net.notes == ["layer 'data' (VideoData): fields of another Caffe skipped: length_first"]
