"""Which device computes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from fmbench.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")


_NUMBERED = re.compile(r"cuda:([0-9]{1,4})")
SHOWN = 16
"""GPUs that a message names."""


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


def device_type(device: str) -> str:
    """Return what kind of device it is, without its number: "cuda" for "cuda:1"."""
    return device.partition(":")[0]


def _may_have_gpu() -> bool:
    """Tell, without importing torch, whether asking torch for a GPU is worth its import."""
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was given."""
    import torch

    if device_type(device) == "cuda":
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def _of_several(wanted: str, number: int, seen: int) -> str:
    """Return a GPU by its number. Raises UserError where there are not so many."""
    if number >= seen:
        names = ", ".join(f"cuda:{each}" for each in range(min(seen, SHOWN))) + (", ..." if seen > SHOWN else "")
        found = f"{seen} GPU{'s' if seen != 1 else ''}: {names}"
        raise UserError(f"--device {wanted} was asked for, and torch sees {found}. Choose one of these, or auto.")
    return f"cuda:{number}"
