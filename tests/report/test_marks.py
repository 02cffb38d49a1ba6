"""What is the best of a column, and what ties with it."""

from __future__ import annotations

import pytest

from fmbench.report.analysis.marks import Marks, marks
from fmbench.report.result_table import Values


def test_what_the_seeds_tell_from_the_best_has_no_mark() -> None:
    column = {
        "best": Values({0: 1.0, 1: 1.2, 2: 1.1}),
        "the same": Values({0: 1.0, 1: 1.2, 2: 1.1}),
        "near": Values({0: 1.5, 1: 1.1, 2: 1.3}),
        "worse": Values({0: 2.0, 1: 2.2, 2: 2.1}),
        "lost a seed": Values({0: 0.1, 1: 0.1}, {"oom": 1}),
        "failed": Values({}, {"error": 3}),
    }
    assert marks(column, "lower") == Marks(frozenset({"best", "the same"}), frozenset({"near"}), 2)
    assert marks(column, "higher") == Marks(frozenset({"worse"}), frozenset(), 3)


def test_who_shares_fewer_than_two_seeds_with_the_best_cannot_be_told_from_it() -> None:
    column = {"best": Values({0: 1.0, 1: 1.1}), "others": Values({2: 9.0, 3: 9.1}), "one": Values({1: 9.0, 2: 9.1})}
    assert marks(column, "lower").near == {"others", "one"}


@pytest.mark.parametrize("better", ["lower", "higher", ""])
def test_nothing_is_marked_where_all_means_are_equal(better: str) -> None:
    assert marks({"a": Values({0: 1.0, 1: 3.0}), "b": Values({0: 2.0, 1: 2.0})}, better) == Marks()
    assert marks({"alone": Values({0: 1.0})}, better) == Marks()
