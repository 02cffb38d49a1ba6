"""What scores are read against: the floor (real data) and the oracle (the exact velocity)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.cells.reference_cell import SPLIT_ANEW
from fmbench.report.analysis.comparability import mixture
from fmbench.report.result_table import ResultTable, Row, Values, identity
from fmbench.results.records import MetricFacts, ReferenceRecord

COMPUTED_WITH = ("precision",)
"""Parts of an evaluation's identity that real data do not have."""
COUNT = "samples_n"
OWN_FLOOR = "_floor"
"""How a value is called, after the metric, by which that says what a perfect model would have (see `Metric`)."""


@dataclass(frozen=True)
class Floor:
    """What a metric gives for real data: values by seed, from `n` real examples; `wanted` are the suite's samples.

    `extrapolated` says that the value is that of `wanted` examples, although there are only n; `split_anew` that the
    reference is one of the same size, not the metric's own. `said_by` is the value of the metric's own that it is,
    where no real data were scored.
    """

    values: Values
    n: int
    wanted: int
    extrapolated: bool = False
    split_anew: bool = False
    said_by: str = ""

    @property
    def label(self) -> str:
        """The floor's name in tables and figures."""
        if self.said_by:
            return "a perfect model"
        if self.n >= self.wanted:
            return "real data"
        return f"real data ({'from ' if self.extrapolated else ''}n = {self.n})"

    @property
    def note(self) -> str:
        """How the floor was measured, and what it is for."""
        if self.said_by:
            return (
                "a perfect model: what it would score on average, because the metric compares with an estimate of its "
                f"own ({self.said_by}). What scores as low cannot be told from it."
            )
        said = f"real data: the same metric for {self.n:,} real examples in place of samples, the mean of several draws"
        if self.split_anew:
            said += "; for each draw, reference and rest are split anew at random, in the same sizes"
        if self.extrapolated:
            said += (
                f". There are no more, and the value at n = {self.wanted:,} follows from a + b/n, fitted to all of "
                "them and to halves"
            )
        elif self.n < self.wanted:
            said += f". There are no more, and the suite's {self.wanted:,} samples may well score lower"
        return (
            f"{said}. It is the floor: by this metric, what scores as low cannot be told from real data. Its ± is over "
            "seeds, which draw from the same real data: other data of the kind would move it more."
        )


def floor_of(result_table: ResultTable, facts: MetricFacts) -> tuple[Floor | None, str]:
    """Return a metric's floor, or None and why ("" where nobody could expect one).

    Real data that were scored otherwise than the result table's samples are no floor.
    """
    if facts.scope == "training":
        return _own_floor(result_table, facts), ""
    records = [r for r in result_table.references if r.cell.section == "floor"]
    scored = [r for r in records if facts.name in r.metrics]
    if not scored:
        reasons = [r.left_out.get(facts.label, "") for r in records]
        return None, next((f"{facts.name} has no floor: {why}" for why in reasons if why), "")
    found = _values(scored, facts)
    anew = any(i.get("reference") == SPLIT_ANEW for i in found.identities)
    left = {*COMPUTED_WITH, COUNT, *(("reference",) if anew else ())}
    scores = [identity(r, facts) for group in result_table.cells.values() for r in group if facts.name in r.metrics]
    if said := mixture([_without(i, left) for i in (*scores, *found.identities)]):
        return None, f"{facts.name} has no floor here, since real data were scored otherwise: {said}"
    n, extrapolated = scored[0].scored[facts.name]
    return Floor(found, n, int(scored[0].cell.settings["samples"]), extrapolated, anew), ""


def is_own_floor(facts: MetricFacts, metrics: Collection[MetricFacts]) -> bool:
    """Tell whether a value is what a metric says of a perfect model."""
    return facts.name.endswith(OWN_FLOOR) and facts.name.removesuffix(OWN_FLOOR) in {each.name for each in metrics}


def _own_floor(result_table: ResultTable, facts: MetricFacts) -> Floor | None:
    """Return what a training metric says of a perfect model, seed by seed; None where it says nothing."""
    name, by_seed = facts.name + OWN_FLOOR, dict[int, list[float]]()
    for record in (r for group in result_table.trainings.values() for r in group if name in r.metrics):
        by_seed.setdefault(record.cell.seed, []).append(float(record.metrics[name]))
    if not by_seed:
        return None
    return Floor(Values({seed: sum(each) / len(each) for seed, each in by_seed.items()}), 0, 0, said_by=name)


def oracle_of(result_table: ResultTable, row: Row, nfe: int | None, facts: MetricFacts) -> Values | None:
    """Return a metric's values for the exact velocity where that is known, with the path and sampler of a row."""
    oracles = [result_table.oracles[r.oracle] for r in result_table.cells[row, nfe] if r.oracle in result_table.oracles]
    found = [oracle for oracle in oracles if facts.name in oracle.metrics]
    return _values(found, facts) if found else None


def comparable(values: Values, others: Values) -> bool:
    """Tell whether scores of a network and of an oracle may be subtracted."""
    return not mixture([_without(i, COMPUTED_WITH) for i in (*values.identities, *others.identities)])


def _without(identity: Mapping[str, Any], left: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in identity.items() if name not in left}


def _values(records: Sequence[ReferenceRecord], facts: MetricFacts) -> Values:
    by_seed = {r.cell.seed: float(r.metrics[facts.name]) for r in records}
    return Values(by_seed, {}, tuple(r.identities.get(facts.name, {}) for r in records))
