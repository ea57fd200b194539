"""Converts Caffe's files to PyTorch and back. The public functions:

- ``load_net(prototxt, caffemodel)``: any Caffe net with the original's layers as a ``CaffeNet``; ``net(x)[blob]``.
- ``CaffeNet``: that nn.Module: ``inputs``, ``outputs``, ``blob_names``, ``blob_shapes``; ``print(net)`` lists layers.
- ``read_net(path)``, ``read_solver(path)``: prototxts as protobuf messages, text or binary, old forms upgraded.
- ``read_caffemodel(path)``, ``write_caffemodel(path, layers)``: weights by layer name, as numpy arrays.

Names are imported on first use, so importing the package is cheap. The command line is ``pytsn convert``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converter.caffemodel import read_caffemodel, write_caffemodel
    from converter.net import CaffeNet, load_net
    from converter.proto import read_net, read_solver

__all__ = ["CaffeNet", "load_net", "read_caffemodel", "read_net", "read_solver", "write_caffemodel"]

_HOMES = {  # name -> module, imported on first use: errors and files must not wait seconds for torch
    "CaffeNet": "converter.net",
    "load_net": "converter.net",
    "read_caffemodel": "converter.caffemodel",
    "read_net": "converter.proto",
    "read_solver": "converter.proto",
    "write_caffemodel": "converter.caffemodel",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'converter' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
