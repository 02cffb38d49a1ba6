"""Reports from synthetic records: what they say, and what odd records do to them."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from fmbench.cells import ComponentSpec, EvaluationCell, Settings, TrainingCell
from fmbench.errors import StoreError
from fmbench.records import EvaluationRecord, MetricFacts, Records, TrainingRecord
from fmbench.report import write_report
from fmbench.report.summary import difference, interval

FID = MetricFacts("fid_digits", "lower", "", "evaluation", "fid_digits")
KID = MetricFacts("kid_digits", "lower", "", "evaluation", "kid_digits")
MS = MetricFacts("sample_ms", "lower", "ms", "sampler", "sample_ms")
VALIDATION = MetricFacts("validation_loss", "lower", "", "training", "validation_loss")
SECONDS = MetricFacts("train_seconds", "lower", "s", "training", "train_seconds")
PARAMETERS = MetricFacts("parameters", "lower", "", "training", "parameters")
FACTS = (FID, KID, VALIDATION, MS, SECONDS, PARAMETERS)
CALLS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "ab2": 1}
ORDER = {"euler": 1.0, "midpoint": 1.5, "heun": 1.6, "rk4": 1.9, "ab2": 1.4, "dopri5": 2.0}
IDENTITY = {"metric": "fid_digits", "version": 1, "samples": 2000, "reference": "digits/test"}
SPREAD = {"uniform": 0.0, "beta": 0.12, "u_shaped": -0.08}


def spec(kind: str, name: str, **parameters: Any) -> ComponentSpec:
    inside = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return ComponentSpec(kind, name, parameters, "f", f"{name}({inside})" if inside else name, "tests")


def digits(n: int) -> np.ndarray:
    """Real digits in [-1, 1]."""
    from sklearn.datasets import load_digits

    return (load_digits().images[:n, None] / 8.0 - 1.0).astype(np.float32)


def moons(n: int) -> np.ndarray:
    """Two half circles."""
    angle = np.random.default_rng(7).uniform(0, math.pi, n)
    side = np.arange(n) % 2 * 2 - 1
    return np.stack([np.cos(angle) + 0.5 * side, side * np.sin(angle)], 1).astype(np.float32)


@dataclasses.dataclass
class Factory:
    """Makes records of a suite with plausible numbers; every field may be turned."""

    folder: Path
    datasets: Sequence[str] = ("digits",)
    paths: Sequence[str] = ("linear", "cosine")
    t_distributions: Sequence[ComponentSpec] = (
        spec("t_distribution", "uniform"),
        spec("t_distribution", "beta", alpha=0.5, beta=0.5),
        spec("t_distribution", "u_shaped"),
    )
    networks: Sequence[ComponentSpec] = (spec("network", "small_unet", channels=32),)
    solvers: Sequence[str] = ("euler", "midpoint", "heun", "rk4", "ab2")
    adaptive: Sequence[str] = ()
    nfe: Sequence[int] = (1, 2, 4, 8)
    seeds: Sequence[int] = (0, 1, 2)
    guidance: Sequence[float] = (1.0,)
    metrics: Sequence[MetricFacts] = FACTS
    samples: Callable[[int], np.ndarray] | None = None
    baseline: Mapping[str, Any] | None = None
    failed: Callable[[TrainingCell], str] = lambda cell: "ok"
    jobs: int = 2
    change: Callable[[EvaluationRecord], EvaluationRecord] = lambda record: record

    def records(self, **about: Any) -> Records:
        trainings = [self.training(cell) for cell in self.cells()]
        evaluations = [self.change(record) for t in trainings for record in self.evaluations(t)]
        said: dict[str, Any] = {
            "suite": "low_nfe",
            "description": "Which path and t-distribution is best at 1 to 8 function evaluations?",
            "left_out": [("digits linear heun nfe=1", "heun takes 2 evaluations a step, which do not divide 1")],
            "environment": {"hardware": "Test CPU, 2 cores", "torch": "2.15", "git_commit": "abc123+"},
            "settings": {"training": {"steps": 1500, "batch_size": 128}, "evaluation": {"samples": 2000}},
            "command": "fmbench run suites/low_nfe.yaml",
            "finished": "2025-11-22",
            "real": {name: self.real(name) for name in self.datasets if self.samples},
        }
        return Records(
            trainings=trainings,
            evaluations=evaluations,
            metrics=self.metrics,
            baseline=self.baseline,
            **(said | about),
        )

    def real(self, name: str) -> Path:
        assert self.samples
        path = self.folder / f"real_{name}.safetensors"
        save_file({"samples": self.samples(400)}, path)
        return path

    def cells(self) -> list[TrainingCell]:
        settings = Settings({"steps": 1500})
        common = spec("coupling", "independent"), spec("objective", "velocity")
        return [
            TrainingCell(spec("dataset", d), spec("path", p), common[0], t, common[1], n, seed, settings)
            for d in self.datasets
            for p in self.paths
            for t in self.t_distributions
            for n in self.networks
            for seed in self.seeds
        ]

    def training(self, cell: TrainingCell) -> TrainingRecord:
        random = np.random.default_rng([cell.seed, len(str(cell.path)), len(str(cell.t_distribution))])
        status = self.failed(cell)
        level = 0.6 + SPREAD.get(cell.t_distribution.name, 0.3) + 0.1 * (cell.path.name == "cosine")
        history = [(step, level + 8 * math.exp(-step / 60) + 0.02 * random.normal()) for step in range(25, 1501, 25)]
        if status != "ok":
            return TrainingRecord(cell, status, "loss is not finite at step 312", history=history[:12])
        metrics = {"validation_loss": level + 0.01 * random.normal(), "train_seconds": 20 + random.normal()}
        facts = {"seconds": 20 + random.normal(), "precision": "float32", "threads": 1, "jobs": self.jobs}
        facts |= {"hardware": "Test CPU, 2 cores", "steps": 1500, "parameters": 101_377}
        identities = {"validation_loss": {"metric": "validation_loss", "path": str(cell.path)}}
        return TrainingRecord(cell, "ok", "", metrics | {"parameters": 101_377.0}, identities, history, facts)

    def evaluations(self, training: TrainingRecord) -> list[EvaluationRecord]:
        found = []
        for guidance in self.guidance:
            for name in self.solvers:
                for nfe in self.nfe:
                    if nfe % CALLS.get(name, 1) == 0:
                        found.append(self.evaluation(training, name, nfe, guidance))
            found += [self.evaluation(training, name, None, guidance) for name in self.adaptive]
        return found

    def evaluation(self, training: TrainingRecord, name: str, nfe: int | None, guidance: float) -> EvaluationRecord:
        grid = spec("grid", "uniform") if nfe else None
        calls, solver = CALLS.get(name, 1), spec("solver", name)
        steps = nfe // calls if nfe else None
        cell = EvaluationCell(training.cell, solver, grid, nfe, steps, guidance, Settings({"samples": 2000}))
        if training.status != "ok":
            return EvaluationRecord(cell, training.status, f"training: {training.error}")
        random = np.random.default_rng([training.cell.seed, len(name), nfe or 50, len(str(training.cell))])
        effort = (nfe or 43) / calls
        spread = 1 + SPREAD.get(training.cell.t_distribution.name, 0.3) + 0.15 * (training.cell.path.name == "cosine")
        common = 0.05 * np.random.default_rng(training.cell.seed).normal()
        fid = (6 + 90 * effort ** -ORDER.get(name, 1.0)) * spread * (1 + common + 0.02 * random.normal())
        metrics = {"fid_digits": fid, "kid_digits": fid / 5000, "sample_ms": 0.05 * (nfe or 43) + 0.01 * calls}
        metrics = {k: v for k, v in (metrics | training.metrics).items() if any(k == f.name for f in self.metrics)}
        error = 60 / (fid + 1)
        samples = self.drawn(cell, 1 / (1 + error)) if self.samples else None
        identities = {"fid_digits": IDENTITY, **training.identities}
        return EvaluationRecord(cell, "ok", "", float(nfe or 43), metrics, identities, samples)

    def drawn(self, cell: EvaluationCell, noise: float) -> Path:
        """Write what a sampler might draw: data under noise that shrinks with the score."""
        assert self.samples
        path = self.folder / f"{cell.key}.safetensors"
        clean = self.samples(64)
        random = np.random.default_rng(cell.training.seed).normal(size=clean.shape).astype(np.float32)
        save_file({"samples": (1 - noise) * clean + noise * random}, path)
        return path
