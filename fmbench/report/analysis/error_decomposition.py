"""How much of a distance comes from the network and how much from the solver, where the exact velocity is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fmbench.report.analysis.floor_and_oracle import Floor, comparable, floor_of, oracle_of
from fmbench.report.result_table import ResultTable, Row
from fmbench.stats.paired_seeds import Interval, interval

PARTS = ("real data", "solver", "network")


@dataclass(frozen=True)
class ErrorDecomposition:
    """The distance of one entry, seed by seed: total = floor + solver + network, where

    solver = oracle - floor is what the exact velocity leaves with this solver beyond what real data score, and network
    = total - oracle is what the trained network changes. A part may be negative: errors can cancel.
    """

    total: Interval
    floor: Interval
    solver: Interval
    network: Interval
    oracle: Interval


def error_decompositions(
    result_table: ResultTable,
) -> tuple[dict[tuple[Row, int | None], ErrorDecomposition], Floor | None]:
    """Return the split of the headline metric by row and NFE, as far as floor and oracle are there."""
    facts = result_table.headline
    floor = floor_of(result_table, facts)[0] if facts is not None else None
    if facts is None or floor is None:
        return {}, None
    found: dict[tuple[Row, int | None], ErrorDecomposition] = {}
    for row, nfe in result_table.cells:
        total, oracle = result_table.values(row, nfe, facts), oracle_of(result_table, row, nfe, facts)
        if total is None or oracle is None or not comparable(total, oracle):
            continue
        if split := _split(total.by_seed, floor.values.by_seed, oracle.by_seed):
            found[row, nfe] = split
    return found, floor


def _split(
    total: Mapping[int, float], floor: Mapping[int, float], oracle: Mapping[int, float]
) -> ErrorDecomposition | None:
    seeds = [seed for seed in total if seed in floor and seed in oracle]
    if not seeds:
        return None
    return ErrorDecomposition(
        total=interval([total[s] for s in seeds]),
        floor=interval([floor[s] for s in seeds]),
        solver=interval([oracle[s] - floor[s] for s in seeds]),
        network=interval([total[s] - oracle[s] for s in seeds]),
        oracle=interval([oracle[s] for s in seeds]),
    )
