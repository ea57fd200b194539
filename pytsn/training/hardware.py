"""Device, precision and memory format of a training run's nets."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from pytsn.runtime.memory import keep_freed_memory

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Hardware:
    """Where and how nets run. precision: fp32 matches Caffe; tf32 (CUDA) rounds the factors of products to 10 bits;
    bf16 computes products in bfloat16 (autocast), weights stay float32. record: passes and updates as CUDA graphs; on a
    CPU the same code without graphs, for tests."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "fp32"
    channels_last: bool = True
    record: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of convolution weights, which the blobs follow."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def prepare(self) -> None:
        """Sets torch's global switches: TF32 only if asked for, and cuDNN's search for the fastest kernels. On a CPU
        the process keeps the memory that a pass frees for the next one."""
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.benchmark = self.device.type == "cuda"
        if self.device.type == "cpu":
            keep_freed_memory()

    def move(self, net: Net) -> Net:
        """Moves the net to the device and its weights to the memory format."""
        moved = net.to(self.device)
        return moved.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # torch's stubs lack it

    def autocast(self):
        """A context that computes products in the chosen precision."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=not self.record)  # required for recording
