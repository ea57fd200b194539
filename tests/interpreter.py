"""A process in which Triton kernels run on the CPU, by Triton's interpreter.

The interpreter must be switched on before Triton is imported, and it then rules the whole process; so it has its own.
Arrays go in and come out, as tensors shared with another process would need open files.
"""

import importlib.util
import os
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context

import pytest

#: the first that has tl.gather; torch 2.6 brings an older one, with which PyTorch's operations serve
OLDEST_TRITON = (3, 3)


def _lack() -> str:
    """Why the kernels cannot run, or ""."""
    if not importlib.util.find_spec("triton"):
        return "Triton is not installed"
    try:
        version = metadata.version("triton")
    except metadata.PackageNotFoundError:  # installed under another name: a build for other cards
        return ""
    wanted = ".".join(map(str, OLDEST_TRITON))
    fits = tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_TRITON
    return "" if fits else f"Triton {version} is installed, the kernels need {wanted}"


needs_triton = pytest.mark.skipif(bool(_lack()), reason=_lack())


def interpreter() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), _start)


def _start() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    import torch

    torch.set_num_threads(1)
