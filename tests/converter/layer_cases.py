"""The table of layers to be compared with slow numpy (test_layers_oracle.py).

Shapes have dimensions that all differ. Options are fractions that float32, in which a prototxt is parsed, holds
exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.converter import layer_oracles as slow


@dataclass(frozen=True)
class Case:
    """``oracle(*bottoms, *parameters)`` -> the top. ``positive``: bottoms in [0.5, 1.5] instead of normal ones."""

    name: str
    text: str
    shapes: tuple[tuple[int, ...], ...]
    oracle: Callable
    positive: bool = False


def _linear_cases():
    size = "convolution_param { num_output: 6 bias_term: %s kernel_h: 3 kernel_w: 2 %s }"
    options = "group: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2 dilation: 2"
    wide = "group: 3 stride: [2, 3] pad: 1 dilation: [1, 2]"
    strided = ((2, 1), (0, 2), (2, 2), 2)
    rect = ((2, 3), (1, 1), (1, 2), 3)
    x, z = (2, 4, 7, 5), (1, 3, 4, 2)
    plain = "convolution_param { num_output: 3 kernel_size: 2 bias_term: false }"
    ip = "inner_product_param { num_output: 3 %s }"
    return [
        Case(
            "conv",
            f'type: "Convolution" {size % ("true", options)}',
            (x,),
            lambda x, w, b: slow.convolution(x, w, b, *strided),
        ),
        Case(
            "conv_rect",
            f'type: "Convolution" {size % ("false", wide)}',
            ((2, 3, 5, 7),),
            lambda x, w: slow.convolution(x, w, None, *rect),
        ),
        Case(
            "conv_plain",
            f'type: "Convolution" {plain}',
            ((1, 2, 3, 4),),
            lambda x, w: slow.convolution(x, w, None, (1, 1), (0, 0), (1, 1), 1),
        ),
        Case(
            "deconv",
            f'type: "Deconvolution" {size % ("true", wide)}',
            (z,),
            lambda x, w, b: slow.deconvolution(x, w, b, *rect),
        ),
        Case(
            "deconv_group",
            f'type: "Deconvolution" {size % ("false", "group: 2 stride: 2 pad_w: 1")}',
            ((2, 4, 3, 5),),
            lambda x, w: slow.deconvolution(x, w, None, (2, 2), (0, 1), (1, 1), 2),
        ),
        Case(
            "inner_axis2",
            f'type: "InnerProduct" {ip % "axis: 2"}',
            ((2, 5, 3, 4),),
            lambda x, w, b: np.einsum("ncf,of->nco", x.reshape(2, 5, 12), w) + b,
        ),
        Case(
            "inner_axis_negative",
            f'type: "InnerProduct" {ip % "axis: -1 bias_term: false"}',
            ((2, 5, 4),),
            lambda x, w: np.einsum("ncf,of->nco", x, w),
        ),
        Case(
            "inner_transpose",
            f'type: "InnerProduct" {ip % "transpose: true"}',
            ((4, 2, 5),),
            lambda x, w, b: np.einsum("nf,fo->no", x.reshape(4, 10), w) + b,
        ),
        Case(
            "scale_all",
            'type: "Scale" scale_param { axis: 1 num_axes: -1 bias_term: true }',
            ((2, 3, 4),),
            lambda x, w, b: x * w + b,
        ),
        Case("scale_scalar", 'type: "Scale" scale_param { num_axes: 0 }', ((2, 3, 4),), lambda x, w: x * w),
        Case("scale_scalar_of_vector", 'type: "Scale" scale_param { num_axes: 0 }', ((5,),), lambda x, w: x * w),
        Case(
            "scale_two",
            'type: "Scale" scale_param { axis: 0 bias_term: true }',
            ((2, 3, 4), (2, 3)),
            lambda x, s, b: x * s[:, :, None] + b[:, :, None],
        ),
        Case("scale_two_scalar", 'type: "Scale"', ((2, 3, 4), ()), lambda x, s: x * s),
        Case("bias_two", 'type: "Bias" bias_param { axis: -2 }', ((2, 3, 5), (3, 5)), lambda x, b: x + b),
        Case(
            "bias_axis",
            'type: "Bias" bias_param { axis: 1 num_axes: 2 }',
            ((2, 3, 4, 5),),
            lambda x, b: x + b[:, :, None],
        ),
    ]


def _pooling_case(name, options, shape, *arguments, positive=False):
    text = f'type: "Pooling" pooling_param {{ {options} }}'
    return Case(f"pool_{name}", text, (shape,), lambda x: slow.pooling(x, *arguments), positive)


def _pooling_cases():
    x = (2, 3, 6, 9)
    ave, most = "pool: AVE", "pool: MAX"
    clip, rect = "kernel_size: 3 stride: 2 pad: 1", "kernel_h: 2 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0"
    thick, wide = "kernel_size: 3 stride: 2 pad: 2", "kernel_size: 2 stride: 3"
    return [
        _pooling_case("ave_clip", f"{ave} {clip}", x, "AVE", (3, 3), (2, 2), (1, 1)),
        _pooling_case("max_clip", f"{most} {clip}", x, "MAX", (3, 3), (2, 2), (1, 1)),
        _pooling_case("ave_rect", f"{ave} {rect}", x, "AVE", (2, 4), (2, 3), (1, 0)),
        _pooling_case("max_rect", f"{most} {rect}", x, "MAX", (2, 4), (2, 3), (1, 0)),
        _pooling_case("ave_overhang", f"{ave} kernel_size: 4 stride: 3", x, "AVE", (4, 4), (3, 3)),
        _pooling_case("ave_thick_pad", f"{ave} {thick}", x, "AVE", (3, 3), (2, 2), (2, 2)),
        _pooling_case("max_thick_pad", f"{most} {thick}", x, "MAX", (3, 3), (2, 2), (2, 2)),
        _pooling_case("ave_floor", f"{ave} {clip} round_mode: FLOOR", x, "AVE", (3, 3), (2, 2), (1, 1), True),
        _pooling_case(
            "max_floor", f"{most} {wide} round_mode: FLOOR", (1, 2, 7, 6), "MAX", (2, 2), (3, 3), (0, 0), True
        ),
        _pooling_case("max_outside", f"{most} kernel_size: 1 stride: 2", x, "MAX", (1, 1), (2, 2)),
        _pooling_case("max_larger_than_map", f"{most} kernel_size: 3 stride: 2", (2, 3, 2, 4), "MAX", (3, 3), (2, 2)),
        _pooling_case("ave_larger_than_map", f"{ave} kernel_size: 3 stride: 2", (2, 3, 2, 4), "AVE", (3, 3), (2, 2)),
        _pooling_case("ave_global", f"{ave} global_pooling: true", x, "AVE", (6, 9)),
        _pooling_case(
            "stochastic", "pool: STOCHASTIC kernel_size: 4 stride: 3", x, "STOCHASTIC", (4, 4), (3, 3), positive=True
        ),
    ]


def _elementwise_cases():
    x = ((2, 3, 5),)
    blend = 'type: "Eltwise" eltwise_param { operation: %s coeff: [0.5, -2, 1] }'
    three = ((2, 3, 5),) * 3
    mixed = lambda a, b, c: 0.5 * a - 2 * b + c  # noqa: E731
    return [
        Case("elu", 'type: "ELU" elu_param { alpha: 0.75 }', x, lambda x: np.where(x > 0, x, 0.75 * (np.exp(x) - 1))),
        Case("exp", 'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1.5 }', x, lambda x: 2 ** (1.5 + 0.5 * x)),
        Case("exp_e", 'type: "Exp" exp_param { scale: 0.5 shift: 1.5 }', x, lambda x: np.exp(1.5 + 0.5 * x)),
        Case("log", 'type: "Log"', x, np.log, positive=True),
        Case(
            "power",
            'type: "Power" power_param { power: 1.5 scale: 2 shift: 0.25 }',
            x,
            lambda x: (0.25 + 2 * x) ** 1.5,
            positive=True,
        ),
        Case("power_one", 'type: "Power" power_param { scale: -3 shift: 0.25 }', x, lambda x: 0.25 - 3 * x),
        Case(
            "power_constant",
            'type: "Power" power_param { power: 2 scale: 0 shift: 3 }',
            x,
            lambda x: np.full_like(x, 9),
        ),
        Case("power_zeroth", 'type: "Power" power_param { power: 0 }', x, np.ones_like),
        Case(
            "threshold", 'type: "Threshold" threshold_param { threshold: 0.25 }', x, lambda x: (x > 0.25).astype(float)
        ),
        Case(
            "prelu_shared",
            'type: "PReLU" prelu_param { channel_shared: true }',
            x,
            lambda x, w: np.where(x > 0, x, w * x),
        ),
        Case("eltwise_sum", blend % "SUM", three, mixed),
        Case("eltwise_stochastic_sum", blend % "STOCHASTIC_SUM", three, mixed),
        Case("eltwise_prod", 'type: "Eltwise" eltwise_param { operation: PROD }', three, lambda a, b, c: a * b * c),
        Case("eltwise_max", 'type: "Eltwise" eltwise_param { operation: MAX }', three, lambda *x: np.maximum.reduce(x)),
    ]


def _reduction_cases():
    x = ((2, 3, 4, 5),)
    reduction = 'type: "Reduction" reduction_param { operation: %s axis: %d coeff: 3 }'
    batch = 'type: "BatchReduction" batch_reduction_param { %s reduction_param { operation: %s axis: 1 %s } }'
    pieces = lambda x: np.stack([x[:, 0], x[:, 1:5].mean(1), x[:, 5:].mean(1)], 1)  # noqa: E731
    diagonal = lambda x: sum(x[:, i, i] for i in range(4))  # noqa: E731
    best = lambda x: np.sort(x, 1)[:, -3:].mean(1)  # noqa: E731
    return [
        Case("sum", reduction % ("SUM", 2), x, lambda x: 3 * x.sum((2, 3))),
        Case("sum_all", reduction % ("SUM", 0), x, lambda x: 3 * x.sum()),
        Case("sumsq", reduction % ("SUMSQ", -1), x, lambda x: 3 * (x**2).sum(3)),
        Case("batch_mean", batch % ("", "MEAN", ""), x, lambda x: x.mean(1)),
        Case("batch_levels", batch % ("level: [1, 2, 3]", "MEAN", ""), ((2, 14, 3),), pieces),
        Case("batch_one_level", batch % ("level: 2", "SUM", ""), ((3, 4, 2),), lambda x: x.sum(1)[:, None]),
        Case("batch_pos", batch % ("pos: true", "SUM", ""), ((2, 4, 4, 3),), diagonal),
        Case("batch_topk", batch % ("", "TOPK", "k: 3"), ((2, 7, 3),), best),
        Case(
            "lrn_within",
            'type: "LRN" lrn_param { local_size: 3 alpha: 0.75 beta: 0.625 k: 5 norm_region: WITHIN_CHANNEL }',
            x,
            lambda x: slow.lrn(x, 3, 0.75, 0.625, 1, True),
        ),
        Case(
            "lrn_across",
            'type: "LRN" lrn_param { local_size: 3 alpha: 0.75 beta: 0.625 k: 2 }',
            ((2, 5, 3, 4),),
            lambda x: slow.lrn(x, 3, 0.75, 0.625, 2, False),
        ),
        Case("mvn", 'type: "MVN"', x, lambda x: slow.batch_statistics(x.reshape(1, 6, 4, 5), 0).reshape(2, 3, 4, 5)),
        Case(
            "mvn_across",
            'type: "MVN" mvn_param { across_channels: true }',
            x,
            lambda x: slow.batch_statistics(x.reshape(1, 2, 60), 0).reshape(2, 3, 4, 5),
        ),
        Case(
            "softmax",
            'type: "Softmax" softmax_param { axis: -2 }',
            x,
            lambda x: np.exp(x) / np.exp(x).sum(2, keepdims=True),
        ),
        Case(
            "euclidean",
            'type: "EuclideanLoss"',
            ((4, 3), (4, 3, 1)),
            lambda a, b: ((a - b.reshape(4, 3)) ** 2).sum() / 8,
        ),
    ]


def _shape_cases():
    x = ((2, 3, 4, 5),)
    reshape = 'type: "Reshape" reshape_param { %s }'
    return [
        Case(
            "concat_dim",
            'type: "Concat" concat_param { concat_dim: 2 }',
            ((2, 3, 4), (2, 3, 1), (2, 3, 2)),
            lambda *x: np.concatenate(x, 2),
        ),
        Case(
            "concat_axis",
            'type: "Concat" concat_param { axis: -3 }',
            ((2, 3, 4), (1, 3, 4)),
            lambda *x: np.concatenate(x, 0),
        ),
        Case(
            "reshape_middle", reshape % "shape { dim: [-1, 2] } axis: 1 num_axes: 2", x, lambda x: x.reshape(2, 6, 2, 5)
        ),
        Case("reshape_end", reshape % "shape { dim: [1, 1] } axis: -1", x, lambda x: x.reshape(2, 3, 4, 5, 1, 1)),
        Case("reshape_insert", reshape % "shape { dim: 1 } axis: 1 num_axes: 0", x, lambda x: x.reshape(2, 1, 3, 4, 5)),
        Case("reshape_copy", reshape % "shape { dim: [0, 0, 20] }", x, lambda x: x.reshape(2, 3, 20)),
        Case(
            "flatten_negative",
            'type: "Flatten" flatten_param { axis: -3 end_axis: -2 }',
            x,
            lambda x: x.reshape(2, 12, 5),
        ),
        Case("gather", 'type: "Gather"', x, np.copy),
        Case("scatter", 'type: "Scatter"', x, np.copy),
    ]


CASES = _linear_cases() + _pooling_cases() + _elementwise_cases() + _reduction_cases() + _shape_cases()
