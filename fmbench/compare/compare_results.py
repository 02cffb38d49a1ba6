"""Comparing two sides: what is paired, what is judged, and what is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fmbench.compare.compared_results import ComparedResults, labels_on
from fmbench.compare.comparison import MetricComparison, ResultsComparison
from fmbench.compare.differing import differing
from fmbench.compare.pairing import RowPair, pairs_of, section_of
from fmbench.compare.rows import compare_row
from fmbench.compare.verdicts import judged
from fmbench.errors import FAILURE_STATUSES, UserError
from fmbench.io.printable_text import count, some
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, SECTIONS, named, said

SHOWN = 5


def compare(
    before: ComparedResults,
    after: ComparedResults,
    *,
    metrics: Collection[str] = (),
    across: Collection[str] = (),
    despite: Collection[str] = (),
    better: Mapping[str, str] | None = None,
) -> ResultsComparison:
    """Compare B (`after`) with A (`before`), row by row and seed by seed.

    `metrics` names those to compare (all that both have), `across` axes on which rows that are paired may differ,
    `despite` parts of an identity that may differ, `better` the directions of metrics of which none is known. Raises
    UserError where nothing can be compared.
    """
    _check_parts(despite, before, after)
    facts, notes = _facts(before, after, metrics, better or {})
    pairs = {section: pairs_of(before.snapshot, after.snapshot, section, across) for section in SECTIONS}
    found = []
    for each in facts:
        section = section_of(each)
        rows = [compare_row(pair, each, (before, after), despite) for pair in pairs[section].found]
        rows = [row for row in rows if row.before.n or row.after.n]
        if rows:
            why = _why_unjudged(each)
            found.append(MetricComparison(each, section, rows, not why, why))
    sides = before, after
    if not pairs["evaluation"].found and before.snapshot.evaluations and after.snapshot.evaluations:
        notes.append(f"No evaluation of A is in B{_advice(sides)}.")
    if not any(row.gap is not None for each in found for row in each.rows):
        raise UserError(_nothing(sides, sum(len(each.found) for each in pairs.values()), found))
    found, together = judged(found)
    return ResultsComparison(
        before, after, found,
        {section: found.only_before for section, found in pairs.items()},
        {section: found.only_after for section, found in pairs.items()},
        differing(before.snapshot, after.snapshot) if before.known and after.known else (),
        [*notes, *_notes(sides, found, across, despite)], _lost(pairs["evaluation"].found), together,
    )  # fmt: skip


def _check_parts(despite: Collection[str], *sides: ComparedResults) -> None:
    """Raise UserError for a part that no identity has; what records.csv hold has no identity at all."""
    rows = [row for s in sides for rows in (s.snapshot.trainings, s.snapshot.evaluations) for row in rows.values()]
    known = dict.fromkeys(part for row in rows for identity in row.identities.values() for part in identity)
    if known and (unknown := [part for part in despite if part not in known]):
        raise UserError(f"no identity has a part {', '.join(unknown)} for --despite; there are {', '.join(known)}.")


def _facts(
    before: ComparedResults, after: ComparedResults, wanted: Collection[str], better: Mapping[str, str]
) -> tuple[list[MetricFacts], list[str]]:
    """Return the metrics of both sides, in B's order, and which are of one side alone."""
    sides = before.snapshot.metrics, after.snapshot.metrics
    ordered = dict.fromkeys([*(sides[1] if after.known else sides[0]), *sides[0], *sides[1]])
    if unknown := [name for name in (*wanted, *better) if name not in ordered]:
        raise UserError(f"no such metric: {', '.join(unknown)}; there are {', '.join(ordered)}.")
    notes, facts = [], []
    for name in ordered:
        if wanted and name not in wanted:
            continue
        if not (name in sides[0] and name in sides[1]):
            notes.append(f"{name} is in {'A' if name in sides[0] else 'B'} alone.")
            continue
        each = sides[1][name] if after.known else sides[0][name]
        if before.known and after.known and (a := sides[0][name].better) != (b := sides[1][name].better):
            notes.append(f"{name} is not compared: {a or 'nothing'} is better in A, {b or 'nothing'} in B.")
            continue
        if not each.over:
            facts.append(replace(each, better=better.get(name, each.better)))
    return facts, notes


def _why_unjudged(facts: MetricFacts) -> str:
    if facts.is_cost or facts.scope == "sampler":
        return "shown, not judged: between two runs a machine's load differs, of which the seeds know nothing"
    return "" if facts.better else "shown, not judged: it has no direction"


def _notes(
    sides: tuple[ComparedResults, ComparedResults],
    found: Sequence[MetricComparison],
    across: Collection[str],
    despite: Collection[str],
) -> list[str]:
    """Say what a reader must know of what is compared."""
    notes = []
    for side, results in zip("AB", sides, strict=True):
        if not results.known:
            notes.append(
                f"{side} is a records.csv, which says nothing of how its values were made: whether both sides used as "
                "many samples, the same extractor and the same data is not known. `fmbench report` writes "
                "results.json, which says it."
            )
        if results.known and (lost := sum(row.status != "ok" for row in results.snapshot.evaluations.values())):
            of = len(results.snapshot.evaluations)
            notes.append(f"{lost} of {count(of, 'evaluation')} in {side} are not ok.")
    if across:
        notes.append(f"Rows that are paired may differ on {', '.join(across)}.")
    if despite:
        notes.append(f"Values are compared although their identity may differ in {', '.join(despite)}.")
    if any(not row.paired for each in found for row in each.rows if row.gap is not None):
        notes.append("Where seeds do not pair, differences are judged by Welch's t, which sees less.")
    return notes


def _lost(pairs: Sequence[RowPair]) -> list[str]:
    """Name the evaluations that are ok in A and failed in B, with their seeds."""
    lost = []
    for pair in pairs:
        before, after = pair.rows
        bad = {seed: after[seed].status for seed in before if before[seed].status == "ok" and seed in after}
        bad = {seed: status for seed, status in bad.items() if status in FAILURE_STATUSES}
        if bad:
            seeds = ", ".join(f"seed {seed} {status}" for seed, status in bad.items())
            lost.append(f"{said(named('evaluation', pair.after))}: {seeds}")
    return lost


def _nothing(sides: tuple[ComparedResults, ComparedResults], pairs: int, found: Sequence[MetricComparison]) -> str:
    """Say why nothing could be compared, and what would help."""
    reasons = dict.fromkeys(f"{each.facts.name}: {reason}" for each in found for reason in each.refused)
    if reasons:
        shown = "; ".join(some(list(reasons), SHOWN))
        return (
            f"nothing in {sides[1].name} can be compared with {sides[0].name}: {shown}. `--despite PART` compares "
            "values although that part of their identity differs."
        )
    if pairs:
        return f"{sides[0].name} and {sides[1].name} have no metric in common with a value on both sides."
    return f"no configuration of {sides[0].name} is in {sides[1].name}{_advice(sides)}."


def _advice(sides: tuple[ComparedResults, ComparedResults]) -> str:
    """Say on which axes the sides share no label, which `--across` looks past."""
    apart = [axis for axis in AXES["evaluation"] if _differ(sides, axis)]
    return f"; they differ on {', '.join(apart)}: --across {','.join(apart)} pairs them" if apart else ""


def _differ(sides: tuple[ComparedResults, ComparedResults], axis: str) -> bool:
    """Tell whether no label of an axis is on both sides."""
    labels = [labels_on(side.snapshot, axis) for side in sides]
    return bool(labels[0] | labels[1]) and not labels[0] & labels[1]
