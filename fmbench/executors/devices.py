"""Which GPUs of this machine the worker processes are shared out to, and how many fit on one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MEMORY = 0.9
"""Workers on one GPU may take this part of its memory together, by the largest peak on record."""
CONTEXT = 600 * 2**20
"""Bytes that each process takes of a GPU besides what it computes with."""
NONE = {"", "-1", "NoDevFiles", "none", "void"}
"""Values of CUDA_VISIBLE_DEVICES that name no device."""
_GPU = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[0-9a-f-]+)\)")
_MIG = re.compile(r"\s+MIG \S*?(?:\.(\d+)gb\S*)?\s+Device\s+\d+: \(UUID: (MIG-\S+)\)")
_COUNT = "import torch; print(torch.cuda.device_count())"


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi lists it; `mig` are the instances that it is split into, with their memory in bytes."""

    index: int
    uuid: str
    mig: Mapping[str, int] = field(default_factory=dict)


def parse_listing(text: str) -> list[Gpu]:
    """Return the GPUs of what `nvidia-smi -L` printed."""
    found: list[Gpu] = []
    for line in text.splitlines():
        if gpu := _GPU.match(line):
            found.append(Gpu(int(gpu[1]), gpu[2]))
        elif (mig := _MIG.match(line)) and found:
            last = found.pop()
            found.append(Gpu(last.index, last.uuid, {**last.mig, mig[2]: int(mig[1] or 0) * 10**9}))
    return found


def visible(environment: Mapping[str, str], listed: Sequence[Gpu], counted: int | None = None) -> tuple[str, ...]:
    """Return the devices that this process may use, each as CUDA_VISIBLE_DEVICES names it alone.

    Without CUDA_VISIBLE_DEVICES all are used; a GPU that is split stands for its instances. With it, what it names is,
    by number, UUID or the beginning of one, up to the first that is not there, as CUDA does; a device that is named
    twice counts once. `counted` is how many torch sees, where nvidia-smi lists none.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        if not listed:
            return tuple(str(number) for number in range(counted or 0))
        return tuple(name for gpu in listed for name in (gpu.mig or [gpu.uuid]))
    if given.strip() in NONE:
        return ()
    names = [name.strip() for name in given.split(",")]
    if not listed:
        return tuple(dict.fromkeys(names[:counted]))
    found: list[str] = []
    for name in names:
        devices = _named(name, listed)
        if not devices:
            break
        found += devices
    return tuple(dict.fromkeys(found))


def _named(name: str, listed: Sequence[Gpu]) -> list[str]:
    """Return what a name stands for: one device, the instances of one that is split, or nothing."""
    if name.isdecimal():
        # by number CUDA may order them otherwise than nvidia-smi, so that the number is handed on
        gpu = next((gpu for gpu in listed if gpu.index == int(name)), None)
        return [] if gpu is None else list(gpu.mig) or [name]
    if name.startswith("MIG-GPU-"):  # of older drivers: the GPU and two numbers
        return [name]
    instances = [mig for gpu in listed for mig in gpu.mig if mig.startswith(name)]
    whole = [gpu for gpu in listed if gpu.uuid.startswith(name)]
    if len(instances) == 1:
        return instances
    return list(whole[0].mig) or [name] if len(whole) == 1 else []


def workers_a_gpu(wanted: int, peak: int | None, memory: int | None) -> tuple[int, str]:
    """Return how many workers share a GPU, and why these are fewer than `wanted`, or not known to fit; "" otherwise.

    The rule: `wanted` times (the largest peak memory of this suite's trainings on record, and what a process takes
    besides) must fit into `MEMORY` of the smallest GPU. One always fits. Without a record, as many as are wanted are
    taken.
    """
    if wanted <= 1:
        return 1, ""
    if not peak or not memory:
        lacking = "no training of this suite on a GPU is on record" if not peak else "the GPU's memory is not known"
        return wanted, f"--per-gpu {wanted} is taken as it is, for {lacking}: nobody knows whether they fit"
    fitting = max(1, int(MEMORY * memory / (peak + CONTEXT)))
    if fitting >= wanted:
        return wanted, ""
    gib = 2**30
    return fitting, (
        f"--per-gpu {wanted} does not fit: a training took up to {peak / gib:.1f} GiB, a process {CONTEXT / gib:.1f} "
        f"GiB besides, and the smallest GPU has {memory / gib:.1f} GiB, of which {MEMORY:.0%} may be taken; so "
        f"{fitting} {'works' if fitting == 1 else 'work'} on each"
    )


def memory_of(device: str, listed: Sequence[Gpu], sizes: Mapping[str, int]) -> int | None:
    """Return the bytes of a device of `visible`, None where they are not known. `sizes` are those of GPUs, by UUID."""
    for gpu in listed:
        if device in gpu.mig:
            return gpu.mig[device] or None
        if device == str(gpu.index) or gpu.uuid.startswith(device):
            return sizes.get(gpu.uuid)
    return None


def parse_sizes(text: str) -> dict[str, int]:
    """Return the bytes of each GPU by UUID, of what nvidia-smi printed as `uuid, MiB` lines."""
    pairs = (line.split(",") for line in text.splitlines() if line.count(",") == 1)
    return {uuid.strip(): int(size) * 2**20 for uuid, size in pairs if size.strip().isdecimal()}


@dataclass(frozen=True)
class Gpus:
    """The devices that this process may use, as `visible` names them, and the memory of the smallest, in bytes."""

    devices: tuple[str, ...]
    memory: int | None


def gpus_here(environment: Mapping[str, str]) -> Gpus:
    """Ask the machine for its GPUs: nvidia-smi, else torch in a process of its own."""
    listed = parse_listing(_printed("nvidia-smi", "-L"))
    counted = None if listed else int(_printed(sys.executable, "-c", _COUNT).strip() or 0)
    devices = visible(environment, listed, counted)
    query = ("nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits")
    sizes = parse_sizes(_printed(*query)) if listed else {}
    known = [memory_of(device, listed, sizes) for device in devices]
    return Gpus(devices, min(size for size in known if size) if all(known) and known else None)


def _printed(*command: str) -> str:
    """Return what a command prints; "" where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
