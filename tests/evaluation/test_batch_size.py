"""No batch size changes what a solver sees: scores differ by rounding only, and the NFE not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.components.contracts import ProbabilityPath, Solver
from fmbench.evaluation import sampling
from fmbench.evaluation.batched_sampling import NotBatchedError, draw_batched, in_order, joint_velocity
from fmbench.evaluation.oracle import Oracle
from fmbench.evaluation.sample_batches import why_in_blocks
from fmbench.evaluation.sampler_timing import SAMPLES, measure_sampler
from fmbench.evaluation.sampling import Drawn, draw_samples, larger_batch, usual_batch
from fmbench.model.build import in_pieces
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import NOISE_BLOCK, load_trained
from fmbench.plugins.registry import Registry, load_registry
from fmbench.training.loop import train

PLUGIN = """
import torch
from fmbench import Solver, hookimpl


class Noisy(Solver):
    "Euler, and some noise after each step."

    def integrate(self, velocity, x_0, times):
        x = x_0
        for t, following in zip(times[:-1], times[1:]):
            x = x + (following - t) * velocity(x, t.repeat(len(x)))
            x = x + 0.1 * torch.randn(x.shape, generator=velocity.generator, dtype=x.dtype, device=x.device)
        return x


class Global(Solver):
    "Euler, and some noise from torch's own generator after each step."

    def integrate(self, velocity, x_0, times):
        x = x_0
        for t, following in zip(times[:-1], times[1:]):
            x = x + (following - t) * velocity(x, t.repeat(len(x))) + 0.1 * torch.randn_like(x)
        return x


class Late(Noisy):
    "Draws noise only where some example lies far out."

    def integrate(self, velocity, x_0, times):
        if x_0[:, 0].max() > 2.95:
            return super().integrate(velocity, x_0, times)
        return x_0


class Crowd(Solver):
    "Moves examples towards the middle of their batch."

    def integrate(self, velocity, x_0, times):
        return x_0 + 0.5 * (x_0.mean(0) - x_0) + velocity(x_0, times[:1].repeat(len(x_0)))


@hookimpl
def fmbench_solvers():
    return {"noisy": Noisy, "global": Global, "crowd": Crowd, "late": Late}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    file = tmp_path_factory.mktemp("plugin") / "batch_solvers.py"
    file.write_text(PLUGIN)
    return load_registry([str(file)])


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("batches"), registry)


@pytest.fixture(scope="module")
def cell(registry: Registry, shop: WorkerContext) -> TrainingCell:
    cell = training_cell(registry)
    train([cell], shop)
    return cell


def evaluation(registry: Registry, cell: TrainingCell, solver: str, samples: int) -> EvaluationCell:
    made = evaluation_cell(registry, cell, solver, 1 if solver == "crowd" else 8, samples)
    if registry.attribute(made.solver, "adaptive"):
        return replace(made, grid=None, nfe=None, steps=None)
    return made


def with_batch(shop: WorkerContext, cell: EvaluationCell, batch: int | None) -> Drawn:
    """Draw what `evaluate` draws."""
    trained = load_trained(cell.training, replace(shop, evaluation_batch=batch))
    with torch.no_grad():
        return draw_samples(trained, cell, trained.velocity(), larger_batch(trained, cell))


@pytest.mark.parametrize("solver", ["ancestral", "stochastic_euler", "dopri5", "noisy", "global", "crowd", "heun"])
def test_samples_differ_by_rounding_and_nfe_not_at_all(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, solver: str
) -> None:
    own = evaluation(registry, cell, solver, 1100)
    usual = with_batch(shop, own, None)
    for batch in (4, 64, 1000):
        other = with_batch(shop, own, batch)
        torch.testing.assert_close(other.samples, usual.samples, rtol=1e-4, atol=1e-4)
        assert other.nfe == usual.nfe
        if solver != "heun":
            assert other.sizes == usual.sizes == [256, 256, 256, 256, 76]
            assert other.nfe_of_batches == usual.nfe_of_batches
    assert solver != "heun" or with_batch(shop, own, 1000).sizes == [256, 768, 76]


def test_a_solver_is_tried_once_for_each_sampler_and_path_and_each_for_itself(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of one solver, number of steps, grid, path or dataset says nothing of another."""
    tried: list[str] = []

    def why(solver: Solver, times: Tensor, path: ProbabilityPath, shape: Sequence[int], guidance: None) -> str:
        tried.append(f"{type(solver).__name__} {len(times) - 1} {float(times[1]):.3f} {type(path).__name__}")
        return why_in_blocks(solver, times, path, shape, guidance)

    monkeypatch.setattr(sampling, "why_in_blocks", why)
    own = replace(shop, keeps_to_blocks={})
    cosine = replace(cell, path=registry.spec("path", "cosine"))
    train([cosine], own)
    noisy, calm = (evaluation(registry, cell, name, 1100) for name in ("noisy", "euler"))
    others = [
        replace(calm, nfe=4, steps=4),
        replace(calm, grid=registry.spec("grid", "cosine")),
        replace(calm, training=cosine),
    ]
    for _ in range(2):
        for one in (noisy, calm, *others):
            blocks = with_batch(own, one, 1000).sizes == [256, 256, 256, 256, 76]
            assert blocks == (one is noisy)
    expected = ["Noisy 8 0.125 Linear", "Euler 8 0.125 Linear", "Euler 4 0.250 Linear"]
    assert tried[:3] == expected
    assert len(tried) == len(set(tried)) == 5


def test_the_first_batch_is_a_block_on_every_device(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    trained = load_trained(cell, shop)
    first: list[int] = []

    class Elsewhere:
        context, cell, labels = replace(shop, device="meta"), trained.cell, trained.labels

        def source(self, start: int, n: int, role: str) -> Tensor:
            first.append(n)
            raise InterruptedError

    assert usual_batch(Elsewhere()) == 4 * NOISE_BLOCK
    with pytest.raises(InterruptedError):
        draw_samples(Elsewhere(), evaluation(registry, cell, "dopri5", 1100), trained.velocity(), 4096)
    assert first == [NOISE_BLOCK]


@pytest.mark.parametrize("solver", ["ancestral", "noisy", "global"])
def test_a_blocks_noise_is_its_own(registry: Registry, shop: WorkerContext, cell: TrainingCell, solver: str) -> None:
    fewer, more = (with_batch(shop, evaluation(registry, cell, solver, n), None).samples for n in (512, 1024))
    assert torch.equal(more[:512], fewer)
    trained = load_trained(cell, shop)
    velocity = trained.velocity()
    torch.randn(7, generator=velocity.generator)  # as a solver that was before it
    with torch.no_grad():
        again = draw_samples(trained, evaluation(registry, cell, solver, 512), velocity).samples
    assert torch.equal(again, fewer)


def test_noise_that_only_later_batches_draw_is_drawn_in_blocks(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    own = replace(evaluation(registry, cell, "late", 2600), nfe=None)
    farthest = [float(load_trained(cell, shop).source(start, 256)[:, 0].max()) for start in range(0, 2560, 256)]
    assert farthest[0] < 2.95 < max(farthest)
    large, blocks = with_batch(shop, own, 4096), with_batch(shop, own, 64)
    assert large.nfe == blocks.nfe > 0
    torch.testing.assert_close(large.samples, blocks.samples, rtol=1e-4, atol=1e-4)


def test_why_a_solver_keeps_to_blocks(registry: Registry) -> None:
    def why(name: str) -> str:
        return why_in_blocks(registry.build(registry.spec("solver", name)), torch.linspace(0, 1, 5), path, (1, 4, 4))

    path = registry.build(registry.spec("path", "linear"))
    assert [name for name in ("euler", "heun", "rk4", "ab2", "unipc", "dpmpp_2m", "torchdiffeq_rk4") if why(name)] == []
    assert "adaptive" in why("dopri5")
    assert "draws noise" in why("ancestral")
    assert "draws noise" in why("noisy")
    assert "draws noise" in why("global")
    assert "others of its batch" in why("crowd")


def test_a_solver_that_looks_at_its_batch_is_not_run_for_several_members_at_once(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    other = training_cell(registry, 1)
    train([other], shop)
    members = in_order([load_trained(each, shop) for each in (cell, other)])
    with pytest.raises(NotBatchedError, match="others of its batch"):
        draw_batched(members, evaluation(registry, members[0].cell, "crowd", 300))


@pytest.mark.parametrize("batch", [3, 64])
def test_networks_are_called_with_no_more_than_the_batch(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, batch: int
) -> None:
    limited = replace(shop, evaluation_batch=batch)
    trained = load_trained(cell, limited)
    sizes: list[int] = []
    trained.module.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    with torch.no_grad():
        draw_samples(trained, evaluation(registry, cell, "euler", 300), trained.velocity())
    assert max(sizes) == batch
    assert sum(sizes) == 8 * 300
    members = [load_trained(cell, limited), trained]
    x = torch.cat([trained.source(0, 100)] * 2)
    joint = joint_velocity(members, 1.0, "ema")
    found = joint(x, x.new_full((200,), 0.5))
    assert joint.calls == 200
    joint.most = None
    torch.testing.assert_close(found, joint(x, x.new_full((200,), 0.5)))


def test_a_sampler_is_timed_at_its_metrics_own_batch(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    trained = load_trained(cell, replace(shop, evaluation_batch=4))
    sizes: set[int] = set()
    trained.module.register_forward_pre_hook(lambda module, given: sizes.add(len(given[0])))
    spec = registry.spec("metric", "sample_ms", {"batch": 32, "repeats": 3, "warmup": 0})
    measure_sampler(trained, evaluation(registry, cell, "euler", 300), [spec], "key")
    assert sizes == {SAMPLES, 32}, "the first tell which calls the sampler makes"


def test_an_oracle_keeps_to_blocks_and_to_the_batch(registry: Registry, shop: WorkerContext) -> None:
    training = training_cell(registry, dataset=("gaussian_mixture", {"size": 2000}))
    own = evaluation(registry, training, "ancestral", 600)
    cell = ReferenceCell("oracle", training.dataset, 0, own.settings, "", training.path, own.solver, own.grid, 8, 8)

    def drawn(batch: int | None) -> Tensor:
        model = Oracle(cell, replace(shop, evaluation_batch=batch))
        return draw_samples(model, cell, model.velocity(), usual_batch(model)).samples

    for batch in (4, 1000):
        torch.testing.assert_close(drawn(batch), drawn(None))


@pytest.mark.parametrize("most", [1, 3, 5, 6, None])
def test_pieces_of_members_are_put_together_in_order(most: int | None) -> None:
    sizes: list[int] = []

    def call(x: Tensor, t: Tensor) -> Tensor:
        sizes.append(len(x))
        return x * 2 + t[:, None]

    x, t = torch.arange(20.0).reshape(10, 2), torch.arange(10.0)
    assert torch.equal(in_pieces(call, (x, t), most, members=2), x * 2 + t[:, None])
    assert max(sizes) == 2 * min(most or 5, 5)
