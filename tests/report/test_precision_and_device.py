"""Results of several precisions or kinds of device never stand side by side without a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_report import small

from fmbench.report.text.headline import in_short
from fmbench.results.precision_and_device import computed_with, mixed
from fmbench.results.records import Records

KINDS = [("precision", "in", "bf16", "float32"), ("device", "on", "cuda", "cpu")]
"""Facts, their words, and two values."""


def computed(folder: Path, fact: str, trained: Callable[[int], str], sampled: Callable[[int], str]) -> Records:
    """Records whose facts follow from the seed."""
    records = small(folder).records()
    trainings = [replace(r, facts={**r.facts, fact: trained(r.cell.seed)}) for r in records.trainings]
    evaluations = [replace(r, facts={**r.facts, fact: sampled(r.cell.training.seed)}) for r in records.evaluations]
    return replace(records, trainings=trainings, evaluations=evaluations)


@pytest.mark.parametrize(("fact", "word", "one", "other"), KINDS)
def test_where_all_are_alike_nothing_is_said(tmp_path: Path, fact: str, word: str, one: str, other: str) -> None:
    assert mixed(computed(tmp_path, fact, lambda seed: one, lambda seed: one)) == []


def test_gpus_of_other_numbers_are_one_kind(tmp_path: Path) -> None:
    assert mixed(computed(tmp_path, "device", lambda seed: f"cuda:{seed}", lambda seed: "cuda")) == []


@pytest.mark.parametrize(("fact", "word", "one", "other"), KINDS)
def test_trainings_that_differ_are_said_with_their_numbers(
    tmp_path: Path, fact: str, word: str, one: str, other: str
) -> None:
    def of_the_machine(seed: int) -> str:
        return one if seed == 0 else other

    records = computed(tmp_path, fact, of_the_machine, of_the_machine)
    (said,) = mixed(records)
    network = str(records.trainings[0].cell.network)
    first = sum(r.cell.seed == 0 for r in records.trainings)
    assert said.startswith(f"{network} was trained {word} several ")
    assert f"({len(records.trainings) - first} {word} {other} and {first} {word} {one})" in said
    assert said in dict(in_short(records).lines)["Not known"]


@pytest.mark.parametrize(("fact", "word", "one", "other"), KINDS)
def test_samples_of_weights_from_elsewhere_are_said(tmp_path: Path, fact: str, word: str, one: str, other: str) -> None:
    records = computed(tmp_path, fact, lambda seed: one, lambda seed: other)
    (said,) = mixed(records)
    assert said.startswith(f"{len(records.evaluations)} evaluations of ")
    assert f"drew samples {word} {other} with weights trained {word} {one}" in said


def test_how_a_cell_was_computed_is_told_and_its_weights_where_that_differs() -> None:
    here, there = {"precision": "float32", "device": "cpu"}, {"precision": "bf16", "device": "cuda:1"}
    assert computed_with(here, here) == " in float32 on cpu"
    assert computed_with(here, there) == " in float32 on cpu, with weights that were trained in bf16 on cuda"
    assert (
        computed_with(here, {**here, "device": "cuda"}) == " in float32 on cpu, with weights that were trained on cuda"
    )
    assert computed_with({}, there) == "", "nothing is on record"
    assert computed_with({"halved_batch": 128}, {}) == ", 128 samples at once, since memory ran out with more"
