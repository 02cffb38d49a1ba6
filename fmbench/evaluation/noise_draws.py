"""Further draws of a cell's samples: how much of a score is the luck of the noise that its samples were made of."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.contracts import Evidence
from fmbench.evaluation.metrics import compute_metrics
from fmbench.evaluation.sampling import CountedVelocity, check_finite, draw_samples, larger_batch, what_samples
from fmbench.model.trained_model import NOISE_BLOCK, Trained

OF_SAMPLES = "samples_only"
"""What a metric provides whose score is of samples and labels alone."""
SPREAD = "_noise_sd"
"""How the standard deviation of a score over draws is called, after the score."""


def add_noise_spread(
    computed: Mapping[str, dict[str, Any]],
    specs: Sequence[ComponentSpec],
    trained: Trained,
    cell: EvaluationCell,
    evidence: Evidence,
    velocity: CountedVelocity,
) -> dict[str, dict[str, Any]]:
    """Return what was computed of a cell's samples, with the standard deviation of scores over draws of them.

    Each draw has as many samples, made of the source samples that come after those of the draw before, by the same
    network and solver: the deviation is what another seed of the noise alone would do to the score. Where a metric
    fails for a draw, that is what became of it. Raises Diverged when a sample is not finite.
    """
    found, draws = dict(computed), int(cell.settings.values.get("noise_draws", 1))
    known = [spec for spec in specs if found.get(spec.digest, {}).get("values")]
    judged = [spec for spec in known if OF_SAMPLES in trained.context.build(spec).provides]
    scores = {spec.digest: [found[spec.digest]["values"][spec.name]] for spec in judged}
    for number in range(1, draws if judged else 1):
        again = compute_metrics(
            judged, trained.cell, _drawn(number, trained, cell, evidence, velocity), trained.context
        )
        for spec in [spec for spec in judged if spec.digest in again]:
            entry = again[spec.digest]
            seconds = found[spec.digest]["seconds"] + entry["seconds"]
            if entry["values"]:
                scores[spec.digest].append(entry["values"][spec.name])
            elif "error" in entry:
                found[spec.digest] = entry
                judged.remove(spec)
            found[spec.digest] = {**found[spec.digest], "seconds": seconds}
    for spec in judged:
        if len(scores[spec.digest]) > 1:
            values = {**found[spec.digest]["values"], spec.name + SPREAD: statistics.stdev(scores[spec.digest])}
            found[spec.digest] = {**found[spec.digest], "values": values}
    return found


def _drawn(
    number: int, trained: Trained, cell: EvaluationCell, evidence: Evidence, velocity: CountedVelocity
) -> Evidence:
    """Return the evidence of a further draw: all that metrics of samples alone look at."""
    blocks = -(-int(cell.settings["samples"]) // NOISE_BLOCK)
    start = number * blocks * NOISE_BLOCK
    with trained.context.unchanged(what_samples(cell), cell.solver):
        drawn = draw_samples(trained, cell, velocity, larger_batch(trained, cell), start)
    check_finite(drawn.samples)
    return replace(evidence, samples=drawn.samples, labels=drawn.labels, source=None, solve=None)
