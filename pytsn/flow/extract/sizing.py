"""Default numbers of workers and of pairs per batch."""

_CPU_BATCH = 4
_GPU_BATCHES = (128, 64, 32, 16)
#: of the most expensive preset, opencv-cpu, at 340x256, counted from its buffers; on a GPU the others take less
_BYTES_A_PAIR = 60e6
#: a worker decodes and writes in its own threads; four keep a GPU busy, and each takes memory
_CORES_A_WORKER, _WORKERS_OF_A_GPU = 2, 4


def default_workers(gpus: int, cores: int) -> int:
    """Number of processes: one per core without GPUs (``gpus`` 0); else 1 to 4 per GPU, limited by the cores."""
    if not gpus:
        return cores
    return gpus * max(1, min(_WORKERS_OF_A_GPU, cores // (_CORES_A_WORKER * gpus)))


def default_batch(memory: int | None, workers_of_a_gpu: int) -> int:
    """Pairs of 340x256 per batch. memory: of the smallest GPU, bytes, of which all its workers take at most half; None
    on a CPU."""
    if memory is None:
        return _CPU_BATCH
    fitting = (batch for batch in _GPU_BATCHES if workers_of_a_gpu * batch * _BYTES_A_PAIR <= memory / 2)
    return next(fitting, _GPU_BATCHES[-1])
