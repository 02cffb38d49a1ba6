"""Kills (-9), for real: a suite is killed at random moments and started again, and ends as if nobody had touched it.

    python tests/benchmarks/kills.py                     # 50 kills, about 10 minutes on 2 cores
    python tests/benchmarks/kills.py --again --kills 10 --seed 7

The suite has trainings in fleets that save checkpoints, solvers, times of samplers, and MLflow in a sqlite file. The
driver, one of its workers, or all of them are killed: in any stage, from its first imports to the report. After each
kill of the driver the suite is started again; when it has ended, what is left is compared with an undisturbed run:

- records.csv, but for times: equal, to the last digit; weights and metrics in the store: the same bytes
- MLflow: the same runs, each once and finished, with the same artifacts, and no folder of a run that is not there
- no worker is left running
- what a kill cost: since the newest checkpoint of a training, or since it began, at most one checkpoint interval

Results are added to a file as they come: an interrupted run goes on, and more kills are added to those that are there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "reports" / "kills" / "results.json"
SUITE = """\
name: kills
datasets: [{{moons: {{size: 500}}}}]
training:
  paths: [linear, cosine]
  networks: [{{mlp: {{width: 33, depth: 2}}}}]  # whose last digits depend on who trains together
  seeds: [0, 1, 2]
  steps: {steps}
  batch_size: 50
  optimizer: {{adam: {{lr: 1.0e-3}}}}
  ema: 0.99
evaluation:
  solvers: [euler, heun]
  nfe: [2, 4]
  samples: 600
  metrics: [sliced_wasserstein, validation_loss, train_seconds, {{sample_ms: {{batch: 16, repeats: 3, warmup: 0}}}}]
resources: {{cpu: 1}}
"""
TIMES = ("train_seconds", "sample_ms")
WHO = ("driver", "driver", "worker", "all")
STAGES = (
    "start",
    "preparing",
    "training",
    "training",
    "training",
    "evaluation",
    "evaluation",
    "timing",
    "logging",
    "report",
)
"""In which stage a kill comes: each equally often as it stands here."""
MOST_KILLS = 6
"""Kills of one run, which ends undisturbed after them."""
UNIQUE = re.compile(r"timestamp\+\d+\+[0-9a-f-]{36}")
"""What MLflow puts into the names of images: a time, and digits that nobody draws again."""
BY_TIME = "score_by_time"
"""The figure that is there where times are steady."""
PATIENCE = 600.0


@dataclass
class Kill:
    """What was killed, in which stage, and the seconds of training that it cost at most, over all cells."""

    who: str
    stage: str
    seconds: float
    lost: float


@dataclass
class Driver:
    """A run of the suite in a process, which says line by line how it gets on."""

    folder: Path
    interval: float
    process: subprocess.Popen[str] = field(init=False)
    began: float = field(init=False)
    reader: threading.Thread = field(init=False)
    lines: queue.Queue[str] = field(default_factory=queue.Queue)
    stage: str = "start"
    training_since: float = 0.0

    def __post_init__(self) -> None:
        """Start it."""
        self.began = time.time()
        with (self.folder / "stderr.txt").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--drive", str(self.folder), "--interval", str(self.interval)],
                stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
                env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db"},
            )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self.lines.put(line.strip())
        self.lines.put("")

    def until(self, stage: str) -> bool:
        """Wait until a stage begins; return whether it did, and the process is still there."""
        until = time.monotonic() + PATIENCE
        while self.stage != stage:
            line = self.lines.get(timeout=max(0.1, until - time.monotonic()))
            if not line:
                return False
            self.stage = line
            if line == "training":
                self.training_since = time.time()
        return True

    def workers(self) -> list[psutil.Process]:
        """Return its workers."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if "fmbench.executors.worker" in " ".join(_words(child))]

    def kill(self, who: str) -> None:
        """Kill the driver, one worker, or all of them."""
        workers = self.workers()
        for victim in [] if who == "driver" else workers[:1] if who == "worker" else workers:
            victim.kill()
        if who != "worker":
            self.process.kill()
            self.process.wait()


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def drive(folder: Path, interval: float) -> None:
    """Run the suite in this process, and say which stage begins."""
    from fmbench.runner.progress import Silent
    from fmbench.runner.run import run
    from fmbench.runner.session import Options

    class Says(Silent):
        evaluates = False

        def say(self, text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        def begin(self, stage: str, total: int, done: int = 0) -> None:
            if stage != "evaluation":  # which begins together with the training
                print(stage, flush=True)

        def advance(self, stage: str, amount: int = 1) -> None:
            if stage == "evaluation" and not self.evaluates:
                self.evaluates = True
                print(stage, flush=True)

        def end(self, stage: str) -> None:
            if stage == "timing":
                print("report", flush=True)

    places = {"home": folder / "store", "reports": folder / "reports"}
    run(folder / "kills.yaml", Options(checkpoint_seconds=interval, **places), Says())


def lost_seconds(driver: Driver, store: Path, now: float) -> float:
    """Return the seconds of training since its newest checkpoint, or its beginning, of the cell that loses most."""
    lost = 0.0
    for folder in (store / "training").glob("*"):
        if (folder / "result.json").exists() or not (folder / "cell.json").exists():
            continue
        saved = [file.stat().st_mtime for file in folder.glob("checkpoint-*.pt")]
        lost = max(lost, now - max([*saved, driver.training_since, (folder / "cell.json").stat().st_mtime]))
    return lost


def run_to_the_end(
    folder: Path, interval: float, kills: int, draw: random.Random, lengths: Mapping[str, float]
) -> list[Kill]:
    """Run the suite in a folder, and kill it up to so many times; return the kills. Raises SystemExit when it fails."""
    done: list[Kill] = []
    seen: set[int] = set()
    while True:
        driver = Driver(folder, interval)
        weak = True  # a fleet that is killed twice in one run is tried cell by cell, for it may be to blame
        while len(done) < kills:
            stage, who = draw.choice(STAGES), draw.choice(WHO)
            if stage != driver.stage and not driver.until(stage):
                break
            time.sleep(draw.uniform(0, 1.2 * lengths.get(stage, 1.0) + 0.05))
            seen |= {worker.pid for worker in driver.workers()}
            if who == "worker" and not (weak and driver.workers()):
                who = "driver"
            if driver.process.poll() is not None:
                break
            now = time.time()
            lost = lost_seconds(driver, folder / "store", now) if driver.stage == "training" else 0.0
            driver.kill(who)
            done.append(Kill(who, driver.stage, now - driver.began, lost))
            if who != "worker":
                break
            weak = False
        driver.process.wait(PATIENCE)
        driver.reader.join()
        if driver.process.returncode == 0:
            break
        if driver.process.returncode != -signal.SIGKILL:
            raise SystemExit(f"the run ended with {driver.process.returncode}:\n{(folder / 'stderr.txt').read_text()}")
    time.sleep(1.0)
    if alive := [
        pid for pid in seen if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]:
        raise SystemExit(f"workers are left running: {alive}")
    return done


def scores(folder: Path) -> dict[str, Any]:
    """Return what must be the same in two runs: rows of records.csv without times, and what the store holds."""
    with (folder / "reports" / "kills" / "records.csv").open(newline="") as file:
        rows = [{n: v for n, v in row.items() if not n.startswith(TIMES)} for row in csv.DictReader(file)]
    found: dict[str, Any] = {f"row {row['key']}": row for row in rows}
    for path in sorted((folder / "store").glob("training/*/weights.safetensors")):
        found[f"weights {path.parent.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted((folder / "store").glob("evaluation/*/samples.safetensors")):
        found[f"samples {path.parent.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    left = [*(folder / "store").glob("training/*/checkpoint-*"), *(folder / "store").glob("*/*/failure.json")]
    return {**found, "left behind": sorted(str(path.relative_to(folder)) for path in left)}


def logged(folder: Path) -> dict[str, Any]:
    """Return what MLflow holds: the runs by cell with status, names of metrics but times (a training that went on for a
    few steps has no pace) and files, and folders of no run.
    """
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = client.search_experiments()
    runs = [run for each in experiments for run in client.search_runs([each.experiment_id], max_results=5000)]
    found: dict[str, Any] = {}
    places = set()
    for run in runs:
        place = Path(run.info.artifact_uri.removeprefix("file://"))
        places.add(place)
        paths = [path for path in place.rglob("*") if path.is_file() and path.stem != BY_TIME]
        files = sorted(UNIQUE.sub("", str(path.relative_to(place))) for path in paths)
        tags = {name: run.data.tags.get(f"fmbench.{name}", "") for name in ("kind", "superseded")}
        told = {
            "status": run.info.status,
            "metrics": sorted(n for n in run.data.metrics if not n.startswith(TIMES)),
            "files": files,
            **tags,
        }
        found.setdefault(run.data.tags.get("fmbench.cell", run.info.run_name), []).append(told)
    roots = {place.parents[1] if place.name == "artifacts" else place.parent for place in places}
    orphans = [
        str(path)
        for root in roots
        for path in root.glob("*")
        if path.is_dir() and not any(place == path or path in place.parents for place in places)
    ]
    return {**found, "orphans": orphans}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say in what two results differ."""
    return [f"{n}: {one.get(n)} and {other.get(n)}" for n in sorted({*one, *other}) if one.get(n) != other.get(n)]


def prepared(folder: Path, steps: int) -> Path:
    """Return a new folder with the suite in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "kills.yaml").write_text(SUITE.format(steps=steps))
    return folder


def undisturbed(folder: Path, interval: float) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Run the suite with no kill; return scores, what MLflow holds, and how long each stage took."""
    driver, began = Driver(folder, interval), {"start": time.time()}
    while line := driver.lines.get(timeout=PATIENCE):
        began.setdefault(line, time.time())
    driver.reader.join()
    if driver.process.wait(PATIENCE):
        raise SystemExit((folder / "stderr.txt").read_text())
    moments = [*sorted(began.items(), key=lambda each: each[1]), ("", time.time())]
    lengths = {name: later - since for (name, since), (_, later) in pairwise(moments)}
    return scores(folder), logged(folder), lengths


def measure(work: Path, results: dict[str, Any], kills: int, keep: Callable[[], None]) -> None:
    """Kill so often that there are so many results, and note what was wrong after it; `keep` keeps them."""
    steps, interval = results["steps"], results["interval"]
    expected, runs, lengths = undisturbed(prepared(work / "undisturbed", steps), interval)
    print(f"undisturbed: {sum(lengths.values()):.0f} s, {_shown(lengths)}", flush=True)
    while len(results["kills"]) < kills:
        draw = random.Random(f"{results['seed']} {results['runs']}")
        folder = prepared(work / f"run-{results['runs']}", steps)
        most = min(draw.randint(1, MOST_KILLS), kills - len(results["kills"]))
        done = run_to_the_end(folder, interval, most, draw, lengths)
        wrong = [*differences(expected, scores(folder)), *differences(runs, logged(folder))]
        results["kills"] += [vars(kill) for kill in done]
        results["wrong"] += wrong
        results["runs"] += 1
        said = ", ".join(f"{kill.who} in {kill.stage}" for kill in done)
        print(f"{len(results['kills'])}/{kills} run {results['runs']}: {said}: {len(wrong)} differences", flush=True)
        for line in wrong[:5]:
            print(f"  {line[:400]}", flush=True)
        if not wrong:
            shutil.rmtree(folder)
        keep()


def _shown(lengths: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in lengths.items())


def table(results: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    kills, wrong = results["kills"], results["wrong"]
    cells = Counter((kill["stage"], kill["who"]) for kill in kills)
    lost = [kill["lost"] for kill in kills if kill["lost"]]
    lines = [
        "# Kills",
        "",
        f"`python tests/benchmarks/kills.py --kills {len(kills)} --seed {results['seed']}`: {len(kills)} kills (-9) in",
        f"{results['runs']} runs of a suite: 6 trainings of {results['steps']} steps, 24 evaluations, MLflow.",
        "After each kill the suite is started again. What is left of each run is compared with an undisturbed one:",
        "every score of records.csv to the last digit, weights and samples byte by byte, and the runs of MLflow with",
        "their files.",
        "",
        f"{len(wrong)} differences. A kill that came while trainings ran cost {max(lost, default=0.0):.2f} s of",
        f"training at most, {sum(lost) / max(1, len(lost)):.2f} s in the mean; checkpoints were saved about every",
        f"{results['interval']:g} s.",
        "",
        "| stage | driver | a worker | driver and workers |",
        "|---|---|---|---|",
    ]
    for stage in dict.fromkeys(STAGES):
        lines.append(f"| {stage} | {' | '.join(str(cells[stage, who]) for who in ('driver', 'worker', 'all'))} |")
    return "\n".join([*lines, *(["", *(f"- {text}" for text in wrong[:20])] if wrong else [])]) + "\n"


def main() -> None:
    """Kill as often as is asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between checkpoints")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fmbench-kills")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="begin anew, and forget the results so far")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.drive, options.interval)
        return
    results = {"kills": [], "runs": 0, "wrong": []}
    results |= {name: getattr(options, name) for name in ("seed", "interval", "steps")}
    if options.results.exists() and not options.again:
        results = json.loads(options.results.read_text())

    def keep() -> None:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
        (options.results.parent / "README.md").write_text(table(results))

    measure(options.work.resolve(), results, options.kills, keep)
    print(table(results))
    raise SystemExit(bool(results["wrong"]))


if __name__ == "__main__":
    main()
