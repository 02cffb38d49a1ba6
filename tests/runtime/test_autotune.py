"""Probes: candidates are measured side by side, and only what is clearly faster is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from fmbench.runtime import autotune
from fmbench.runtime.autotune import interleaved, interleaved_calls, is_faster


def machine(monkeypatch: pytest.MonkeyPatch, speeds: Iterator[float]) -> dict[str, Callable[[], float]]:
    """Have each call take its own seconds times what the machine needs just then; return ways of 1 and 1.02 s."""
    monkeypatch.setattr(autotune, "seconds", lambda work, device, threads: work() * next(speeds))
    return {"usual": lambda: 1.0, "other": lambda: 1.02}


def test_ways_take_turns_and_the_order_is_turned_around(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    ways = {name: (lambda name=name: called.append(name)) for name in "ab"}
    monkeypatch.setattr(autotune, "seconds", lambda work, device, threads: work() or 1.0)
    taken = interleaved(ways, "cpu", 1, rounds=3)
    assert called == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(times) for name, times in taken.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize(("step", "rounds"), [(1.0, 5), (0.01, 10), (1e-6, 20)])
def test_quick_steps_are_repeated_until_they_took_long_enough(
    monkeypatch: pytest.MonkeyPatch, step: float, rounds: int
) -> None:
    monkeypatch.setattr(autotune, "seconds", lambda work, device, threads: step)
    taken = interleaved({"only": lambda: None}, "cpu", 1, rounds=5, most=20, long=0.0951)
    assert len(taken["only"]) == rounds


@pytest.mark.parametrize(("call", "rounds"), [(1.0, 5), (1e-3, 25), (1e-5, 101)])
def test_short_calls_are_made_more_often(monkeypatch: pytest.MonkeyPatch, call: float, rounds: int) -> None:
    """Five of a fraction of a millisecond would show what disturbed them; long ones need no more."""
    monkeypatch.setattr(autotune, "seconds", lambda work, device, threads: call * 0.999)
    taken = interleaved_calls({"usual": lambda: None, "other": lambda: None}, "cpu", 1)
    assert abs(len(taken["usual"]) - rounds) <= 1
    assert len(taken["usual"]) == len(taken["other"])


def test_a_machine_that_doubles_its_time_by_turns_does_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """One and the same step takes 380 or 740 ms by turns: what is measured one after the other tells nothing."""
    for slow_from in range(10):
        speeds = chain(repeat(0.38, slow_from), repeat(0.74))
        ways = machine(monkeypatch, speeds)
        taken = interleaved(ways, "cpu", 1, rounds=5)
        assert not is_faster(taken["other"], taken["usual"], 0.9)
        assert not is_faster(taken["usual"], taken["other"], 0.9)


def test_what_is_faster_in_nearly_every_round_is_faster() -> None:
    usual = [1.0, 1.0, 1.9, 1.0, 1.9]
    assert is_faster([0.5, 0.5, 1.0, 0.5, 1.0], usual, 0.9)
    assert is_faster([0.5, 0.5, 1.0, 1.2, 1.0], usual, 0.9), "one round of five may be disturbed"
    assert not is_faster([0.5, 0.5, 2.0, 1.2, 1.0], usual, 0.9), "in doubt, what is usual stays"
    assert not is_faster([0.95, 0.95, 1.8, 0.95, 1.8], usual, 0.9)
