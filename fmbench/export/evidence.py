"""The evidence for a cell, out of the store: its scores over seeds, and those of what was measured in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.errors import DamagedFile, UserError
from fmbench.plugins.registry import Registry
from fmbench.stats.paired_seeds import Interval, interval
from fmbench.store.store import Store

MOST_SHOWN = 10
OF_ONE_SEED = ("seed", "teacher", "weaker", "training")
"""The parts of a cell that differ between the seeds of one configuration."""


@dataclass(frozen=True)
class Score:
    """A metric's value over seeds. `samples` is how many samples each value is of, None where that is not said."""

    name: str
    value: Interval
    better: str
    samples: int | None


@dataclass(frozen=True)
class Compared:
    """The configurations of the store that have the same dataset and NFE and were measured in the same way by `metric`.

    `rows` are the first of them in order, `(label, value, whether it is the exported one)`; `place` counts from 1.
    """

    metric: str
    place: int
    n: int
    rows: tuple[tuple[str, Interval, bool], ...]


@dataclass(frozen=True)
class ScoredEvidence:
    """What is known of a configuration: its scores, its seeds, and what it was compared with."""

    scores: tuple[Score, ...] = ()
    seeds: tuple[int, ...] = ()
    compared: Compared | None = None


@dataclass
class _Configuration:
    """Evaluations that differ by seed alone: values by metric, each with its identity, by seed."""

    label: str
    values: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    samples: dict[str, int | None] = field(default_factory=dict)


def evidence_of(store: Store, registry: Registry, key: str) -> ScoredEvidence:
    """Return the evidence for the evaluation `key`. Damaged cells, and those of other versions, are no evidence."""
    configurations: dict[str, _Configuration] = {}
    mine = _parts(store, "evaluation", key)
    own_training = _parts(store, "training", mine["training"])
    own = _name(mine, own_training)
    seen = (canonical(own_training["dataset"]), mine["nfe"], canonical(mine["settings"]))
    for other, parts, training in _evaluations(store):
        if (canonical(training["dataset"]), parts["nfe"], canonical(parts["settings"])) != seen:
            continue
        label = _label(parts, training)
        configuration = configurations.setdefault(_name(parts, training), _Configuration(label))
        _add_values(configuration, int(training["seed"]), store.folder("evaluation", other).metrics())
    found = configurations.get(own)
    if found is None or not found.values:
        return ScoredEvidence()
    scores = [
        Score(name, interval([*by_seed.values()]), _better(registry, name), found.samples[name])
        for (name, _), by_seed in sorted(found.values.items())
    ]
    seeds = sorted({seed for by_seed in found.values.values() for seed in by_seed})
    return ScoredEvidence(tuple(scores), tuple(seeds), _compared(configurations, own, scores))


def _evaluations(store: Store) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield key, parts and training's parts of each evaluation that can be read."""
    for section in ("training", "evaluation"):
        store.pull(section, store.keys(section))
    trainings: dict[str, Mapping[str, Any] | None] = {}
    for key in store.keys("evaluation"):
        parts = _known(store, "evaluation", key)
        if parts is None or "training" not in parts:
            continue
        name = parts["training"]
        if name not in trainings:
            trainings[name] = _known(store, "training", name)
        if (training := trainings[name]) is not None:
            yield key, parts, training


def _known(store: Store, section: str, key: str) -> Mapping[str, Any] | None:
    try:
        return store.folder(section, key).cell()
    except DamagedFile:
        return None


def _parts(store: Store, section: str, key: str) -> Mapping[str, Any]:
    found = _known(store, section, key)
    if found is None:
        raise UserError(f"{section} {key} cannot be read from the store {store}; run its suite again")
    return found


def _name(parts: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Return what the seeds of a configuration share."""
    return canonical([{n: v for n, v in each.items() if n not in OF_ONE_SEED} for each in (training, parts)])


def _label(parts: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Return a configuration in words."""
    kinds = ("path", "coupling", "t_distribution", "objective", "network", "model")
    words = [_said(training[kind]) for kind in kinds if kind in training]
    words += [_said(parts[kind]) for kind in ("solver", "grid") if parts.get(kind)]
    if parts["guidance"] != 1:
        words.append(f"guidance {_said(parts['guidance'])}")
    return ", ".join([*words, *([] if parts["weights"] == "ema" else [f"weights {parts['weights']}"])])


def _said(spec: Any) -> str:
    return str(spec.get("label") or spec["name"]) if isinstance(spec, Mapping) else f"{spec:g}"


def _add_values(configuration: _Configuration, seed: int, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    for entry in metrics.values():
        name, identity = str(entry["name"]), entry.get("identity") or {}
        value = (entry.get("values") or {}).get(name)  # the others say more of this one
        if value is not None and math.isfinite(value):
            configuration.values.setdefault((name, canonical(dict(identity))), {})[seed] = value
            configuration.samples[name] = identity.get("samples_n")


def _better(registry: Registry, metric: str) -> str:
    """Return "lower" or "higher"; "" for a metric that is not registered here."""
    try:
        return str(registry.attribute(registry.spec("metric", metric), "better"))
    except UserError:
        return ""


def _compared(configurations: Mapping[str, _Configuration], own: str, scores: list[Score]) -> Compared | None:
    """Return the place among all that were measured in the same way, by the first metric that has a direction.

    Metrics that say of how many samples they are go before others.
    """
    directed = sorted((score for score in scores if score.better), key=lambda score: score.samples is None)
    if not directed:
        return None
    leading = directed[0]
    identity = next(each for each in configurations[own].values if each[0] == leading.name)
    rows = [
        (name, each.label, interval([*each.values[identity].values()]))
        for name, each in configurations.items()
        if identity in each.values
    ]
    sign = 1 if leading.better == "lower" else -1
    rows.sort(key=lambda row: (sign * row[2].mean, row[1]))
    place = [name for name, _, _ in rows].index(own)
    shown = [*rows[:MOST_SHOWN], *([rows[place]] if place >= MOST_SHOWN else [])]
    found = tuple((label, value, name == own) for name, label, value in shown)
    return Compared(leading.name, place + 1, len(rows), found)
