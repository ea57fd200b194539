"""Running ONNX files with onnxruntime, where it is installed."""

import os
from collections.abc import Mapping

import numpy as np

from converter.errors import PytsnError


def open_onnx(path: str | os.PathLike):
    """A session on the CPU, or None where onnxruntime is not installed. Raises PytsnError when it refuses the file."""
    try:
        import onnxruntime
    except ImportError:
        return None
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        raise PytsnError(f"{path}: onnxruntime refuses the file: {str(error)[:200]}") from None


def run_onnx(session, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs, name -> float32, of inputs by name; inputs that the file does not take are left out."""
    taken = {each.name for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    values = session.run(names, {name: values for name, values in inputs.items() if name in taken})
    return dict(zip(names, values, strict=True))
