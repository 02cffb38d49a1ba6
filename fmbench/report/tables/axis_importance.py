"""The table of how much each axis explains."""

from __future__ import annotations

from fmbench.report.analysis.axis_importance import CHANCE, INTERACTIONS, Floats, attribute, percents_within, within
from fmbench.report.result_table import ResultTable
from fmbench.report.tables.table import Entry, Table, TableLine
from fmbench.stats.paired_seeds import interval


def of_attribution(result_table: ResultTable) -> Table | None:
    """Return the table of what explains the headline metric's spread: a row an axis, a column an NFE."""
    found = attribute(result_table)
    if found is None:
        return None
    columns = {"mean over NFE": found.overall} if len(found.by_nfe) > 1 else {}
    columns |= {f"NFE {nfe}": shares for nfe, shares in found.by_nfe.items()}
    lines = [
        TableLine((name,), tuple(_entry(shares[:, i], name) for shares in columns.values()))
        for i, name in enumerate((*found.names, INTERACTIONS, CHANCE))
    ]
    notes = (
        f"Percent of the spread of {found.metric} between the rows of one NFE, with the 95% interval over "
        f"{len(found.overall)} seeds (Student's t). The shares of a column sum to 100, but for rounding and for what "
        "is cut off at 0 and 100: the share of an axis that does nothing may come out slightly below 0.",
        "An axis's share is what it changes by itself, averaged over the others (Shapley shares of R² of the main "
        "effects, less what chance adds). An interval from 0 to 100 says nothing. What they do together: "
        "what a choice on one axis changes only beside certain choices on another. Seeds: what does not repeat from "
        "seed to seed.",
        "Shares speak of the choices that this suite offers: an axis with one very bad choice has a large one.",
    )
    title = f"{result_table.dataset}: what explains the spread of {found.metric}"
    return Table(title, ("axis",), tuple(columns), tuple(lines), (*notes, *found.notes), minor=True)


def _entry(shares: Floats, name: str) -> Entry:
    said = interval([float(x) for x in shares])
    spread = "" if name == CHANCE else f"[{', '.join(percents_within(said))}]"
    return Entry(f"{within(said.mean)} %", spread)
