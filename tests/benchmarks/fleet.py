"""How much faster are 32 small trainings through fmbench than as 32 plain loops?

A plain loop is what tutorials print: one module, Adam, a batch drawn at random, `zero_grad`, `backward`, `step`; no
harness, no moving average, nothing recorded. fmbench trains 4 paths x 2 t-distributions x 4 seeds of the same MLP
2-64-64-2 at batch 128 on moons, from the cells to their weights in a store, with moving average and loss curves.

1. In one process with one thread on either side: `train` as it is, against the mean of a few loops.
2. As a user has it: `fmbench run` with its own choice of processes against one script that trains the 32 models one
   after the other with torch's default threads. Once for the steps alone (imports, probe and everything after the last
   step are left out on both sides), and once for the wall time of the whole program from start to end: there fmbench
   also probes, evaluates each model once, logs to MLflow and writes its report, and the script saves its weights.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.measuring import Options, Pair, Row, alternate, at_least, attempt, faster, main, threads
from benchmarks.processes import fmbench_run, script
from benchmarks.training import (
    MEMBERS,
    PATHS,
    SEEDS,
    T_DISTRIBUTIONS,
    cells_of,
    fmbench_step,
    moons,
    plain_step,
    tutorial_loss,
    tutorial_mlp,
)
from fmbench.plugins.registry import load_registry

BATCH, WIDTH, DEPTH = 128, 64, 2
LOOPS = 3
"""Plain loops a repeat, whose mean stands for all 32."""
EXPECTED = at_least(10)
SUITE = """\
name: fleet
datasets: [{{moons: {{size: 500}}}}]
training:
  paths: [{paths}]
  t_distributions: [{t_distributions}]
  networks: [{{mlp: {{width: 64, depth: 2}}}}]
  seeds: [{seeds}]
  steps: {steps}
  batch_size: 128
  optimizer: {{adam: {{lr: 1.0e-3}}}}
  ema: 0.9
evaluation:
  solvers: [euler]
  nfe: [1]
  samples: 64
  metrics: [train_seconds]
"""


def measure(options: Options) -> list[Row]:
    """Measure both comparisons."""
    rows = attempt("32 MLPs, one process, one thread", lambda: in_one_process(options))
    if options.device == "cpu":
        rows += attempt("32 MLPs, fmbench run", lambda: as_programs(options))
    return rows


def in_one_process(options: Options) -> Row:
    """Compare a step of the fleet with steps of the plain loop."""
    registry = load_registry()
    steps = options.at_most(400, 60)
    cells = cells_of(registry, steps, BATCH, ("mlp", {"width": WIDTH, "depth": DEPTH}))
    data = moons(registry, options.device)

    def loop() -> float:
        model = tutorial_mlp(WIDTH, DEPTH).to(options.device)
        return plain_step(model, data, steps, BATCH, tutorial_loss)

    with threads(1):
        pairs = alternate(
            lambda: fmbench_step(cells, registry, options.device),
            lambda: statistics.mean(loop() for _ in range(LOOPS)),
            options.repeats(5),
        )
    return faster(
        "32 MLPs, one process, one thread",
        f"fmbench's train, a fleet of {MEMBERS}",
        "the tutorial's loop",
        pairs,
        EXPECTED,
        scale=1e6,
        times_unit="us a step and model",
        note=f"MLP 2-64-64-2, batch {BATCH}; steps alone, {steps} of them; the loop is the mean of {LOOPS}.",
    )


def as_programs(options: Options) -> list[Row]:
    """Compare `fmbench run` with one script, for the steps and as a whole."""
    steps = options.at_most(1200, 100)
    suite = SUITE.format(
        paths=", ".join(PATHS), t_distributions=", ".join(T_DISTRIBUTIONS), seeds=", ".join(map(str, range(SEEDS))),
        steps=steps,
    )  # fmt: skip
    of_steps: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fleet.yaml").write_text(suite)
        in_steps: dict[str, float] = {}

        def ours() -> float:
            done = fmbench_run(folder / "fleet.yaml", folder / f"home{len(of_steps)}", options.device)
            in_steps["ours"] = done.said["step"]
            return done.seconds

        def peer() -> float:
            done = script("mlp_loops.py", str(MEMBERS), str(steps), folder=folder)
            in_steps["peer"] = statistics.mean(done.said) / steps
            return done.seconds

        whole = []
        for repeat in range(options.repeats(2)):
            first, second = (ours, peer) if repeat % 2 else (peer, ours)
            taken = {first: first(), second: second()}
            whole.append(Pair(taken[ours], taken[peer]))
            of_steps.append((in_steps["ours"], in_steps["peer"]))
    return [
        faster(
            "32 MLPs, fmbench run, steps alone",
            "fmbench run with its own choice of processes and threads",
            "one script, 32 loops one after the other, torch's default threads",
            [Pair(*each) for each in of_steps],
            EXPECTED,
            scale=1e6,
            times_unit="us a step and model",
            note=f"{steps} steps; imports, probe and all that follows the last step are left out on both sides.",
        ),
        faster(
            "32 MLPs, fmbench run, from start to end",
            "fmbench run: imports, plan, probe, training, an evaluation of each, MLflow, report",
            "the same script: imports, training, weights saved",
            whole,
            note=f"{steps} steps; the longer the trainings, the nearer this comes to the row above. No warm-up run: "
            "a program's start is part of it.",
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
