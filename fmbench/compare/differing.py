"""What else differs between two sides: settings, parameters, code, machines, libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.results.snapshot import SECTIONS, Snapshot

MACHINE = {"hardware": "hardware", "torch": "torch", "git_commit": "commit", "platform": "platform"}
LONGEST = 60


def differing(before: Snapshot, after: Snapshot) -> list[str]:
    """Say what differs between A and B besides their values, each in a line."""
    return list(_differing(before, after))


def _differing(before: Snapshot, after: Snapshot) -> Iterator[str]:
    if before.suite != after.suite:
        yield f"suite: {before.suite} in A, {after.suite} in B"
    for section in SECTIONS:
        pair = (snapshot.settings.get(section, {}) for snapshot in (before, after))
        yield from _of(f"{section}.", *pair)
    for kind in dict.fromkeys([*before.components, *after.components]):
        then, now = before.components.get(kind, {}), after.components.get(kind, {})
        for label in then.keys() & now.keys():
            yield from _of(f"{kind} {label}: ", then[label], now[label])
    if before.code and after.code:
        yield from _code(before.code, after.code)
    environments = [snapshot.made.get("environment", {}) for snapshot in (before, after)]
    for name, said in MACHINE.items():
        then, now = (each.get(name) for each in environments)
        if then and now and then != now:
            yield f"{said}: {_short(then)} in A, {_short(now)} in B"


def _of(lead: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        then, now = (_short(each[name]) if name in each else "(none)" for each in (before, after))
        if canonical(before.get(name)) != canonical(after.get(name)):
            yield f"{lead}{name}: {then} in A, {now} in B"


def _code(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Say which components and modules both sides have, with other code."""
    for kind in before.keys() & after.keys():
        changed = sorted(n for n in before[kind].keys() & after[kind].keys() if before[kind][n] != after[kind][n])
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            yield f"code of {kind}: {', '.join(changed[:3])}{more}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
