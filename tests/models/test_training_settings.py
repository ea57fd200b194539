"""The table of modalities against what the papers and the released files say."""

import pytest
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from pytsn.data.modalities import MODALITIES, find_modality
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import solver_prototxt, train_val_prototxt
from pytsn.models.training_settings import released_schedule

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
    training, schedule = row.training, released_schedule(row)
    found = (row.channels, row.mean, training.dropout, schedule.clip_gradients, schedule.base_lr)
    found += (schedule.iterations_of_drops, schedule.max_iter, training.cross_modality, training.scale_ratios)
    assert found == PAPERS[name]
    assert training.partial_bn
    assert row.channels == row.images.planes * row.length


def test_there_are_four():
    assert list(MODALITIES) == list(PAPERS)


def test_epochs_are_passes_over_ucf101():
    """9537 training videos, 128 an update: 3500 updates are 46.97 passes, 10000 are 134.2."""
    rgb, flow = (released_schedule(find_modality(name)) for name in ("rgb", "flow"))
    assert (rgb.epochs, *rgb.lr_steps) == pytest.approx((46.97, 20.13, 40.26), abs=0.01)
    assert (flow.epochs, *flow.lr_steps) == pytest.approx((241.59, 134.21, 214.74), abs=0.01)


@pytest.mark.parametrize("name", ["rgb", "flow", "rgbdiff"])
def test_rows_are_what_the_prototxts_say(name):
    """The table and the writers of prototxts, which are held against the released files, cannot drift apart."""
    row, spec = find_modality(name), NetSpec("ucf101", name)
    training, schedule = row.training, released_schedule(row)
    solver = text_format.Parse(solver_prototxt(spec), pb.SolverParameter())
    net = text_format.Parse(train_val_prototxt(spec), pb.NetParameter())
    assert (solver.clip_gradients, solver.max_iter) == (schedule.clip_gradients, schedule.max_iter)
    assert solver.base_lr == pytest.approx(schedule.base_lr)
    dropout = [layer.dropout_param.dropout_ratio for layer in net.layer if layer.type == "Dropout"]
    assert dropout == pytest.approx([training.dropout])
    frozen = [layer.bn_param.frozen for layer in net.layer if layer.type == "BN"]
    assert frozen == [False, *[True] * 68]  # 69 BN layers
    data = net.layer[0]
    assert list(data.transform_param.scale_ratios) == pytest.approx(list(training.scale_ratios))
    assert list(data.transform_param.mean_value) == list(row.mean) * (3 if name == "rgb" else 1)
