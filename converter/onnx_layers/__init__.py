"""Caffe's layers as ONNX nodes (opset 17): ``MAKERS`` maps a layer type to the function that writes it, in TEST phase.

Each function adds nodes that compute ``site.tops`` from ``site.bottoms``. Modules mirror converter/layers, which
documents semantics and sources.
"""

from collections.abc import Callable

from converter.onnx_layers import activation, linear, norm, pooling, reduce, shape
from converter.onnx_layers.nodes import Nodes, Site

__all__ = ["MAKERS"]

#: losses, accuracies and Silence (graph.SCORING_TYPES) have no entry: files are for inference
MAKERS: dict[str, Callable[[Nodes, Site], None]] = {
    "AbsVal": activation.unary("Abs"),
    "ArgMax": reduce.arg_max,
    "BN": norm.batch_normalization,
    "BNLL": activation.unary("Softplus"),
    "BatchNorm": norm.bvlc_batch_norm,
    "BatchReduction": reduce.batch_reduction,
    "Bias": linear.bias,
    "Concat": shape.concat,
    "Convolution": linear.convolution,
    "Deconvolution": linear.deconvolution,
    "Dropout": shape.identity,
    "ELU": activation.elu,
    "Eltwise": reduce.eltwise,
    "Exp": activation.exp,
    "Flatten": shape.reshape,
    "Gather": shape.identity,
    "InnerProduct": linear.inner_product,
    "LRN": norm.lrn,
    "Log": activation.log,
    "MVN": norm.mvn,
    "PReLU": linear.prelu,
    "Pooling": pooling.pooling,
    "Power": activation.power,
    "ReLU": activation.relu,
    "Reduction": reduce.reduction,
    "Reshape": shape.reshape,
    "Scale": linear.scale,
    "Scatter": shape.identity,
    "Sigmoid": activation.unary("Sigmoid"),
    "Slice": shape.slice_,
    "Softmax": shape.softmax,
    "Split": shape.identity,
    "TanH": activation.unary("Tanh"),
    "Threshold": activation.threshold,
}
