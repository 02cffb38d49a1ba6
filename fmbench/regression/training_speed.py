"""How fast trainings go: the time of a step in units of a calibration's, tonight and then.

Cells of one network and dataset train as fleets, whose members share times equally: what a path or a coupling adds
shows in the whole fleet. So there is one comparison for each network on each dataset, of the middle over its fleets.
Its noise is what the fleets' ratios scatter by, or what their own repeats do where that is more. It is never taken to
be less for several fleets: what disturbs one disturbs the others, which train beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fmbench.regression.hypothesis_tests import Test, varying_axes
from fmbench.regression.paired_values import PairedValues
from fmbench.regression.wall_time import IQR_OF_NORMAL, LEAST_DF, all_times, own_noise, timed
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, Snapshot, grouped, said

SHARING = tuple(AXES["training"].index(axis) for axis in ("dataset", "network"))
LEAST_NOISE, OF_MEDIAN = 0.05, 2.0
"""The least noise, and by how much a median over a training is better known than each of its times."""


def pace_tests(before: Snapshot, after: Snapshot, facts: MetricFacts, slower: float) -> Iterator[Test]:
    """Yield the test of each network on each dataset. `slower` is the threshold of the ratio."""
    series, spreads = all_times(before, after, facts)
    varying = [i for i in SHARING if i in varying_axes(series)] or [SHARING[0]]
    sets = grouped((tuple(each.group[i] for i in SHARING), each) for each in series)
    for labels, members in sets.items():
        named = dict(zip((AXES["training"][i] for i in SHARING), labels, strict=True))
        what = said({AXES["training"][i]: members[0].group[i] for i in varying})
        usable = [each for each in members if not each.reason]
        if not usable:
            # another size of the fleets is no fault of the night: what a probe found on a busy machine
            yield replace(timed(named, what, members[:1], slower, reason=members[0].reason), level="component")
            continue
        noises = [own_noise(each, spreads.get(each.group)) / OF_MEDIAN for each in usable]
        middle, scatter = _middle(usable)
        noise = max(scatter, float(np.median(noises)), LEAST_NOISE)
        yield timed(named, what, usable[:1], slower, middle, noise, LEAST_DF)


def _middle(series: Sequence[PairedValues]) -> tuple[float, float]:
    """Return the median of the fleets' log ratios, and how far these scatter; a fleet's members have one ratio."""
    ratios = {(each.before[seed], each.after[seed]) for each in series for seed in each.seeds}
    logs = np.array([math.log(after) - math.log(before) for before, after in ratios])
    quartiles = np.quantile(logs, [0.25, 0.75])
    return float(np.median(logs)), float(quartiles[1] - quartiles[0]) / IQR_OF_NORMAL
