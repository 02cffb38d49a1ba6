"""Whose code is not the baseline's, and how far the scores that it has a part in have moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from fmbench.cells.component_spec import axis_of
from fmbench.regression.hypothesis_tests import Test
from fmbench.regression.outcome import CORE, CodeChange, Comparison
from fmbench.results.snapshot import CellGroup, Snapshot

METRIC = "metric"


def changed_code(
    baseline: Snapshot, tonight: Snapshot, tests: Sequence[Test], found: Sequence[Comparison]
) -> Iterator[CodeChange]:
    """Yield what has other code than in the baseline: components and metrics by label, the core's code by its modules.

    `found` are the comparisons that were made of the tests.
    """
    for kind, labels in tonight.code.items():
        then = baseline.code.get(kind, {})
        changed = [label for label, code in labels.items() if label in then and then[label] != code]
        if kind in CORE and changed:
            yield CodeChange(kind, tuple(changed), tuple(_moves(tests, found, kind, "")))
        elif kind not in CORE:
            yield from (CodeChange(kind, (label,), tuple(_moves(tests, found, kind, label))) for label in changed)


def _moves(tests: Sequence[Test], found: Sequence[Comparison], kind: str, label: str) -> Iterator[Comparison]:
    """Yield, of each metric, the comparison over exactly the cells in which some code has a part."""
    parts: dict[str, set[CellGroup]] = {}
    for test in tests:
        if test.level == "cell" and _has_part(test, kind, label):
            parts.setdefault(test.metric.name, set()).update(test.parts)
    for name, groups in parts.items():
        same = (c for test, c in zip(tests, found, strict=True) if test.metric.name == name and test.parts == groups)
        yield from islice(same, 1)


def _has_part(test: Test, kind: str, label: str) -> bool:
    if test.metric.is_cost or test.metric.scope == "sampler":
        return False
    if kind in CORE:
        return test.metric.scope in CORE[kind]
    if kind == METRIC:
        return test.metric.label == label
    return test.axes.get(axis_of(kind)) == label
