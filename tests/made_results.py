"""Results with plausible numbers, as snapshots: for what reads results and computes none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, CellValues, SeededGroup, Snapshot
from fmbench.results.snapshot_file import snapshot_text

FID = MetricFacts("fid", "lower", "", "evaluation", "fid")
RECALL = MetricFacts("recall", "higher", "", "evaluation", "recall")
MS = MetricFacts("sample_ms", "lower", "ms/sample", "sampler", "sample_ms")
LOSS = MetricFacts("validation_loss", "lower", "", "training", "validation_loss")
FACTS = (FID, RECALL, LOSS, MS)
HARDWARE = "Test CPU, 2 cores"

Change = Callable[[dict[str, str], int, dict[str, float]], dict[str, float] | None]


def group(section: str = "evaluation", **labels: Any) -> CellGroup:
    """Return labels in the order of a section's axes."""
    usual = {"dataset": "digits", "path": "linear", "solver": "euler", "nfe": "4"}
    named = {**usual, **{axis: str(label) for axis, label in labels.items()}}
    return tuple(named.get(axis, "") for axis in AXES["evaluation"] if axis in AXES[section])  # type: ignore[index]


def results(
    paths: Sequence[str] = ("linear", "cosine"),
    solvers: Sequence[str] = ("euler", "heun"),
    nfe: Sequence[int] = (2, 4),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    noise: float = 0.01,
    luck: int = 0,
    samples: int = 2000,
    hardware: str = HARDWARE,
    change: Change = lambda _, __, values: values,
    suite: str = "made",
    **made: Any,
) -> Snapshot:
    """Return the results of a suite; `luck` seeds what differs between two runs of it. `change` returns the values of a
    cell, given its labels and seed, or None for one that failed.
    """
    quality = {"metric": "fid", "samples": samples, "precision": "float32"}
    identities = {"fid": quality, "recall": quality, "sample_ms": {"hardware": hardware, "torch": "2.14"}}
    evaluations: dict[SeededGroup, CellValues] = {}
    trainings: dict[SeededGroup, CellValues] = {}
    for path in paths:
        for seed in seeds:
            trainings[group("training", path=path), seed] = CellValues("ok", "", {"validation_loss": 0.5 + seed / 100})
            for solver in solvers:
                for budget in nfe:
                    labels = {"path": path, "solver": solver, "nfe": str(budget)}
                    random = np.random.default_rng([luck, seed, len(path), len(solver), budget])
                    fid = 40 / budget * (1 + 0.05 * seed) * (1 + noise * random.normal())
                    values = change(labels, seed, {"fid": fid, "recall": 1 / fid, "sample_ms": 0.1 * budget})
                    row = CellValues("diverged", "not finite") if values is None else CellValues("ok", "", values)
                    evaluations[group(**labels), seed] = CellValues(row.status, row.error, row.values, identities)
    about = {"date": "2026-01-01T00:00:00+00:00", "environment": {"hardware": hardware, "torch": "2.14"}, **made}
    metrics = {facts.name: facts for facts in FACTS}
    return Snapshot(suite, metrics, trainings, evaluations, made={"metrics": list(metrics), **about})


def write_results(snapshot: Snapshot, folder: Path) -> Path:
    """Write a report's folder that holds results.json and nothing else, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(snapshot_text(snapshot))
    return folder


def write_csv(snapshot: Snapshot, folder: Path) -> Path:
    """Write a report's folder as earlier versions left it: with records.csv alone."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = ["nfe_budget" if axis == "nfe" else axis for axis in AXES["evaluation"]]
    lines = [",".join([*axes, "seed", "status", "error", *snapshot.metrics])]
    for (labels, seed), row in snapshot.evaluations.items():
        values = [repr(row.values[name]) if name in row.values else "" for name in snapshot.metrics]
        lines.append(",".join([*(json.dumps(each) for each in labels), str(seed), row.status, "", *values]))
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
    return folder
