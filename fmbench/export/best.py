"""The best configuration of a suite's records, by the mean over seeds of the suite's first metric of samples."""

from __future__ import annotations

from dataclasses import replace

from fmbench.cells.cells import EvaluationCell
from fmbench.errors import UserError
from fmbench.results.records import Records
from fmbench.stats.variance import mean_of


def best_cell(records: Records, metric: str | None = None) -> tuple[EvaluationCell, str]:
    """Return the evaluation of the lowest seed of the best configuration, and the metric. Raises UserError.

    Only configurations that have a value for as many seeds as any other are ranked.
    """
    known = [facts for facts in records.metrics if facts.scope == "evaluation" and not facts.over]
    facts = next((each for each in known if metric is None or each.name == metric), None)
    if facts is None:
        raise UserError(f"the suite has no metric {metric!r} of samples; it has {', '.join(m.name for m in known)}")
    found: dict[tuple[str, str], dict[int, tuple[float, EvaluationCell]]] = {}
    for record in records.last_steps.evaluations:
        if record.status == "ok" and facts.name in record.metrics and record.cell.training.samples is None:
            cell = record.cell
            alike = replace(cell, training=replace(cell.training, seed=0, teacher=None), weaker=None)
            found.setdefault((cell.training.dataset.digest, alike.key), {})[cell.training.seed] = (
                record.metrics[facts.name],
                cell,
            )
    if not found:
        raise UserError(f"no evaluation of these has a value of {facts.name}; `fmbench run` computes them")
    if len({dataset for dataset, _ in found}) > 1:
        raise UserError("several datasets have scores, which stand beside no others: --best dataset=NAME chooses one")
    most = max(map(len, found.values()))
    means = {key: mean_of([v for v, _ in each.values()]) for key, each in found.items() if len(each) == most}
    best = (min if facts.better == "lower" else max)(means, key=lambda key: means[key])
    return found[best][min(found[best])][1], facts.name
