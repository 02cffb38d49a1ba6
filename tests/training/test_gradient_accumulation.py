"""A batch computed in parts teaches what the whole batch does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load

from fmbench.cells.cells import TrainingCell
from fmbench.plugins.registry import Registry
from fmbench.training.loop import train


def varied(registry: Registry, settings: dict[str, Any]) -> list[TrainingCell]:
    variants: list[dict[str, Any]] = [
        {"path": "icfm"},
        {"path": "cosine", "objective": "pseudo_huber"},
        {"coupling": ("conditional_ot", {"pool": 2})},
    ]
    return [training_cell(registry, seed, settings, dataset="digits", **v) for v in variants for seed in (0, 1)]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("together", [True, False], ids=["fleet", "alone"])
def test_parts_of_a_batch_teach_what_the_whole_does(tmp_path: Path, registry: Registry, together: bool) -> None:
    settings = {"steps": 12, "class_conditional": True, "gradient_clip": 0.5, "batch_size": 48}
    found = []
    for parts in (1, 4):
        cells = varied(registry, {**settings, **({"accumulate": parts} if parts > 1 else {})})
        shop = context(tmp_path / str(parts), registry)
        for fleet in [cells] if together else [[cell] for cell in cells]:
            train(fleet, shop)
        folders = [shop.store.folder("training", cell.key) for cell in cells]
        assert {(each.result() or {})["facts"]["fleet"] for each in folders} == {len(cells) if together else 1}
        found.append(
            [(load(each.read("weights.safetensors")), json.loads(each.read("history.json"))) for each in folders]
        )
    for (whole, history), (parted, parted_history) in zip(*found, strict=True):
        torch.testing.assert_close(parted, whole, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(torch.tensor(parted_history), torch.tensor(history), rtol=1e-6, atol=0)


def test_a_part_has_its_share_of_the_whole(tmp_path: Path, registry: Registry) -> None:
    """What the network is called with, part by part and together, are the same examples."""
    from fmbench.training.gradient_accumulation import divided
    from fmbench.training.loop import begin
    from fmbench.training.path_batches import inputs

    cells = varied(registry, {"batch_size": 48, "class_conditional": True})
    state = begin(cells, context(tmp_path, registry))
    joint_batches = state.path_batches.draw(0)
    whole = [value.unflatten(0, (len(cells), 48)) for value in inputs(joint_batches)]
    parts = [inputs(part) for part in divided(joint_batches, 3)]
    for number, value in enumerate(whole):
        pieces = [part[number].unflatten(0, (len(cells), 16)) for part in parts]
        assert torch.equal(torch.cat(pieces, dim=1), value)
