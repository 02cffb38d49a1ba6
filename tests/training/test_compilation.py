"""How a lone network is computed: what a probe finds is kept and recorded, and a compiler that fails fails nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from torch import nn

from fmbench.cells.cells import TrainingCell
from fmbench.model.build import assemble, make_module
from fmbench.plugins.registry import Registry
from fmbench.store.atomic_files import read_sealed
from fmbench.training import compilation
from fmbench.training.compilation import Compilation, choose, compilation_file, usual
from fmbench.training.loop import train

IMAGES: dict[str, Any] = {"dataset": "digits", "network": ("small_unet", {"channels": 4})}


def compiling(registry: Registry, **names: Any) -> TrainingCell:
    cell = training_cell(registry, settings={"steps": 6}, **names)
    object.__setattr__(cell, "compile", True)
    return cell


def timed(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> list[str]:
    """Have steps take what is said; return the list of what is tried, in the order in which it is first tried."""
    tried: list[str] = []

    def measure(tune_fleet_size: Any, compilations: Sequence[Compilation]) -> dict[str, list[float]]:
        tried.extend(str(chosen) for chosen in compilations if str(chosen) not in tried)
        taken = {str(chosen): [seconds[str(chosen)]] * compilation.ROUNDS for chosen in compilations}
        tune_fleet_size.seconds |= {name: times[0] for name, times in taken.items()}
        return taken

    monkeypatch.setattr(compilation._Probe, "_measure", measure)
    return tried


@pytest.mark.parametrize(
    ("contiguous", "channels_last", "expected"), [(1.05, 1.0, False), (1.0, 0.8, True), (0.8, 1.0, False)]
)
def test_the_usual_format_stays_unless_the_other_is_clearly_faster(
    tmp_path: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    contiguous: float,
    channels_last: float,
    expected: bool,
) -> None:
    times = {"eager, contiguous": contiguous / 1e3, "eager, channels_last": channels_last / 1e3}
    tried = timed(monkeypatch, times)
    shop = context(tmp_path, registry)
    cell = training_cell(registry, settings={"steps": 1000}, **IMAGES)
    parts = assemble(cell, shop)
    monkeypatch.setattr(type(parts.network), "channels_last", False)
    found = choose(cell, parts, shop)
    assert found.channels_last is expected
    assert found.seconds == times
    other = training_cell(registry, 5, settings={"steps": 1000}, path="cosine", **IMAGES)
    assert choose(other, parts, shop) == found
    assert len(tried) == 2, "cells that are alike share what was found"


@pytest.mark.parametrize("compiles", ["auto", False])
def test_a_format_that_a_network_asks_for_is_taken_on_a_cpu(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, compiles: Any
) -> None:
    tried = timed(monkeypatch, {"eager, channels_last": 1e-3})
    shop = context(tmp_path, registry)
    cell = training_cell(registry, settings={"steps": 1000}, **IMAGES)
    object.__setattr__(cell, "compile", compiles)
    assert choose(cell, assemble(cell, shop), shop).channels_last
    assert tried == (["eager, channels_last"] if compiles else [])  # how long a training will take


def test_short_trainings_and_networks_without_convolutions_pay_little(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = timed(monkeypatch, {"eager, contiguous": 1e-3, "eager, channels_last": 1e-3})
    shop = context(tmp_path, registry)
    short = training_cell(registry, settings={"steps": 100}, **IMAGES)
    assert choose(short, assemble(short, shop), shop) == usual(assemble(short, shop))
    assert not tried
    points = training_cell(registry, settings={"steps": 1000})
    choose(points, assemble(points, shop), shop)
    assert tried == ["eager, contiguous"]


@pytest.mark.parametrize(
    ("compiled", "steps", "expected"), [(0.5, 10**6, True), (0.95, 10**6, False), (0.5, 1000, False)]
)
def test_auto_compiles_where_that_saves_time_over_the_length_of_the_training(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, compiled: float, steps: int, expected: bool
) -> None:
    tried = timed(monkeypatch, {"eager, contiguous": 1.0, "torch.compile, contiguous": compiled})
    monkeypatch.setattr(compilation, "_lacks", lambda device: "")
    shop = context(tmp_path, registry)
    cell = training_cell(registry, settings={"steps": steps})
    assert choose(cell, assemble(cell, shop), shop).compiled is expected
    assert ("torch.compile, contiguous" in tried) is (steps == 10**6), "a short training does not pay for the attempt"


def test_the_probe_measures_and_leaves_training_as_it_is(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the memory format that it has without a probe, a training ends in the same bits."""
    settings = {"steps": 2 * (compilation.WARM_UP + compilation.ROUNDS)}
    cell = training_cell(registry, settings=settings, **IMAGES)
    plain = context(tmp_path / "plain", registry)
    monkeypatch.setattr(type(plain.build(cell.network)), "channels_last", False)
    train([cell], plain)
    monkeypatch.setattr(compilation, "SHARE", 1.0)
    monkeypatch.setattr(compilation, "GAIN", 0.0)
    probed = context(tmp_path / "probed", registry)
    train([cell], probed)
    weights = [shop.store.folder("training", cell.key).read("weights.safetensors") for shop in (plain, probed)]
    assert weights[0] == weights[1]
    kept = read_sealed(compilation_file(cell, probed))
    assert kept is not None
    assert set(kept["seconds"]) == {"eager, contiguous", "eager, channels_last"}
    assert all(seconds > 0 for seconds in kept["seconds"].values())
    assert (probed.store.folder("training", cell.key).result() or {})["facts"]["program"] == "eager, contiguous"


def test_without_a_compiler_the_cell_trains_eagerly_and_says_why(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    shop, cell = context(tmp_path, registry), compiling(registry)
    with caplog.at_level(logging.WARNING):
        train([cell], shop)
    facts = (shop.store.folder("training", cell.key).result() or {})["facts"]
    assert facts["program"] == "eager, contiguous (there is no C++ compiler (no-such-compiler))"
    assert "not compiled: there is no C++ compiler" in caplog.text


def test_a_compiler_that_fails_fails_no_cell(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(module: nn.Module, **options: Any) -> Any:
        def call(*inputs: Any) -> Any:
            raise RuntimeError("\n  the backend is out of order\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(compilation, "_lacks", lambda device: "")
    shop, cell = context(tmp_path, registry), compiling(registry)
    with caplog.at_level(logging.WARNING):
        train([cell], shop)
    assert "torch.compile failed: RuntimeError: the backend is out of order" in caplog.text
    assert shop.store.folder("training", cell.key).result() is not None


def test_what_is_compiled_is_called_and_the_module_keeps_its_weights(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for torch.compile counts its calls: weights and their names are those of eager, to the bit."""
    calls = []

    def counting(module: nn.Module, **options: Any) -> Any:
        def call(*inputs: Any) -> Any:
            calls.append(options["mode"])
            return module(*inputs)

        return call

    plain = training_cell(registry, settings={"steps": 6})
    eager = context(tmp_path / "eager", registry)
    train([plain], eager)
    monkeypatch.setattr(torch, "compile", counting)
    monkeypatch.setattr(compilation, "_lacks", lambda device: "")
    shop, cell = context(tmp_path / "compiled", registry), compiling(registry)
    assert cell.key == plain.key, "how a network is computed is in no key"
    train([cell], shop)
    assert calls == ["default"] * (compilation.WARM_UP + compilation.ROUNDS + 1 + 6)
    folders = [each.store.folder("training", cell.key) for each in (eager, shop)]
    assert folders[0].read("weights.safetensors") == folders[1].read("weights.safetensors")
    assert (folders[1].result() or {})["facts"]["program"] == "torch.compile, contiguous"


def test_a_format_changes_strides_and_no_value(tmp_path: Path, registry: Registry) -> None:
    cell, shop = training_cell(registry, **IMAGES), context(tmp_path, registry)
    module = make_module(cell, assemble(cell, shop), "cpu")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for channels_last in (False, True, False):
        Compilation(channels_last).formatted(module)
        kinds = [p.is_contiguous() for p in module.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
        assert kinds
        assert all(kinds) is not channels_last
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_must_be_on_record_is_all_of_a_compilation() -> None:
    assert set(compilation.FORM) == {field.name for field in fields(Compilation)}
