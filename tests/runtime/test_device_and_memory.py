"""Which device computes, and what a process keeps of the memory that tensors free."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from fmbench.errors import UserError
from fmbench.isolation import global_random
from fmbench.model.build import Components
from fmbench.runtime import autotune, device, environment, memory, precision
from fmbench.training import compilation

MIB = 2**20
PROGRAM = """
import json, resource
import torch
from fmbench.runtime.memory import give_memory_back, keep_freed_memory

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


GPUS = 2


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is asked of torch.cuda on a machine with two GPUs, and of which of them."""
    asked: list[tuple[str, object]] = []
    answers = {
        "get_device_name": "GPU",
        "get_device_capability": (9, 0),
        "synchronize": None,
        "mem_get_info": (7, 8),
        "reset_peak_memory_stats": None,
        "max_memory_allocated": 9,
        "set_device": None,
        "get_rng_state": torch.zeros(1),
    }

    def recorded(name: str) -> Callable[[object], object]:
        def call(device: object) -> object:
            asked.append((name, str(device)))
            return answers[name]

        return call

    for name in answers:
        monkeypatch.setattr(torch.cuda, name, recorded(name))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: asked.append(("set_rng_state", str(device))))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: GPUS)
    return asked


def test_one_gpu_of_several_can_be_asked_for(calls: list[tuple[str, object]]) -> None:
    assert [device.choose_device(wanted) for wanted in ("cuda", "cuda:0", "cuda:1", "cuda:01")] == [
        "cuda",
        "cuda:0",
        "cuda:1",
        "cuda:1",
    ]
    with pytest.raises(UserError, match=r"^--device cuda:3 was asked for, and torch sees 2 GPUs: cuda:0, cuda:1\."):
        device.choose_device("cuda:3")


def test_a_gpu_is_not_taken_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        UserError, match="--device cuda:0 was asked for, but torch sees no such device; usable here: cpu"
    ):
        device.choose_device("cuda:0")
    for wrong in ("cuda:", "cuda:x", "cuda:-1", "cuda: 1", "cuda:" + "1" * 5000, "cpu:0", "CUDA", ""):
        with pytest.raises(UserError, match="or cuda:0, cuda:1 and so on for one GPU of several; found"):
            device.choose_device(wrong)


def test_everything_is_asked_of_the_gpu_that_was_chosen(calls: list[tuple[str, object]]) -> None:
    chosen = "cuda:1"
    assert environment.hardware(chosen).startswith("GPU; ")
    assert precision.choose_precision("auto", True, chosen) == "bf16"
    assert memory.free_memory(chosen) == 7
    memory.reset_peak_memory(chosen)
    assert memory.peak_memory(chosen) == 9
    device.synchronise(chosen)
    environment.make_current(chosen)
    with global_random.seeded(0, chosen):
        pass
    with compilation._own_random(chosen):
        pass
    assert {name for name, _ in calls} >= {"get_device_name", "mem_get_info", "set_device", "synchronize"}
    assert {where for _, where in calls} == {chosen}


def test_a_process_keeps_its_own_gpu_where_no_number_was_given(calls: list[tuple[str, object]]) -> None:
    for name in ("cuda", "cpu", "mps"):
        environment.make_current(name)
    assert calls == []


def test_autocast_is_told_the_kind_of_device_and_no_number() -> None:
    parts = Components(*[None] * 6, classes=0, precision="bf16")  # type: ignore[arg-type]
    made = parts.autocast("cuda:1")
    assert isinstance(made, partial)
    assert made.args == ("cuda",)


def test_what_was_measured_on_one_gpu_counts_on_its_twin(calls: list[tuple[str, object]]) -> None:
    assert autotune.machine("cuda:0", 1) == autotune.machine("cuda:1", 1)
    assert environment.measured_on("cuda:0") == environment.measured_on("cuda:1")


def test_no_code_compares_a_device_that_may_have_a_number() -> None:
    folder = Path(environment.__file__).parents[1]
    compared = re.compile(r"(?<!device_type\()\bdevice\)? [!=]= \"cuda\"")
    found = [
        str(file)
        for file in folder.rglob("*.py")
        for line in file.read_text().splitlines()
        if compared.search(line) and "device_type(" not in line
    ]
    assert found == []
