"""Trained cells under guidance: each call of each network counts, and batches, sharing and fleets change nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.components.contracts import Guidance
from fmbench.errors import CellFailure
from fmbench.evaluation.batched_sampling import NotBatchedError, draw_batched
from fmbench.evaluation.evaluate import evaluate
from fmbench.evaluation.sampler_timing import calls_of
from fmbench.evaluation.sampling import draw_samples, what_samples
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.model.velocity import ModelVelocity
from fmbench.plugins.registry import Registry
from fmbench.training.loop import train

LABELLED = {"class_conditional": True, "steps": 40}
WEAKER = {"network": {"mlp": {"width": 8, "depth": 1}}}

GUIDANCE: dict[str, tuple[dict[str, Any], int, int]] = {
    "apg": ({"weight": 3.0, "momentum": -0.5, "norm_threshold": 2.0}, 8, 4),
    "autoguidance": ({"weight": 2.0, "model": WEAKER}, 8, 4),
    "cfg_zero_star": ({"weight": 3.0}, 6, 4),
    "interval": ({"weight": 3.0, "start": 0.2, "end": 0.6}, 6, 4),
}
"""Parameters, and an NFE with the steps of Euler's method that spend it: on times 0, 1/4, 1/2, 3/4."""


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("guidance"), registry)


@pytest.fixture(scope="module")
def cell(registry: Registry, shop: WorkerContext) -> TrainingCell:
    return trained_cell(registry, shop)


@pytest.fixture(scope="module")
def weaker(registry: Registry, shop: WorkerContext) -> TrainingCell:
    return trained_cell(registry, shop, network=("mlp", {"width": 8, "depth": 1}))


def trained_cell(registry: Registry, shop: WorkerContext, **changes: Any) -> TrainingCell:
    cell = training_cell(registry, **{"settings": LABELLED, "dataset": "gaussian_mixture", **changes})
    train([cell], shop)
    return cell


def guided(registry: Registry, cell: TrainingCell, name: str, weaker: TrainingCell | None) -> EvaluationCell:
    parameters, nfe, steps = GUIDANCE[name]
    spec = registry.spec("guidance", name, parameters)
    used = weaker if registry.attribute(spec, "weaker") else None
    return replace(evaluation_cell(registry, cell, "euler", nfe, 600), steps=steps, guidance=spec, weaker=used)


def velocity_of(trained: Trained, cell: EvaluationCell) -> ModelVelocity:
    return trained.velocity(cell.guidance, cell.weights, cell.weaker)


def drawn(trained: Trained, cell: EvaluationCell, larger: int = 0) -> Tensor:
    with torch.no_grad():
        return draw_samples(trained, cell, velocity_of(trained, cell), larger).samples


@pytest.mark.parametrize("name", GUIDANCE)
def test_every_call_of_every_network_is_counted(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell, name: str
) -> None:
    own = guided(registry, cell, name, weaker)
    trained, modules, calls = load_trained(cell, shop), [], 0

    def count(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal calls
        calls += len(output)

    velocity = velocity_of(trained, own)
    modules = [velocity.module, *([velocity.weaker_model.module] if velocity.weaker_model else [])]
    hooks = [module.register_forward_hook(count) for module in modules]
    with torch.no_grad():
        found = draw_samples(trained, own, velocity)
    for hook in hooks:
        hook.remove()
    assert calls == sum(found.calls) == own.nfe * 600
    assert set(found.nfe_of_batches) == {own.nfe}


@pytest.mark.parametrize("name", GUIDANCE)
def test_evaluations_spend_their_budget_and_keep_what_they_found(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell, name: str
) -> None:
    own = guided(registry, cell, name, weaker)
    metrics = [registry.spec("metric", metric) for metric in ("sliced_wasserstein", "solver_error", "round_trip_error")]
    evaluate(load_trained(cell, shop), own, metrics)
    folder = shop.store.folder("evaluation", own.key)
    assert (folder.result() or {})["facts"]["nfe"] == own.nfe
    stateful = name in {"apg", "cfg_zero_star"}
    for entry in (folder.metrics()[metric.digest] for metric in metrics[1:]):
        assert ("remembers its calls" in entry.get("left_out", "")) is stateful
        assert bool(entry["values"]) is not stateful


@pytest.mark.parametrize("name", GUIDANCE)
def test_the_batch_changes_roundings_only(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell, name: str
) -> None:
    own, trained = guided(registry, cell, name, weaker), load_trained(cell, shop)
    blocks = drawn(trained, own)
    torch.testing.assert_close(drawn(trained, own, larger=512), blocks, rtol=1e-4, atol=1e-4)
    small = load_trained(cell, replace(shop, evaluation_batch=100))
    torch.testing.assert_close(drawn(small, own), blocks, rtol=1e-4, atol=1e-4)


class Looks(Guidance):
    """Looks at its batch."""

    network_calls = 1

    def velocity(self, calls: Any, x: Tensor, t: Tensor) -> Tensor:
        return calls.conditional(x, t) - x.mean(0)


def test_what_looks_at_its_batch_keeps_to_blocks(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(evaluation_cell(registry, cell, "euler", 4, 1100), guidance=3.0)
    context, trained = replace(shop, keeps_to_blocks={}), load_trained(cell, shop)
    trained.context = context
    assert draw_samples(trained, own, velocity_of(trained, own), 1024).sizes == [256, 844]
    monkeypatch.setattr("fmbench.evaluation.sampling.guidance_component", lambda guidance, context: Looks())
    context.keeps_to_blocks.clear()
    assert draw_samples(trained, own, velocity_of(trained, own), 1024).sizes == [256, 256, 256, 256, 76]


def test_a_model_guided_by_itself_is_not_guided(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    trained, own = load_trained(cell, shop), guided(registry, cell, "autoguidance", cell)
    alone = replace(evaluation_cell(registry, cell, "euler", 4, 600))
    torch.testing.assert_close(drawn(trained, own), drawn(trained, alone))
    assert own.key != alone.key


def test_autoguidance_needs_no_labels(registry: Registry, shop: WorkerContext) -> None:
    strong, weak = (
        trained_cell(registry, shop, settings={"steps": 40}, network=("mlp", {"width": width, "depth": 1}))
        for width in (16, 8)
    )
    trained, own = load_trained(strong, shop), guided(registry, strong, "autoguidance", weak)
    x, t = trained.source(0, 5), torch.full((5,), 0.5)
    velocities = [velocity(x, t) for velocity in (trained.velocity(), load_trained(weak, shop).velocity())]
    torch.testing.assert_close(velocity_of(trained, own)(x, t), 2 * velocities[0] - velocities[1])


def test_a_weaker_model_that_is_not_there_says_why(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    absent = training_cell(registry, dataset="gaussian_mixture", settings={**LABELLED, "steps": 41})
    own = guided(registry, cell, "autoguidance", absent)
    with pytest.raises(CellFailure, match=r"its weaker model .* is not there: it was never trained"):
        evaluate(load_trained(cell, shop), own, [])
    shop.store.folder("training", absent.key).fail("diverged", "the loss is nan")
    with pytest.raises(CellFailure, match=r"its weaker model .* is not there: the loss is nan"):
        evaluate(load_trained(cell, shop), own, [])


def test_guidance_asks_only_for_what_there_is(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    trained = load_trained(cell, shop)
    x, t = trained.source(0, 5), torch.full((5,), 0.5)
    spec = registry.spec("guidance", "autoguidance", {"weight": 2.0, "model": WEAKER})
    with pytest.raises(CellFailure, match="guidance autoguidance asks for a weaker model"):
        trained.velocity(spec)(x, t)
    with pytest.raises(CellFailure, match="guidance classifier_free asks for no label"):
        trained.velocity(3.0)(x, t)
    velocity = trained.velocity(3.0)
    with pytest.raises(CellFailure, match="must set stateful = True"):
        _ = velocity.memory


class Faulty(Guidance):
    """Returns what a function makes of the velocity and of x."""

    def __init__(self, of: Callable[[Tensor, Tensor], Any]) -> None:
        self.of = of

    def velocity(self, calls: Any, x: Tensor, t: Tensor) -> Any:
        return self.of(calls.conditional(x, t), x)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda v, x: None, "must return torch.float32 (5, 2), as x is; it returned NoneType"),
        (lambda v, x: v.mean(), "must return torch.float32 (5, 2), as x is; it returned torch.float32 ()"),
        (lambda v, x: v.double(), "must return torch.float32 (5, 2), as x is; it returned torch.float64 (5, 2)"),
        (lambda v, x: v + x.mul_(2), "changes x or t in place, which the solver goes on with: copy it first"),
    ],
)
def test_what_guidance_must_not_do_is_said_of_it_and_not_of_the_solver(
    shop: WorkerContext, cell: TrainingCell, of: Callable[[Tensor, Tensor], Any], message: str
) -> None:
    velocity = load_trained(cell, shop).velocity()
    velocity.guidance = Faulty(of)
    with pytest.raises(CellFailure, match=re.escape(f"guidance Faulty {message}")):
        velocity(torch.ones(5, 2), torch.zeros(5))


def test_a_change_of_the_process_while_sampling_names_the_guidance_too(registry: Registry, cell: TrainingCell) -> None:
    plain = evaluation_cell(registry, cell, "euler", 4, 600)
    assert what_samples(plain) == "solver euler"
    assert what_samples(replace(plain, guidance=3.0)) == "solver euler or guidance 3"


def test_calls_are_shared_under_guidance_that_remembers_nothing(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell
) -> None:
    """The first call of every trajectory is the same; the calls that it stands for are counted all the same."""
    for name, saved in (("interval", 1), ("autoguidance", 2), ("cfg_zero_star", 0), ("apg", 0)):
        trained = load_trained(cell, shop)
        own = guided(registry, cell, name, weaker)
        fewer = replace(own, nfe=None, steps=2)
        seen = []
        trained.sharing = lambda *about, into=seen, of=trained: into.append(Trained.sharing(of, *about)) or into[-1]  # type: ignore[method-assign]
        for one in (own, fewer):
            evaluate(trained, one, [])
        assert len(seen) == (2 if saved else 0)
        assert sum(each.saved for each in seen) == saved * 600
        alone = draw_samples(trained, fewer, velocity_of(trained, fewer))
        facts = (shop.store.folder("evaluation", fewer.key).result() or {})["facts"]
        assert facts["nfe"] == alone.nfe


@pytest.mark.parametrize("name", ["apg", "cfg_zero_star", "interval"])
def test_fleets_are_guided_as_their_members_are(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, name: str
) -> None:
    members = [load_trained(each, shop) for each in (cell, trained_cell(registry, shop, seed=1))]
    own = guided(registry, cell, name, None)
    for member, found in zip(members, draw_batched(members, own), strict=True):
        torch.testing.assert_close(found.samples, drawn(member, own), rtol=1e-4, atol=1e-4)
        assert found.nfe == own.nfe


def test_fleets_say_what_they_cannot_do_as_one(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell
) -> None:
    members = [load_trained(each, shop) for each in (cell, trained_cell(registry, shop, path="cosine"))]
    with pytest.raises(NotBatchedError, match="solver or the guidance looks at coefficients of the path"):
        draw_batched(members, guided(registry, cell, "apg", None))
    with pytest.raises(NotBatchedError, match="weaker models, which are each member's own"):
        draw_batched(members, guided(registry, cell, "autoguidance", weaker))


def test_a_timed_sampler_calls_the_weaker_model_too(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, weaker: TrainingCell
) -> None:
    trained, own = load_trained(cell, replace(shop, evaluation_batch=4)), guided(registry, cell, "autoguidance", weaker)
    sizes = []
    module = velocity_of(trained, own).weaker_model
    assert module is not None
    hook = module.module.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    by_weaker = calls_of(trained, own)
    hook.remove()
    assert sizes == [16] * 4, "in one piece, whatever the suite's batch"
    assert by_weaker != calls_of(trained, replace(own, weaker=cell))


def test_steps_are_found_for_what_a_network_is_asked(
    registry: Registry, tmp_path: Path, shop: WorkerContext, cell: TrainingCell
) -> None:
    """A budget that is not spent fails the cell, whatever the plan believed."""
    own = replace(guided(registry, cell, "interval", None), steps=3)
    with pytest.raises(CellFailure, match="it should be 6"):
        evaluate(load_trained(cell, shop), own, [])
