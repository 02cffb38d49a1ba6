"""Which GPUs workers are shared out to: what nvidia-smi lists, as CUDA_VISIBLE_DEVICES limits it; and how many fit."""

from __future__ import annotations

import pytest

from fmbench.executors import devices
from fmbench.executors.devices import Gpu, gpus_here, memory_of, parse_listing, parse_sizes, visible, workers_a_gpu

A, B = "GPU-5c8c1f0e-0000-1111-2222-333344445555", "GPU-77aa00bb-0000-1111-2222-333344445555"
M1, M2 = "MIG-11111111-aaaa-bbbb-cccc-000000000001", "MIG-22222222-aaaa-bbbb-cccc-000000000002"
LISTING = f"""GPU 0: NVIDIA H100 80GB HBM3 (UUID: {A})
  MIG 1g.10gb     Device  0: (UUID: {M1})
  MIG 2g.20gb     Device  1: (UUID: {M2})
GPU 1: NVIDIA H100 80GB HBM3 (UUID: {B})
"""
SPLIT = parse_listing(LISTING)
WHOLE = [Gpu(0, A), Gpu(1, B)]
GIB = 2**30


def test_a_listing_is_read_with_the_instances_of_gpus_that_are_split() -> None:
    assert [Gpu(0, A, {M1: 10 * 10**9, M2: 20 * 10**9}), Gpu(1, B)] == SPLIT
    assert parse_listing("No devices found.\n") == []
    assert parse_sizes(f"{A}, 81559\n{B}, [N/A]\n") == {A: 81559 * 2**20}


@pytest.mark.parametrize(
    ("given", "listed", "counted", "found"),
    [
        (None, WHOLE, None, (A, B)),
        (None, SPLIT, None, (M1, M2, B)),
        (None, [], 2, ("0", "1")),
        (None, [], None, ()),
        ("", WHOLE, None, ()),
        ("-1", WHOLE, None, ()),
        ("1", WHOLE, None, ("1",)),
        ("1,0", WHOLE, None, ("1", "0")),
        (" 1 , 0 ", WHOLE, None, ("1", "0")),
        ("0,5,1", WHOLE, None, ("0",)),  # CUDA sees none after the first that is not there
        ("0,-1,1", WHOLE, None, ("0",)),
        ("0,0", WHOLE, None, ("0",)),
        (B, WHOLE, None, (B,)),
        ("GPU-77,0", WHOLE, None, ("GPU-77", "0")),
        ("GPU-", WHOLE, None, ()),  # two begin so
        (f"{M2},{M1}", SPLIT, None, (M2, M1)),
        ("0", SPLIT, None, (M1, M2)),
        (f"MIG-{A}/1/0", SPLIT, None, (f"MIG-{A}/1/0",)),
        ("2,3", [], 2, ("2", "3")),
        ("2,3", [], 1, ("2",)),
    ],
)
def test_what_cuda_visible_devices_says_is_honoured(
    given: str | None, listed: list[Gpu], counted: int | None, found: tuple[str, ...]
) -> None:
    environment = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    assert visible(environment, listed, counted) == found


def test_as_many_workers_share_a_gpu_as_fit_by_the_largest_peak_on_record() -> None:
    assert workers_a_gpu(1, None, None) == (1, "")
    assert workers_a_gpu(4, 10 * GIB, 80 * GIB) == (4, "")
    number, why = workers_a_gpu(8, 20 * GIB, 80 * GIB)
    assert number == 3
    assert why.startswith("--per-gpu 8 does not fit: a training took up to 20.0 GiB")
    assert why.endswith("so 3 work on each")
    assert workers_a_gpu(2, 100 * GIB, 80 * GIB)[0] == 1, "one always works"
    assert workers_a_gpu(2, None, 80 * GIB) == (
        2,
        "--per-gpu 2 is taken as it is, for no training of this suite on a GPU is on record: nobody knows whether they "
        "fit",
    )
    assert "memory is not known" in workers_a_gpu(2, GIB, None)[1]


def test_the_memory_of_a_device_is_that_of_its_instance_or_of_its_gpu() -> None:
    sizes = {A: 80 * GIB, B: 40 * GIB}
    assert [memory_of(each, SPLIT, sizes) for each in (M1, B, "1", "GPU-77")] == [10 * 10**9, *[40 * GIB] * 3]
    assert memory_of("7", SPLIT, sizes) is None


def test_the_machine_is_asked_by_nvidia_smi_and_else_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"-L": LISTING, "--query-gpu=uuid,memory.total": f"{A}, 1000\n{B}, 2000\n"}
    monkeypatch.setattr(devices, "_printed", lambda *command: said.get(command[1], "3\n"))
    assert gpus_here({}) == devices.Gpus((M1, M2, B), 2000 * 2**20)
    assert gpus_here({"CUDA_VISIBLE_DEVICES": "1"}) == devices.Gpus(("1",), 2000 * 2**20)
    said["-L"] = ""
    assert gpus_here({}) == devices.Gpus(("0", "1", "2"), None)
    assert gpus_here({"CUDA_VISIBLE_DEVICES": ""}) == devices.Gpus((), None)


def test_a_machine_without_nvidia_smi_has_no_listing() -> None:
    assert devices._printed("a-command-that-is-not-there") == ""
