"""BN-Inception's caffemodels with random weights, whole and spoiled."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.caffemodel import write_caffemodel
from pytsn.models import inception_table

Blobs = dict[str, list[np.ndarray]]


def few_convolutions(in_channels: int) -> Iterator[inception_table.Conv]:
    """The first six of BN-Inception's convolutions: a net of half a megabyte, for tests that need no more."""
    every = inception_table.convolutions(in_channels)
    for _ in range(6):
        yield next(every)


def bn_inception_blobs(
    classes: int | None = 101, channels: int = 3, convolutions: Callable = inception_table.convolutions
) -> Blobs:
    """Layer name -> blobs in Caffe's order and shapes; classes None: without the classifier."""
    rng, blobs = np.random.default_rng(3), {}
    for conv in convolutions(channels):
        shape = (conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
        blobs[conv.name] = [rng.standard_normal(shape, np.float32), np.zeros(conv.out_channels, np.float32)]
        variance = rng.uniform(50, 5000, (1, conv.out_channels)).astype(np.float32)
        blobs[f"{conv.name}_bn"] = [np.ones_like(variance), np.zeros_like(variance), np.zeros_like(variance), variance]
    if classes:
        blobs["fc-action"] = [
            rng.standard_normal((classes, inception_table.FEATURES), np.float32),
            np.zeros(classes, np.float32),
        ]
    return blobs


def save_blobs(path: Path, blobs: Blobs, name: str = "BN-Inception") -> Path:
    """Writes blobs as a caffemodel; the types go by the layers' names."""
    net = pb.NetParameter(name=name)
    for layer in blobs:
        kind = "BN" if layer.endswith("_bn") else "InnerProduct" if layer.startswith("fc") else "Convolution"
        net.layer.add(name=layer, type=kind)
    write_caffemodel(path, net, blobs)
    return path


def small_net(path: Path, classes: int | None = 101, channels: int = 3) -> Path:
    """A caffemodel of half a megabyte that is BN-Inception to code that knows ``few_convolutions`` only."""
    return save_blobs(path, bn_inception_blobs(classes, channels, few_convolutions))
