"""Results of several precisions or kinds of device side by side: what each machine has is in no key.

`precision: auto` takes what the device is quick at, and a network that a GPU trained may be sampled from on a CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fmbench.io.printable_text import count
from fmbench.results.records import Records


class Fact(NamedTuple):
    """What is on record of how a cell was computed: its word in a sentence, what many are called, and what helps."""

    of: Callable[[Mapping[str, Any]], str]
    word: str
    several: str
    advice: str


def precision_of(facts: Mapping[str, Any]) -> str:
    """Return the precision that a cell was computed in, "" where that is not on record."""
    return str(facts.get("precision", ""))


def device_of(facts: Mapping[str, Any]) -> str:
    """Return the kind of device that a cell was computed on, without its number; "" where that is not on record."""
    return str(facts.get("device", "")).partition(":")[0]


FACTS = (
    Fact(precision_of, "in", "in several precisions", "pin training.precision to compare them"),
    Fact(device_of, "on", "on several kinds of device", "they round in different ways; take one to compare to the bit"),
)


def mixed(records: Records) -> list[str]:
    """Return a sentence for each network that was trained, or sampled from, in several precisions or on several kinds
    of device.
    """
    return [text for fact in FACTS for text in (*_trained(records, fact), *_sampled(records, fact))]


def _trained(records: Records, fact: Fact) -> list[str]:
    of_network: dict[str, Counter[str]] = {}
    for training in records.trainings:
        if value := fact.of(training.facts):
            of_network.setdefault(str(training.cell.network), Counter())[value] += 1
    said = []
    for network, counts in of_network.items():
        if len(counts) > 1:
            many = " and ".join(f"{number} {fact.word} {value}" for value, number in counts.most_common())
            said.append(f"{network} was trained {fact.several} ({many}): {fact.advice}")
    return said


def _sampled(records: Records, fact: Fact) -> list[str]:
    of_training = {training.cell.key: fact.of(training.facts) for training in records.trainings}
    apart = Counter(
        (str(evaluation.cell.training.network), weights, value)
        for evaluation in records.evaluations
        if (value := fact.of(evaluation.facts))
        and (weights := of_training.get(evaluation.cell.training.key, ""))
        and weights != value
    )
    return [
        f"{count(number, 'evaluation')} of {network} drew samples {fact.word} {value} with weights trained {fact.word} "
        f"{weights}: {fact.advice}"
        for (network, weights, value), number in apart.items()
    ]


def computed_with(facts: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Say in which precision and on which kind of device a cell was computed, and its weights where that is another:
    " in float32 on cuda, with weights that were trained in bf16". "" where it is not on record. Where memory ran out,
    with how many samples at once it was computed, too.
    """
    own = [f" {fact.word} {value}" for fact in FACTS if (value := fact.of(facts))]
    both = [(fact.word, fact.of(facts), fact.of(training)) for fact in FACTS]
    weights = [f" {word} {trained}" for word, here, trained in both if here and trained and trained != here]
    fewer = (
        [f", {facts['halved_batch']} samples at once, since memory ran out with more"]
        if "halved_batch" in facts
        else []
    )
    return "".join([*own, *([", with weights that were trained", *weights] if weights else []), *fewer])
