"""How long does a plan of a million evaluation cells take, and how much memory?

1,000 trainings (5 paths x 5 t-distributions x 40 seeds) times 1,000 ways of sampling (5 solvers x 2 grids x 50 NFE x
2 kinds of weights), on a known mixture, so that 100,000 oracles stand beside them. It is planned from Python, and by
`fmbench plan`: with an empty store, with one that holds 20 trainings and 2,000 evaluations of it, and with every cell
as JSON.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.children import Spent, fmbench, rows, spend
from benchmarks.measuring import Options, Row, main

TARGETS = {"wall": 10.0, "memory": 1000.0}
SUITE = f"""
name: million
datasets: [gaussian_mixture]
training:
  paths: [linear, cosine, vp, {{polynomial: {{n: 3}}}}, lipman]
  t_distributions: [uniform, u_shaped, {{beta: {{alpha: 0.5, beta: 0.5}}}}, logit_normal, mode]
  networks: [{{mlp: {{width: 16, depth: 1}}}}]
  seeds: {list(range(40))}
  steps: 100
evaluation:
  solvers: [euler, heun, midpoint, ab2, rk4]
  grids: [uniform, cosine]
  nfe: {list(range(8, 401, 8))}
  weights: [ema, raw]
  samples: 500
  metrics: [sliced_wasserstein, validation_loss, sample_ms]
"""
LIBRARY = """
from fmbench import load_suite, make_plan
from fmbench.plugins.registry import load_registry
plan = make_plan(load_suite("million.yaml"), load_registry())
assert len(plan.evaluations) == sum(1 for _ in plan.evaluations.keys()) == 10**6
"""
TRAININGS, EVALUATIONS = 20, 100


def measure(options: Options) -> list[Row]:
    """Return seconds and peak memory of each way to plan."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "million.yaml").write_text(SUITE)
        fill(place / "million.yaml", place / "some")
        commands = {
            "a million evaluations, make_plan and all keys, from Python": [sys.executable, "-c", LIBRARY],
            "a million evaluations, fmbench plan, an empty store": fmbench("plan", "million.yaml", "--home", "none"),
            "a million evaluations, fmbench plan, a store with some": fmbench("plan", "million.yaml", "--home", "some"),
            "a million evaluations, fmbench plan --json, a store with some": fmbench(
                "plan", "million.yaml", "--home", "some", "--json"
            ),
        }
        found: dict[str, list[Spent]] = {name: [] for name in commands}
        for _ in range(options.repeats(3)):
            for name, command in commands.items():
                found[name].append(spend(command, place))
    return [row for name, each in found.items() for row in rows(name, each, TARGETS)]


def fill(suite: Path, home: Path) -> None:
    """Write finished trainings and evaluations of a suite into a store."""
    from fmbench.runner.session import Options, open_session
    from fmbench.store.cell_folder import CellFolder

    session = open_session(suite, Options(home=home))
    entries = {
        metric.digest: {"name": metric.name, "values": {metric.name: 1.0}, "identity": {}, "seconds": 0.1}
        for metric in session.plan.metrics
    }

    def finish(folder: CellFolder, **files: bytes) -> None:
        folder.add_metrics(entries)
        for name, payload in files.items():
            folder.write(name, payload)
        folder.finish({"facts": {"seconds": 1.0}}, tuple(files))

    synchronise, os.fsync = os.fsync, lambda _: None  # thousands of files that nobody needs after a power cut
    try:
        for training, samplings in islice(session.plan.evaluations.groups, TRAININGS):
            trained = {"weights.safetensors": b"", "history.json": b"[]"}
            finish(session.store.folder("training", training.key), **trained)
            for sampling in islice(samplings, EVALUATIONS):
                finish(session.store.folder("evaluation", sampling.of(training).key))
    finally:
        os.fsync = synchronise


if __name__ == "__main__":
    main(measure, __doc__)
