"""One heap for all threads."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from support.sources import REPOSITORY

PROGRAM = """
import threading
from engine.kernel import allocator

if SHARED:
    allocator.share_one_arena()
ready, over = threading.Barrier(9), threading.Event()

def allocate():
    kept = [bytes(1000) for _ in range(100)]
    ready.wait()
    over.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
heaps = 0
for line in open("/proc/self/maps"):
    place, permissions, *_, inode = line.split()[:5]
    begin, _, end = place.partition("-")
    heaps += permissions == "rw-p" and inode == "0" and int(begin, 16) % (1 << 26) == 0
over.set()
allocator.give_back()
print(heaps)
"""
"""Heaps of threads begin at multiples of 64 MiB."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other heaps")
@pytest.mark.parametrize("shared", [False, True])
def test_threads_share_one_heap(shared: bool) -> None:
    program = PROGRAM.replace("SHARED", str(shared))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert (int(done.stdout) == 0) is shared
