"""Which precision a network computes in."""

from __future__ import annotations

from pathlib import Path

from fmbench.runtime.device import device_type


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
