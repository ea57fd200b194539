"""The table of modalities against what the papers and the released files say."""

import pytest
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.models.modalities import TSN_MODALITIES, find_modality
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import solver_prototxt, train_val_prototxt

#: channels, mean, dropout, clip, base_lr, drops, iterations, cross-modality, scale ratios; ECCV paper and the solvers
PAPERS = {
    "rgb": (3, (104, 117, 123), 0.8, 40, 0.001, (1500, 3000), 3500, False, (1, 0.875, 0.75, 0.66)),
    "flow": (10, (128,), 0.7, 20, 0.005, (10000, 16000), 18000, True, (1, 0.875, 0.75)),
    "warped": (10, (128,), 0.7, 20, 0.005, (10000, 16000), 18000, True, (1, 0.875, 0.75)),
    "rgbdiff": (15, (), 0.8, 40, 0.001, (1500, 3000), 3500, True, (1, 0.875, 0.75)),
}


@pytest.mark.parametrize("name", PAPERS)
def test_rows_are_the_papers(name):
    row = find_modality(name)
    found = (row.channels, row.mean_value, row.dropout, row.schedule.clip_gradients, row.schedule.base_lr)
    found += (row.iterations_of_drops, row.schedule.max_iter, row.cross_modality, row.scale_ratios)
    assert found == PAPERS[name]
    assert row.partial_bn
    assert row.channels == row.planes * row.stream.new_length


def test_there_are_four():
    assert list(TSN_MODALITIES) == list(PAPERS)


def test_epochs_are_passes_over_ucf101():
    """9537 training videos, 128 an update: 3500 updates are 46.97 passes, 10000 are 134.2."""
    rgb, flow = find_modality("rgb"), find_modality("flow")
    assert (rgb.epochs, *rgb.lr_steps) == pytest.approx((46.97, 20.13, 40.26), abs=0.01)
    assert (flow.epochs, *flow.lr_steps) == pytest.approx((241.59, 134.21, 214.74), abs=0.01)


@pytest.mark.parametrize("name", ["rgb", "flow", "rgbdiff"])
def test_rows_are_what_the_prototxts_say(name):
    """The table and the writers of prototxts, which are held against the released files, cannot drift apart."""
    row, spec = find_modality(name), NetSpec("ucf101", name)
    solver = text_format.Parse(solver_prototxt(spec), pb.SolverParameter())
    net = text_format.Parse(train_val_prototxt(spec), pb.NetParameter())
    assert (solver.clip_gradients, solver.max_iter) == (row.schedule.clip_gradients, row.schedule.max_iter)
    assert solver.base_lr == pytest.approx(row.schedule.base_lr)
    dropout = [layer.dropout_param.dropout_ratio for layer in net.layer if layer.type == "Dropout"]
    assert dropout == pytest.approx([row.dropout])
    frozen = [layer.bn_param.frozen for layer in net.layer if layer.type == "BN"]
    assert frozen == [False, *[True] * 68]  # 69 BN layers
    data = net.layer[0]
    assert list(data.transform_param.scale_ratios) == pytest.approx(list(row.scale_ratios))
    assert list(data.transform_param.mean_value) == list(row.mean_value) * (3 if name == "rgb" else 1)


def test_an_unknown_modality_is_said():
    with pytest.raises(PytsnError, match="modality 'optical': one of rgb, flow, warped, rgbdiff"):
        find_modality("optical")
