"""The curves of a run: saved with its snapshots, drawn as ``loss.png`` and ``accuracy.png``, sent to TensorBoard."""

import os
from collections import defaultdict

import numpy as np

from converter.errors import PytsnError
from pytsn.training.log_lines import Outputs


class Curves:
    """Curve name -> points (iteration, value). The names: train loss, lr, gradient norm, test #0 accuracy ..."""

    def __init__(self, tensorboard: str | None = None) -> None:
        self.curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._writer = _summary_writer(tensorboard) if tensorboard else None

    def add(self, name: str, iteration: int, value: float) -> None:
        """One point."""
        self.curves[name].append((iteration, float(value)))
        if self._writer is not None:
            self._writer.add_scalar(name.replace(" ", "/").replace("#", ""), value, iteration)

    def add_outputs(self, kind: str, iteration: int, outputs: Outputs) -> None:
        """Adds the outputs of a net; a blob of several values is averaged."""
        for blob, (values, _) in outputs.items():
            self.add(f"{kind} {blob}", iteration, float(np.mean(values)))

    def state(self) -> dict:
        """For a side file."""
        return {name: np.array(points, np.float64) for name, points in self.curves.items()}

    def load_state(self, state: dict) -> None:
        """Restores a result of ``state``."""
        for name, points in state.items():
            self.curves[name] = [(int(iteration), float(value)) for iteration, value in points]

    def close(self) -> None:
        """Flushes TensorBoard's files."""
        if self._writer is not None:
            self._writer.close()

    def draw(self, folder: str) -> list[str]:
        """Writes loss.png and accuracy.png, each if it has a curve. Returns the paths."""
        drawn = [("loss.png", self._of("loss")), ("accuracy.png", self._of("accuracy"))]
        return [_draw(os.path.join(folder, name), curves) for name, curves in drawn if curves]

    def _of(self, word: str) -> dict[str, list[tuple[int, float]]]:
        return {name: points for name, points in self.curves.items() if word in name and points}


def _summary_writer(folder: str):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PytsnError("--tensorboard needs the package tensorboard: pip install tensorboard") from None
    return SummaryWriter(folder)


def _draw(path: str, curves: dict[str, list[tuple[int, float]]]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from converter.files import atomic_path

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="iteration", ylabel=os.path.splitext(os.path.basename(path))[0])
    for name, points in curves.items():
        iterations, values = zip(*points, strict=True)
        axes.plot(iterations, values, label=name, marker="o" if name.startswith("test") else None, markersize=3)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
