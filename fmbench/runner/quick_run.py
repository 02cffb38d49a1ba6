"""`--quick`: a suite with its budget cut, to see that it runs; its numbers are of no use beside those of the suite.

It is another suite, with a name, a report's folder and an experiment of its own, and its cells have other settings and
so other keys: nothing of it is ever taken for a result of the suite.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from fmbench.suite import Suite
from fmbench.suite.weights import END

STEPS, SAMPLES = 50, 200
"""What is left of a training, and of an evaluation."""
SUFFIX = "-quick"
LONGEST = 100


@dataclass(frozen=True)
class QuickRun:
    """What is changed of a suite, as `--set` and `--filter` write it, and how that is said."""

    overrides: tuple[str, ...]
    filters: tuple[str, ...]
    said: str


def quick_run(suite: Suite) -> QuickRun:
    """Return how a suite's budget is cut: one seed, at most STEPS optimizer steps and SAMPLES samples."""
    samples = min(suite.evaluation.samples, SAMPLES)
    cut, said = {"evaluation.samples": json.dumps(samples)}, [f"{samples} samples"]
    seeds = []
    if suite.trains:
        training = suite.training
        steps = min(*training.steps, STEPS)
        seeds.append(training.seeds[0])
        cut["training.steps"], said = str(steps), [f"{steps} steps", *said]
        if any(each.warmup >= steps for each in training.schedule):
            cut["training.schedule"] = json.dumps([{each.name: {}} for each in training.schedule])
        if suite.evaluation.at_steps != (END,):
            cut["evaluation.at_steps"] = json.dumps([END])
    if suite.models:
        seeds += suite.model_seeds[:1]
    if suite.evaluation.noise_draws > 1:
        cut["evaluation.noise_draws"] = "1"
    filters = (f"seed={','.join(map(str, dict.fromkeys(seeds)))}",) if seeds else ()
    said += ["one seed"] * bool(seeds)
    why = f"Quick run, not comparable: {', '.join(said)}"
    cut["name"] = suite.name[: LONGEST - len(SUFFIX)] + SUFFIX
    cut["description"] = json.dumps(f"{why}. {suite.description}".strip())
    return QuickRun(tuple(f"{key}={value}" for key, value in cut.items()), filters, why)
