"""Temporal Segment Networks, as Caffe computes them, in PyTorch."""

from converter.errors import PytsnError

__version__ = "0.1.0"
__all__ = ["PytsnError", "__version__"]
