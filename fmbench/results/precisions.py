"""Results of several precisions side by side: `precision: auto` takes what each machine has, which is in no key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fmbench.io.printable_text import count
from fmbench.results.records import Records

ADVICE = "pin training.precision to compare them"


def mixed_precisions(records: Records) -> list[str]:
    """Return a sentence for each network that was trained, or sampled from, in several precisions."""
    said = []
    trained: dict[str, Counter[str]] = {}
    for training in records.trainings:
        if precision := precision_of(training.facts):
            trained.setdefault(str(training.cell.network), Counter())[precision] += 1
    for network, counts in trained.items():
        if len(counts) > 1:
            many = " and ".join(f"{number} in {precision}" for precision, number in counts.most_common())
            said.append(f"{network} was trained in several precisions ({many}): {ADVICE}")
    of_training = {training.cell.key: precision_of(training.facts) for training in records.trainings}
    apart = Counter(
        (str(evaluation.cell.training.network), weights, precision)
        for evaluation in records.evaluations
        if (precision := precision_of(evaluation.facts))
        and (weights := of_training.get(evaluation.cell.training.key, ""))
        and weights != precision
    )
    for (network, weights, precision), number in apart.items():
        said.append(
            f"{count(number, 'evaluation')} of {network} drew samples in {precision} with weights trained in "
            f"{weights}: {ADVICE}"
        )
    return said


def precision_of(facts: Mapping[str, Any]) -> str:
    """Return the precision that a cell was computed in, "" where that is not on record."""
    return str(facts.get("precision", ""))
