"""Who leads when each has its own best settings, and whether that is who leads at a common one, in a few sentences."""

from __future__ import annotations

from fmbench.report.analysis.own_best import OwnBests
from fmbench.report.analysis.ranking import enumeration
from fmbench.report.text.answer import size

MOST_SETTINGS = 8
"""Common settings that are named; of more, it is counted who leads how often."""


def own_best_said(found: OwnBests) -> str:
    """Say who leads with each at its own best, by how much, whether the winner is another one at a common setting, and
    whose best lies at the end of its range.
    """
    said = [_leader(found)]
    if found.lead is not None:
        said.append(_against_common(found))
    said += _ends_said(found)
    said += [f"{found.words(each.group)} has no best: {each.why}." for each in found.groups if each.best is None]
    said += [
        f"{found.words(each.group)} is not compared: its best ({each.best.setting}) has no {found.facts.name} of every "
        "seed."
        for each in found.groups
        if each.best is not None and not each.best.score.complete
    ]
    return " ".join(filter(None, said))


def _ends_said(found: OwnBests) -> list[str]:
    """Say whose best lies at the end of what was tried."""
    alike: dict[str, list[str]] = {}
    for each in found.groups:
        if each.ends:
            alike.setdefault("; ".join(each.ends), []).append(found.words(each.group))
    several = len(found.groups) > 1
    return [
        f"The best{f' of {enumeration(names)}' if several else ''} lies at the end of its range ({ends}): widen it."
        for ends, names in alike.items()
    ]


def _at_best(found: OwnBests) -> dict[tuple[str, ...], str]:
    """Name each group with its best setting."""
    return {each.group: f"{found.words(each.group)} ({each.best.setting})" for each in found.known if each.best}


def _leader(found: OwnBests) -> str:
    names, lead = _at_best(found), found.lead
    if lead is None or lead.gap is None:
        if len(found.groups) == 1 and names:
            return f"Best on validation data: {found.groups[0].best.setting}." if found.groups[0].best else ""
        return "With each at its own best, nothing can be compared."
    if lead.winner is None:
        several = enumeration([names[group] for group in lead.groups])
        by = f": the first's is {size(lead.gap)}, which may be chance" if lead.gap.absolute.known else ""
        return (
            f"With each at its own best, {several} cannot be told apart by {found.facts.name} with {found.sampler}"
            f"{by} (n = {lead.gap.absolute.n})."
        )
    return (
        f"With each at its own best, {names[lead.winner]} leads: its {found.facts.name} with {found.sampler} is "
        f"{size(lead.gap)} than that of {names[lead.second]} (n = {lead.gap.absolute.n})."
    )


def _against_common(found: OwnBests) -> str:
    """Say whether the winner is another one where all have the same settings."""
    if not found.common:
        return "At no setting have all of them a score of every seed."
    by_winner: dict[str, list[str]] = {}
    for setting, lead in found.common.items():
        by_winner.setdefault(found.words(lead.winner) if lead.winner else "", []).append(setting)
    clear = [name for name in by_winner if name]
    own = found.words(found.lead.winner) if found.lead and found.lead.winner else ""
    parts = [f"{name} leads at {_settings(by_winner[name])}" for name in clear]
    if untold := by_winner.get(""):
        parts.append(f"none can be told to lead at {_settings(untold)}" if clear else "")
    said = f"At a common setting {', '.join(filter(None, parts))}" if clear else ""
    if not said:
        return "At no common setting can one be told to lead" + (": that is new." if own else ", either.")
    if not own:
        return f"{said}: with each at its own best, that is not so."
    others = [name for name in clear if name != own]
    return f"{said}: the winner {'changes' if others else 'stays the same'}."


def _settings(settings: list[str]) -> str:
    if len(settings) > MOST_SETTINGS:
        return f"{len(settings)} settings"
    return enumeration(settings)
