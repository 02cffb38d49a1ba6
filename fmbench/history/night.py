"""One night as rows: every value of every cell and seed, and what it was measured with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any

from fmbench.cells.keys import canonical, digest
from fmbench.regression import Snapshot, snapshot
from fmbench.results.records import MetricFacts, Records
from fmbench.results.snapshot import AXES, SECTIONS, Section

SCOPES = {"training": ("training",), "evaluation": ("evaluation", "sampler")}
AXIS_COLUMNS = AXES["evaluation"]
NO_VERSIONS = ("hardware", "device", "platform", "git_commit")
"""What the environment holds besides versions."""


@dataclass(frozen=True)
class NightFacts:
    """What the values of a night share: the columns of the file that are the same in all of its rows.

    `time` is when the night was added (UTC, ISO), `finished` when its last cell was computed. `commit` is the git
    commit, `dirty` whether files differed from it. `versions` is the digest of the libraries' versions, `code` that of
    all code which enters keys, `content` that of everything else.
    """

    time: str
    finished: str
    commit: str
    dirty: bool
    hardware: str
    versions: str
    fmbench: str
    code: str
    content: str

    @property
    def code_state(self) -> str:
        """The commit as a person reads it, with `+` where files differed from it."""
        return (self.commit[:7] or "no commit") + ("+" if self.dirty else "")


@dataclass(frozen=True)
class NightValue:
    """A row of the file without the facts of its night; `value` is NaN where a cell has none."""

    section: Section
    group: tuple[str, ...]
    seed: int
    metric: str
    value: float
    status: str
    identity: str


@dataclass(frozen=True)
class Night:
    """A night, as it is added. `texts` are what digests of identities and versions stand for."""

    suite: str
    facts: NightFacts
    values: tuple[NightValue, ...]
    metrics: Mapping[str, MetricFacts]
    components: Mapping[str, Mapping[str, Mapping[str, Any]]]
    texts: Mapping[str, Mapping[str, Any]]


def make_night(records: Records, time: datetime | None = None) -> Night:
    """Return the records as a night. `time` is now unless it is given, with its zone."""
    night = snapshot(records)
    environment = dict(night.made["environment"])
    versions = {name: value for name, value in environment.items() if name not in NO_VERSIONS}
    texts: dict[str, Mapping[str, Any]] = {digest(canonical(versions)): versions}
    values = tuple(_values(night, texts))
    commit = str(environment.get("git_commit", ""))
    known: dict[str, Any] = {
        "finished": records.finished,
        "commit": commit.removesuffix("+"),
        "dirty": commit.endswith("+"),
        "hardware": night.hardware,
        "versions": digest(canonical(versions)),
        "fmbench": str(environment.get("fmbench", "")),
        "code": code_of(records),
    }
    content = digest(canonical(known), canonical([astuple(value) for value in values]))
    at = (time or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    facts = NightFacts(time=at, content=content, **known)
    return Night(records.suite, facts, values, night.metrics, night.components, texts)


def code_of(records: Records) -> str:
    """Return a digest of the code that enters keys: that of the core, and every component's fingerprint."""
    cells = [record.cell for record in records.trainings]
    evaluations = [record.cell for record in records.evaluations]
    specs = [spec for cell in cells for spec in cell.components]
    specs += [spec for cell in evaluations for spec in cell.components]
    components = {f"{spec.kind} {spec.name} {spec.fingerprint}" for spec in specs}
    core = {cell.code for cell in cells} | {cell.code for cell in evaluations}
    return digest(*sorted(core), *sorted(components))


def unfinished(records: Records) -> int:
    """Return the number of cells that are not computed: neither finished nor failed."""
    lacking = [record for record in records.trainings if record.status == "missing"]
    return len(lacking) + sum(record.status == "missing" for record in records.evaluations)


def _values(night: Snapshot, texts: dict[str, Mapping[str, Any]]) -> Iterator[NightValue]:
    """Yield the values; a cell that failed has a row for each metric, without a value. Fills `texts`."""
    for number, section in enumerate(SECTIONS, start=1):
        settings = {f"{each} settings": night.settings[each] for each in SECTIONS[:number]}
        names = [name for name, facts in night.metrics.items() if facts.scope in SCOPES[section]]
        for (group, seed), row in sorted(night.rows(section).items()):
            for name in names:
                if name in row.values:
                    identity = {**row.identities.get(name, {}), **settings}
                    short = digest(canonical(identity))
                    texts[short] = identity
                    yield NightValue(section, group, seed, name, float(row.values[name]), row.status, short)
                elif row.status != "ok":  # no metric is left out of a failed cell
                    yield NightValue(section, group, seed, name, math.nan, row.status, "")
