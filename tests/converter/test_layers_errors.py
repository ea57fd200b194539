"""Parameters and shapes that no net can be built from: each refused with a message that names the field."""

import pytest
import torch

from converter.errors import PytsnError
from converter.layers import LAYERS, Context
from tests.converter.layer_build import build, layer_param

MAP = (2, 6, 7, 5)
CONV = 'type: "Convolution" convolution_param { %s }'
FIT = "num_output: 4 kernel_size: 3"
POOL = 'type: "Pooling" pooling_param { %s }'
RESHAPE = 'type: "Reshape" reshape_param { %s }'
SLICE = 'type: "Slice" slice_param { %s }'
BATCH = 'type: "BatchReduction" batch_reduction_param { %s }'
LOSS = 'type: "SoftmaxWithLoss" softmax_param { axis: %d }'
ELTWISE = 'type: "Eltwise" eltwise_param { %s }'

# (layer, shapes of the bottoms, number of tops, part of the message)
WRONG = [
    (CONV % "kernel_size: 3", [MAP], 1, "num_output is missing"),
    (CONV % "num_output: 4", [MAP], 1, "kernel_size .* is missing"),
    (CONV % "num_output: 4 kernel_h: 3", [MAP], 1, "kernel_h and kernel_w must come together"),
    (CONV % f"{FIT} kernel_h: 3 kernel_w: 3", [MAP], 1, "give kernel_size or kernel_h and kernel_w, not both"),
    (CONV % "num_output: 4 kernel_size: [3, 3, 3]", [MAP], 1, "takes one value or two"),
    (CONV % "num_output: 4 kernel_size: 0", [MAP], 1, "kernel_size must be above 0"),
    (CONV % f"{FIT} stride: 0", [MAP], 1, "stride must be above 0"),
    (CONV % f"{FIT} stride_h: 2", [MAP], 1, "stride_h and stride_w must come together"),
    (CONV % f"{FIT} dilation: 0", [MAP], 1, "dilation must be above 0"),
    (CONV % f"{FIT} group: 4", [MAP], 1, "group 4 does not divide the 6 channels"),
    (CONV % f"{FIT} group: 3", [MAP], 1, "group 3 does not divide the 4 num_output"),
    (CONV % f"{FIT} group: 0", [MAP], 1, "group must be above 0"),
    (
        CONV % "num_output: 4 kernel_size: 6 pad_h: 3",
        [MAP],
        1,
        r"kernel of extent 6 is larger than the padded input \(5",
    ),
    (CONV % f"{FIT} dilation: 3", [MAP], 1, "extent 7 is larger"),
    (CONV % FIT, [(2, 6, 7)], 1, "must have 4 axes"),
    (CONV % FIT, [MAP, (2, 6, 7, 4)], 2, "must have one shape"),
    (CONV % FIT, [MAP], 2, "takes 1 top, found 2"),
    (CONV % "num_output: 4000000000 kernel_size: 1", [MAP], 1, "more than 2147483647 values"),
    (CONV % "num_output: 1 kernel_size: 1 pad: 4000000000", [MAP], 1, "more than 2147483647 values"),
    (CONV % f'{FIT} weight_filler {{ type: "xaver" }}', [MAP], 1, "unknown filler 'xaver': did you mean 'xavier'"),
    ('type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 1 pad: 3 }', [MAP], 1, "leaves no output"),
    (POOL % "", [MAP], 1, "kernel_size .* is missing"),
    (POOL % "kernel_size: 3 stride: 0", [MAP], 1, "stride must be above 0"),
    (POOL % "kernel_size: 2 pad: 2", [MAP], 1, "must be smaller than the kernel"),
    (POOL % "kernel_size: 9", [MAP], 1, "kernel 9 is too large for 7 pixels"),
    (POOL % "pool: AVE kernel_size: 1 stride: 3", [(1, 2, 5, 4)], 1, "outside the 5 pixels"),
    (POOL % "global_pooling: true kernel_size: 2", [MAP], 1, "remove kernel_size"),
    (POOL % "global_pooling: true pad: 1", [MAP], 1, "only pad 0 and stride 1"),
    (POOL % "pool: AVE kernel_size: 2", [MAP], 2, "only MAX pooling has a second top"),
    (POOL % "pool: STOCHASTIC kernel_size: 2 pad: 1", [MAP], 1, "takes no padding"),
    (POOL % "kernel_size: 2", [(2, 3)], 1, "must have 4 axes"),
    ('type: "InnerProduct"', [MAP], 1, "num_output is missing"),
    ('type: "InnerProduct" inner_product_param { num_output: 3 axis: 4 }', [MAP], 1, "axis 4 is out of range"),
    ('type: "Scale" scale_param { axis: 2 num_axes: 3 }', [MAP], 1, "reach past"),
    ('type: "Scale" scale_param { num_axes: -2 }', [MAP], 1, "num_axes must be -1"),
    ('type: "Scale" scale_param { axis: 1 }', [MAP, (7, 5)], 1, r"must have the shape \(6, 7\)"),
    ('type: "Bias"', [MAP, (5,)], 1, r"must have the shape \(6,\)"),
    ('type: "BN"', [(2, 3, 4, 5, 6)], 1, "2 to 4 axes"),
    ('type: "LRN" lrn_param { local_size: 4 }', [MAP], 1, "local_size must be odd"),
    ('type: "Dropout" dropout_param { dropout_ratio: 1 }', [MAP], 1, "dropout_ratio must lie in"),
    ('type: "Log" log_param { base: 1 }', [MAP], 1, "base must not be 1"),
    ('type: "Exp" exp_param { base: -2 }', [MAP], 1, "base must be above 0"),
    ('type: "PReLU"', [(3,)], 1, "must have 2 to"),
    ('type: "Concat"', [(2, 3, 4), (2, 3, 5)], 1, "equal except along axis 1"),
    ('type: "Concat"', [(2, 3, 4), (2, 3)], 1, "equal except along axis 1"),
    ('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', [MAP], 1, "axis or concat_dim, not both"),
    ('type: "Concat" concat_param { concat_dim: 4 }', [MAP], 1, "concat_dim 4 is out of range"),
    (SLICE % "", [MAP], 4, "4 tops do not divide the 6"),
    (SLICE % "slice_point: [3, 2]", [MAP], 3, "slice_point must rise"),
    (SLICE % "slice_point: [2, 6]", [MAP], 3, "slice_point must rise"),
    (SLICE % "slice_point: 2", [MAP], 3, "one slice_point less than tops"),
    (SLICE % "axis: -5", [MAP], 2, "axis -5 is out of range"),
    (ELTWISE % "", [MAP], 1, "takes 2 or more bottoms, found 1"),
    (ELTWISE % "", [MAP, (2, 6, 7, 1)], 1, "must have one shape"),
    (ELTWISE % "coeff: 1", [MAP, MAP], 1, "one coeff a bottom"),
    (ELTWISE % "operation: PROD coeff: [1, 1]", [MAP, MAP], 1, "no meaning for PROD"),
    (RESHAPE % "shape { dim: [-1, 8] }", [MAP], 1, r"420 values, which do not fill the shape \(-1, 8\)"),
    (RESHAPE % "shape { dim: [2, 3] }", [MAP], 1, "do not fill"),
    (RESHAPE % "shape { dim: [-1, -1] }", [MAP], 1, "only one dim may be -1"),
    (RESHAPE % "shape { dim: -2 }", [MAP], 1, "dim must be -1 or more"),
    (RESHAPE % "shape { dim: [0, 0, 0, 0, 0] }", [MAP], 1, "dim 0 at axis 4 has nothing to copy"),
    (RESHAPE % "axis: 5 shape { dim: 1 }", [MAP], 1, "axis 5 is out of range"),
    (RESHAPE % "axis: 2 num_axes: 3 shape { dim: 1 }", [MAP], 1, "past the end"),
    ('type: "Flatten" flatten_param { axis: 2 end_axis: 1 }', [MAP], 1, "axis 2 lies behind end_axis 1"),
    ('type: "Softmax" softmax_param { axis: 4 }', [MAP], 1, "axis 4 is out of range"),
    (LOSS % 1, [(4, 3), (5,)], 1, "need 4 labels, found 5"),
    (LOSS % 1, [(4, 3)], 1, "takes 2 bottoms, found 1"),
    ('type: "Accuracy" accuracy_param { top_k: 4 }', [(4, 3), (4,)], 1, "larger than the number of classes, 3"),
    ('type: "EuclideanLoss"', [(4, 3), (4, 2)], 1, "must agree"),
    ('type: "ArgMax" argmax_param { top_k: 13 }', [(2, 3, 4)], 1, r"top_k must lie in 1\.\.12"),
    ('type: "Reduction" reduction_param { operation: TOPK }', [MAP], 1, "TOPK belongs to BatchReduction"),
    (BATCH % "level: [1, 2]", [MAP], 1, r"into \[1, 4\], but it has 2"),
    (BATCH % "pos: true", [MAP], 1, "two axes of one size"),
    (BATCH % "pos: true level: [1, 2]", [MAP], 1, "pos allows only one level"),
    (BATCH % "level: [1, 2] reduction_param { operation: TOPK }", [MAP], 1, "TOPK allows only one level"),
    (BATCH % "reduction_param { operation: TOPK k: 3 }", [MAP], 1, r"k must lie in 1\.\.2"),
    (BATCH % "reduction_param { operation: SUMSQ }", [MAP], 1, "SUM, MEAN or TOPK"),
    ('type: "ReLU"', [MAP, MAP], 1, "takes 1 bottom, found 2"),
    ('type: "ReLU"', [(2, 0, 3)], 1, "a bottom is empty"),
    ('type: "Silence"', [MAP], 1, "takes 0 tops, found 1"),
    ('type: "Gather"', [MAP, MAP], 1, "takes 2 tops, found 1"),
]


@pytest.mark.parametrize(
    ("text", "shapes", "tops", "message"), WRONG, ids=[f"{i}-{case[3][:24]}" for i, case in enumerate(WRONG)]
)
def test_refused(text, shapes, tops, message):
    with pytest.raises(PytsnError, match=message):
        build(text, *shapes, tops=tops)


def test_stochastic_pooling_is_refused_in_training():
    with pytest.raises(PytsnError, match="not supported in the TRAIN phase"):
        build(POOL % "pool: STOCHASTIC kernel_size: 2", MAP, phase="TRAIN")


@pytest.mark.parametrize(
    ("text", "built_for", "run_on", "message"),
    [
        (CONV % FIT, (2, 3, 6, 6), (2, 4, 6, 6), r"must be \(N, 3, H, W\), found \(2, 4, 6, 6\)"),
        ('type: "InnerProduct" inner_product_param { num_output: 2 }', (2, 3, 4), (2, 3, 5), "12 features .* has 15"),
        (POOL % "kernel_size: 5", (1, 2, 7, 7), (1, 2, 4, 7), "kernel 5 is too large for 4"),
        (RESHAPE % "shape { dim: [-1, 4] }", (2, 6), (1, 6), r"shape \(1, 6\) does not fill"),
        (SLICE % "slice_point: 4", (1, 6), (1, 3), "slice_point must rise between 0 and 3"),
    ],
)
def test_refused_at_run_time(text, built_for, run_on, message):
    module = build(text, built_for, tops=2 if "Slice" in text else 1)
    with pytest.raises(PytsnError, match=message):
        module(torch.zeros(run_on))


def test_eltwise_does_not_broadcast():
    with pytest.raises(PytsnError, match="must have one shape"):
        build(ELTWISE % "", (4, 3), (4, 3))(torch.zeros(4, 3), torch.zeros(1, 3))


def test_a_loss_may_leave_its_top_out():
    """Files of 2014 do; Caffe then names the top by itself."""
    param = layer_param(LOSS % 1, bottoms=2, tops=0)
    module = LAYERS[param.type](param, [(4, 3), (4,)], Context())
    assert module(torch.zeros(4, 3), torch.zeros(4)).item() == pytest.approx(1.0986123)  # log 3
