"""What a report says in short, computed from records: the best at each NFE, how sure that is, what is not known."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fmbench.records import MetricFacts, Records, TrainingRecord
from fmbench.report.baseline import gap, references
from fmbench.report.boards import Board, Row, Values, varying, words
from fmbench.report.effects import effects
from fmbench.report.identities import split_by_identity
from fmbench.report.numbers import Style, count, style_for
from fmbench.report.summary import Interval, difference, interval, ranked


def in_short(records: Records, boards: list[Board]) -> list[tuple[str, str]]:
    """Return lines of `(what it is about, sentence)`."""
    lines: list[tuple[str, str]] = []
    for board in boards:
        prefix = f"{board.dataset}, " if len(boards) > 1 else ""
        lines += [(prefix + about, text) for about, text in _of_board(board, records.baseline)]
    return lines + _unknown(records, boards)


def _of_board(board: Board, baseline: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    facts = board.headline
    if facts is None or not facts.better:
        return []
    pairs = references(board, baseline) if baseline else {}
    lines = []
    leaders = []
    for nfe in board.budgets:
        values = {row: v for row in board.rows() if (v := board.values(row, nfe, facts)) is not None}
        text, first = _best(board, facts, nfe, values, pairs, has_baseline=bool(pairs))
        lines.append((f"NFE {nfe}", text))
        leaders.append(first)
    return _overall(board, facts, leaders) + lines + effects(board, baseline)


def _overall(board: Board, facts: MetricFacts, leaders: Sequence[Collection[Row]]) -> list[tuple[str, str]]:
    """Say whether one row leads at every budget."""
    rows, budgets = board.rows(), board.budgets
    if len(budgets) < 2 or len(rows) < 2 or not all(leaders):
        return []
    everywhere = [row for row in rows if all(row in first for first in leaders)]
    axes, superlative = varying(rows), _superlative(facts).lower()
    if everywhere:
        said = f"{words(everywhere[0], axes)} has the {superlative} mean {facts.name} at every NFE of this suite"
    else:
        said = f"Which combination has the {superlative} mean {facts.name} depends on the NFE"
    return [("Overall", f"{said}; the next lines say how sure that is.")]


def _superlative(facts: MetricFacts) -> str:
    return "Lowest" if facts.better == "lower" else "Highest"


def _best(
    board: Board,
    facts: MetricFacts,
    nfe: int,
    values: Mapping[Row, Values],
    pairs: Mapping[Row, Row],
    has_baseline: bool,
) -> tuple[str, list[Row]]:
    """Say which row is best at one budget, and what can be told from it; and return it, with what has its values."""
    parts, note = split_by_identity(values)
    if len(parts) != 1:
        return f"No best: {note or 'the values of these rows are not comparable with each other'}.", []
    whole = {row: interval(list(v.by_seed.values())) for row, v in values.items() if v.complete}
    if not whole:
        return "No combination finished every seed, so there is no best.", []
    order = ranked({row: said.mean for row, said in whole.items()}, facts.better)
    axes, best = varying(board.rows()), order[0]
    same = [row for row in order if values[row].by_seed == values[best].by_seed]
    numbers = style_for(whole.values())
    text = f"{_superlative(facts)} {facts.name} is {_said(whole[best], numbers)}, by {words(best, axes)}"
    text += f" and, with the very same values, {'; '.join(words(row, axes) for row in same[1:])}." if same[1:] else "."
    if len(order) > len(same):
        text += " " + _rivals(values, [best, *(row for row in order if row not in same)], facts, axes)
    if best in pairs:
        text += _against(board, facts, nfe, best, pairs[best])
    elif has_baseline and whole[best].known:
        text += " It belongs to the baseline."
    return text, same


def _said(value: Interval, numbers: Style) -> str:
    spread = f" ± {numbers(value.half)}" if value.known else ""
    return f"{numbers(value.mean)}{spread} ({count(value.n, 'seed')})"


def _rivals(values: Mapping[Row, Values], order: list[Row], facts: MetricFacts, axes: list[int]) -> str:
    """Say how many rows cannot be told from the best, and which comes next."""
    best, following = order[0], order[1]
    verdicts = {row: difference(values[row].by_seed, values[best].by_seed, facts.better).verdict for row in order[1:]}
    if all(found == "cannot tell" for found in verdicts.values()):
        return f"Next is {words(following, axes)}; whether they differ cannot be told."
    near = [row for row, found in verdicts.items() if found != "worse"]
    if not near:
        return f"Distinguishable from all {len(order) - 1} others; next is {words(following, axes)}."
    shown = "; ".join(words(row, axes) for row in near[:3])
    more = f"; and {len(near) - 3} more" if len(near) > 3 else ""
    return f"Not distinguishable from it: {len(near)} of {count(len(order) - 1, 'other')} ({shown}{more})."


def _against(board: Board, facts: MetricFacts, nfe: int, row: Row, reference: Row) -> str:
    found = gap(board.values(row, nfe, facts), board.values(reference, nfe, facts), facts.better)
    if found is None:
        return " It cannot be compared with the baseline."
    way = "lower" if found.absolute.mean < 0 else "higher"
    relative = math.isfinite(found.percent.mean)
    shown, unit = (found.percent, " %") if relative else (found.absolute, "")
    numbers = Style(1) if relative else style_for([shown])
    size = f"{numbers(abs(shown.mean))}{unit}"
    spread = f" (± {numbers(shown.half)})" if shown.known else ""
    return f" Against the baseline with the same solver: {size} {way}{spread}, {found.verdict}."


def _unknown(records: Records, boards: list[Board]) -> list[tuple[str, str]]:
    """Say what these records cannot tell."""
    lines = []
    seeds = {r.cell.seed for r in records.trainings} or {r.cell.training.seed for r in records.evaluations}
    if len(seeds) == 1:
        lines.append(("One seed", "Nothing can be said about spread: another seed might reverse every difference."))
    elif 1 < len(seeds) < 5:
        lines.append(
            (
                f"{len(seeds)} seeds",
                "Intervals from so few seeds are wide, and “not distinguishable” does not mean equal; a best that "
                "was picked among many rows looks a little better than it is.",
            )
        )
    if (scope := _scope(records)) and len(seeds) > 1:
        lines.append(("Scope", scope))
    if records.failed:
        lines.append(("Failed", _failed(records)))
    if not any(board.headline for board in boards):
        lines.append(("No score", "This suite has no metric that looks at samples, so nothing is ranked."))
    elif not any(v.by_seed for b in boards if b.headline for k in b.cells if (v := b.values(*k, b.headline))):
        lines.append(("No score", "No cell gave a value of the headline metric."))
    return lines


def _scope(records: Records) -> str:
    """Say what was tried, because nothing is known of anything else."""
    cells = [r.cell for r in records.trainings]
    if not cells:
        return ""
    datasets = " and ".join(dict.fromkeys(str(cell.dataset) for cell in cells))
    networks = " and ".join(dict.fromkeys(str(cell.network) for cell in cells))
    steps = sorted({int(c.settings.values["steps"]) for c in cells if "steps" in c.settings.values})
    trained = f", trained for {' or '.join(f'{n:,}' for n in steps)} steps" if steps else ""
    return (
        f"All this is about {datasets} with {networks}{trained}: other data, another network or longer training may "
        "change the order."
    )


def _failed(records: Records) -> str:
    """Say how many trainings and evaluations have no result."""
    trainings = {r.cell.key for r in records.failed if isinstance(r, TrainingRecord)}
    own = len(records.failed) - len(trainings)
    with_them = sum(r.cell.training.key in trainings for r in records.evaluations)
    said = []
    if trainings:
        lost = f" (with {count(with_them, 'evaluation')})" if with_them else ""
        said.append(f"{len(trainings)} of {count(len(records.trainings), 'training')}{lost}")
    if own:
        said.append(f"{own} of {count(len(records.evaluations), 'evaluation')}")
    return f"{' and '.join(said)}: see “Failed and left out”."
