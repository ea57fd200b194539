"""Devices and precisions as named on the command line."""

from typing import TYPE_CHECKING

from converter.errors import PytsnError

if TYPE_CHECKING:
    import torch

#: of training: fp32 matches Caffe; tf32 rounds the factors of products to 10 bits; bf16 computes products in bfloat16
TRAINING_PRECISIONS = ("fp32", "tf32", "bf16")
#: of tests; tf32x3 matches Caffe too, by three products of parts of 10 bits
PRECISIONS = ("fp32", "tf32x3", "tf32", "bf16")


def pick_device(text: str) -> "torch.device":
    """auto, cpu, cuda or cuda:N as a device. Raises PytsnError if it is unknown or not available."""
    import torch  # imported here: --help needs the names above and must not wait for torch

    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = text.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise PytsnError(f"device '{text}': auto, cpu, cuda or cuda:N was expected")
    found = torch.cuda.device_count() if kind == "cuda" else 0
    if kind == "cuda" and int(number or 0) >= found:
        raise PytsnError(f"device '{text}': this PyTorch sees {found} CUDA devices; use --device cpu")
    return torch.device(text)
