"""The number of CPU cores this process may use, from which all defaults for threads and processes are derived."""

import os


def cpu_count() -> int:
    """Cores this process may run on, at least 1: on Linux those allowed by ``taskset`` or a cpuset (a CPU time quota
    does not count); elsewhere all cores of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
