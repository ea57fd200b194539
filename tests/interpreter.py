"""A process in which Triton kernels run on the CPU, by Triton's interpreter.

The interpreter must be switched on before Triton is imported, and it then rules the whole process; so it has its own.
Arrays go in and come out, as tensors shared with another process would need open files.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def interpreter() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), _start)


def _start() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    import torch

    torch.set_num_threads(1)
