"""The source of a run's random numbers: Caffe's one generator, or torch's.

Caffe's stream (``random_seed`` given): fillers, the seeds of data layers and CPU dropout draw from one CaffeRng in
order of execution, and a run repeats Caffe's. Torch's: the same distributions; data layers have their own generator, so
that all processes shuffle alike while each has its own dropout.
"""

from dataclasses import dataclass

import numpy as np
import torch

from converter.layers.activation import Dropout
from converter.net import CaffeNet
from pytsn.caffe_random.generator import CaffeRng
from pytsn.runtime.distributed import Processes

RNGS = ("caffe", "torch")


class TorchRng:
    """A torch generator for the data layers' seeds, with CaffeRng's interface: ``raw()`` is a 32-bit number."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def raw(self) -> int:
        """The next number in 0..2^32 - 1."""
        return int(torch.randint(0, 1 << 32, (1,), generator=self._generator))

    def state(self) -> np.ndarray:
        """The generator's state, uint8."""
        return self._generator.get_state().numpy()

    def set_state(self, state: np.ndarray) -> None:
        """Restores a result of ``state()``."""
        self._generator.set_state(torch.from_numpy(state.copy()))


@dataclass
class RandomSource:
    """The generators of one process. data: for data layers' seeds; fillers: None is torch's default generator."""

    data: CaffeRng | TorchRng
    fillers: CaffeRng | None
    processes: Processes

    @property
    def batches_ahead(self) -> int:
        """Number of batches that may be drawn in advance: Caffe's stream allows one."""
        return 1 if self.fillers is not None else 3

    def attach(self, net: CaffeNet) -> None:
        """Lets the net's dropout draw from Caffe's stream; on CUDA it uses torch's, as Caffe's uses cuRAND."""
        if self.fillers is None or self.processes.device.type != "cpu":
            return
        for module in net.modules():
            if isinstance(module, Dropout):
                module.stream = self.fillers

    def state(self) -> dict:
        """The state of all generators, for a side file."""
        device = self.processes.device
        cuda = torch.cuda.get_rng_state(device).numpy() if device.type == "cuda" else None
        return {"data": self.data.state(), "torch": torch.get_rng_state().numpy(), "cuda": cuda}

    def load_state(self, state: dict) -> None:
        """Restores a result of ``state``."""
        self.data.set_state(state["data"])
        torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
        if state["cuda"] is not None and self.processes.device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(state["cuda"].copy()), self.processes.device)


def random_source(seed: int, rng: str, processes: Processes) -> RandomSource:
    """The generators for a solver's ``random_seed`` (below 0: none given) and ``--rng``.

    Also seeds torch's default generator, differently in each process. Without a seed rank 0 draws one for all.
    """
    shared = torch.tensor([seed if seed >= 0 else torch.seed() >> 2], device=processes.device)
    processes.broadcast_([shared])
    torch.manual_seed(int(shared) + processes.rank)
    if rng == "torch" or seed < 0:
        return RandomSource(TorchRng(int(shared)), None, processes)
    caffe = CaffeRng(seed)
    return RandomSource(caffe, caffe, processes)
