"""Today's records against a baseline: verdicts on values, and what failed, vanished or is new."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from fmbench.cells.component_spec import axis_of
from fmbench.errors import UserError
from fmbench.regression.changed_values import trace
from fmbench.regression.code_changes import changed_code
from fmbench.regression.hypothesis_tests import Test, judge, tests_of
from fmbench.regression.missing_values import happened, lacking_values, pairs, uncompared
from fmbench.regression.outcome import Happened, Happening, Outcome
from fmbench.regression.paired_values import (
    all_series,
    changed_components,
    changed_facts,
    changed_settings,
    is_judged,
    is_relative,
    is_usable,
)
from fmbench.regression.root_cause import find_culprits, improved
from fmbench.regression.training_speed import pace_tests
from fmbench.regression.wall_time import timing_tests
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import (
    SECTIONS,
    CellGroup,
    CellValues,
    Repeated,
    SeededGroup,
    Snapshot,
    grouped,
    training_of,
)
from fmbench.store.sampler_timings import RELATIVE

EFFECT, SLOWER = 0.05, 1.3


def check(
    baseline: Snapshot,
    tonight: Snapshot,
    *,
    effect: float = EFFECT,
    slower: float = SLOWER,
    partial: bool = False,
    strict: bool = False,
) -> Outcome:
    """Compare tonight with a baseline of the same suite.

    `effect` is the least relative difference of a metric that matters, `slower` the ratio of relative times from which
    a sampler counts as slower. `partial` says that tonight's plan was filtered, so that cells which it lacks are no
    regression, and `strict` that a score which got better is one. Raises UserError when the two have no cell in common.
    """
    if tonight.suite != baseline.suite:
        raise UserError(f"the baseline is of the suite {baseline.suite!r}, and tonight's is {tonight.suite!r}.")
    if not tonight.trainings.keys() & baseline.trainings.keys():
        raise UserError(
            f"no cell of {tonight.suite} is in the baseline: all of its axes have other labels, or other seeds. "
            "If the suite was changed on purpose, `fmbench check SUITE --accept` makes a new baseline."
        )
    compared = _compared(baseline, tonight)
    events = [*_cells(baseline, tonight, partial), *_metrics(baseline, tonight), *_values(baseline, tonight, compared)]
    events += lacking_values(baseline, tonight, compared)
    where = trace(baseline, tonight)
    tests = list(_tests(baseline, tonight, compared, effect, slower, where.repeated))
    judged = judge(tests)
    changes = tuple(changed_code(baseline, tonight, tests, judged))
    labels = [(axis_of(change.kind), change.labels[0]) for change in changes if not change.is_core]
    core = not _other_machine(baseline, tonight) and any(change.is_core for change in changes)
    suspects = where.suspects(labels, core)
    comparisons, culprits = find_culprits(tests, judged, suspects)
    reasons = uncompared(baseline, tonight, compared, comparisons)
    left_out = [name for name in tonight.metrics if name in reasons or _on_other_hardware(name, baseline, tonight)]
    return Outcome(
        suite=tonight.suite,
        comparisons=tuple(comparisons),
        events=tuple(events),
        culprits=tuple(culprits),
        notes=tuple(_notes(baseline, tonight)),
        fault=_fault(reasons, nothing=not any(c.effect is not None for c in comparisons)),
        baseline=baseline.made,
        not_compared=tuple(left_out),
        improved=tuple(improved(tests, comparisons, suspects)),
        changes=changes if baseline.code else None,
        trace=str(where),
        strict=strict,
    )


def _compared(baseline: Snapshot, tonight: Snapshot) -> list[str]:
    """Return the metrics of both nights that are judged: those with a direction, and relative times on one machine."""
    same = not _other_machine(baseline, tonight)
    both = {name: (baseline.metrics[name], now) for name, now in tonight.metrics.items() if name in baseline.metrics}
    timed = {name for name, facts in both.items() if any(map(is_relative, facts))}
    return [name for name, facts in both.items() if (same if name in timed else any(map(is_judged, facts)))]


def _tests(
    baseline: Snapshot, tonight: Snapshot, compared: Collection[str], effect: float, slower: float, repeated: Repeated
) -> Iterator[Test]:
    for name in compared:
        facts = tonight.metrics[name]
        if changed := changed_facts(baseline.metrics[name], facts):
            series = all_series(baseline, tonight, facts)
            yield from tests_of([replace(each, reason=changed) for each in series], effect)
        elif is_relative(facts) and facts.scope == "training":
            yield from pace_tests(baseline, tonight, facts, slower)
        elif is_relative(facts):
            yield from timing_tests(baseline, tonight, facts, slower)
        else:
            yield from tests_of(all_series(baseline, tonight, facts, repeated), effect)


def _other_machine(baseline: Snapshot, tonight: Snapshot) -> str:
    """Say in what the nights differ that wall times must share, "" where in nothing: a runner has what it was given."""
    if baseline.hardware != tonight.hardware:
        return f"other hardware: {baseline.hardware} in the baseline, {tonight.hardware} tonight"
    then, now = (night.made.get("environment", {}).get("torch") for night in (baseline, tonight))
    return f"another torch: {then} in the baseline, {now} tonight" if then and now and then != now else ""


def _on_other_hardware(name: str, baseline: Snapshot, tonight: Snapshot) -> bool:
    """Tell whether a metric is a time of both nights that nobody can compare."""
    return name in baseline.metrics and is_relative(tonight.metrics[name]) and bool(_other_machine(baseline, tonight))


def _fault(reasons: Mapping[str, str], nothing: bool) -> str:
    """Say which metrics could not be compared, and why; "" where each was, as far as it should be."""
    by_reason = grouped((reason, name) for name, reason in reasons.items())
    said = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    if nothing:
        none = "no metric of tonight's that has a direction is in the baseline"
        return f"nothing could be compared with the baseline: {'; '.join(said) or none}"
    return f"no cell could be compared with the baseline in {'; nor in '.join(said)}" if said else ""


def _cells(baseline: Snapshot, tonight: Snapshot, partial: bool) -> Iterator[Happened]:
    """Yield what became of cells; evaluations of a training that is an event itself are not told one by one."""
    told: set[SeededGroup] = set()
    for section in SECTIONS:
        then, now = baseline.rows(section), tonight.rows(section)
        found: dict[tuple[CellGroup, Happening, str], list[int]] = {}
        for place in dict.fromkeys([*then, *now]):
            group, seed = place
            event = _happened(then.get(place), now.get(place), partial)
            if event is None:
                continue
            if section == "training" and event[0] != "new":
                told.add(place)
            if section == "evaluation" and (training_of(group), seed) in told:
                continue
            found.setdefault((group, *event), []).append(seed)
        for (group, what, reason), seeds in found.items():
            yield happened(what, section, group, seeds, reason)


def _happened(then: CellValues | None, now: CellValues | None, partial: bool) -> tuple[Happening, str] | None:
    """Return what became of one cell, and why; None where it is as it was."""
    if now is None:
        if partial:
            return "not compared", "not in tonight's plan, which is filtered"
        if then is not None and then.status != "ok":
            return "not compared", f"{then.status} in the baseline, and not in tonight's plan"
        return "vanished", "not in tonight's plan"
    if now.status == "missing" and then is None:
        return "not compared", "not in the baseline, and not computed"
    if now.status == "missing":
        return "vanished", "in tonight's plan, and not computed"
    if now.status != "ok":
        if then is not None and then.status not in ("ok", "missing"):
            return "still failing", f"{now.status}: {now.error}"
        return "failed", f"{now.status}: {now.error}"
    if then is None:
        return "new", "not in the baseline"
    return None if then.status == "ok" else ("new", f"{then.status} in the baseline")


def _metrics(baseline: Snapshot, tonight: Snapshot) -> Iterator[Happened]:
    """Yield metrics that vanished, are new, or are not judged, and why."""
    for name, facts in baseline.metrics.items():
        if name not in tonight.metrics and (facts.better or is_relative(facts)):
            yield Happened("vanished", f"metric {name}", "the baseline has it, and tonight has not")
    for name, facts in tonight.metrics.items():
        if not (facts.better or is_relative(facts)):
            continue
        if name not in baseline.metrics:
            yield Happened("new", f"metric {name}", "not in the baseline")
        elif is_relative(facts) and (reason := _other_machine(baseline, tonight)):
            yield Happened("not compared", f"metric {name}", reason)
        elif not is_relative(facts) and facts.is_cost:
            yield Happened("not compared", f"metric {name}", _why_no_cost(facts, tonight))


def _why_no_cost(facts: MetricFacts, tonight: Snapshot) -> str:
    relative = f"{facts.name}{RELATIVE}"
    if relative in tonight.metrics:
        return f"{relative} is judged in its place, whose unit is a calibration in the same process"
    return f"in {facts.unit}, it depends on what else the machine does"


def _values(baseline: Snapshot, tonight: Snapshot, compared: Collection[str]) -> Iterator[Happened]:
    """Yield values that the baseline has, and that are absent or not finite tonight, of cells that did not fail."""
    for section in SECTIONS:
        found: dict[tuple[str, CellGroup, str], list[int]] = {}
        for (group, seed), then, now in pairs(baseline, tonight, section):
            for name in compared:
                value = now.values.get(name)
                if name in then.values and is_usable(then.values[name]) and (value is None or not is_usable(value)):
                    what = "is absent" if value is None else f"is {value}"
                    found.setdefault((name, group, what), []).append(seed)
        for (name, group, what), seeds in found.items():
            kind: Happening = "vanished" if what == "is absent" else "failed"
            yield happened(kind, section, group, seeds, f"it {what} tonight", name)


def _notes(baseline: Snapshot, tonight: Snapshot) -> Iterator[str]:
    """Yield what a reader must know in order to judge the verdicts."""
    yield from changed_components(baseline, tonight)
    if tonight.code and not baseline.code:
        yield "which code the baseline was made with is not known: it was written before that was kept"
    if changed := changed_settings(baseline, tonight, "evaluation"):
        yield f"settings differ, so that values cannot be compared: {changed}"
    if other := _other_machine(baseline, tonight):
        yield f"{other}. Wall times are not compared; the rest is, as another draw of the seeds' noise."
    then, now = (night.made.get("environment", {}) for night in (baseline, tonight))
    if changed_versions := [
        f"{name} {then[name]} -> {now[name]}"
        for name in ("torch", "numpy", "python")
        if name in then and name in now and then[name] != now[name]
    ]:
        yield f"other versions: {', '.join(changed_versions)}"
