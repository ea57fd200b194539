"""--set: what changes, what does not, and which mistakes are told."""

import pytest
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.training.overrides import override_net, override_solver, parse_override

NET = """
layer { name: "data" type: "VideoData" video_data_param { source: "old" batch_size: 32 }
        transform_param { mirror: true mean_value: [104, 117, 123] } }
layer { name: "drop" type: "Dropout" }
"""


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("max_iter=7", "max_iter: 7"),
        ("base_lr=1e-3", "base_lr: 1e-3"),
        ("stepvalue=10,20", "stepvalue: [10, 20]"),
        ("stepvalue=[10, 20]", "stepvalue: [10, 20]"),
        ("stepvalue=", ""),
        ("solver.snapshot_prefix=a b/c", 'snapshot_prefix: "a b/c"'),
        ("lr_policy='exp10'", 'lr_policy: "exp10"'),
        ("solver_type=NESTEROV", "solver_type: NESTEROV"),
        ("snapshot_after_train=false", "snapshot_after_train: false"),
    ],
)
def test_solver_fields(text, result):
    solver = pb.SolverParameter(stepvalue=[1, 2, 3])
    override_solver(solver, [parse_override(text)])
    wanted = pb.SolverParameter() if text.startswith("stepvalue") else pb.SolverParameter(stepvalue=[1, 2, 3])
    assert solver == text_format.Parse(result, wanted)


@pytest.mark.parametrize(
    ("text", "phase", "old", "new"),
    [
        ("batch_size=3", "TRAIN", "batch_size: 32", "batch_size: 3"),
        ("batch_size=3", "TEST", "batch_size: 32", "batch_size: 3"),
        ("train.source=x=y.txt", "TRAIN", '"old"', '"x=y.txt"'),
        ("train.source=x.txt", "TEST", "", ""),
        ("test.video_data_param.batch_size=1", "TEST", "batch_size: 32", "batch_size: 1"),
        ("mirror=false", "TRAIN", "mirror: true", "mirror: false"),
        ("video_data_param.mirror=false", "TRAIN", "batch_size: 32", "batch_size: 32 mirror: false"),
        ("mean_value=128", "TRAIN", "[104, 117, 123]", "128"),
        ("modality=RGB", "TRAIN", "batch_size: 32", "batch_size: 32 modality: RGB"),
        ("max_iter=3", "TRAIN", "", ""),
    ],
)
def test_data_fields(text, phase, old, new):
    """mirror stands in two messages: VideoData reads the transform's, so a bare name means that one."""
    net = text_format.Parse(NET, pb.NetParameter())
    override_net(net, phase, [parse_override(text)])
    assert net == text_format.Parse(NET.replace(old, new) if old else NET, pb.NetParameter())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize=3", "no field 'batchsize' in the solver or the data layers; did you mean 'batch_size'"),
        ("solver.batch_size=3", "no field 'batch_size'"),
        ("test.max_iter=3", "no field 'max_iter' in the solver or the data layers"),
        ("transform.mirror=true", "before a field, only"),
        ("max_iter", "field=value was expected"),
        ("max_iter=ten", "max_iter wants a whole number, found 'ten'"),
        ("max_iter=", "max_iter wants a whole number"),
        ("mirror=maybe", "mirror wants true or false"),
        ("modality=DEPTH", "modality wants one of RGB, FLOW"),
        ("base_lr=fast", "base_lr wants a number"),
        ("net_param=x", "'net_param' is a message"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(PytsnError, match=message):
        parse_override(text)
