"""How particles flow from noise to data in the plane, for the page to play."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmbench.report.figures.plane.snapshots import FlowSnapshot, flow_snapshots
from fmbench.report.page_data.json_text import numbers
from fmbench.report.page_data.plane_points import LEVELS, Frame, levels_of
from fmbench.report.result_table import ResultTable

PARTICLES, TIMES = 80, 25


def flows_data(
    result_table: ResultTable, dataset: Mapping[str, Any], data_frame: Frame, room: int
) -> dict[str, Any] | None:
    """Return the way of the same noise under each training combination with a flow snapshot, while there is room.

    The combinations that win somewhere come first. The frame holds the noise, too. None where there are none.
    """
    known = flow_snapshots(result_table)
    number_of = {row: n for n, row in enumerate(result_table.trainings)}
    winners = [dataset["rows"]["training"][w["row"]] for w in dataset["winners"] if w["row"] is not None]
    baseline = [dataset["rows"]["training"][row] for row in dataset["rows"]["baseline"]]
    first = {n: place for place, n in enumerate(dict.fromkeys([*winners, *baseline]))}
    order = sorted(known, key=lambda row: (first.get(number_of[row], len(first)), number_of[row]))
    shown = [row for row in order if known[row].finite.shape[1]]
    if not shown:
        return None
    frame = _with_noise(data_frame, known[shown[0]])
    times = _times(known[shown[0]])
    paths: dict[str, list[list[int]]] = {}
    for row in shown:
        if _times(known[row]).tolist() != times.tolist():
            continue
        played = _paths(known[row], frame)
        room -= len(json.dumps(played, separators=(",", ":")))
        if room < 0:
            break
        paths[str(number_of[row])] = played
    if not paths:
        return None
    return {"times": numbers(map(float, times), 4), "frame": frame.corners, "levels": LEVELS, "paths": paths}


def _with_noise(frame: Frame, snapshot: FlowSnapshot) -> Frame:
    """Return a frame that holds the middle 99% of the noise, too."""
    start = snapshot.finite[0].astype(np.float64)
    low, high = np.percentile(start, 0.5, axis=0), np.percentile(start, 99.5, axis=0)
    return Frame(np.minimum(frame.low, low), np.maximum(frame.high, high))


def _steps(snapshot: FlowSnapshot) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the moments that are played, the first and the last among them."""
    n = len(snapshot.times)
    return np.unique(np.linspace(0, n - 1, min(n, TIMES)).round().astype(int))


def _times(snapshot: FlowSnapshot) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    times: np.ndarray[Any, np.dtype[np.floating[Any]]] = np.asarray(snapshot.times)[_steps(snapshot)]
    return times


def _paths(snapshot: FlowSnapshot, frame: Frame) -> list[list[int]]:
    """Return x, y of each particle at each moment; those outside the frame stand at its edge."""
    chosen = snapshot.finite[_steps(snapshot), :PARTICLES]
    return [[int(level) for level in np.clip(levels_of(at, frame), 0, LEVELS).ravel()] for at in chosen]
