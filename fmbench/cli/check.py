"""The verb that compares: check."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.exit_codes import CELLS_FAILED
from fmbench.cli.history import add_night, history_of
from fmbench.cli.output import SHOWN, bars_of, complain, note, say, say_more, show_json, show_table
from fmbench.cli.run import FailFast, Jobs, NoTracking, Timeout, tell_stopped
from fmbench.errors import StoreError, UserError
from fmbench.io.printable_text import count, some

if TYPE_CHECKING:
    from fmbench.regression import Comparison, Happened, Outcome, Snapshot
    from fmbench.results.records import Records
    from fmbench.runner.session import Session

NOT_WRITTEN = 2
TOO_MUCH = 3.0
"""An effect above which it says nothing how large it is."""

Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline", metavar="FILE", callback=options.nameable, help="[default: <reports>/baselines/<suite>.json]"
    ),
]
NoRun = Annotated[bool, typer.Option("--no-run", help="Compute nothing: check what the store holds.")]
Accept = Annotated[bool, typer.Option("--accept", help="Write today's records as the baseline, and compare nothing.")]
Effect = Annotated[float, typer.Option("--effect", help="The least relative difference of a metric that matters.")]
Slower = Annotated[
    float, typer.Option("--slower", help="The ratio from which a sampler is slower, both times relative.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="A score that got better is a regression too: changed is not same.")
]
NoHistory = Annotated[bool, typer.Option("--no-history", help="Add no night to <reports>/history.")]
JUnit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", callback=options.nameable, help="Write JUnit XML too, for CI.")
]


def check(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    baseline: Baseline = None,
    accept: Accept = False,
    no_run: NoRun = False,
    effect: Effect = 0.05,
    slower: Slower = 1.3,
    strict: Strict = False,
    junit: JUnit = None,
    jobs: Jobs = "auto",
    device: options.Device = "auto",
    executor: options.Executor = "local",
    address: options.Address = None,
    per_gpu: options.PerGpu = 1,
    slurm: options.Slurm = None,
    timeout: Timeout = None,
    fail_fast: FailFast = False,
    home: options.Home = None,
    reports: options.Reports = Path("reports"),
    tracking_uri: options.TrackingUri = None,
    no_tracking: NoTracking = False,
    no_history: NoHistory = False,
    as_json: options.Json = False,
) -> None:
    """Run a suite and compare it with its baseline. Exit codes: 0 nothing worse, 1 something worse, failed or vanished
    (with --strict: or better), 2 nothing, or no cell of a metric, could be compared.
    """
    from fmbench.regression import check as compare
    from fmbench.regression import read_baseline, snapshot

    _check_numbers(effect, slower)
    if accept and (filters or junit is not None):
        raise UserError("--accept takes the whole suite and compares nothing: leave --filter and --junit away.")
    _check_files({"--junit": (junit, True), "--baseline": (baseline, accept)})
    computing: dict[str, Any] = {"jobs": jobs, "device": device, "timeout": timeout, "fail_fast": fail_fast}
    computing |= {"executor": executor, "address": address, "per_gpu": per_gpu, "slurm": tuple(slurm or ())}
    places = {"home": home, "reports": reports, "tracking": not no_tracking, "tracking_uri": tracking_uri}
    session = options.open_session(suite, overrides, filters, plugins, **computing, **places)
    path = reports / "baselines" / f"{session.suite.name}.json" if baseline is None else baseline
    # read before the run, so that what is wrong with it is known at once
    before = None if accept else read_baseline(path, session.suite.name)
    past = history_of(session, no_history)
    records = _records(session, no_run)
    if before is None:
        code = _accept(records, path, as_json)
    else:

        def judge(found: Records) -> Outcome:
            night = snapshot(found)
            return compare(before, night, effect=effect, slower=slower, partial=bool(filters), strict=strict)

        records, outcome = (records, judge(records)) if no_run else _confirmed(session, records, judge)
        code = _tell_all(outcome, path, str(suite), as_json)
        if junit is not None:
            code = _try(lambda: _write_junit(outcome, junit), code)
    # a verdict is told before anything is written: a full disk must not take it away
    code = _try(lambda: add_night(records, past), code)
    if code:
        raise typer.Exit(code)


def _check_numbers(effect: float, slower: float) -> None:
    if not 0 < effect < 1:
        raise UserError(f"--effect must be between 0 and 1, 0.05 for 5%; found {effect:g}")
    if not 1 < slower < math.inf:
        raise UserError(f"--slower is a ratio above 1, such as 1.3; found {slower:g}")


def _check_files(files: Mapping[str, tuple[Path | None, bool]]) -> None:
    """Raise UserError where an option names no file, or one to be written that cannot be: before hours are spent."""
    from fmbench.store.atomic_files import check_writable

    for option, (path, written) in files.items():
        if path is None:
            continue
        if not path.name or path.is_dir():
            raise UserError(f"{option} names a file, and {str(path)!r} is a folder; give it the name of a file.")
        try:
            if written:
                check_writable(path.parent)
        except StoreError as error:
            raise UserError(f"{option} {path}: its folder cannot be written: {_why(error)}; choose another.") from error


def _why(error: StoreError) -> str:
    cause = error.__cause__
    return str(cause.strerror if isinstance(cause, OSError) else error)


def _try(write: Callable[[], None], code: int) -> int:
    """Write, complain where that fails, and return the exit code: that of the verdict, or 2 where that was 0."""
    try:
        write()
    except UserError as error:
        complain(str(error))
        return code or NOT_WRITTEN
    return code


def _tell_all(outcome: Outcome, path: Path, suite: str, as_json: bool) -> int:
    """Print the outcome, and return its exit code."""
    if as_json:
        show_json({"baseline_file": str(path), **outcome.as_data()})
    else:
        _tell(outcome, path)
    if outcome.exit_code == 2:
        complain(f"{outcome.fault}. `fmbench check {suite} --accept` makes a new baseline.")
    return outcome.exit_code


def _records(session: Session, no_run: bool) -> Records:
    """Return today's records: computed where they are lacking, or as the store holds them."""
    if no_run:
        results_index = session.results_index()
        for text in some(results_index.damaged, SHOWN):
            note(f"damaged, so it counts as not computed: {text}")
        if not any(state.result or state.failure for state in results_index.trainings.values()):
            raise UserError(f"--no-run checks what the store holds, and it holds nothing of {session.path}.")
        return session.records(results_index)
    from fmbench.runner.run import run_session

    with bars_of("what finished is kept") as bars:
        result = run_session(session, bars)
    if result.stopped:
        tell_stopped(session, result)
        raise typer.Exit(CELLS_FAILED)
    return result.records


def _confirmed(session: Session, records: Records, judge: Callable[[Records], Outcome]) -> tuple[Records, Outcome]:
    """Return the outcome, after what is an alarm about time was measured again."""
    from fmbench.runner.remeasure import confirm

    with bars_of(during=" while times were measured again") as bars:
        return confirm(session, records, judge, bars)


def _accept(records: Records, path: Path, as_json: bool) -> int:
    """Write the baseline, say what is wrong with it, and return the exit code."""
    from fmbench.regression import snapshot, write_baseline

    night = snapshot(records)
    write_baseline(night, path)
    failed = len(records.failed)
    counts = {"trainings": len(records.trainings), "evaluations": len(records.evaluations)}
    lost = _not_finite(night)
    if as_json:
        data = {"baseline_file": str(path), "suite": records.suite, **counts, "failed": failed, "not_finite": lost}
        show_json(data)
    else:
        said = " and ".join(f"{number} {name}" for name, number in counts.items())
        say(f"Baseline: {path}, {said}. Commit it.", "bold")
    for name, number in lost.items():
        cells = count(number, "cell")
        note(f"warning: {name} of {cells} is not finite in this baseline, and no check will compare it there.")
    if failed:
        complain(
            f"{failed} cells are not ok; the baseline has them as they are, and a check will call them still failing."
        )
    return CELLS_FAILED if failed else 0


def _not_finite(night: Snapshot) -> dict[str, int]:
    """Return in how many finished cells a metric is not finite."""
    rows = [row for row in (*night.trainings.values(), *night.evaluations.values()) if row.status == "ok"]
    return dict(Counter(name for row in rows for name, value in row.values.items() if not math.isfinite(value)))


def _write_junit(outcome: Outcome, path: Path) -> None:
    from fmbench.regression import junit
    from fmbench.store.atomic_files import write_atomically

    try:
        write_atomically(path, junit(outcome))
    except StoreError as error:
        raise UserError(f"--junit {path} cannot be written: {_why(error)}; choose another file.") from error


def _tell(outcome: Outcome, path: Path) -> None:
    """Print the outcome for a person: what got worse first, then the rest in numbers."""
    from fmbench.regression import first_lines

    for text, style in first_lines(outcome):
        say(text, style)
    _events([event for event in outcome.events if event.alarming], "red")
    _headline(outcome, path)
    _comparisons("Worse", [c for c in outcome.worse if c not in outcome.culprits])
    _comparisons("Better", [c for c in outcome.comparisons if c.verdict == "better"])
    for text in outcome.notes:
        say(f"note: {text}", "yellow")
    _events([event for event in outcome.events if not event.alarming], "yellow")
    _untold(outcome)
    counted = ", ".join(f"{number} {what}" for what, number in outcome.counts.items())
    made = outcome.baseline
    commit = made.get("environment", {}).get("git_commit") or "no commit"
    say(f"Single cells and events: {counted}.")
    if seen := _detectable(outcome):
        say(seen)
    say(f"Baseline: {path}, of {made.get('date') or 'no date'}, {commit}; its command: {made.get('command')}")


def _headline(outcome: Outcome, path: Path) -> None:
    """Print what the exit code means; what was not compared is never left out of it."""
    left_out = f"Not compared: {', '.join(outcome.not_compared)}." if outcome.not_compared else ""
    if outcome.exit_code == 0:
        but = ", but not all is as it was" if outcome.improved else ""
        say(f"Nothing got worse than {path}{but}. {left_out}".rstrip(), "bold")
    elif outcome.exit_code == 2:
        say(f"No verdict against {path}. {left_out}".rstrip(), "bold red")
    elif left_out:
        say(left_out, "bold yellow")


def _events(events: Sequence[Happened], style: str) -> None:
    for event in events[:SHOWN]:
        say(f"{event.what}: {event.name}: {event.reason}", style)
    say_more(len(events) - SHOWN, " like these", style)


def _comparisons(title: str, found: Sequence[Comparison]) -> None:
    if not found:
        return
    rows = [
        (c.metric, c.what, _percent(c.effect), f"[{_percent(c.low)}, {_percent(c.high)}]", c.seeds, c.explained_by)
        for c in sorted(found, key=lambda c: -abs(c.effect or 0.0))
    ]
    columns = ("metric", "of", "worse by", "95% interval", "seeds", "shows what is wrong with")
    show_table(columns, rows[:SHOWN], title=title)
    say_more(len(rows) - SHOWN)


def _untold(outcome: Outcome) -> None:
    """Print why cells cannot be told, each reason once."""
    untold = [c for c in outcome.comparisons if c.level == "cell" and c.verdict == "cannot tell"]
    for (metric, reason), number in Counter((c.metric, c.reason) for c in untold).items():
        say(f"cannot tell: {metric} of {count(number, 'cell')}: {reason}", "yellow")


def _detectable(outcome: Outcome) -> str:
    """Say how small a change the check could have seen, by metric: the middle over components and over cells."""
    from statistics import median

    said = []
    for metric in dict.fromkeys(c.metric for c in outcome.comparisons):
        parts = []
        for level in ("component", "cell"):
            alike = (c for c in outcome.comparisons if (c.metric, c.level) == (metric, level))
            if sizes := [c.detectable for c in alike if c.detectable]:
                middle = median(sizes)
                parts.append(f"{100 * middle:.0f}% of a {level}" if middle < TOO_MUCH else f"no change of a {level}")
        if parts:
            said.append(f"{metric} {' and '.join(parts)}")
    return f"Seen in 9 nights of 10: worse by {'; '.join(said)}." if said else ""


def _percent(value: float | None) -> str:
    from fmbench.regression.junit import percent

    return "–" if value is None else f"{percent(value, '+')}%"
