"""Saved views of MLflow's experiment page: every metric against NFE by solver, and samples side by side.

MLflow keeps a view as JSON in a tag of the experiment, `mlflow.sharedViewState.<name>`, and opens it with
`viewStateShareKey=<name>` in the address. The fields are those that its page saves itself (3.17).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fmbench.results.records import Records
from fmbench.tracking.run_content import CURRENT, SUPERSEDED, metric_name

PREFIX = "mlflow.sharedViewState."
CHARTS, SAMPLES = "fmbench-nfe", "fmbench-samples"
MOST_CHARTS = 8
CARD_HEIGHT = 460
WIDE = 10.0
"""Largest over smallest value from which a chart has a logarithmic axis."""
FLAT_ORDER = {"orderByKey": "tags.`mlflow.runName`", "orderByAsc": True}
"""Sorted by time, the page folds evaluation runs away below their training runs."""

_SHOWN = f"tags.`{SUPERSEDED}` = '{CURRENT}'"
"""Runs of code that has changed since, and runs that were made twice, are no part of an average."""


def views(records: Records) -> dict[str, str]:
    """Return the experiment tags of a suite's views."""
    shown = [m for m in records.metrics if m.scope != "training" and m.better in {"lower", "higher"}][:MOST_CHARTS]
    curves = [_curve(metric_name(metric.name), logarithmic=_spans(records, metric.name)) for metric in shown]
    group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "solver"}]}
    evaluations = f"tags.`fmbench.kind` = 'evaluation' AND {_SHOWN}"
    title = "Step is NFE: mean over all trainings, lowest to highest as a band"
    found = {CHARTS: _view(evaluations, title, curves, 2, {"groupBy": group})}
    pictured = [record.cell for record in records.evaluations if record.samples is not None]
    if pictured:
        training = pictured[0].training.key
        step = max(cell.nfe or 0 for cell in pictured)
        some = f"tags.`fmbench.training` = '{training}' AND {_SHOWN}"
        found[SAMPLES] = _view(some, "One training", [_pictures(step), *curves[:1]], 1, {"groupBy": None})
    return {PREFIX + name: text for name, text in found.items()}


def _spans(records: Records, name: str) -> bool:
    """Tell whether a metric spans so much that only a logarithmic axis shows where its lines part."""
    values = [value for r in records.evaluations if (value := r.metrics.get(name)) is not None and math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > WIDE


def _view(search: str, title: str, charts: list[dict[str, Any]], columns: int, more: Mapping[str, Any]) -> str:
    """Return a view; wide and high cards keep the legend and the pictures of all solvers in sight."""
    section = {"uuid": "fmbench", "name": title, "display": True, "columns": columns, "cardHeight": CARD_HEIGHT}
    state = {
        "searchFilter": search,
        **FLAT_ORDER,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": charts,
        "compareRunSections": [{**section, "isReordered": False, "deleted": False, "isGenerated": False}],
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "runListHidden": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **more,
    }
    return json.dumps(state, separators=(",", ":"))


def _card(kind: str, name: str, most_runs: int) -> dict[str, Any]:
    place = {"metricSectionId": "fmbench", "deleted": False, "isGenerated": False}
    return {"uuid": f"fmbench-{name}", "type": kind, "runsCountToCompare": most_runs, **place}


def _curve(metric: str, *, logarithmic: bool) -> dict[str, Any]:
    scale = "log" if logarithmic else "linear"
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": scale, "selectedXAxisMetricKey": ""}
    return {
        **_card("LINE", metric, 20),
        "metricKey": metric,
        "displayName": metric,
        "lineSmoothness": 0,
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        **axes,
    }


def _pictures(step: int) -> dict[str, Any]:
    return {**_card("IMAGE", "samples", 10), "imageKeys": ["samples"], "step": step, "showRunParams": False}
