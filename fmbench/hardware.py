"""What computes: the device, its precision, threads and memory, and the facts that stand beside every wall time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from fmbench.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
SHOWN = 16
"""GPUs that a message names."""
_NUMBERED = re.compile(r"cuda:([0-9]{1,4})")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of GNU's malloc.h."""
LIBRARIES = ("torch", "torchvision", "torchdiffeq", "torch-fidelity", "mlflow", "pandas", "numpy", "pluggy")


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_model() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python, fmbench and the libraries that matter, without importing them."""
    found = {"python": platform.python_version(), "fmbench": importlib.metadata.version("fmbench")}
    return found | {library: version(library) for library in LIBRARIES}


@cache
def version(library: str) -> str:
    """Return the version of a library, without importing it. Each is looked up once: that takes milliseconds."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def choose_device(wanted: str) -> str:
    """Return "cpu", "cuda", "mps", or "cuda:1" where one GPU of several is asked for. Raises UserError when it is not
    there.

    Imports torch only where there may be a GPU.
    """
    numbered = _NUMBERED.fullmatch(wanted)
    if wanted not in DEVICES and not numbered:
        rule = f"--device must be one of {', '.join(DEVICES)}, or cuda:0, cuda:1 and so on for one GPU of several"
        raise UserError(f"{rule}; found {wanted!r}")
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[device_type(wanted)]:
        usable = ", ".join(device for device, usable in there.items() if usable)
        raise UserError(f"--device {wanted} was asked for, but torch sees no such device; usable here: {usable}")
    return _of_several(wanted, int(numbered[1]), torch.cuda.device_count()) if numbered else wanted


def _of_several(wanted: str, number: int, seen: int) -> str:
    """Return a GPU by its number. Raises UserError where there are not so many."""
    if number >= seen:
        names = ", ".join(f"cuda:{each}" for each in range(min(seen, SHOWN))) + (", ..." if seen > SHOWN else "")
        found = f"{seen} GPU{'s' if seen != 1 else ''}: {names}"
        raise UserError(f"--device {wanted} was asked for, and torch sees {found}. Choose one of these, or auto.")
    return f"cuda:{number}"


def device_type(device: str) -> str:
    """Return what kind of device it is, without its number: "cuda" for "cuda:1"."""
    return device.partition(":")[0]


def make_current(device: str) -> None:
    """Let this process work on one GPU of several also where code, a plugin's say, names none."""
    if ":" in device:
        import torch

        torch.cuda.set_device(device)


def _may_have_gpu() -> bool:
    """Tell, without importing torch, whether asking torch for a GPU is worth its import."""
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()


def hardware(device: str) -> str:
    """Return one line that names the hardware; wall times are comparable only where it is the same."""
    cpu = f"{cpu_model()}, {cpu_count()} cores"
    if device_type(device) == "cuda":
        import torch

        return f"{torch.cuda.get_device_name(device)}; {cpu}"
    return f"Apple GPU; {cpu}" if device == "mps" else cpu


def measured_on(device: str) -> dict[str, str]:
    """Return what two wall times must share to be comparable."""
    return {"hardware": hardware(device), "torch": version("torch")}


def has_native_bf16(device: str) -> bool:
    """Tell whether the device multiplies bfloat16 natively; elsewhere autocast to it is slower than float32."""
    import torch

    if device_type(device) == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device == "cpu":
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False


def choose_precision(wanted: str, pays: bool, device: str) -> str:
    """Return "bf16" or "float32". `wanted` is auto, float32 or bf16; `pays` is what the network says of bf16."""
    if wanted != "auto":
        return wanted
    return "bf16" if pays and has_native_bf16(device) else "float32"


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was given."""
    import torch

    if device_type(device) == "cuda":
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def free_memory(device: str) -> int:
    """Return the bytes that could still be had: on a GPU, or of the machine; without limit where that is not known."""
    if device_type(device) == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    return sys.maxsize


def keep_freed_memory() -> None:
    """Let this process keep the memory that tensors of up to 32 MiB free, until `give_memory_back`.

    Else they are given back and had anew, zeroed page by page, at each step of a training. What is larger leaves holes
    that nothing else fits into. Does nothing where the C library is not GNU's.
    """
    if mallopt := _c_function("mallopt"):
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


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
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def environment(device: str) -> dict[str, Any]:
    """Return hardware, versions and the git commit, for reports, MLflow and `fmbench env`."""
    from fmbench.repository import git_commit

    return {
        "hardware": hardware(device),
        "device": device,
        "platform": platform.platform(),
        "git_commit": git_commit(),
        **versions(),
    }
