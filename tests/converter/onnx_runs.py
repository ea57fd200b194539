"""Running ONNX files in tests, and comparing them with CaffeNet at batch sizes that the prototxt does not mention."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from converter.net import CaffeNet

# Share of the largest magnitude. float32 sums of a few hundred terms in another order differ by about 1e-7 a term.
TOLERANCE = 1e-5


def run(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of an ONNX file. Optimisation is off, so that what was written is what runs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    used = {each.name for each in session.get_inputs()}
    values = session.run(names, {name: value for name, value in feeds.items() if name in used})
    return dict(zip(names, values, strict=True))


def check(found: np.ndarray, wanted: np.ndarray, what: str = "") -> None:
    assert found.dtype == np.float32
    assert found.shape == tuple(wanted.shape), what
    largest = np.abs(np.where(np.abs(wanted) > 1e30, 0, wanted)).max()  # windows outside of the image hold -FLT_MAX
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=TOLERANCE * largest, err_msg=what)


def check_other_batch(net: CaffeNet, path: Path, batch: int, positive: bool = False) -> None:
    """The file against CaffeNet with ``batch`` samples instead of the prototxt's number."""
    random = np.random.default_rng(3)
    own = next(iter(net.inputs.values()))[0]
    feeds = {}
    for name, shape in net.inputs.items():
        size = (batch, *shape[1:]) if shape[:1] == (own,) else shape
        values = random.uniform(0.5, 1.5, size) if positive else random.normal(size=size)
        feeds[name] = np.asarray(values, np.float32)
    for name, found in run(path, feeds).items():
        with torch.no_grad():
            wanted = net({key: torch.from_numpy(value) for key, value in feeds.items()}, [name])[name]
        check(found, wanted.numpy(), f"{name} of a batch of {batch}")
