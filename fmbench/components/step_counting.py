"""How many steps spend a budget of network calls, where the calls of so many steps must be counted."""

from __future__ import annotations

from collections.abc import Callable

MOST_COUNTED = 10_000
"""Larger budgets are not counted out."""


class CannotCount(Exception):
    """The network calls of a solver cannot be counted."""


def most_steps(calls: Callable[[int], int], budget: int) -> int:
    """Return the most steps that make a budget of calls or fewer; 0 where one step makes more. Raises CannotCount.

    `calls` gives the network calls of a number of steps; more steps are taken never to make fewer.
    """
    if budget > MOST_COUNTED:
        raise CannotCount(f"network calls under it are counted up to an NFE of {MOST_COUNTED:,}")
    below, above = 0, 1
    while calls(above) <= budget:
        below, above = above, 2 * above
        if above > 2 * MOST_COUNTED:
            raise CannotCount(f"it calls networks {budget} times or less in {below:,} steps")
    while above - below > 1:
        middle = (below + above) // 2
        if calls(middle) <= budget:
            below = middle
        else:
            above = middle
    return below
