"""Reports from synthetic records: what they say, and what odd records do to them."""

from __future__ import annotations

import dataclasses
import json
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

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.guidance import GuidanceChoice
from fmbench.errors import StoreError
from fmbench.report import report_as_data, write_report
from fmbench.report.figures.score_curves import merged, solver_and_variant_lines
from fmbench.report.figures.theme import looks
from fmbench.report.page_data.words import page_settings
from fmbench.report.result_table import ROW_AXES
from fmbench.results.records import EvaluationRecord, MetricFacts, Records, TrainingRecord
from fmbench.stats.paired_seeds import difference, interval

FID = MetricFacts("fid_digits", "lower", "", "evaluation", "fid_digits")
KID = MetricFacts("kid_digits", "lower", "", "evaluation", "kid_digits")
MS = MetricFacts("sample_ms", "lower", "ms/sample", "sampler", "sample_ms")
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
    guidance: Sequence[GuidanceChoice] = (1.0,)
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

    def evaluation(
        self, training: TrainingRecord, name: str, nfe: int | None, guidance: GuidanceChoice
    ) -> EvaluationRecord:
        grid = spec("grid", "uniform") if nfe else None
        calls, solver = CALLS.get(name, 1), spec("solver", name)
        steps = nfe // calls if nfe else None
        cell = EvaluationCell(training.cell, solver, grid, nfe, steps, guidance, "ema", Settings({"samples": 2000}))
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


SMALL: dict[str, Any] = {"paths": ("linear", "cosine"), "solvers": ("euler", "heun"), "nfe": (1, 2)}
T = Factory.t_distributions


def small(folder: Path, **changes: Any) -> Factory:
    return Factory(folder, **(SMALL | {"t_distributions": T[:1]} | changes))


def written(factory: Factory, tmp_path: Path, *, figures: bool = False, **about: Any) -> Path:
    return write_report(factory.records(**about), tmp_path / "report", figures=figures).parent


@pytest.fixture
def no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty SVG files: they are made of the same artists as the PNG, and other tests read them."""
    monkeypatch.setattr("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", lambda *_, **__: None)


@pytest.fixture
def sketched(no_vectors: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw without arranging the panels too, where a test asks only which figures there are."""
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", lambda *_: None)


class Page(HTMLParser):
    """Collects the text, the tags and the addresses of a page, and checks that tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "wbr", "input"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def page_data_of(folder: Path) -> dict[str, Any]:
    """Return the payload of a report's page."""
    content = (folder / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of images with a baseline, an adaptive solver, and a combination that lost two of three seeds."""
    folder = tmp_path_factory.mktemp("full")
    factory = small(
        folder,
        t_distributions=T[:2],
        samples=digits,
        adaptive=("dopri5",),
        baseline={"path": "linear", "t_distribution": "uniform"},
        failed=lambda c: "diverged" if (c.path.name, c.t_distribution.name) == ("cosine", "beta") and c.seed else "ok",
    )
    return written(factory, folder, figures=True)


def test_the_settings_say_what_the_average_of_the_weights_comes_to() -> None:
    shown = dict(page_settings({"training": {"steps": 2000, "ema": {"decay": 0.999, "warmup": False}}}))
    assert shown["training.ema.warmup"] == "false"
    assert shown["average of the weights"] == "0.999 from the first step on"
    shown = dict(page_settings({"training": {"steps": 2000, "ema": 0.999}}))
    assert shown["training.ema"] == "0.999"
    assert shown["average of the weights"].endswith("0.99552 at the last of 2,000 steps")
    assert "average of the weights" not in dict(page_settings({"training": {"steps": 2000}}))


def test_all_files_are_there_and_small(full: Path):
    names = {path.name for path in full.iterdir()}
    figures = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    assert names == {"records.csv", "results.json", "table.md", "table.tex", "README.md", "index.html"} | figures
    assert sum(path.stat().st_size for path in full.iterdir()) < 2_000_000


FIGURES = (
    "score_by_nfe",
    "score_at_a_glance",
    "score_by_time",
    "pareto",
    "losses",
    "samples_by_solver",
    "samples_by_training",
)


def test_csv_keeps_all_digits_and_the_order_of_the_plan(full: Path, tmp_path: Path):
    records = small(tmp_path).records()
    frame = pd.read_csv(write_report(records, tmp_path / "r").parent / "records.csv", keep_default_na=False)
    assert frame["key"].tolist() == [r.cell.key for r in records.evaluations]
    assert [float(x) for x in frame["fid_digits"]] == [r.metrics["fid_digits"] for r in records.evaluations]
    assert set(pd.read_csv(full / "records.csv", dtype=str)["nfe_budget"].dropna()) == {"1", "2"}


def test_page_is_balanced_and_needs_nothing_from_outside(full: Path):
    found = page(full)
    for address in found.addresses:
        assert address.startswith(("data:image/png;base64,", "#")) or (full / address).is_file()
    assert "Which path and t-distribution is best" in found.text
    assert "Test CPU, 2 cores" in found.text
    assert "abc123+" in found.text
    assert "never with published FIDs" in found.text


def test_writing_again_gives_the_same_bytes(tmp_path: Path):
    records = small(tmp_path, samples=digits, seeds=(0,), paths=("linear",), solvers=("euler",)).records()
    first, second = (write_report(records, tmp_path / name, figures=True).parent for name in ("a", "b"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_entries_are_mean_and_interval_with_the_best_in_bold(tmp_path: Path):
    values = {"linear": [10.0, 11.0, 12.0], "cosine": [20.0, 21.0, 22.5]}

    def change(record: EvaluationRecord) -> EvaluationRecord:
        value = values[record.cell.training.path.name][record.cell.training.seed]
        return dataclasses.replace(record, metrics={"fid_digits": value})

    factory = small(tmp_path, solvers=("euler",), nfe=(4,), metrics=(FID,), change=change)
    rows = (written(factory, tmp_path) / "table.md").read_text().splitlines()
    # t(0.975, 2) = 4.302653; the seeds 10, 11, 12 have s = 1, so the half-width is 4.302653 / sqrt(3) = 2.4842.
    assert "| linear | **11.0 ± 2.5** |" in rows
    assert "| cosine | 21.2 ± 3.1 |" in rows


def test_what_cannot_be_told_from_the_best_is_marked(tmp_path: Path):
    values = {"linear": [10.0, 11.0, 12.0], "cosine": [10.1, 11.3, 11.9]}

    def change(record: EvaluationRecord) -> EvaluationRecord:
        value = values[record.cell.training.path.name][record.cell.training.seed]
        return dataclasses.replace(record, metrics={"fid_digits": value})

    factory = small(tmp_path, solvers=("euler",), nfe=(4,), metrics=(FID,), change=change)
    rows = (written(factory, tmp_path) / "table.md").read_text().splitlines()
    assert any(row.startswith("| cosine | 11.1 ") and "†" in row for row in rows)


def test_higher_is_better_where_the_metric_says_so(tmp_path: Path):
    recall = dataclasses.replace(FID, better="higher")
    factory = small(tmp_path, solvers=("euler",), nfe=(4,), metrics=(recall,))
    text = (written(factory, tmp_path) / "table.md").read_text()
    assert re.search(r"\| cosine \| \*\*", text)
    assert "higher is better" in text


def test_a_lost_seed_is_said_in_place_and_is_never_the_best(full: Path):
    text = (full / "table.md").read_text()
    lost = [row for row in text.splitlines() if "2 of 3 diverged" in row]
    assert lost
    assert not any("**" in row or "†" in row for row in lost)
    assert text.count("| diverged |") == 1  # one row for both trainings, which failed alike
    assert "| 2 trainings | diverged |" in text
    assert "loss is not finite at step 312" in text
    assert "evaluations lost with them" in text


def test_the_baseline_table_gives_paired_differences_and_verdicts(full: Path):
    text = (full / "table.md").read_text()
    section = text.split("against the baseline")[1].split("## ")[0]
    assert re.search(r"\| cosine \| uniform \| euler \| \+1\d \\\[1\d, 1\d\\\] % \(worse\)", section)
    assert "cannot tell" in section
    assert "(not distinguishable)" not in section.split("\n- ")[0]
    assert "| linear | uniform |" not in section


def test_baseline_of_another_form_is_found_and_a_missing_one_is_said(tmp_path: Path):
    for wanted in ({"path": [{"linear": {}}]}, {"path": "linear"}, {"path": {"linear": None}}):
        text = (written(small(tmp_path, baseline=wanted), tmp_path) / "table.md").read_text()
        assert "(worse)" in text
    text = (written(small(tmp_path, baseline={"path": "nowhere", "nfe": 4}), tmp_path) / "table.md").read_text()
    assert "has no counterpart" in text


def test_each_row_has_a_command_that_names_it(full: Path, tmp_path: Path):
    data = page_data_of(full)
    filters = {axis["name"]: dict(zip(axis["values"], axis["filters"], strict=True)) for axis in data["axes"]}
    assert data["report"]["command"] == "fmbench run suites/low_nfe.yaml"
    assert filters["path"]["linear"] == "--filter path=linear"
    assert filters["t_distribution"]["beta(alpha=0.5, beta=0.5)"] == "--filter t_distribution=beta"
    assert filters["network"] == {"small_unet(channels=32)": ""}
    both = (spec("t_distribution", "beta", alpha=1.0), spec("t_distribution", "beta", alpha=2.0))
    text = (written(small(tmp_path, t_distributions=both), tmp_path) / "table.md").read_text()
    assert "--filter 't_distribution=beta(alpha=2.0)'" in text


def test_one_seed_says_that_nothing_can_be_said(tmp_path: Path):
    folder = written(small(tmp_path, seeds=(0,), baseline={"path": "linear"}), tmp_path)
    assert "nothing can be said about spread" in page(folder).text
    text = (folder / "table.md").read_text()
    assert "†" not in text
    assert "cannot tell" in text
    assert "(better)" not in text


@pytest.mark.usefixtures("sketched")
def test_values_of_two_identities_never_share_a_column(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        if record.cell.nfe == 2 and record.cell.training.seed == 1 and record.cell.solver.name == "euler":
            return dataclasses.replace(record, identities={"fid_digits": IDENTITY | {"samples": 500}})
        return record

    folder = written(small(tmp_path, change=change), tmp_path, figures=True)
    text = (folder / "table.md").read_text()
    assert "NFE 2: left out, because its values are not comparable with each other: samples is" in text
    assert "500 (2 values)" in text
    assert "| path | solver | NFE 1 |\n" in text
    assert not (folder / "score_by_nfe.png").exists()


def test_an_identity_that_follows_from_an_axis_splits_the_column(full: Path):
    text = (full / "table.md").read_text()
    assert "validation\\_loss (path linear) | validation\\_loss (path cosine)" in text


def test_times_say_how_many_jobs_ran_side_by_side(full: Path, tmp_path: Path):
    assert "2 jobs side by side" in page(full).text
    assert "jobs side by side" not in page(written(small(tmp_path, jobs=1), tmp_path)).text


def test_names_are_escaped_everywhere(tmp_path: Path):
    nasty = "<script>alert(1)</script> a|b & 50% $x_1$ {} \\ ~^#`*é日\n"
    network = (spec("network", nasty), spec("network", "plain"))
    simple: dict[str, Any] = {"paths": ("linear",), "nfe": (2,), "failed": lambda c: "error" if c.seed == 2 else "ok"}
    factory = small(tmp_path, networks=network, **simple)
    folder = written(factory, tmp_path, figures=True, suite=nasty, description=nasty, left_out=[(nasty, nasty)])
    harmless = page(written(small(tmp_path, **simple), tmp_path)).tags.count("script")
    assert page(written(factory, tmp_path, suite=nasty, description=nasty)).tags.count("script") == harmless
    text = (folder / "table.md").read_text()
    assert "<script>" not in re.sub(r"```bash.*?```", "", text, flags=re.DOTALL)
    assert "\n, euler" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    tex = (folder / "table.tex").read_text()
    body = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    assert "a\\textbar{}b \\& 50\\% \\$x\\_1\\$ \\{\\} \\textbackslash{}" in body
    assert body.count("{") == body.count("}")


def no_values(record: EvaluationRecord) -> EvaluationRecord:
    return dataclasses.replace(record, metrics={"fid_digits": math.nan, "sample_ms": math.inf})


ODD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "every training failed": ({"failed": lambda cell: "oom"}, {}),
    "nothing at all": ({"seeds": ()}, {}),
    "no evaluations": ({"solvers": ()}, {}),
    "one cell": ({"seeds": (3,), "nfe": (4,), "paths": ("linear",), "solvers": ("euler",)}, {}),
    "only adaptive solvers": ({"solvers": (), "adaptive": ("dopri5", "bosh3")}, {"baseline": {"path": "linear"}}),
    "no metric of samples": ({"metrics": (VALIDATION, SECONDS)}, {"baseline": {"path": "linear"}}),
    "no metric": ({"metrics": ()}, {}),
    "no finite value": ({"change": no_values}, {"baseline": {"path": "linear"}}),
    "all values equal": ({"change": lambda r: dataclasses.replace(r, metrics={"fid_digits": 0.0})}, {}),
    "negative values": (
        {"change": lambda r: dataclasses.replace(r, metrics={"fid_digits": -r.metrics["fid_digits"]})},
        {},
    ),
    "datasets of one slug": ({"datasets": ("a b", "a-b"), "paths": ("linear",), "nfe": (2,)}, {}),
    "guidance and two samplers": ({"guidance": (1.0, 2.5)}, {"baseline": {"guidance": 1.0}}),
    "guidance by a component": (
        {"guidance": (1.0, spec("guidance", "interval", weight=3.0))},
        {"baseline": {"guidance": {"interval": {"weight": 3.0}}}},
    ),
    "more guidance than dashes": ({"guidance": tuple(map(float, range(1, 8))), "nfe": (2, 4)}, {}),
    "missing cells": ({"change": lambda r: dataclasses.replace(r, status="missing", metrics={}, nfe=None)}, {}),
}


@pytest.mark.usefixtures("no_vectors")
@pytest.mark.parametrize("case", ODD)
def test_odd_records_give_a_report(case: str, tmp_path: Path):
    changes, about = ODD[case]
    baseline = about.pop("baseline", None) if "baseline" in about else None
    folder = written(small(tmp_path, baseline=baseline, **changes), tmp_path, figures=True, **about)
    assert page(folder).text
    assert (folder / "records.csv").read_text().startswith("dataset,path,")


@pytest.mark.parametrize("kinds", [1, 3, 7])
def test_every_solver_under_every_guidance_has_a_line_of_its_own(kinds: int):
    plain = dict.fromkeys(ROW_AXES, "") | {"dataset": "digits", "grid": "uniform", "weights": "ema"}
    solvers = ("euler", "heun")
    chosen = [plain | {"solver": solver, "guidance": str(kind)} for solver in solvers for kind in range(kinds)]
    rows = {tuple(each[axis] for axis in ROW_AXES): [] for each in chosen}
    of_solvers, of_guidance = solver_and_variant_lines(rows, looks(solvers))
    assert set(of_solvers) == set(solvers)
    assert len(of_guidance) == (kinds if kinds > 1 else 0)
    drawn = {str(merged(a, b)) for a in of_solvers.values() for b in of_guidance.values()}
    assert len(drawn) == 2 * len(of_guidance)


def test_a_value_that_is_not_finite_is_no_result(tmp_path: Path):
    folder = written(small(tmp_path, change=no_values), tmp_path)
    assert "3 of 3 not a finite number" in (folder / "table.md").read_text()


def test_nothing_is_said_of_what_is_not_known(tmp_path: Path):
    unknown: dict[str, Any] = {"environment": {}, "settings": {}, "command": "", "finished": "", "left_out": ()}
    text = page(written(small(tmp_path), tmp_path, **unknown)).text
    assert "finished" not in text
    assert "Hardware and versions" not in text


def set_values(values: Mapping[str, Sequence[float]], axis: str) -> Callable[[EvaluationRecord], EvaluationRecord]:
    """Give each record the value of its component of an axis and its seed."""

    def change(record: EvaluationRecord) -> EvaluationRecord:
        cell = record.cell
        name = cell.solver.name if axis == "solver" else getattr(cell.training, axis).name
        return dataclasses.replace(record, metrics={"fid_digits": values[name][cell.training.seed]})

    return change


def test_the_same_values_are_a_tie_and_nobody_wins(tmp_path: Path):
    change = set_values({"euler": [10.0, 11.0, 12.0], "ab2": [10.0, 11.0, 12.0], "heun": [20.0, 21.0, 22.0]}, "solver")
    factory = small(
        tmp_path, paths=("linear",), solvers=("euler", "ab2", "heun"), nfe=(2, 4), metrics=(FID,), change=change
    )
    folder = written(factory, tmp_path)
    rows = (folder / "table.md").read_text().splitlines()
    assert "| euler | **11.0 ± 2.5** | **11.0 ± 2.5** |" in rows
    assert "| ab2 | **11.0 ± 2.5** | **11.0 ± 2.5** |" in rows
    text = page(folder).text
    assert "by euler and, with the very same values, ab2. Distinguishable from the only other" in text
    assert "euler has the lowest mean fid_digits at every NFE" in text


def test_in_short_says_what_each_training_axis_does(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        cell, seed = record.cell, record.cell.training.seed
        sign = 1 if cell.solver.name == "euler" else -1
        value = 10.0 + seed + sign * (5 + 0.1 * seed) * (cell.training.path.name == "cosine")
        return dataclasses.replace(record, metrics={"fid_digits": value})

    factory = small(tmp_path, nfe=(2, 4), metrics=(FID,), change=change, baseline={"path": "linear"})
    text = page(written(factory, tmp_path)).text
    said = "cosine against linear, all else equal: better in 2, worse in 2, not distinguishable in 0 of 4 comparisons."
    assert said + " Better:worse by solver: euler 0:2, heun 2:0." in text
    assert "trained for 1,500 steps" in text
    alone = page(written(dataclasses.replace(factory, seeds=(0,)), tmp_path)).text
    assert "all else equal" not in alone


def test_an_identity_of_two_axes_splits_the_column_by_both(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        cell = record.cell.training
        return dataclasses.replace(
            record, identities={"fid_digits": {"for": [cell.path.name, cell.t_distribution.name]}}
        )

    names = spec("t_distribution", "uniform"), spec("t_distribution", "late")
    factory = small(tmp_path, t_distributions=names, solvers=("euler",), nfe=(4,), metrics=(FID,), change=change)
    text = (written(factory, tmp_path) / "table.md").read_text()
    assert "| NFE 4 (path linear, t\\_distribution uniform) | NFE 4 (path linear, t\\_distribution late)" in text
    assert "comparable only within one path and t\\_distribution" in text


@pytest.mark.usefixtures("sketched")
def test_figures_of_the_report_before_go_and_nothing_else_does(tmp_path: Path):
    factory = small(tmp_path, paths=("linear",), solvers=("euler",), nfe=(2,), seeds=(0,), metrics=(FID,))
    folder = written(factory, tmp_path, figures=True)
    (folder / "mine.png").write_text("mine")
    assert (folder / "score_by_nfe.png").is_file()
    written(dataclasses.replace(factory, metrics=()), tmp_path, figures=True)
    assert not list(folder.glob("score_*"))
    assert {path.name for path in folder.glob("*.png")} == {"losses.png", "mine.png"}
    other = '<a href="mine.png">a page of somebody else</a>'
    (folder / "index.html").write_text(other)
    written(dataclasses.replace(factory, metrics=()), tmp_path, figures=True)
    assert (folder / "mine.png").is_file()


def test_a_report_has_figures_only_where_they_are_asked_for(tmp_path: Path) -> None:
    factory = small(tmp_path, samples=digits, metrics=(FID,))
    folder = written(factory, tmp_path)
    assert not {path.suffix for path in folder.iterdir()} & {".png", ".svg", ".gif"}
    assert "](records.csv)" in (folder / "README.md").read_text()


@pytest.mark.usefixtures("sketched")
def test_the_readme_shows_the_answer_a_table_and_the_figures_that_were_drawn(full: Path, tmp_path: Path) -> None:
    text = (full / "README.md").read_text()
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    assert {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")} <= linked
    assert all((full / name).is_file() for name in linked)
    assert "- **Answer.** " in text
    assert text.count("by NFE\n") == 1
    factory = small(tmp_path, paths=("linear",), solvers=("euler",), nfe=(2,), seeds=(0,), metrics=(FID,))
    folder = written(factory, tmp_path, figures=True)
    written(factory, tmp_path)
    assert {path.suffix for path in folder.iterdir()} == {".html", ".csv", ".json", ".md", ".tex"}, "former"
    (folder / "README.md").write_text("![mine](mine.png)")
    (folder / "mine.png").write_text("mine")
    written(factory, tmp_path)
    assert (folder / "README.md").read_text() == "![mine](mine.png)"
    assert (folder / "mine.png").is_file()


@pytest.mark.usefixtures("sketched")
def test_missing_and_broken_sample_files_leave_a_gap(tmp_path: Path):
    factory = small(tmp_path, samples=digits, metrics=())
    records = factory.records()
    evaluations = list(records.evaluations)
    assert evaluations[1].samples
    assert evaluations[2].samples
    evaluations[1].samples.unlink()
    evaluations[2].samples.write_bytes(b"broken")
    folder = write_report(
        dataclasses.replace(records, evaluations=evaluations, real={}), tmp_path / "report", figures=True
    ).parent
    assert (folder / "samples_by_solver.png").exists()


@pytest.mark.usefixtures("no_vectors")
@pytest.mark.parametrize("shape", [(5,), (3, 40, 40), (2, 4, 4)])
def test_samples_of_other_shapes(shape: tuple[int, ...], tmp_path: Path):
    def draw(n: int) -> np.ndarray:
        return np.random.default_rng(0).uniform(-1, 1, (n, *shape)).astype(np.float32)

    folder = written(small(tmp_path, samples=draw, seeds=(0,), paths=("linear",), metrics=()), tmp_path, figures=True)
    assert (folder / "samples_by_solver.png").exists() == (shape[0] == 3)
    if shape[0] != 3:
        assert f"Samples of shape {shape} have no picture" in page(folder).text


def test_points_are_scattered(tmp_path: Path):
    one: dict[str, Any] = {"adaptive": ("dopri5",), "seeds": (0,), "paths": ("linear",), "metrics": ()}
    folder = written(small(tmp_path, samples=moons, **one), tmp_path, figures=True)
    assert (folder / "samples_by_solver.svg").stat().st_size < 400_000


@pytest.mark.usefixtures("sketched")
def test_many_combinations_are_drawn_in_part_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fmbench.report.figures.all_figures.MOST_PANELS", 2)
    many = tuple(spec("t_distribution", "beta", alpha=float(i)) for i in range(5))
    factory = small(tmp_path, paths=("linear",), t_distributions=many, seeds=(0,), solvers=("euler",), nfe=(1,))
    folder = written(factory, tmp_path, figures=True)
    assert "Figures show 2 of 5" in page(folder).text
    assert (folder / "table.md").read_text().count("| beta(alpha=") >= 5


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="must be writable"):
        write_report(small(tmp_path, seeds=(0,)).records(), tmp_path / "file" / "report")


def test_no_temporary_file_is_left(full: Path):
    assert not [path for path in full.iterdir() if path.name.startswith(".")]


def test_neither_torch_nor_mlflow_nor_pyplot_is_imported(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; "
        "from fmbench.results.records import Records; from fmbench.report import write_report; "
        f"write_report(Records('s', '', [], [], []), Path({str(tmp_path / 'r')!r})); "
        "assert not {'torch', 'mlflow', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_interval_is_students_t():
    found = interval([1.0, 2.0, 3.0, 4.0])
    # t(0.975, 3) = 3.182446, s = 1.290994
    assert found.mean == 2.5
    assert found.half == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-6)
    assert not interval([1.0]).known
    assert interval([]).n == 0


def test_interval_holds_the_mean_in_19_of_20_experiments():
    random = np.random.default_rng(0)
    hits = [abs(found.mean) <= found.half for found in (interval(random.normal(size=3)) for _ in range(4000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.011)


def test_differences_are_paired_by_seed():
    reference = {0: 100.0, 1: 110.0, 2: 120.0}
    found = difference({0: 94.5, 1: 104.4, 2: 114.6, 7: 1.0}, reference, "lower")
    assert found.verdict == "better"
    assert found.absolute.n == 3
    assert found.percent.mean == pytest.approx(-5.0)
    assert difference(reference, reference, "lower").verdict == "not distinguishable"
    assert difference({0: 101.0, 1: 111.0, 2: 121.01}, reference, "higher").verdict == "better"
    assert difference({0: 1.0}, reference, "lower").verdict == "cannot tell"
    assert difference({}, reference, "lower").absolute.n == 0


def test_a_report_as_data_is_json_and_says_what_the_report_says(tmp_path: Path) -> None:
    records = small(tmp_path, change=no_values, failed=lambda c: "oom" if c.seed == 2 else "ok").records()
    found = json.loads(json.dumps(report_as_data(records), allow_nan=False))
    assert [row["key"] for row in found["records"]] == [r.cell.key for r in records.evaluations]
    assert found["records"][0]["fid_digits"] is None
    titles = [table["title"] for table in found["tables"]]
    headings = re.findall(r"^## (.*)", (write_report(records, tmp_path / "r").parent / "table.md").read_text(), re.M)
    assert [title.replace("_", r"\_").replace("[", r"\[").replace("]", r"\]") for title in titles] == headings
    assert found["answer"][0]["about"] == "Answer"
    assert sum(group["cells"] for group in found["failures"]) == 2
