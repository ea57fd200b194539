"""How the Triton kernels of TV-L1 are launched: options, and CUDA graphs of several launches."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

#: chunks of launches between two checks whether a pair is left: 1, then twice as many each time, up to this
MOST_CHUNKS = 8


def options(warps: int) -> dict[str, object]:
    """Launch options; the kernels themselves specify which multiply-adds are fused."""
    return {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": False}


def captured(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """``work`` as a CUDA graph, which the host launches with a single call; ``work`` itself if capturing fails.

    Also runs it once, so that all kernels are compiled.
    """
    if device.type != "cuda":
        return work
    work()
    try:
        torch.cuda.synchronize(device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0]
        warnings.warn(f"flow: no CUDA graph here ({reason}); kernels are launched one by one", stacklevel=2)
        return work
    return graph.replay


def until_all_stop(chunk: Callable[[], object], state: Tensor) -> None:
    """Launches chunks until every pair has stopped: ``state`` (pairs, 4), iterations done, iterations to go to."""
    chunks = 1
    while True:
        for _ in range(chunks):
            chunk()
        if not (state[:, 1] - state[:, 0]).amax().item():
            return
        chunks = min(2 * chunks, MOST_CHUNKS)
