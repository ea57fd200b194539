"""How the C library of this process treats freed memory."""

import ctypes

#: parameters of mallopt, from glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: bytes of a block from which it is asked of the system alone; the second is the most that older versions take
_LARGEST_BLOCKS = (1 << 30, 32 << 20)
_MOST_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keeps freed memory in this process for later blocks, in place of handing large blocks back to the system.

    The system clears every page that it hands out, so a training pass that frees its blobs pays for them again at the
    next pass. Memory at the peak stays the same, but between peaks it is not free for other programs. Returns whether
    the C library can do it: glibc can, others are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    kept = mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
    return bool(kept and any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS))
