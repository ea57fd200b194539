"""Caffe files to PyTorch and back. ``converter.load_net(prototxt, caffemodel)`` is the front door."""

_LAZY = {  # imported on first use: errors and files must not cost the seconds that torch takes to import
    "CaffeNet": "converter.net",
    "load_net": "converter.net",
    "read_caffemodel": "converter.caffemodel",
    "write_caffemodel": "converter.caffemodel",
    "read_net": "converter.proto",
    "read_solver": "converter.proto",
}
__all__ = list(_LAZY)


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'converter' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
