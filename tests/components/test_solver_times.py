"""The times that solvers get increase: known for built-in grids, asked of others, and refused where they do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import built_ins, evaluation_cell, training_cell

from fmbench.components.solver_times import fault_of, solver_times
from fmbench.errors import CellFailure, SuiteError
from fmbench.evaluation.sampling import sampler
from fmbench.plan import Plan, make_plan
from fmbench.plugins.registry import Registry
from fmbench.suite import read_suite
from fmbench.testing.dummy_components import CountedField

BUILT_IN = built_ins().names("grid")
CLOSE_TO_AN_END = [
    ("beta", {"alpha": 0.2, "beta": 0.2}),
    ("shift", {"s": 1e-5}),
    ("edm", {"rho": 40.0, "sigma_min": 1e-9}),
]
SUITE = """
name: ends
datasets: [moons]
training:
  paths: [linear]
  networks: [{mlp: {width: 16, depth: 1}}]
  steps: 20
evaluation:
  solvers: [euler, heun, ab2, ancestral]
  grids: [uniform, {beta: {alpha: 0.2, beta: 0.2}}]
  nfe: [4, 8, 64, 256]
  samples: 64
  metrics: [sliced_wasserstein]
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_times_increase_in_float32_up_to_as_many_steps_as_a_grid_says(registry: Registry, name: str) -> None:
    spec = registry.spec("grid", name)
    grid: Any = registry.build(spec)
    assert registry.attribute(spec, "distinct_steps") == grid.distinct_steps == 1000
    for steps in range(1, 1001):
        times = solver_times(grid, steps)
        assert times.dtype == torch.float32
        assert bool((times[1:] > times[:-1]).all()), steps
        assert not fault_of(times)


@pytest.mark.parametrize(("name", "parameters"), CLOSE_TO_AN_END)
def test_a_fault_is_found_exactly_where_two_times_are_equal(
    registry: Registry, name: str, parameters: dict[str, float]
) -> None:
    grid: Any = registry.build(registry.spec("grid", name, parameters))
    found = set()
    for steps in (*range(1, 70), 256, 1000):
        times = solver_times(grid, steps)
        fault = fault_of(times)
        assert bool(fault) == (len(set(times.tolist())) < steps + 1)
        found |= {steps} if fault else set()
    assert 1000 in found
    assert 1 not in found


def test_the_fault_names_the_times() -> None:
    same = torch.tensor([0.0, 0.25, 0.25, 1.0])
    rule = "the times of 3 steps do not increase in float32, in which solvers get them: time 2 is 0.25 after 0.25"
    assert fault_of(same) == rule
    assert "time 3 is nan after 0.5" in fault_of(torch.tensor([0.0, 0.25, 0.5, float("nan")]))
    assert not fault_of(torch.tensor([0.0, 0.25, 1.0]))


def planned(registry: Registry, *overrides: str) -> Plan:
    return make_plan(read_suite(SUITE, "suite.yaml", overrides), registry)


def test_the_plan_leaves_out_where_times_are_equal(registry: Registry) -> None:
    """Beta(0.2, 0.2) at 64 and 256 steps; Heun's method makes 32 and 128 of as many calls."""
    plan = planned(registry)
    kept = {(cell.solver.name, cell.nfe) for cell in plan.evaluations if cell.grid and cell.grid.name == "beta"}
    grid: Any = registry.build(registry.spec("grid", "beta", {"alpha": 0.2, "beta": 0.2}))
    wanted = set()
    for name, calls in (("euler", 1), ("heun", 2), ("ab2", 1), ("ancestral", 1)):
        for nfe in (4, 8, 64, 256):
            times = grid.times(nfe // calls).float().tolist()
            wanted |= {(name, nfe)} if len(set(times)) == len(times) else set()
    assert kept == wanted
    assert {("euler", 8), ("heun", 8)} < kept
    assert not {("euler", 64), ("euler", 256), ("heun", 256)} & kept
    assert len([cell for cell in plan.evaluations if cell.grid and cell.grid.name == "uniform"]) == 4 * 4
    assert sum(left.count for left in plan.left_out) == 4 * 4 - len(kept)
    assert {left.cell for left in plan.left_out} == {f"grid=beta(alpha=0.2, beta=0.2) nfe={n}" for n in (64, 256)}
    for left in plan.left_out:
        assert "steps do not increase in float32" in left.reason


def test_a_grid_is_imported_by_the_plan_only_where_it_has_to_be_asked(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    build = registry.build
    monkeypatch.setattr(registry, "build", lambda spec: asked.append(str(spec)) or build(spec))
    planned(registry, "evaluation.grids=[uniform, cosine, edm, {shift: {s: 3.0}}]")
    assert not asked
    planned(registry, "evaluation.grids=[uniform, {shift: {s: 2.0}}]", "evaluation.nfe=[4, 2048]")
    # of 2, 4, 1024 and 2048 steps
    assert Counter(asked) == {"shift(s=2)": 4, "uniform": 2}


def test_a_grid_that_says_what_is_not_so_fails_its_cell_with_the_reason(registry: Registry) -> None:
    grid = registry.spec("grid", "beta", {"alpha": 0.2, "beta": 0.2})
    cell = replace(evaluation_cell(registry, training_cell(registry), "dpmpp_2m", 64), grid=grid)
    model: Any = SimpleNamespace(context=SimpleNamespace(build=registry.build, device="cpu"), decode=lambda x: x)
    with pytest.raises(CellFailure, match=r"grid beta\(alpha=0.2, beta=0.2\): the times of 64 steps do not increase"):
        sampler(model, cell, CountedField(lambda x, t: -x))  # type: ignore[arg-type]
    few = replace(cell, nfe=8, steps=8)
    integrate = sampler(model, few, CountedField(lambda x, t: -x))  # type: ignore[arg-type]
    assert integrate(torch.ones(3, 2), None).shape == (3, 2)


def test_a_suite_of_which_nothing_is_left_says_why(registry: Registry) -> None:
    with pytest.raises(SuiteError, match=r"no cell is left to run.*steps do not increase in float32"):
        planned(registry, "evaluation.grids=[{beta: {alpha: 0.2, beta: 0.2}}]", "evaluation.nfe=[256]")
