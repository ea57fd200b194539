"""The curves of a run: saved with its snapshots, drawn as ``loss.png`` and ``accuracy.png``, sent to TensorBoard."""

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from converter.errors import PytsnError
from pytsn.training.log_lines import Outputs

#: a drawing's seconds times this pass before the next one
_SELDOM = 50
#: seconds that the first drawing is taken for; it also loads matplotlib
_FIRST_COST = 1.0


class Curves:
    """Curve name -> points (iteration, value). The names: train loss, lr, gradient norm, test #0 accuracy ...
    clock: seconds, for ``draw_if_due``."""

    def __init__(self, tensorboard: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self._drawn, self._cost = clock, 0.0, _FIRST_COST
        self._place: tuple[str, str, str] | None = None
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

    def draw_into(self, folder: str, title: str, kind: str = "png") -> None:
        """Where ``draw`` and ``draw_if_due`` draw (pytsn/training/curves_picture.py); before, they draw nothing."""
        self._place = (folder, title, kind)
        self._drawn = self.clock()

    def draw(self) -> list[str]:
        """Draws loss and accuracy, each if it has a curve. Returns the paths. Raises PytsnError if that fails."""
        if self._place is None:
            return []
        from pytsn.training.curves_picture import draw_curves

        folder, title, kind = self._place
        started = self.clock()
        paths = draw_curves(folder, self.curves, title, kind)
        self._drawn = self.clock()
        self._cost = self._drawn - started
        return paths

    def draw_if_due(self, wait: float = 0.0) -> str:
        """Draws on the way, ``wait`` seconds after the last time at the earliest, and so seldom that it takes a
        fiftieth of the time at most. Returns why it could not: that stops no training."""
        if self._place is None or self.clock() - self._drawn < max(wait, _SELDOM * self._cost):
            return ""
        return self.try_to_draw()

    def try_to_draw(self) -> str:
        """Draws; returns why it could not, "" if it could."""
        try:
            self.draw()
        except PytsnError as error:
            self._drawn = self.clock()
            return str(error)
        return ""


def _summary_writer(folder: str):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PytsnError("--tensorboard needs the package tensorboard: pip install tensorboard") from None
    return SummaryWriter(folder)
