"""Runs ONNX files: with onnxruntime if installed, or slowly with onnx alone."""

import os
from collections.abc import Mapping

import numpy as np

from converter.errors import PytsnError


def run_onnx(path: str | os.PathLike, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """All outputs of the file, name -> float32; None if onnxruntime is not installed.

    Ignores inputs that the file does not have. Raises PytsnError if onnxruntime refuses the file.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    try:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # one run: no need to hog the cores
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        raise PytsnError(f"{path}: onnxruntime refuses the file: {str(error)[:200]}") from None
    taken = {each.name for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    values = session.run(names, {name: values for name, values in inputs.items() if name in taken})
    return dict(zip(names, values, strict=True))


def run_reference(path: str | os.PathLike, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with onnx's own evaluator in numpy: some seconds per image."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(path))
    values = evaluator.run(None, {name: values for name, values in inputs.items() if name in evaluator.input_names})
    return dict(zip(evaluator.output_names, values, strict=True))
