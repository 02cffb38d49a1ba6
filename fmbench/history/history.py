"""A history as it is read: nights, the table of values, and what its digests stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fmbench.errors import UserError, did_you_mean
from fmbench.history.night import NightFacts
from fmbench.regression.paired_values import differences
from fmbench.results.records import MetricFacts

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3


@dataclass(frozen=True)
class History:
    """All nights of a suite, by time.

    `frame` has a row a value: `night` (the position in `nights`), section, axes, seed, metric, value, status, identity.
    `components` are the parameters of each component by kind and label, `texts` what digests stand for.
    """

    suite: str
    nights: Sequence[NightFacts]
    frame: pd.DataFrame
    metrics: Mapping[str, MetricFacts]
    components: Mapping[str, Mapping[str, Mapping[str, Any]]]
    texts: Mapping[str, Mapping[str, Any]]

    def of(self, metric: str) -> History:
        """Return the history of one metric. Raises UserError where there is none."""
        if metric not in self.metrics:
            known = ", ".join(self.metrics)
            near = did_you_mean(metric, self.metrics)
            raise UserError(f"the history of {self.suite} has no metric {metric!r}.{near} It has {known}.")
        return replace(self, frame=self.frame[self.frame["metric"] == metric])

    def others(self, before: int, after: int) -> list[str]:
        """Say what besides the commit differs between two nights: hardware, versions, code under the same commit."""
        then, now = self.nights[before], self.nights[after]
        said = []
        if then.hardware != now.hardware:
            said.append(f"hardware {then.hardware} -> {now.hardware}")
        texts = (self.texts.get(night.versions, {}) for night in (then, now))
        said += [f"{name} {a} -> {b}" for name, a, b in differences(*texts)]
        if then.code != now.code and then.code_state == now.code_state:
            said.append("the code of components or of fmbench")
        return said

    def changed(self, before: str, after: str) -> str:
        """Say how two identities differ, by their digests."""
        found = []
        for name, a, b in differences(self.texts.get(before, {}), self.texts.get(after, {})):
            if isinstance(a, dict) and isinstance(b, dict):
                found += [f"{name.removesuffix(' settings')}.{each} {x} -> {y}" for each, x, y in differences(a, b)]
            else:
                found.append(f"{name} {_short(a)} -> {_short(b)}")
        return "; ".join(found[:SHOWN]) + ("; ..." if len(found) > SHOWN else "")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:21] + "..."
