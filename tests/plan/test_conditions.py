"""What is told to which network: the rules for labels and condition vectors, and the reasons where they do not fit."""

from __future__ import annotations

import pytest
from helpers import built_ins

from fmbench.errors import SuiteError
from fmbench.plan import Plan, make_plan
from fmbench.plugins.registry import Registry, load_registry
from fmbench.suite import read_suite

PLUGIN = '''
"""Networks that take one kind of conditions, or none."""

from torch import nn

from fmbench import Network, hookimpl


class Old(Network):
    """A network as they were written before there were vectors."""

    def build(self, shape, classes):
        return nn.Identity()


class Vectors(Network):
    """A network of vectors alone."""

    takes = ("vectors",)

    def build(self, shape, classes, condition_width=0):
        return nn.Identity()


class Nothing(Old):
    """A network that is told nothing."""

    takes = ()


@hookimpl
def fmbench_networks():
    return {"old": Old, "vectors": Vectors, "nothing": Nothing}
'''

SUITE = """
name: told
datasets: [gaussian_on_circle, moons, sine]
training:
  paths: [linear]
  couplings: [COUPLING]
  networks: [mlp, old, vectors, nothing]
  steps: 5
  class_conditional: true
evaluation:
  solvers: [euler]
  guidance: [1, 2]
  nfe: [4]
  samples: 100
  metrics: [wasserstein_2, class_wasserstein, joint_wasserstein]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    file = tmp_path_factory.mktemp("plugin") / "told.py"
    file.write_text(PLUGIN)
    return load_registry([str(file)])


def planned(registry: Registry, coupling: str = "independent", **changes: str) -> Plan:
    text = SUITE.replace("COUPLING", coupling)
    for old, new in changes.items():
        text = text.replace({"told": "class_conditional: true", "networks": "[mlp, old, vectors, nothing]"}[old], new)
    return make_plan(read_suite(text), registry)


def pairs(plan: Plan) -> set[tuple[str, str]]:
    return {(str(cell.dataset), str(cell.network)) for cell in plan.trainings}


def test_a_network_is_told_what_it_takes_and_is_left_out_elsewhere(registry: Registry) -> None:
    plan = planned(registry)
    circle, moons = "gaussian_on_circle", "moons"
    assert pairs(plan) == {(circle, "mlp"), (circle, "vectors"), (moons, "mlp"), (moons, "old")}
    reasons = {left.cell: left.reason for left in plan.left_out}
    assert reasons[f"dataset={circle} network=old"] == f"{circle} has vectors, and old takes labels"
    assert reasons[f"dataset={moons} network=vectors"] == "moons has labels, and vectors takes vectors"
    assert reasons[f"dataset={moons} network=nothing"] == "moons has labels, and nothing takes no conditions"
    assert reasons["dataset=sine"] == "training.class_conditional needs 'classes' or 'vectors', which sine has not"


def test_without_conditions_every_network_takes_every_dataset(registry: Registry) -> None:
    plan = planned(registry, told="class_conditional: false")
    assert len(pairs(plan)) == 3 * 4


def test_metrics_of_classes_are_not_of_vectors(registry: Registry) -> None:
    plan = planned(registry)
    found = {str(cell.dataset): {spec.name for spec in plan.metrics_for(cell, "evaluation")} for cell in plan.trainings}
    assert found == {
        "gaussian_on_circle": {"wasserstein_2", "joint_wasserstein"},
        "moons": {"wasserstein_2", "class_wasserstein"},
    }
    reasons = [left.reason for left in plan.left_out if left.unit == "metric"]
    assert any(r.startswith("class_wasserstein needs 'classes', which gaussian_on_circle does not") for r in reasons)


def test_guidance_is_of_vectors_too(registry: Registry) -> None:
    guided = {str(cell.training.dataset) for cell in planned(registry).evaluations if cell.guidance == 2}
    assert guided == {"gaussian_on_circle", "moons"}


def test_a_coupling_that_needs_conditions_takes_either_kind(registry: Registry) -> None:
    assert pairs(planned(registry, "conditional_ot")) == pairs(planned(registry))
    plan = planned(registry, "conditional_ot", told="class_conditional: false")
    assert {dataset for dataset, _ in pairs(plan)} == {"gaussian_on_circle", "moons"}
    assert any(
        "conditional_ot needs 'conditions', which sine does not provide" in each.reason for each in plan.left_out
    )


def test_a_teacher_is_told_what_its_network_takes(registry: Registry) -> None:
    coupling = "{reflow: {teacher: {coupling: independent, network: old}}}"
    plan = planned(registry, coupling, networks="[mlp]")
    assert pairs(plan) == {("moons", "mlp"), ("moons", "old")}
    reasons = [left.reason for left in plan.left_out]
    assert "of its teacher, gaussian_on_circle has vectors, and old takes labels" in reasons


def test_nothing_left_is_said_with_the_reason() -> None:
    text = SUITE.replace("COUPLING", "independent").replace("[mlp, old, vectors, nothing]", "[mlp]")
    with pytest.raises(SuiteError, match="needs 'classes' or 'vectors', which sine has not"):
        make_plan(read_suite(text.replace("[gaussian_on_circle, moons, sine]", "[sine]")), built_ins())
