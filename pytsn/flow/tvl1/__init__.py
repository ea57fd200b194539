"""TV-L1 optical flow as used to train the models: ``compute_flow`` for one pair of frames or many.

``compute.py`` is the entry point; ``gpu_*`` is the scheme of OpenCV's GPU modules (2.4, 2.4.9, 3), ``cpu_*`` that of
its CPU module; each has PyTorch's operations and, for GPUs, Triton kernels (``*_triton``, ``*_workspace``,
``*_kernels``). They are loaded on first use because they need torch.
"""


def __getattr__(name: str):
    if name not in ("compute_flow", "solve"):
        raise AttributeError(f"module 'pytsn.flow.tvl1' has no attribute '{name}'")
    from pytsn.flow.tvl1 import compute

    return getattr(compute, name)
