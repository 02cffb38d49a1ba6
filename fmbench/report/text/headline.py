"""What a report says first: the answer, what matters most, and what is not known; each a line, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.io.printable_text import count
from fmbench.report.analysis.axis_importance import (
    CHANCE,
    INTERACTIONS,
    Shares,
    attribute,
    is_vague,
    percents_within,
    within,
)
from fmbench.report.analysis.floor_and_oracle import floor_of
from fmbench.report.analysis.own_best import own_bests
from fmbench.report.analysis.ranking import RankingAtNFE, at_nfe, combination, enumeration, rankings
from fmbench.report.drawable import drawable
from fmbench.report.result_table import ResultTable, make_result_tables
from fmbench.report.text.answer import answer
from fmbench.report.text.details import details
from fmbench.report.text.one_sentence import one_sentence
from fmbench.report.text.own_best import own_best_said
from fmbench.results.precision_and_device import mixed
from fmbench.results.records import Records, TrainingRecord
from fmbench.stats.paired_seeds import Difference, Interval, difference

Said = list[tuple[str, str]]
FEW_SEEDS = 5
WIDE = 0.5
"""An axis whose share differs by this much between two NFE has both named beside its mean."""


@dataclass(frozen=True)
class Summary:
    """What a report says in short, as `(what it is about, sentences)`: `lines` first of all, `details` beneath them."""

    lines: Said
    details: Said


def in_short(records: Records, result_tables: Sequence[ResultTable] | None = None) -> Summary:
    """Say what records answer: a sentence a dataset, a line on the axes, one on what is not known.

    The answers in full stand among the details.
    """
    result_tables = make_result_tables(drawable(records).last_steps) if result_tables is None else result_tables
    ranking = [(result_table, rankings(result_table)) for result_table in result_tables]
    several = len(result_tables) > 1
    lines, beneath = [], []
    for result_table, found in ranking:
        prefix = f"{result_table.dataset}, " if several else ""
        if text := answer(result_table, found, records.baseline):
            short = one_sentence(result_table, found, records.baseline) or text
            lines.append((f"Answer, {result_table.dataset}" if several else "Answer", short))
            beneath += [(f"{prefix}Answer in full", text)] if short != text else []
        if (own := own_bests(result_table)) is not None:
            about = f"Each at its own best, {result_table.dataset}" if several else "Each at its own best"
            lines.append((about, own_best_said(own)))
        beneath += [(prefix + about, said) for about, said in details(result_table, found, records.baseline)]
    if not lines and result_tables:
        lines.append(("Answer", f"No answer: {_no_score(result_tables)}."))
    if text := _matters(result_tables):
        lines.append(("What matters", text))
    if text := _unknown(records, ranking):
        lines.append(("Not known", text))
    return Summary(lines, beneath)


def _no_score(result_tables: Sequence[ResultTable]) -> str:
    """Say why nothing is ranked."""
    if not any(result_table.cells for result_table in result_tables):
        return "nothing was evaluated"
    if not any(result_table.headline for result_table in result_tables):
        return "this suite has no metric that looks at samples"
    if not any(result_table.budgets for result_table in result_tables):
        none = "no NFE is said of any samples" if any(t.unsaid for t in result_tables) else "all solvers are adaptive"
        return f"{none}, so there is no NFE at which to compare them; their table stands below"
    return "the metric has no direction in which it is better"


def _matters(result_tables: Sequence[ResultTable]) -> str:
    """Say which axis explains how much: at length for one dataset, in figures alone for several."""
    every = [(result_table, attribute(result_table)) for result_table in result_tables]
    found = [(result_table, shares) for result_table, shares in every if shares is not None]
    if len(found) == 1 and len(result_tables) == 1:
        return _of_one(found[0][1])
    said = [
        f"{result_table.dataset}: {', '.join(f'{name} {_interval(share)}' for name, share in shares.ranked)}"
        for result_table, shares in found
    ]
    metrics = enumeration(list(dict.fromkeys(shares.metric for _, shares in found)))
    return f"Shares of the spread of {metrics} at equal NFE. {'; '.join(said)}." if said else ""


def _of_one(shares: Shares) -> str:
    """Say one dataset's shares, the largest first, after what can be told of their order."""
    ranked = shares.ranked
    first, rest = ranked[0][0], [name for name, _ in ranked[1:]]
    less = [name for name in rest if shares.more(first, name)]
    near = [first, *(name for name in rest if name not in less)]
    told = [name for name, share in ranked if share.low > 0]
    if not told:
        lead = "No axis explains more than chance might"
    elif not rest:
        lead = f"Only the {first} varies"
    elif less == rest and first in told:
        lead = f"The {first} matters more than {_axes(rest, 'or')}"
    else:
        more = f"{_axes(told)} {'explains' if len(told) == 1 else 'explain'} more than chance might"
        lead = f"{more[0].upper()}{more[1:]}; whether {_axes(near, 'or')} matters most cannot be told"
    return f"{lead}: {_in_figures(shares)}"


def _in_figures(shares: Shares) -> str:
    """Say how much each axis explains, and of which that is not known."""
    ranked = shares.ranked
    vague = [name for name, share in ranked if is_vague(share)]
    seeds = count(len(shares.overall), "seed")
    if len(vague) == len(ranked):
        return f"how much of the spread of {shares.metric} {_axes(vague, 'or')} explains is not known from {seeds}."
    named = [f"the {name} {_interval(i)}{_range(shares, name)}" for name, i in ranked if name not in vague]
    left = shares.overall.mean(axis=0)
    named += [f"{INTERACTIONS} {_percent(left[-2])}"] if len(ranked) > 1 else []
    text = (
        f"at equal NFE, the spread of {shares.metric} is explained by {', '.join(named)}, {CHANCE} {_percent(left[-1])}"
    )
    return f"{text}; how much {_axes(vague, 'or')} explains is not known from {seeds}." if vague else f"{text}."


def _axes(names: Sequence[str], last: str = "and") -> str:
    return enumeration([f"the {name}" for name in names], last)


def _interval(share: Interval) -> str:
    if is_vague(share):
        return f"not known from {count(share.n, 'seed')}"
    low, high = percents_within(share)
    return f"{_percent(share.mean)} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{within(share)}%"


def _range(shares: Shares, name: str) -> str:
    """Name the NFE at which an axis explains least and most, where they are far apart."""
    i = shares.names.index(name)
    means = {nfe: float(table[:, i].mean()) for nfe, table in shares.by_nfe.items()}
    ends = min(means, key=lambda nfe: means[nfe]), max(means, key=lambda nfe: means[nfe])
    if means[ends[1]] - means[ends[0]] < WIDE:
        return ""
    return f" ({', '.join(f'{_percent(means[nfe])} at NFE {nfe}' for nfe in sorted(ends))})"


def _unknown(records: Records, ranking: Sequence[tuple[ResultTable, list[RankingAtNFE]]]) -> str:
    """Say what these records cannot tell."""
    own = [r for r in records.trainings if r.cell.samples is None] or records.trainings
    seeds = {r.cell.seed for r in own} or {r.cell.training.seed for r in records.evaluations}
    leads = [place for _, found in ranking for place in found if place.first]
    said = []
    if len(seeds) == 1:
        said.append("One seed: nothing can be said about spread, and another seed might reverse every difference")
    elif near := [
        text for result_table, found in ranking if (text := _near(result_table, found, alone=len(ranking) == 1))
    ]:
        said.append(f"Cannot be told from the best: {'; '.join(near)}")
    said += _as_real(ranking)
    if 1 < len(seeds) < FEW_SEEDS and leads:
        said.append(f"{len(seeds)} seeds are few: small differences are missed")
    if any(len(place.order) > len(place.first) for place in leads):
        said.append("The best of several looks a little better than it is")
    said += mixed(records)
    if records.failed:
        said.append(_failed(records))
    if scope := _scope(records):
        said.append(scope)
    return ". ".join(said) + "." if said else ""


def _near(result_table: ResultTable, found: Sequence[RankingAtNFE], alone: bool) -> str:
    """Say what cannot be told from the best at each NFE: one name each, or of several datasets the NFE alone."""
    near = [place for place in found if place.rivals]
    if all(place.undecided for place in found if place.first):
        return ""
    if not alone:
        return f"some on {result_table.dataset} at {at_nfe([place.nfe for place in near])}" if near else ""
    said = []
    for place in near:
        more = f" and {count(len(place.rivals) - 1, 'other')}" if len(place.rivals) > 1 else ""
        said.append(f"{combination(result_table, place.rivals[0])}{more} at NFE {place.nfe}")
    return ", ".join(said)


def _as_real(ranking: Sequence[tuple[ResultTable, list[RankingAtNFE]]]) -> list[str]:
    """Say at which NFE the best cannot be told from real data, and where it even scores better than they do."""
    told: dict[str, list[str]] = {"not distinguishable": [], "better": []}
    seeds: set[int] = set()
    for result_table, found in ranking:
        gaps = _from_real(result_table, found)
        seeds |= {gap.absolute.n for _, gap in gaps if gap.verdict == "not distinguishable"}
        for verdict, places in told.items():
            if budgets := [nfe for nfe, gap in gaps if gap.verdict == verdict]:
                places.append(f"the best on {result_table.dataset} at {at_nfe(budgets)}")
    near, beyond = told.values()
    many = f"{enumeration([str(n) for n in sorted(seeds)], 'or')} seeds"
    said = [f"Cannot be told from real data by these {many}: {'; '.join(near)}"] if near else []
    said += [f"Scores better than real data, where a better score means nothing: {'; '.join(beyond)}"] if beyond else []
    return said


def _from_real(result_table: ResultTable, found: Sequence[RankingAtNFE]) -> list[tuple[int, Difference]]:
    """Return by NFE the difference of the best from real data; nothing where the metric has no floor."""
    floor = floor_of(result_table, result_table.headline)[0] if result_table.headline else None
    if floor is None or result_table.headline is None:
        return []
    leads = [(place.nfe, place.values[place.first[0]].by_seed) for place in found if place.first]
    return [(nfe, difference(score, floor.values.by_seed, result_table.headline.better)) for nfe, score in leads]


def _scope(records: Records) -> str:
    """Say what was tried, because nothing is known of anything else."""
    weaker = records.weaker_models
    cells = [r.cell for r in records.trainings if r.cell.key not in weaker]
    if not cells:
        return ""
    datasets = enumeration(list(dict.fromkeys(str(cell.dataset) for cell in cells)))
    named = {
        unit: enumeration(list(dict.fromkeys(str(c.network) for c in cells if c.unit == unit)))
        for unit in ("training", "model", "samples")
    }
    if not named["training"] and not named["model"]:
        return f"Only {named['samples']} on {datasets} were compared, as they were made elsewhere"
    steps = sorted({int(c.settings.values["steps"]) for c in cells if c.settings.values.get("steps")})
    trained = f"{named['training']} trained for {enumeration([f'{n:,}' for n in steps], 'or')} steps"
    told = [trained] * bool(named["training"]) + [f"{named['model']} as given"] * bool(named["model"])
    beside = f", beside {named['samples']} from elsewhere" if named["samples"] else ""
    return f"Only {datasets} with {', and '.join(told)} was tried{beside}; anything else may change the order"


def _failed(records: Records) -> str:
    """Say how many trainings, models and evaluations have no result, and how many lack a metric that failed."""
    partly = [r for r in records.failed if r.facts]
    failed = {r.cell.key for r in records.failed if isinstance(r, TrainingRecord) and not r.facts}
    own = len(records.failed) - len(failed) - len(partly)
    lost = []
    for unit in ("training", "model"):
        all_of_them = [r.cell.key for r in records.trainings if r.cell.unit == unit]
        if gone := failed.intersection(all_of_them):
            with_them = sum(r.cell.training.key in gone for r in records.evaluations)
            also = f" (with {count(with_them, 'evaluation')})" if with_them else ""
            lost.append(f"{len(gone)} of {count(len(all_of_them), unit)}{also}")
    if own:
        lost.append(f"{own} of {count(len(records.evaluations), 'evaluation')}")
    said = [f"{' and '.join(lost)} have no result and count for nothing"] if lost else []
    lack = "lacks" if len(partly) == 1 else "lack"
    said += [f"{count(len(partly), 'cell')} {lack} a value, since a metric failed there"] if partly else []
    return "; ".join(said)
