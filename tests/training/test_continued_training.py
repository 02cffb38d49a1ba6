"""A longer training goes on from a shorter one that is the same step by step, and ends as if it had not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load as load_safetensors
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.snapshots import Kept, WeightsSnapshot
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.store.snapshots import WEIGHTS_FILE, lacking_snapshots, snapshot_folder
from fmbench.training import courses, path_batches
from fmbench.training.courses import course_of, keep_state, wants_state
from fmbench.training.loop import train

KEPT = Kept(state=True)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"path": "icfm", "t_distribution": "u_shaped", "settings": {"ema": {"decay": 0.99, "warmup": True}}},
    {"coupling": ("minibatch_ot", {"pool": 3}), "settings": {"gradient_clip": 1.0}},
    {"settings": {"schedule": {"name": "constant", "warmup": 5}, "stratified_t": True, "accumulate": 2}},
    {"settings": {"class_conditional": True, "batch_size": 4096}},
    {"path": "cosine", "t_distribution": "logit_normal", "settings": {"batch_size": 5}},
    {"dataset": "digits", "network": ("small_unet", {"channels": 8}), "settings": {"batch_size": 16}},
]


def long_cell(registry: Registry, steps: int, kept: Kept = KEPT, **names: Any) -> TrainingCell:
    settings = {"ema": 0.9, **names.pop("settings", {}), "steps": steps}
    return replace(training_cell(registry, settings=settings, **names), kept=kept)


def last_weights(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    return load_safetensors(shop.store.folder("training", cell.key).read(WEIGHTS_FILE))


def facts_of(cell: TrainingCell, shop: WorkerContext) -> dict[str, Any]:
    found: dict[str, Any] = (shop.store.folder("training", cell.key).recorded() or {})["facts"]
    return found


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("names", VARIANTS)
@pytest.mark.parametrize("shorter", [5, path_batches.AHEAD])
def test_it_ends_with_the_same_weights_to_the_bit(
    tmp_path: Path, registry: Registry, names: dict[str, Any], shorter: int
) -> None:
    anew, after = context(tmp_path / "anew", registry), context(tmp_path / "after", registry)
    first, long = long_cell(registry, shorter, **names), long_cell(registry, 19, **names)
    train([long], anew)
    train([first], after)
    steps: list[int] = []
    train([long], after, steps.append)
    assert steps[0] == shorter
    assert sum(steps) == 19
    assert facts_of(long, after)["continued"] == shorter
    assert facts_of(long, anew)["continued"] == 0
    assert facts_of(long, after)["seconds"] > facts_of(first, after)["seconds"]
    assert_same(last_weights(long, anew), last_weights(long, after))


def test_a_fleet_goes_on_as_a_fleet_and_from_the_longest(tmp_path: Path, registry: Registry) -> None:
    anew, after = context(tmp_path / "anew", registry), context(tmp_path / "after", registry)
    variants = [{"seed": seed, "path": path} for seed in (0, 1) for path in ("linear", "icfm")]
    long = [long_cell(registry, 30, **names) for names in variants]
    train(long, anew)
    for steps in (5, 13):
        train([long_cell(registry, steps, **names) for names in variants], after)
    train(long, after)
    for cell in long:
        assert facts_of(cell, after)["continued"] == 13
        assert_same(last_weights(cell, anew), last_weights(cell, after))
        steps_kept = after.store.folder("course", cell.course_key).checkpoints.steps()
        assert steps_kept == [5, 13, 30]


def test_a_loss_is_the_mean_since_the_entry_before_it(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    train([long_cell(registry, 300)], shop)
    long = long_cell(registry, 1000)
    train([long], shop)
    history = shop.store.folder("training", long.key).history()
    assert [step for step, _ in history] == [*range(1, 301), *range(305, 1001, 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"name": "cosine", "warmup": 0, "final": 0.0}},
        {"schedule": {"name": "constant", "warmup": 3}},
        {"ema": 0.99},
        {"batch_size": 32},
    ],
)
def test_another_training_does_not_go_on_from_it(tmp_path: Path, registry: Registry, changes: dict[str, Any]) -> None:
    shop = context(tmp_path, registry)
    train([long_cell(registry, 8)], shop)
    assert course_of(long_cell(registry, 20), shop).first == 8
    assert course_of(long_cell(registry, 20, settings=changes), shop).first == 0
    assert course_of(long_cell(registry, 20, seed=1), shop).first == 0
    assert course_of(long_cell(registry, 8), shop).first == 0
    assert course_of(long_cell(registry, 5), shop).first == 0


def test_a_schedule_that_depends_on_the_number_of_steps_has_no_course(registry: Registry) -> None:
    schedule = {"name": "cosine", "warmup": 0, "final": 0.0}
    assert not long_cell(registry, 20, settings={"schedule": schedule}).course_key
    assert long_cell(registry, 20).course_key == long_cell(registry, 8).course_key != ""


def test_a_damaged_state_serves_nobody(tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    shop, long = context(tmp_path, registry), long_cell(registry, 20)
    for steps in (5, 9):
        train([long_cell(registry, steps)], shop)
    folder = shop.store.folder("course", long.course_key)
    newest = next(folder.path.glob("checkpoint-9-*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert course_of(long, shop).first == 5
    assert "not what was written" in caplog.text
    assert folder.checkpoints.steps() == [5]


def test_weights_on_the_way_are_taken_over(tmp_path: Path, registry: Registry) -> None:
    shop, anew = context(tmp_path / "after", registry), context(tmp_path / "anew", registry)
    kept = Kept((4, 9, 15), state=True)
    short = replace(long_cell(registry, 9), kept=Kept((4,), state=True))
    long = replace(long_cell(registry, 20), kept=kept)
    train([short], shop)
    train([long], shop)
    train([long], anew)
    assert facts_of(long, shop)["continued"] == 9
    assert not lacking_snapshots(shop.store, long)
    for step in kept.at_steps:
        one, other = (
            load_safetensors(snapshot_folder(s.store, long.key, WeightsSnapshot("step", step)).read(WEIGHTS_FILE))
            for s in (shop, anew)
        )
        assert_same(one, other)


def test_it_goes_on_from_the_longest_that_lacks_nothing(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    for steps in (5, 9):
        train([long_cell(registry, steps)], shop)
    assert course_of(long_cell(registry, 20, Kept((5, 12))), shop).first == 5  # 9 has passed step 5
    assert course_of(long_cell(registry, 20, Kept((7, 12))), shop).first == 5
    assert course_of(long_cell(registry, 20, Kept((9, 12))), shop).first == 9
    assert course_of(long_cell(registry, 20, Kept((4, 12))), shop).first == 0


def test_what_is_chosen_or_averaged_on_the_way_begins_anew(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    train([long_cell(registry, 9)], shop)
    assert course_of(long_cell(registry, 20, Kept((15,))), shop).first == 9
    for kept in (Kept((4,)), Kept(best=True), Kept(post_hoc_ema=True)):
        assert course_of(long_cell(registry, 20, kept), shop).first == 0


def test_weights_that_a_finished_training_lacks_are_made_from_the_longest_state_before_them(
    tmp_path: Path, registry: Registry
) -> None:
    shop = context(tmp_path, registry)
    for steps in (9, 20):
        train([long_cell(registry, steps)], shop)
    course = course_of(long_cell(registry, 20, Kept((15,))), shop)
    assert (course.first, course.until, course.is_trained) == (9, 15, True)


def test_a_state_is_kept_where_that_is_wanted_or_pays(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = long_cell(registry, 5, Kept())
    asked, never = (replace(cell, kept=Kept(state=state)) for state in (True, False))
    assert [wants_state(each, 1.0) for each in (cell, asked, never)] == [False, True, False]
    assert [wants_state(each, courses.LONG) for each in (cell, asked, never)] == [True, True, False]
    assert not wants_state(long_cell(registry, 5, settings={"schedule": {"name": "cosine", "warmup": 0}}), 1e6)
    shop = context(tmp_path, registry)
    train([cell], shop)
    assert not (shop.store.root / "course").exists()
    monkeypatch.setattr(courses, "LARGE", 3)
    keep_state(cell, 5, b"large", shop)
    assert not (shop.store.root / "course").exists()
    keep_state(asked, 5, b"large", shop)
    assert shop.store.folder("course", cell.course_key).checkpoints.steps() == [5]
