"""One saved view of MLflow's experiment page, as the JSON in which its page (3.17) saves it.

MLflow keeps a view in a tag of the experiment, `mlflow.sharedViewState.<key>`: its name, when it was made, and the
state of the page. The page lists these under "Views", the newest first, and opens one with `viewStateShareKey=<key>` in
its address; whether runs are a table or charts stands in the address, too, and is no part of a view.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "mlflow.sharedViewState."
LOADED = 100
"""Runs that the page loads, and so draws, until somebody asks for more."""

CARD_HEIGHT = 460
SECTION = "fmbench"


@dataclass(frozen=True)
class View:
    """A named view: which runs, in which order, in which charts, and with which columns of the table.

    `search` selects the runs, `order` is a column's key such as "metrics.`fid`", `group` the param or tag over whose
    values the charts average, "" for none, `title` stands above the charts.
    """

    key: str
    name: str
    search: str
    order: str
    ascending: bool
    title: str
    charts: Sequence[Mapping[str, Any]]
    group: str = ""
    columns: Sequence[str] = ()
    wide: bool = False
    as_charts: bool = True

    def text(self, made: int) -> str:
        """Return what the tag holds, for a view that was made at a time in milliseconds."""
        grouped = [{"mode": "param", "groupByData": self.group}]
        section = {
            "uuid": SECTION,
            "name": self.title,
            "display": True,
            "columns": 1 if self.wide else 2,
            "cardHeight": CARD_HEIGHT,  # high, so that the legend of all lines is in sight
        }
        state = {
            "searchFilter": self.search,
            "orderByKey": self.order,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "runsHiddenMode": "SHOW_ALL",
            "selectedColumns": list(self.columns),
            "groupBy": {"aggregateFunction": "average", "groupByKeys": grouped} if self.group else None,
            "compareRunCharts": list(self.charts),
            "compareRunSections": [{**section, "isReordered": False, "deleted": False, "isGenerated": False}],
            "isAccordionReordered": False,
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "runListHidden": True,
            "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        }
        envelope = {"name": self.name, "createdAt": made, "updatedAt": made, "state": _json(state)}
        return _json(envelope)

    def address(self, experiment: str) -> str:
        """Return where the view is, within MLflow's UI."""
        mode = "&compareRunsMode=CHART" if self.as_charts else ""
        return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={self.key}{mode}"


def curve(metric: str, *, logarithmic: bool) -> dict[str, Any]:
    """Return a line chart of a metric against its step, with a logarithmic axis or without."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "log" if logarithmic else "linear"}
    return {
        **_card("LINE", metric, LOADED),
        "metricKey": metric,
        "displayName": metric,
        "lineSmoothness": 0,
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "selectedXAxisMetricKey": "",
        **axes,
    }


def pictures(step: int) -> dict[str, Any]:
    """Return the grid of samples, which begins at a step."""
    return {**_card("IMAGE", "samples", 10), "imageKeys": ["samples"], "step": step, "showRunParams": False}


def column(kind: str, name: str) -> str:
    """Return the key of a column: kind is "params", "metrics", "tags" or "attributes"."""
    return f"{kind}.`{name}`"


def equals(kind: str, name: str, value: str) -> str:
    """Return a condition of MLflow's search; its texts know no escapes, so that a quote in one matches anything."""
    if "'" not in value:
        return f"{column(kind, name)} = '{value}'"
    return f"{column(kind, name)} LIKE '{value.replace(chr(39), '_')}'"


def _card(kind: str, name: str, most_runs: int) -> dict[str, Any]:
    place = {"metricSectionId": SECTION, "deleted": False, "isGenerated": False}
    return {"uuid": f"{SECTION}-{name}", "type": kind, "runsCountToCompare": most_runs, **place}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
