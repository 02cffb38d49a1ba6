"""The answer to a suite's question, in a line: which combination is best at each NFE, and by how much."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fmbench.io.printable_text import count
from fmbench.report.analysis.baseline import gap, of_baseline
from fmbench.report.analysis.ranking import (
    RankingAtNFE,
    at_nfe,
    best_rows,
    combination,
    enumeration,
    sampled_as,
    trained,
    trained_as,
)
from fmbench.report.number_format import bounded, percents, style_for
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, labels_said, varying
from fmbench.report.text.one_sentence import with_its_best
from fmbench.results.records import TRAINING_AXES
from fmbench.stats.joint_verdicts import jointly
from fmbench.stats.paired_seeds import Difference, interval


def answer(result_table: ResultTable, rankings: Sequence[RankingAtNFE], baseline: Mapping[str, Any] | None) -> str:
    """Return the answer of one dataset; "" where there is no metric to answer it by.

    The best of each NFE is compared with the baseline's best at that NFE, each with the sampler that suits it; where
    there is no baseline, or it is itself the best everywhere, with the best of the other combinations. Where the seeds
    do not tell the best from the next, it is a tie.
    """
    facts = result_table.headline
    if facts is None or not rankings:
        return ""
    known = [place for place in rankings if place.first]
    if not known:
        return f"No answer: {enumeration(list(dict.fromkeys(place.why for place in rankings)))}."
    if len(known[0].order) < 2 and len(result_table.rows()) < 2:
        return _alone(result_table, known)
    missing = [place for place in rankings if not place.first]
    lost = "".join(f" At NFE {place.nfe} there is no best: {place.why}." for place in missing)
    leads = _leads(result_table, known)
    if max(place.seeds for place in known) < 2:
        return f"With one seed nothing can be said of which is best. {leads} Another seed might reverse it.{lost}"
    if all(len(place.first) == len(place.order) for place in known):
        return leads + lost
    if all(place.undecided for place in known):
        where = "At no NFE can the best be told" if len(known) > 1 else "The best cannot be told"
        leads = f"{where} from the others (n = {known[0].seeds}). {leads}"
    return " ".join(filter(None, (leads, _compared(result_table, known, baseline)))) + lost


def _alone(result_table: ResultTable, known: Sequence[RankingAtNFE]) -> str:
    """Say the values of the only row."""
    assert result_table.headline is not None
    means = [interval(list(place.values[place.first[0]].by_seed.values())) for place in known]
    numbers = style_for(means)
    said = [f"{bounded(m, numbers, 1.0)} at NFE {place.nfe}" for m, place in zip(means, known, strict=True)]
    return f"One combination, so nothing is compared: mean {result_table.headline.name} is {enumeration(said)}."


def _leads(result_table: ResultTable, known: Sequence[RankingAtNFE]) -> str:
    """Say who leads where, and where nobody does."""
    tied = [place for place in known if place.near and place.seeds > 1]
    told = [place for place in known if place not in tied]
    said = [_leading(result_table, told)] if told else []
    if tied:
        said.append(f"Tie {enumeration([_tie(result_table, place) for place in tied])}")
    return f"{'. '.join(said)}."


def _tie(result_table: ResultTable, place: RankingAtNFE) -> str:
    """Name what ties at one NFE: that with the best mean, the next, and how many more."""
    names = [combination(result_table, row) for row in (place.first[0], place.near[0])]
    more = len(place.near) - 1
    return f"at NFE {place.nfe} ({enumeration([*names, *([count(more, 'other')] if more else [])])})"


def _leading(result_table: ResultTable, known: Sequence[RankingAtNFE]) -> str:
    """Say who leads where: once if it is the same one everywhere, else by NFE."""
    assert result_table.headline is not None
    superlative = "lowest" if result_table.headline.better == "lower" else "highest"
    what = f"{superlative} mean {result_table.headline.name}"
    everywhere = at_nfe([place.nfe for place in known])
    if 1 < len(known) == len(result_table.budgets):
        everywhere = f"every NFE ({everywhere.removeprefix('NFE ')})"
    if all(len(place.first) == len(place.order) > 1 for place in known):
        return f"All combinations have the same {result_table.headline.name} at {everywhere}"
    chosen = best_rows(known)
    if len(set(chosen)) == 1:
        return f"{combination(result_table, chosen[0])} has the {what} at {everywhere}"
    said = trained_as(result_table, chosen[0])
    if said and len({trained(row) for row in chosen}) == 1:
        samplers = _by_nfe(known, [sampled_as(result_table, row) for row in chosen])
        return f"{said} has the {what} at {everywhere}: with {samplers}"
    return f"{what.capitalize()}: {_by_nfe(known, [combination(result_table, row) for row in chosen])}"


def _by_nfe(known: Sequence[RankingAtNFE], said: Sequence[str]) -> str:
    """Return "a at NFE 1 and 2, b at NFE 4"."""
    budgets: dict[str, list[int]] = {}
    for place, each in zip(known, said, strict=True):
        budgets.setdefault(each, []).append(place.nfe)
    return enumeration([f"{each} at {at_nfe(found)}" for each, found in budgets.items()])


def _compared(result_table: ResultTable, known: Sequence[RankingAtNFE], baseline: Mapping[str, Any] | None) -> str:
    """Say by how much the best beats the baseline's best, or the best of the others."""
    wanted = {axis: value for axis, value in (baseline or {}).items() if axis in ROW_AXES}
    base = {place.nfe: of_baseline(result_table, place.order, wanted) if wanted else [] for place in known}
    own = [place.nfe for place in known if any(row in base[place.nfe] for row in place.first)]
    if not any(base.values()) or len(own) == len(known):
        rivals = [(place, row) for place in known if (row := _rival(place)) is not None]
        names = {_beside(result_table, place, row, ()) for place, row in rivals}
        said = f" ({min(names)})" if len(names) == 1 else ""
        leads = (
            f"It is the baseline, and nothing is better. Against the next{said}" if own else f"Against the next{said}"
        )
        return f"{leads}: {_gaps(result_table, rivals, () if len(names) > 1 else ROW_AXES)}." if rivals else ""
    reference = next(row for rows in base.values() for row in rows)
    name = " + ".join(labels_said(reference, (i for i in varying(result_table.rows()) if ROW_AXES[i] in wanted)))
    pairs = [(place, base[place.nfe][0]) for place in known if base[place.nfe] and place.nfe not in own]
    text = _gaps(result_table, pairs, tuple(wanted))
    text += f"; at {at_nfe(own)} the baseline itself has the best mean" if own else ""
    return f"Against the baseline{f' ({name})' if name else ''}{with_its_best(result_table, wanted)}: {text}."


def _rival(place: RankingAtNFE) -> Row | None:
    """Return the best row of another training combination; of one training, the best other row."""
    rest = [row for row in place.order if row not in place.first]
    return next((row for row in rest if trained(row) != trained(place.first[0])), next(iter(rest), None))


def _gaps(result_table: ResultTable, pairs: Sequence[tuple[RankingAtNFE, Row]], named: Collection[str]) -> str:
    """Say the differences of the best from references whose axes `named` are known: in figures where they are told,
    jointly at all NFE.
    """
    assert result_table.headline is not None
    better = result_table.headline.better
    told: list[str] = []
    near: dict[str, list[str]] = {"not distinguishable": [], "cannot tell": []}
    seeds = set()
    singly = {place.nfe: gap(place.values[place.first[0]], place.values[row], better) for place, row in pairs}
    gaps = jointly(singly, better)
    for place, reference in pairs:
        if (found := gaps[place.nfe]) is None:
            continue
        beside = _beside(result_table, place, reference, named)
        where = f"{place.nfe} ({beside})" if beside else f"{place.nfe}"
        seeds.add(found.absolute.n)
        if found.verdict in near:
            near[found.verdict].append(where)
        else:
            told.append(f"{size(found)} at NFE {where}")
    told += [f"{verdict} at NFE {enumeration(where)}" for verdict, where in near.items() if where]
    many = enumeration([str(n) for n in sorted(seeds)], "or")
    return f"{', '.join(told)} (n = {many})" if told else "not comparable"


def _beside(result_table: ResultTable, place: RankingAtNFE, reference: Row, named: Collection[str]) -> str:
    """Name a reference by what is not known of it already, where that differs from the best."""
    unsaid = [i for i in varying(result_table.rows()) if ROW_AXES[i] not in named]
    if any(all(row[i] == reference[i] for i in unsaid) for row in place.first):
        return ""
    alike = any(sampled_as(result_table, row) == sampled_as(result_table, reference) for row in place.first)
    if named and all(i >= len(TRAINING_AXES) for i in unsaid):
        return "" if alike else f"with {sampled_as(result_table, reference)}"
    said = trained_as(result_table, reference)
    return said if alike and said else combination(result_table, reference)


def size(found: Difference) -> str:
    """Say a difference with its interval: "27% [12, 42] lower"; in the metric's unit where percents mean nothing."""
    way = "lower" if found.absolute.mean < 0 else "higher"
    sign = -1.0 if found.absolute.mean < 0 else 1.0
    if math.isfinite(found.percent.mean):
        return f"{percents(found.percent, sign)} {way}"
    return f"{bounded(found.absolute, style_for([found.absolute]), sign)} {way}"
