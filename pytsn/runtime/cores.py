"""How many CPU cores this process may use: the one count that defaults for threads and processes come from."""

import os


def cpu_count() -> int:
    """Cores this process may run on, at least 1: on Linux those that ``taskset`` or a cpuset leaves it (a quota of time
    does not count); elsewhere all cores of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
