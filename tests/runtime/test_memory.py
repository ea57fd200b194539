"""Freed memory stays in the process, where the C library can keep it."""

import subprocess
import sys

import pytest

#: frees and takes 48 MB of blocks of 8 MB ten times, touching each page; prints whether it can, and the pages that the
#: system had to hand out meanwhile
CODE = """
import resource, sys
from pytsn.runtime.memory import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def use():
    for block in [bytearray(8 << 20) for _ in range(6)]:
        block[:: 4096] = bytes(len(block[:: 4096]))
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(way):
    done = subprocess.run([sys.executable, "-c", CODE, way], capture_output=True, text=True, check=True)
    return map(int, done.stdout.split())


def test_the_system_is_not_asked_again_for_freed_memory():
    kept, new = pages("keep")
    if not kept:
        pytest.skip("this C library is not glibc")
    assert new < 1000  # of 122,880 uses of a page
    _, without = pages("as is")
    assert without > 10 * max(new, 100)
