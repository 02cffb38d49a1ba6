"""The verb that looks back: history; and how a night is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.output import SHOWN, note, say, say_more, show_json, show_table
from fmbench.errors import StoreError, UserError
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.history import History, Step, StepsOfLine
    from fmbench.results.records import Records
    from fmbench.runner.session import Session

SHOWN_LINES, SHOWN_NAMES = 30, 4

Metric = Annotated[str | None, typer.Argument(metavar="[METRIC]", help="Without it: what the history holds.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", metavar="AXIS=VALUE", help="Look at these cells: path=linear, nfe=1,4")
]
Over = Annotated[
    list[str] | None, typer.Option("--over", metavar="AXIS", help="A line for each value of this axis (or of several).")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE|COMMIT", help="Only nights from 2026-01-31 or a commit on."),
]
LeastStep = Annotated[float, typer.Option("--effect", help="The least relative step that matters.")]


def history(
    suite: options.Suite,
    metric: Metric = None,
    where: Where = None,
    over: Over = None,
    since: Since = None,
    effect: LeastStep = 0.01,
    reports: options.Reports = Path("reports"),
    as_json: options.Json = False,
) -> None:
    """Draw a metric over the nights of `fmbench check`, and find the steps in it. Reads <reports>/history."""
    from fmbench import history as past
    from fmbench.history.selection import check_axes
    from fmbench.suite import load_suite

    over = list(dict.fromkeys(over or ()))
    if not 0 <= effect < 1:
        raise UserError(f"--effect must be at least 0 and below 1, 0.05 for 5%; found {effect:g}")
    check_axes(over)
    name = load_suite(suite).name
    path = past.history_file(reports, name)
    known = past.read(path, name)
    if metric is None:
        _what_there_is(known, path, as_json)
        return
    facts = known.of(metric).metrics[metric]
    chosen = past.select(past.since(known.of(metric), since) if since is not None else known.of(metric), where or ())
    lines = past.make_lines(chosen, facts, over)
    if not lines:
        raise UserError(f"{metric} has no value in {len(chosen.nights)} nights of {path}: all of its cells failed.")
    found = past.find_steps(lines, facts, effect)
    changes = [*(where or ()), *(f"over={axis}" for axis in over), *([f"since={since}"] if since else [])]
    picture = past.draw(chosen, facts, found, path.parent, changes)
    figures = [path.parent / picture.png, path.parent / picture.svg]
    if as_json:
        about = {"suite": chosen.suite, "metric": metric, "file": str(path), "figures": list(map(str, figures))}
        nights = [vars(night) for night in chosen.nights]
        show_json({**about, "nights": nights, "lines": [_line_data(one, chosen) for one in found]})
        return
    _tell(chosen, metric, found)
    say(f"Figure: {figures[0]}", "bold")


def history_of(session: Session, forget: bool) -> Path | None:
    """Return the file that a check adds its night to; None where it adds none.

    A night is that of the whole suite as it is written: with --set or --filter there is none. A file that no night can
    be added to is said at once, and is no error yet: the verdict does not need it.
    """
    from fmbench.history import parquet_file

    changed = session.options.overrides or session.options.filters
    if forget or changed:
        return None
    path = parquet_file.history_file(session.options.reports, session.suite.name)
    try:
        parquet_file.verify(path, session.suite.name)
    except UserError as error:
        note(f"History: no night will be added: {error}")
    return path


def add_night(records: Records, path: Path | None) -> None:
    """Add a night to the history, and say so on standard error; a suite that is not wholly computed is no night.

    Raises UserError where the file is damaged or cannot be written.
    """
    if path is None:
        return
    from fmbench.history import append, make_night
    from fmbench.history.night import unfinished

    if lacking := unfinished(records):
        note(f"History: no night is added, for {lacking} cells are not computed.")
        return
    try:
        number = append(make_night(records), path)
    except (StoreError, OSError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        reason = cause.strerror if isinstance(cause, OSError) else cause
        raise UserError(
            f"the history {path} cannot be written: {reason}; choose another folder with --reports, or leave the "
            "history as it is with --no-history."
        ) from error
    note(f"History: {path}, " + (f"night {number}." if number else "unchanged since its newest night."))


def _what_there_is(known: History, path: Path, as_json: bool) -> None:
    """Print metrics and axes of a history."""
    from fmbench.history.night import AXIS_COLUMNS

    counts = known.frame.groupby("metric")["night"].nunique()
    metrics = [
        {"metric": name, "better": facts.better, "unit": facts.unit, "nights": int(counts.get(name, 0))}
        for name, facts in known.metrics.items()
    ]
    axes = {axis: [label for label in dict.fromkeys(known.frame[axis]) if label != ""] for axis in AXIS_COLUMNS}
    if as_json:
        nights = [vars(night) for night in known.nights]
        show_json({"file": str(path), "suite": known.suite, "nights": nights, "metrics": metrics, "axes": axes})
        return
    say(_span(known), "bold")
    rows = [(m["metric"], m["better"] or "–", m["unit"] or "–", m["nights"]) for m in metrics]
    show_table(("metric", "better", "unit", "nights"), rows)
    show_table(("axis", "values"), [(axis, ", ".join(labels)) for axis, labels in axes.items() if len(labels) > 1])
    say(f"`fmbench history SUITE {metrics[0]['metric']}` draws one. File: {path}")


def _span(known: History) -> str:
    first, last = known.nights[0], known.nights[-1]
    commits = len({night.code_state for night in known.nights})
    machines = len({night.hardware for night in known.nights})
    said = [f"{known.suite}: {count(len(known.nights), 'night')}, {first.time[:10]} to {last.time[:10]}"]
    said += [count(commits, "commit")] + ([f"{machines} machines"] if machines > 1 else [])
    return ", ".join(said) + "."


def _tell(known: History, metric: str, found: Sequence[StepsOfLine]) -> None:
    from fmbench.history import told_first

    say(_span(known), "bold")
    told = told_first(found)
    lines = [one for one in found if one.line.kind == "component"]
    own = list({id(one): one for one, _ in told if one.line.kind == "cell"}.values())
    shown = [*lines, *own] or list(found)
    columns = ("line", "nights", "first", "last", "since the first or the cut", "95% interval", "steps", "noise")
    show_table(columns, map(_row, shown[:SHOWN_LINES]), metric)
    say_more(len(shown) - SHOWN_LINES, " lines")
    _steps(known, told)
    untold = sum(len(one.steps) for one in found) - len(told)
    if untold > 0:
        say(f"{count(untold, 'step')} of other lines and cells {'follows' if untold == 1 else 'follow'} from these.")
    _interruptions(known, shown)


def _interruptions(known: History, shown: Sequence[StepsOfLine]) -> None:
    """Print where lines are cut and which nights were set aside, each night and reason once."""
    cut: dict[tuple[int, str], list[str]] = {}
    aside: dict[int, list[str]] = {}
    for one in shown:
        for place, reason in one.line.breaks.items():
            cut.setdefault((int(one.line.nights[place]), reason), []).append(one.line.name)
        for night in one.outliers:
            aside.setdefault(night, []).append(one.line.name)
    for (night, reason), names in sorted(cut.items()):
        say(f"cut at {_when(known, night)}, not comparable with what was before: {reason}: {_listed(names)}", "yellow")
    for night, names in sorted(aside.items()):
        say(f"set aside {_when(known, night)}, far off for fewer than 3 nights: {_listed(names)}", "yellow")


def _when(known: History, night: int) -> str:
    return f"{known.nights[night].time[:10]} ({known.nights[night].code_state})"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _row(one: StepsOfLine) -> tuple[Any, ...]:
    from fmbench.history.trend_lines import half_widths

    line = one.line
    ends = ["–", "–"] if line.values is None else [f"{line.values[i]:.4g}" for i in (0, -1)]
    half = half_widths(line.seeds[-1:])[0]
    since = _percent(line.fraction(line.level[-1]))
    low, high = (_percent(line.fraction(line.level[-1] + sign * half)) for sign in (-1, 1))
    known_interval = half == half and len(line.nights) > 1
    return (
        line.name, len(line.nights), *ends, since, f"[{low}, {high}]" if known_interval else "–", len(one.steps),
        one.how,
    )  # fmt: skip


def _steps(known: History, told: Sequence[tuple[StepsOfLine, Step]]) -> None:
    if not told:
        say("No steps.")
        return
    rows = []
    for one, step in told[:SHOWN]:
        before, after = known.nights[step.before], known.nights[step.after]
        value = (lambda x: f"{x:.4g}") if one.line.values is not None else _percent
        rows.append((
            after.time[:10], f"{before.code_state} -> {after.code_state}", one.line.name,
            f"{value(step.old)} -> {value(step.new)}", _percent(step.change),
            f"[{_percent(step.low)}, {_percent(step.high)}]", step.verdict,
            f"new, {count(step.nights, 'night')} so far" if step.is_new else count(step.nights, "night"),
            "; ".join(known.others(step.before, step.after)),
        ))  # fmt: skip
    columns = ("since", "commits", "line", "from -> to", "change", "95% interval", "verdict", "lasted", "changed too")
    show_table(columns, rows, title="Steps, newest first")
    say_more(len(told) - SHOWN)


def _line_data(one: StepsOfLine, known: History) -> dict[str, Any]:
    from fmbench.history.trend_lines import half_widths

    line = one.line
    halves = half_widths(line.seeds)
    none = [None] * len(line.nights)
    values = none if line.values is None else line.values.tolist()
    points = [
        {
            "night": int(night), "change": float(line.fraction(level)), "value": value,
            "low": float(line.fraction(level - half)) if half == half else None,
            "high": float(line.fraction(level + half)) if half == half else None,
        }
        for night, level, half, value in zip(line.nights, line.level, halves, values, strict=True)
    ]  # fmt: skip
    steps = [
        {**vars(step), "changed_too": known.others(step.before, step.after),
         "commits": [known.nights[i].code_state for i in (step.before, step.after)]}
        for step in one.steps
    ]  # fmt: skip
    return {
        "line": line.name, "kind": line.kind, "axes": line.axes, "hardware": line.hardware, "noise": one.how,
        "points": points, "steps": steps, "set_aside": list(one.outliers),
        "breaks": [{"night": int(line.nights[at]), "reason": why} for at, why in line.breaks.items()],
    }  # fmt: skip


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}%"
