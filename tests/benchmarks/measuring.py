"""What every speed benchmark shares: rows, targets, repeats that alternate, and a command line of its own.

A benchmark is a module here with a docstring that says what is compared and why it is fair, and a function
`measure(options) -> list[Row]`. `main(measure, __doc__)` makes it a command; run.py runs it beside the others:

    from benchmarks.measuring import Options, Row, alternate, at_least, faster, main

    def measure(options: Options) -> list[Row]:
        pairs = alternate(ours, plain_loop, repeats=options.repeats(7))
        return [faster("a fleet of 32", "one fleet", "32 plain loops", pairs, at_least(10))]

    if __name__ == "__main__":
        main(measure, __doc__)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fmbench.runtime.device import choose_device
from fmbench.runtime.memory import keep_freed_memory

FASTER = "times faster"
TIMES = "times the peer's time"


@dataclass(frozen=True)
class Options:
    """What is asked of a benchmark. `quick` cuts sizes and repeats: it tries the benchmark and shows no figure."""

    quick: bool = False
    device: str = "cpu"

    def repeats(self, usual: int) -> int:
        """Return the number of repeats: the usual one, or 3 at most where it must be quick."""
        return min(usual, 3) if self.quick else usual

    def at_most(self, usual: int, quick: int) -> int:
        """Return a size: the usual one, or the one of a quick try."""
        return quick if self.quick else usual


@dataclass(frozen=True)
class Target:
    """A bound that a row's middle should keep; `lower` where it is the least, else it is the most."""

    value: float
    lower: bool

    def met(self, value: float) -> bool:
        """Tell whether a value keeps the bound."""
        return value >= self.value if self.lower else value <= self.value

    def missed_by(self, value: float) -> float:
        """Return by which fraction of the bound a value is on the wrong side of it; 0 where it is met."""
        return 0.0 if self.met(value) else abs(value - self.value) / abs(self.value)

    def __str__(self) -> str:
        return f"at {'least' if self.lower else 'most'} {self.value:.4g}"


def at_least(value: float) -> Target:
    """Return the target that a value is reached."""
    return Target(value, True)


def at_most(value: float) -> Target:
    """Return the target that a value is not passed."""
    return Target(value, False)


@dataclass(frozen=True)
class Pair:
    """Seconds of ours and of the peer's, measured one after the other."""

    ours: float
    peer: float


@dataclass(frozen=True)
class Row:
    """One comparison. Nothing in it but words and the target is known before it was measured.

    `ratios` holds one value a repeat, in `unit`: ours against its neighbour in time, or a quantity that has no peer
    (seconds, a share). `ours_times` and `peer_times` are what they come from, in `times_unit`. `middle` is the median,
    or the mean where `mean` says so, for what was extrapolated from a sample of unlike parts. `error` says why there
    is no value.
    """

    name: str
    ours: str
    peer: str
    ratios: tuple[float, ...] = ()
    unit: str = FASTER
    target: Target | None = None
    ours_times: tuple[float, ...] = ()
    peer_times: tuple[float, ...] = ()
    times_unit: str = "s"
    mean: bool = False
    note: str = ""
    error: str = ""

    @property
    def n(self) -> int:
        """The number of repeats."""
        return len(self.ratios)

    @property
    def middle(self) -> float:
        """The median of the ratios, or their mean."""
        return statistics.mean(self.ratios) if self.mean else statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio."""
        return min(self.ratios), max(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the ratios; of fewer than 3, the smallest and the largest."""
        if self.n < 3:
            return self.spread
        first, _, third = statistics.quantiles(self.ratios, method="inclusive")
        return first, third

    @property
    def verdict(self) -> str:
        """One of "failed", "met", "missed", "level" and, without a target, "-".

        "level" is a target that the middle misses while a quarter of the repeats, or more, keep it: noise decides.
        Repeats of a mean are unlike one another, so that their spread does not say this.
        """
        if self.error:
            return "failed"
        if self.target is None:
            return "-"
        if self.target.met(self.middle):
            return "met"
        return "level" if not self.mean and any(map(self.target.met, self.quartiles)) else "missed"


def row_of(values: dict[str, Any]) -> Row:
    """Return the row that `asdict` took apart and JSON carried."""
    target = values.pop("target")
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Row(target=Target(**target) if target else None, **fields)


def faster(name: str, ours: str, peer: str, pairs: Sequence[Pair], target: Target | None = None, **more: Any) -> Row:
    """Return the row of how many times faster ours is; `more` goes to Row. `scale` multiplies the times shown."""
    return _compared(name, ours, peer, pairs, [p.peer / p.ours for p in pairs], FASTER, target, **more)


def overhead(name: str, ours: str, peer: str, pairs: Sequence[Pair], target: Target | None = None, **more: Any) -> Row:
    """Return the row of how many times the peer's time ours takes; `more` goes to Row."""
    return _compared(name, ours, peer, pairs, [p.ours / p.peer for p in pairs], TIMES, target, **more)


def _compared(
    name: str,
    ours: str,
    peer: str,
    pairs: Sequence[Pair],
    ratios: Sequence[float],
    unit: str,
    target: Target | None,
    scale: float = 1.0,
    **more: Any,
) -> Row:
    times = {"ours_times": tuple(scale * p.ours for p in pairs), "peer_times": tuple(scale * p.peer for p in pairs)}
    return Row(name, ours, peer, tuple(ratios), unit, target, **times, **more)


def alternate(
    ours: Callable[[], float | None], peer: Callable[[], float | None], repeats: int, warm_up: int = 1
) -> list[Pair]:
    """Return the seconds of both, repeat by repeat; warm-up repeats come first and do not count.

    Who begins changes from repeat to repeat, so that a drift of the machine favours neither. A function may return
    its own seconds, where not all that it does counts; it synchronises its device itself.
    """
    pairs = []
    for repeat in range(-warm_up, repeats):
        order = (ours, peer) if repeat % 2 else (peer, ours)
        taken = {function: seconds(function) for function in order}
        if repeat >= 0:
            pairs.append(Pair(taken[ours], taken[peer]))
    return pairs


def seconds(function: Callable[[], float | None]) -> float:
    """Return what a function says that it took, or else the seconds of its call."""
    started = time.perf_counter()
    said = function()
    return time.perf_counter() - started if said is None else said


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within operations, for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attempt(name: str, make: Callable[[], Row | list[Row]]) -> list[Row]:
    """Return what a part of a benchmark measured, or a row that says why it could not: the other parts go on."""
    try:
        made = make()
    except Exception as error:  # whatever a peer's library raises, or its absence
        return [Row(name, "", "", error=reason(error))]
    return made if isinstance(made, list) else [made]


def reason(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        stderr = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        return f"exit code {error.returncode}: {stderr.strip().splitlines()[-1][:300]}"
    first = str(error).strip().partition("\n")[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `Options` holds to a command line."""
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats: a try, not a figure")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto")


def main(
    measure: Callable[[Options], list[Row]], description: str | None, *, argv: Sequence[str] | None = None
) -> None:
    """Measure one benchmark from the command line and print its rows; exits with 1 where one failed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--rows", type=Path, help="also write the rows to this file, as JSON")
    given = parser.parse_args(argv)
    keep_freed_memory()  # as a worker of fmbench does; what is compared in this process has it, too
    rows = measure(Options(given.quick, choose_device(given.device)))
    if given.rows:
        given.rows.write_text(json.dumps([asdict(row) for row in rows]))
    for row in rows:
        print(in_words(row))
    sys.exit(1 if any(row.error for row in rows) else 0)


def in_words(row: Row) -> str:
    """Return a row as a line for a person."""
    if row.error:
        return f"{row.name}: failed: {row.error}"
    low, high = row.spread
    found = f"{row.name}: {row.middle:.4g} ({low:.4g} to {high:.4g}, n = {row.n}) {row.unit}"
    times = "".join(
        f"; {who} {statistics.median(values):.4g} {row.times_unit}"
        for who, values in (("ours", row.ours_times), ("peer", row.peer_times))
        if values
    )
    wanted = f"; target {row.target}: {row.verdict}" if row.target else ""
    return found + times + wanted + (f"\n    {row.note}" if row.note else "")
