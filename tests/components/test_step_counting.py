"""The steps that a budget of network calls is spent in, by counting the calls of some numbers of steps."""

from __future__ import annotations

from bisect import bisect_right

import pytest

from fmbench.components.step_counting import MOST_COUNTED, CannotCount, most_steps


@pytest.mark.parametrize("budget", range(1, 30))
def test_they_are_the_most_that_make_no_more_calls(budget: int) -> None:
    def calls(steps: int) -> int:
        return 2 * steps + steps // 3 - (steps > 4) * 2  # 4 and 5 steps make as many calls

    assert most_steps(calls, budget) == bisect_right(range(1, 40), budget, key=calls)
    assert calls(5) == calls(4) == 9
    assert most_steps(calls, 9) == 5


def test_what_makes_no_more_calls_with_more_steps_and_what_is_too_large_is_refused() -> None:
    with pytest.raises(CannotCount, match="it calls networks 3 times or less in "):
        most_steps(lambda _: 2, 3)
    with pytest.raises(CannotCount, match="counted up to an NFE of 10,000"):
        most_steps(lambda steps: steps, MOST_COUNTED + 1)
