"""What a check says first: what got worse or better, whose code has changed, and by how much its scores moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fmbench.regression.junit import percent, sentence
from fmbench.regression.outcome import CodeChange, Comparison, Outcome

Style = Literal["bold red", "bold yellow"]
NAMED, LISTED, MODULES = 3, 8, 4
"""How many changes the first line names, how many have a line of their own, and of how many modules the names stand."""


def first_lines(outcome: Outcome) -> Iterator[tuple[str, Style]]:
    """Yield the lines of what got worse, or else of what got better, then one for each change of code.

    The first of all says where the change lies: which cells came out differently, and whose code has changed.
    """
    moved = outcome.culprits or outcome.improved
    word = "WORSE" if outcome.culprits else "BETTER"
    style: Style = "bold red" if outcome.culprits or outcome.strict else "bold yellow"
    where = _where(outcome, scores=bool(moved) and not moved[0].is_time)
    for number, comparison in enumerate(moved):
        yield f"{word}: {sentence(comparison)}{'' if number or not where else f' ({where})'}", style
    if outcome.culprits and outcome.shared:
        yield f"What these have in common: {outcome.shared}", style
    changes = outcome.changes or ()
    for change in changes[:LISTED]:
        what = "the code" if change.kind != "model" else "a file or the code"
        whose = named(change) if change.is_core else f"{what} of {named(change)}"
        yield f"CHANGED: {whose}: {moves(change)}", "bold yellow"
    if len(changes) > LISTED:
        yield f"CHANGED: the code of {len(changes) - LISTED} more (--json lists them all)", "bold yellow"


def _where(outcome: Outcome, *, scores: bool) -> str:
    """Return where the change lies, as far as it is known: in the scores, which tell nothing of times, and in code."""
    changes = outcome.changes or ()
    more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
    code = f"code has changed: {', '.join(map(named, changes[:NAMED]))}{more}" if changes else ""
    return "; ".join(part for part in (outcome.trace if scores else "", code) if part)


def named(change: CodeChange) -> str:
    """Return whose code has changed: `solver heun`, or `the training code (fmbench.training.loop)`."""
    if not change.is_core:
        return f"{change.kind} {change.labels[0]}"
    more = f" and {len(change.labels) - MODULES} more" if len(change.labels) > MODULES else ""
    return f"the {change.kind} ({', '.join(change.labels[:MODULES])}{more})"


def moves(change: CodeChange) -> str:
    """Return by how much the scores moved that a change has a part in."""
    if not change.moves:
        return "no score that is judged follows from it"
    moved = [move for move in change.moves if move.reason != "bit for bit"]
    if not moved:
        return "its scores are the same to the last bit"
    return ", ".join(_move(move) for move in sorted(moved, key=lambda move: -abs(move.effect or 0.0)))


def _move(move: Comparison) -> str:
    if move.effect is None:
        return f"{move.metric} cannot be compared"
    how = "worse" if move.effect > 0 else "better"
    beyond = "" if move.verdict in ("worse", "better") else " (within the noise)"
    beyond = " (too little to matter)" if move.verdict == "same" else beyond
    return f"{move.metric} {percent(abs(move.effect))}% {how}{beyond}"
