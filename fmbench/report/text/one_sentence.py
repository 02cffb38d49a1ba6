"""The answer in one sentence, which names what was compared with what, and calls a tie a tie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fmbench.report.analysis.baseline import gap, of_baseline
from fmbench.report.analysis.ranking import RankingAtNFE, at_nfe, best_rows, combination, enumeration
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, varying

MOST_WORDS = 25


def one_sentence(
    result_table: ResultTable, rankings: Sequence[RankingAtNFE], baseline: Mapping[str, Any] | None
) -> str:
    """Return at most MOST_WORDS words on who leads where, by how much against whom, and where nobody does.

    "" where nothing is compared. Numbers are differences in percent at the NFE at which the leader can be told from
    everybody: from the baseline's best at that NFE or, without a baseline, from the next best. Of several wordings it
    is the first that is short enough, so that long names cost the figures, and then themselves.
    """
    facts = result_table.headline
    known = [place for place in rankings if place.first]
    if facts is None or not any(len(place.order) > 1 for place in known):
        return ""
    told, tied = [p for p in known if p.is_told], [p for p in known if p.is_tie]
    least = "lowest" if facts.better == "lower" else "highest"
    if max(place.seeds for place in known) < 2:
        one = "One seed tells no winner"
        so_far = enumeration([f"{name} at {nfe}" for name, nfe in _named(result_table, known)])
        return _shortest([f"{one}; so far {so_far} has the {least} {facts.name}.", f"{one} in {facts.name}.", one])
    if not told:
        where = at_nfe([place.nfe for place in tied])
        no_winner = f"No winner in {facts.name}: the {least} means tie with others, seed by seed"
        return _shortest([f"{no_winner}, at {where}.", f"{no_winner}."]) if tied else ""
    ties = f"; tie at {at_nfe([place.nfe for place in tied])}" if tied else ""
    groups = _named(result_table, told)
    leads = ", ".join(f"{name}{' leads' if not i else ''} at {nfe}" for i, (name, nfe) in enumerate(groups))
    measured = leads.replace(" leads at ", f" leads in {facts.name} at ", 1)
    by = _by_how_much(result_table, told, baseline)
    everywhere = at_nfe([place.nfe for place in told])
    return _shortest(
        [
            *([f"{measured}, {by}{ties}.", f"{leads}, {by}{ties}."] if by else []),
            f"{measured}, against every other combination, seed by seed{ties}.",
            f"{leads}, against every other combination{ties}.",
            f"One combination leads at {everywhere}, told from every other, seed by seed{ties}.",
            f"One combination leads at {len(told)} of {len(known)} NFE, told from every other, seed by seed.",
        ]
    )


def words(text: str) -> int:
    """Return how many words a text has; signs between them are none."""
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def _shortest(wordings: Iterable[str]) -> str:
    """Return the first wording that is short enough; of none, the last."""
    wordings = list(wordings)
    return next((text for text in wordings if words(text) <= MOST_WORDS), wordings[-1])


def _named(result_table: ResultTable, places: Sequence[RankingAtNFE]) -> list[tuple[str, str]]:
    """Return who is best, and at which NFE."""
    budgets: dict[str, list[int]] = {}
    for place, row in zip(places, best_rows(places), strict=True):
        budgets.setdefault(combination(result_table, row), []).append(place.nfe)
    return [(name, at_nfe(found)) for name, found in budgets.items()]


def _by_how_much(result_table: ResultTable, told: Sequence[RankingAtNFE], baseline: Mapping[str, Any] | None) -> str:
    """Return "66% and 24% below the baseline's best solver"; "" where that cannot be said of every place."""
    assert result_table.headline is not None
    wanted = {axis: value for axis, value in (baseline or {}).items() if axis in ROW_AXES}
    base = [of_baseline(result_table, place.order, wanted) if wanted else [] for place in told]
    own = [any(row in rows for row in place.first) for place, rows in zip(told, base, strict=True)]
    if any(base) and not all(own):
        if any(own) or not all(base):
            return ""
        best = with_its_best(result_table, wanted).removeprefix(" with its")
        said = f"the baseline's{best}" if best else "the baseline"
        others: list[Row] = [rows[0] for rows in base]
    else:
        said = "the next best"
        others = [next(row for row in place.order if row not in place.first) for place in told]
    found = [
        gap(place.values[place.first[0]], place.values[row], result_table.headline.better)
        for place, row in zip(told, others, strict=True)
    ]
    numbers = [_percent(each.percent.mean) for each in found if each is not None]
    if len(numbers) < len(told) or not all(numbers):
        return ""
    way = "below" if result_table.headline.better == "lower" else "above"
    return f"{enumeration(numbers)} {way} {said}"


def _percent(value: float) -> str:
    """Return a percentage without its sign; "" where there is none."""
    size = abs(value)
    return f"{size:.0f}%" if size >= 1 else f"{size:.1g}%" if size > 0 else ""


def with_its_best(result_table: ResultTable, wanted: Mapping[str, Any]) -> str:
    """Say what of a baseline is chosen at each NFE: " with its best solver"; "" where nothing is."""
    rows = of_baseline(result_table, result_table.rows(), wanted)
    free = [ROW_AXES[i].replace("_", "-") for i in varying(rows)]
    return f" with its best {enumeration(free)}" if free else ""
