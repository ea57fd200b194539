"""Small nets for tests, and a shorthand that builds a CaffeNet from text."""

import numpy as np
import torch

from converter.net import CaffeNet
from converter.proto import filter_net, parse_net


def build(text: str, phase: str = "TEST", **options) -> CaffeNet:
    """A CaffeNet from prototxt text; weights come from a fixed generator."""
    return CaffeNet(filter_net(parse_net(text), phase), phase, generator=torch.Generator().manual_seed(0), **options)


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random float32 numbers of pixel scale around 0."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-128, 128, shape).astype(np.float32))


#: branches, an in-place chain, a blob with several readers, a consensus, and a loss
BRANCHED = """
name: "branched" input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 11 }
input: "label" input_shape { dim: 2 }
layer { name: "a/conv" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3
        weight_filler { type: "gaussian" std: 0.1 } bias_filler { type: "gaussian" std: 1 } } }
layer { name: "a/relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Pooling" bottom: "a" top: "b" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c" type: "Power" bottom: "a" top: "c" power_param { scale: 2 } }
layer { name: "d" type: "Pooling" bottom: "c" top: "d" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "e" type: "Eltwise" bottom: "b" bottom: "d" top: "e" }
layer { name: "fc-action" type: "InnerProduct" bottom: "e" top: "fc-action" inner_product_param { num_output: 5
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc-action" bottom: "label" top: "loss" loss_weight: 0.5 }
layer { name: "side" type: "Reduction" bottom: "b" top: "side" reduction_param { operation: SUMSQ } loss_weight: 0.25 }
"""
