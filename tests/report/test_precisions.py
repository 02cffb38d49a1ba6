"""Results of several precisions never stand side by side without a word: `fmbench.results.precisions`, in a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from test_report import small

from fmbench.report.text.headline import in_short
from fmbench.results.precisions import mixed_precisions
from fmbench.results.records import Records


def computed(folder: Path, trained: Callable[[int], str], sampled: Callable[[int], str]) -> Records:
    """Records whose precisions follow from the seed."""
    records = small(folder).records()
    trainings = [replace(r, facts={**r.facts, "precision": trained(r.cell.seed)}) for r in records.trainings]
    evaluations = [
        replace(r, facts={**r.facts, "precision": sampled(r.cell.training.seed)}) for r in records.evaluations
    ]
    return replace(records, trainings=trainings, evaluations=evaluations)


def test_one_precision_needs_no_word(tmp_path: Path) -> None:
    assert mixed_precisions(computed(tmp_path, lambda seed: "bf16", lambda seed: "bf16")) == []


def test_trainings_of_two_precisions_are_said_with_their_numbers(tmp_path: Path) -> None:
    def of_the_machine(seed: int) -> str:
        return "bf16" if seed == 0 else "float32"

    records = computed(tmp_path, of_the_machine, of_the_machine)
    (said,) = mixed_precisions(records)
    network = str(records.trainings[0].cell.network)
    first = sum(r.cell.seed == 0 for r in records.trainings)
    assert said.startswith(f"{network} was trained in several precisions ({len(records.trainings) - first} in float32")
    assert f"{first} in bf16" in said
    assert "pin training.precision" in said
    assert said in dict(in_short(records).lines)["Not known"]


def test_samples_of_weights_from_another_precision_are_said(tmp_path: Path) -> None:
    records = computed(tmp_path, lambda seed: "bf16", lambda seed: "float32")
    (said,) = mixed_precisions(records)
    assert said.startswith(f"{len(records.evaluations)} evaluations of ")
    assert "drew samples in float32 with weights trained in bf16" in said
