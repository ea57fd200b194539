"""The log lines of training: Caffe's lines, word for word, numbers with six digits as C++ streams print them.

Source: Solver::Step, Test, Snapshot and SGDSolver::ApplyUpdate of the fork (solver.cpp).
"""

from collections.abc import Mapping

import numpy as np

from converter.net import CaffeNet

#: a net's outputs: blob -> (its values, flat; weight in the loss, 0 for none)
Outputs = dict[str, tuple[np.ndarray, float]]


def number(value: float | np.floating) -> str:
    """Formats a float as a C++ stream does: six significant digits, no trailing zeros."""
    return f"{value:.6g}"


def output_names(net: CaffeNet) -> list[str]:
    """The blobs that Caffe prints, in alphabetical order: those that no layer reads and the prototxt names."""
    named = {top for layer in net.param.layer for top in layer.top}
    return sorted(blob for blob in net.outputs if blob in named)


def output_lines(kind: str, outputs: Mapping[str, tuple[np.ndarray, float]]) -> list[str]:
    """The lines of a net's outputs, one per value. kind: "Train" or "Test"."""
    lines: list[str] = []
    for blob, (values, weight) in outputs.items():
        for value in values:
            line = f"    {kind} net output #{len(lines)}: {blob} = {number(value)}"
            if weight:
                product = np.float32(weight) * np.float32(value)
                line += f" (* {number(weight)} = {number(product)} loss)"
            lines.append(line)
    return lines


def testing_line(iteration: int, index: int) -> str:
    """The line before a test pass of the index-th test net."""
    return f"Iteration {iteration}, Testing net (#{index})"


def loss_line(iteration: int, loss: float) -> str:
    """The smoothed training loss."""
    return f"Iteration {iteration}, loss = {number(loss)}"


def rate_line(iteration: int, rate: float) -> str:
    """The learning rate."""
    return f"Iteration {iteration}, lr = {number(rate)}"


def step_line(iteration: int, current_step: int) -> str:
    """The line at a multistep policy's drop."""
    return f"MultiStep Status: Iteration {iteration}, step = {current_step}"


def clip_line(norm: float, threshold: float, scale: float) -> str:
    """The line when gradients are clipped."""
    return (
        f"Gradient clipping: scaling down gradients (L2 norm {number(norm)} > {number(threshold)})"
        f" by scale factor {number(scale)}"
    )


class SmoothedLoss:
    """The displayed loss: the mean over the last ``window`` iterations, updated as Caffe updates it, in float32."""

    def __init__(self, window: int, start: int = 0) -> None:
        self.window, self.start = window, start
        self.losses: list[np.float32] = []
        self.value = np.float32(0)

    def add(self, iteration: int, loss: float) -> float:
        """Adds the loss of an iteration and returns the smoothed loss."""
        new = np.float32(loss)
        if len(self.losses) < self.window:
            self.losses.append(new)
            size = len(self.losses)
            self.value = np.float32((self.value * np.float32(size - 1) + new) / np.float32(size))
        else:
            index = (iteration - self.start) % self.window
            self.value += (new - self.losses[index]) / np.float32(self.window)
            self.losses[index] = new
        return float(self.value)

    def state(self) -> dict:
        """For a side file."""
        return {"start": self.start, "losses": np.array(self.losses, np.float32), "value": np.array(self.value)}

    def load_state(self, state: dict) -> None:
        """Restores a result of ``state``; with another window it starts anew. Raises ValueError or TypeError for what
        is no such result."""
        losses, value = np.asarray(state["losses"], np.float32), np.asarray(state["value"], np.float32)
        if losses.ndim != 1 or value.ndim:
            raise ValueError(f"losses of shape {losses.shape}, smoothed to {value.shape}")
        if len(losses) <= self.window:
            self.start, self.losses, self.value = int(state["start"]), list(losses), np.float32(value)
