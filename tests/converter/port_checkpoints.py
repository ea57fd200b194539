"""Checkpoints in other ports' layouts, made from our own weights; the keys are written here once more, by hand."""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from tests.converter.nets import build

#: BN-Inception's first layer and a classifier: what tells its checkpoints from others' at a thousandth of the size
SMALL = """
input: "data" input_shape { dim: 1 dim: %d dim: 24 dim: 24 }
layer { name: "conv1/7x7_s2" type: "Convolution" bottom: "data" top: "conv1/7x7_s2"
        convolution_param { num_output: 6 kernel_size: 7 stride: 2 pad: 3 weight_filler { type: "gaussian" std: 0.05 }
        bias_filler { type: "gaussian" } } }
layer { name: "conv1/7x7_s2_bn" type: "BN" bottom: "conv1/7x7_s2" top: "conv1/7x7_s2_bn" bn_param { frozen: true } }
layer { name: "conv1/relu_7x7" type: "ReLU" bottom: "conv1/7x7_s2_bn" top: "conv1/7x7_s2_bn" }
layer { name: "global_pool" type: "Pooling" bottom: "conv1/7x7_s2_bn" top: "global_pool"
        pooling_param { pool: AVE kernel_size: 12 } }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 1 } } }
"""


def small_state(channels: int = 3) -> dict[str, torch.Tensor]:
    """The small net's weights by our keys, its BN not trivial."""
    state = dict(build(SMALL % channels).state_dict())
    rng = torch.Generator().manual_seed(4)
    for key in ("weight", "bias", "running_mean", "running_var"):
        state[f"conv1_7x7_s2_bn.{key}"] = torch.rand(6, generator=rng) + 0.5
    return state


def as_tsn_pytorch(state: dict[str, torch.Tensor], classifier: str = "module.new_fc.", rows: bool = False) -> dict:
    """The state dict of tsn-pytorch's DataParallel model; ``rows``: BN tensors (1, C), as in its ImageNet weights."""
    found = OrderedDict()
    for key, value in state.items():
        layer, _, name = key.rpartition(".")
        if layer == "fc_action":
            found[classifier + name] = value
        else:
            found["module.base_model." + key] = value.reshape(1, -1) if rows and layer.endswith("_bn") else value
            if name == "running_var":
                found["module.base_model." + layer + ".num_batches_tracked"] = torch.tensor(9)
    return found


def as_mmaction(state: dict[str, torch.Tensor]) -> dict:
    """The state dict of mmaction 0.1's TSN2D."""
    found = OrderedDict()
    for key, value in state.items():
        head, name = key.split(".")
        found["cls_head.fc_cls." + name if head == "fc_action" else "backbone." + key] = value
    return found


def tsn_pytorch_file(path: Path, state: dict, old_layout: bool = False) -> Path:
    """A checkpoint as main.py of tsn-pytorch saves it, with what its users add: options, an optimizer."""
    checkpoint = {
        "epoch": 80,
        "arch": "BNInception",
        "state_dict": state,
        "best_prec1": np.float64(85.1234),
        "args": argparse.Namespace(lr=0.001, gpus=[0, 1]),
        "optimizer": {"state": {7: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": np.float32(0.1)}]},
        "seen": {1, 2},
    }
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not old_layout)
    return path
