"""What a process keeps of the memory that tensors free."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

MIB = 2**20
PROGRAM = """
import json, resource
import torch
from fmbench.hardware import give_memory_back, keep_freed_memory

def faults(steps=10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        tensors = [torch.ones(2**22) for _ in range(4)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

faults()
usual = faults()
keep_freed_memory()
faults()
kept, full = faults(), resident()
give_memory_back()
print(json.dumps([usual, kept, full - resident()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    fixed = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # as the library begins; it moves when memory is freed, not always
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | fixed, capture_output=True, text=True, check=True
    )
    usual, kept, given = json.loads(done.stdout)
    assert kept < usual / 4  # pages that are had anew
    assert given > 60 * MIB  # of 64, and what holes hold
