"""Memory: what is free, its peak, and giving back what was freed."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from fmbench.runtime.device import device_type
from fmbench.runtime.environment import proc_value

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of GNU's malloc.h."""


def free_memory(device: str) -> int:
    """Return the bytes that could still be had, on a GPU or of the machine."""
    if device_type(device) == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def total_memory(device: str) -> int:
    """Return the bytes of a GPU's memory, or of the machine's."""
    if device_type(device) == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[1])
    import psutil

    return int(psutil.virtual_memory().total)


_sharing: int | None = None


def set_sharing(processes: int | None) -> None:
    """Note how many processes share this one's device, where these are fewer than share the machine."""
    global _sharing
    _sharing = processes


def sharing(jobs: int) -> int:
    """Return how many processes share the memory of this one's device, of `jobs` that share the machine."""
    return jobs if _sharing is None else _sharing


def keep_freed_memory() -> None:
    """Let this process keep the memory that tensors of up to 32 MiB free, until `give_memory_back`.

    Else they are given back and had anew, zeroed page by page, at each step of a training. What is larger leaves holes
    that nothing else fits into. Does nothing where the C library is not GNU's. Without it a step took 1.05 times as
    long for 32 MLPs and 1.07 for 9 small U-Nets (one thread of an AMD EPYC, median of 3 processes each, in turn).
    """
    if mallopt := _c_function("mallopt"):
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def free_unused(device: str) -> None:
    """Free what nobody uses any more, and give it back to the device and the machine: after one of them had none left.

    An exception holds what its frames have: call this when it is handled and forgotten.
    """
    gc.collect()
    if device_type(device) == "cuda":
        import torch

        torch.cuda.empty_cache()
    elif device_type(device) == "mps":
        import torch

        torch.mps.empty_cache()
    give_memory_back()


def give_memory_back() -> None:
    """Give the machine back what was freed, where the C library is GNU's."""
    if malloc_trim := _c_function("malloc_trim"):
        malloc_trim(0)


def _c_function(name: str) -> Any:
    import ctypes

    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def reset_peak_memory(device: str) -> None:
    """Begin to measure peak memory anew, without what is free."""
    if device_type(device) == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        give_memory_back()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return  # not permitted in some containers: the peak is then that of the process since its start


def peak_memory(device: str) -> int:
    """Return the peak since `reset_peak_memory`: bytes allocated on a GPU, or the process's resident bytes on a CPU."""
    if device_type(device) == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if resident := proc_value("self/status", "VmHWM"):
        return int(resident.split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
