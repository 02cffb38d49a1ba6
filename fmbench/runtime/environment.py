"""What computes: hardware, cores, versions of libraries and the git commit, as facts that stand beside results."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from fmbench.runtime.device import device_type

LIBRARIES = ("torch", "torchvision", "torchdiffeq", "torch-fidelity", "mlflow", "pandas", "numpy", "pluggy")


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_model() -> str:
    """Return the processor's name."""
    return proc_value("cpuinfo", "model name") or platform.processor() or platform.machine()


def proc_value(file: str, name: str) -> str:
    """Return what stands under a name in a file of /proc; "" where it, or the file, is not there."""
    path = Path("/proc", file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


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


def make_current(device: str) -> None:
    """Let this process work on one GPU of several also where code, a plugin's say, names none."""
    if ":" in device:
        import torch

        torch.cuda.set_device(device)


def hardware(device: str) -> str:
    """Return one line that names the hardware; wall times are comparable only where it is the same."""
    cpu = f"{cpu_model()}, {cpu_count()} cores"
    if device_type(device) == "cuda":
        import torch

        name = torch.cuda.get_device_name(device) if torch.cuda.is_available() else "GPUs of other machines"
        return f"{name}; {cpu}"
    return f"Apple GPU; {cpu}" if device == "mps" else cpu


def measured_on(device: str) -> dict[str, str]:
    """Return what two wall times must share to be comparable."""
    return {"hardware": hardware(device), "torch": version("torch")}


def environment(device: str) -> dict[str, Any]:
    """Return hardware, versions and the git commit, for reports, MLflow and `fmbench env`."""
    from fmbench.runtime.git_commit import git_commit

    return {
        "hardware": hardware(device),
        "device": device,
        "platform": platform.platform(),
        "git_commit": git_commit(),
        **versions(),
    }
