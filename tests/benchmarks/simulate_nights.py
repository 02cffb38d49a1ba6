"""Simulated nights: how often does `fmbench check` call an unchanged night a regression, and how often a fault?

    python tests/benchmarks/simulate_nights.py [--nights 1000] [--faulty 200] [--records FILE]

Nights have the structure and the spread between seeds of a real suite's records. A new seed of a training is a random
combination of the residuals of the training's measured seeds: log values = log means + sum_s w_s r_s / sqrt(n - 1)
with standard normal w, which has the measured covariance between all of the training's evaluations and metrics. The
baseline and the night are drawn anew, seeds and all: the worst that a harmless change can do, where every training
comes out differently. Four kinds of unchanged nights:

- "trainings": each training has its own w, as where floating point sums differ;
- "seeds": all trainings of a seed share w, so that a seed's good luck is wholly that of the whole suite, as where other
  random numbers are drawn: the worst case for `variance.SHARED`, which takes a part of it for shared;
- "half": as "trainings", but only of one path; the rest is the same bit for bit;
- "solver": all trainings are the same bit for bit, and so is what is drawn from them, but for one solver whose own
  luck (what the residuals of its evaluations have beyond their training's mean) is drawn anew, for a whole seed.

Faults are planted in nights of the first kind, with the size that each had when it was planted in the code (see
FAULTS). A fault counts as caught when the exit code is 1; it counts as named when the first culprit, or for cells an
event, is about the planted component.

Measured (400 unchanged nights of each kind, 60 of each fault): alarms on 1.8% of "trainings", 3.0% of "seeds", 1.2% of
"half", 0.2% of "solver"; every fault caught on 60 of 60 nights, and named on 97% to 100%. Smaller faults are
not: the quantile u^2 in place of sin(pi u / 2)^2, which moved FID by 4 to 7% and the validation loss by 4%, was caught
on 17 of 60 nights. Wall times, and how they are disturbed, are assumed (TIME_NOISE and its neighbours).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.regression import CellValues, Outcome, Snapshot, check
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, SeededGroup

RECORDS = Path(__file__).parents[2] / "docs" / "showcases" / "low_nfe" / "records.csv"
KINDS = ("trainings", "seeds", "half", "solver")
QUALITY = {"fid_digits": "evaluation", "kid_digits": "evaluation", "validation_loss": "training"}
TIME = MetricFacts("sample_ms_relative", "", "calibrations", "sampler", "sample_ms")
TIME_IQR = dataclasses.replace(TIME, name="sample_ms_relative_iqr")
FACTS = {name: MetricFacts(name, "lower", "", scope, name) for name, scope in QUALITY.items()}
FACTS |= {facts.name: facts for facts in (TIME, TIME_IQR)}
MADE = {"environment": {"hardware": "simulated"}}

TIME_NOISE, TIME_DRIFT, DISTURBED, DISTURBANCE = 0.05, 0.05, 0.05, 0.3
"""Standard deviation of a sampler's log time ratio, and of a whole night's; the chance that a measurement is disturbed,
and its standard deviation then, which its repeats show."""


@dataclass
class Design:
    """What is simulated: log means `(cells,)` and log residuals `(seeds, cells)` of every metric, cell by cell."""

    places: dict[str, list[CellGroup]]
    means: dict[str, np.ndarray]
    residuals: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path, solvers: tuple[str, ...] = ()) -> Design:
        """Fit the design to a records.csv; to some of its solvers where they are named."""
        frame = pd.read_csv(path, keep_default_na=False).rename(columns={"nfe": "measured", "nfe_budget": "nfe"})
        frame = frame if "weights" in frame else frame.assign(weights="ema")
        frame = frame.assign(**{axis: "" for axis in SETTING_AXES if axis not in frame})
        frame = frame[frame["solver"].isin(solvers or frame["solver"])].copy()
        frame["guidance"] = [f"{float(value):g}" for value in frame["guidance"]]
        places, means, residuals = {}, {}, {}
        for metric, scope in QUALITY.items():
            axes = list(AXES[scope])
            table = frame.groupby([*axes, "seed"])[metric].first().astype(float).map(math.log).unstack("seed")
            places[metric] = [tuple(map(str, index)) for index in table.index]
            means[metric] = table.mean(axis=1).to_numpy()
            residuals[metric] = table.to_numpy().T - means[metric]
        return cls(places, means, residuals)

    @property
    def samplers(self) -> list[CellGroup]:
        """The samplers whose time is measured: evaluations of the first training."""
        groups = self.places["fid_digits"]
        return [group for group in groups if group[: len(TRAINING_AXES)] == groups[0][: len(TRAINING_AXES)]]


class Nights:
    """Draws nights of a design."""

    def __init__(self, design: Design, seed: int, seeds: int = 3) -> None:
        self.design, self.seeds = design, range(seeds)
        self.random = np.random.default_rng(seed)

    def night(self, shared: float = 0.0, slower: float = 1.0) -> Snapshot:
        """Return one night with everything drawn anew; `shared`: the part of the variance that is a whole seed's."""
        rows: dict[str, dict[SeededGroup, dict[str, float]]] = {"training": {}, "evaluation": {}}
        for seed in self.seeds:
            luck: dict[CellGroup, np.ndarray] = {}
            common = self._luck()
            for metric, groups in self.design.places.items():
                residuals = self.design.residuals[metric]
                for i, group in enumerate(groups):
                    training = group[: len(TRAINING_AXES)]
                    if training not in luck:
                        luck[training] = math.sqrt(shared) * common + math.sqrt(1 - shared) * self._luck()
                    moved = float(luck[training] @ residuals[:, i]) / math.sqrt(len(residuals) - 1)
                    value = math.exp(self.design.means[metric][i] + moved)
                    rows[QUALITY[metric]].setdefault((group, seed), {})[metric] = value
        self._times(rows["evaluation"], slower)
        made = {section: {p: CellValues("ok", values=v) for p, v in found.items()} for section, found in rows.items()}
        return Snapshot("simulated", FACTS, made["training"], made["evaluation"], made=MADE)

    def _luck(self) -> np.ndarray:
        return self.random.standard_normal(len(self.design.residuals["fid_digits"]))

    def _times(self, rows: dict[SeededGroup, dict[str, float]], slower: float) -> None:
        drift = self.random.normal(0, TIME_DRIFT) + math.log(slower)
        times = {}
        for group in self.design.samplers:
            noise = DISTURBANCE if self.random.random() < DISTURBED else TIME_NOISE
            ratio = math.exp(drift + self.random.normal(0, noise))
            times[group[len(TRAINING_AXES) :]] = {TIME.name: ratio, TIME_IQR.name: 1.35 * noise * ratio}
        for (group, _), values in rows.items():
            values |= times[group[len(TRAINING_AXES) :]]

    def one_solver(self, night: Snapshot, solver: str) -> Snapshot:
        """Return the night with one solver's evaluations drawn anew."""
        found = dict(night.evaluations)
        at = AXES["evaluation"].index("solver")
        for seed in self.seeds:
            luck = self._luck()
            for metric in ("fid_digits", "kid_digits"):
                own = self._own(metric)
                for i, group in enumerate(self.design.places[metric]):
                    if group[at] == solver:
                        row = found[group, seed]
                        factor = math.exp(float(luck @ own[:, i]) / math.sqrt(len(own) - 1))
                        values = {**row.values, metric: row.values[metric] * factor}
                        found[group, seed] = dataclasses.replace(row, values=values)
        return dataclasses.replace(night, evaluations=found)

    def _own(self, metric: str) -> np.ndarray:
        """Return the residuals less the mean of their training's."""
        residuals, groups = self.design.residuals[metric].copy(), self.design.places[metric]
        trainings = [group[: len(TRAINING_AXES)] for group in groups]
        for training in set(trainings):
            chosen = [i for i, each in enumerate(trainings) if each == training]
            residuals[:, chosen] -= residuals[:, chosen].mean(axis=1, keepdims=True)
        return residuals


def changed(night: Snapshot, factor: Callable[[Mapping[str, str], str], float]) -> Snapshot:
    """Return a night whose values are multiplied by a factor of their axes and their metric."""

    def rows(section: str, found: Mapping[SeededGroup, CellValues]) -> dict[SeededGroup, CellValues]:
        return {
            (group, seed): dataclasses.replace(
                row,
                values={
                    name: value * factor(dict(zip(AXES[section], group, strict=True)), name)
                    for name, value in row.values.items()
                },
            )
            for (group, seed), row in found.items()
        }

    return dataclasses.replace(
        night, trainings=rows("training", night.trainings), evaluations=rows("evaluation", night.evaluations)
    )


def half(baseline: Snapshot, night: Snapshot, path: str) -> Snapshot:
    """Return the baseline with the trainings of one path from another night."""

    def rows(
        then: Mapping[SeededGroup, CellValues], now: Mapping[SeededGroup, CellValues]
    ) -> dict[SeededGroup, CellValues]:
        return {place: now[place] if place[0][1] == path else row for place, row in then.items()}

    return dataclasses.replace(
        baseline,
        trainings=rows(baseline.trainings, night.trainings),
        evaluations=rows(baseline.evaluations, night.evaluations),
    )


@dataclass(frozen=True)
class Fault:
    """What is planted. `plant` changes a night; `named` tells whether an outcome names it."""

    name: str
    size: str
    plant: Callable[[Snapshot, np.random.Generator], Snapshot]
    named: Callable[[Outcome], bool]
    slower: float = 1.0


def factors(axis: str, label: str, by_nfe: Mapping[str, Mapping[str, float]]) -> Callable[..., Snapshot]:
    """Return what multiplies a metric where an axis has a label, by NFE ("" for trainings); no axis: everywhere."""

    def factor(axes: Mapping[str, str], metric: str) -> float:
        sizes = by_nfe.get(metric, {})
        return sizes.get(axes.get("nfe", ""), 1.0) if not axis or axes.get(axis) == label else 1.0

    return lambda night, random: changed(night, factor)


def one_cell(change: Callable[[CellValues], CellValues | None]) -> Callable[[Snapshot, np.random.Generator], Snapshot]:
    """Return what changes one evaluation of one seed; None takes it away."""

    def plant(night: Snapshot, random: np.random.Generator) -> Snapshot:
        places = list(night.evaluations)
        chosen = places[int(random.integers(len(places)))]
        row = change(night.evaluations[chosen])
        kept = {place: found for place, found in night.evaluations.items() if place != chosen}
        return dataclasses.replace(night, evaluations=kept if row is None else {**kept, chosen: row})

    return plant


def names(axis: str, label: str) -> Callable[[Outcome], bool]:
    """Return whether the first culprit is about an axis's label; axis "" asks for one that is about everything."""
    return lambda outcome: (
        bool(outcome.culprits)
        and (outcome.culprits[0].axes.get(axis) == label if axis else not outcome.culprits[0].axes)
    )


def event(what: str) -> Callable[[Outcome], bool]:
    """Return whether there is exactly one alarming event, of this kind."""
    return lambda outcome: [e.what for e in outcome.events if e.alarming] == [what]


HEUN = {
    "fid_digits": {"2": 1.007, "4": 1.156, "8": 1.204},
    "kid_digits": {"2": 1.006, "4": 1.142, "8": 1.198},
}
"""Heun's second weight 0.45 instead of 0.5: mean ratios of two t-distributions and two seeds."""
SIN = {
    "fid_digits": {"1": 1.0, "2": 1.023, "4": 1.301, "8": 1.427},
    "kid_digits": {"1": 1.0, "2": 1.033, "4": 1.334, "8": 1.472},
    "validation_loss": {"": 1.224},
}
"""The arcsine law's quantile sin(u)^2 instead of sin(pi u / 2)^2."""
EMA = {
    "fid_digits": {"1": 1.0, "2": 0.943, "4": 1.097, "8": 1.183},
    "kid_digits": {"1": 1.0, "2": 0.969, "4": 1.123, "8": 1.195},
}
"""Raw weights over their moving average, at a constant learning rate (where it falls to 0 they hardly differ)."""

SOLVER = "heun"
DIVERGED = CellValues("diverged", "1 of 2000 samples are not finite")
FAULTS = (
    Fault(
        "solver with a wrong coefficient",
        "b_2 of heun 0.45, not 0.5: FID +1 to 20%",
        factors("solver", "heun", HEUN),
        names("solver", "heun"),
    ),
    Fault(
        "t-distribution of a wrong shape",
        "sin(u)^2, not sin(pi u/2)^2: FID +2 to 43%",
        factors("t_distribution", "beta", SIN),
        names("t_distribution", "beta"),
    ),
    Fault("the EMA off", "FID -6 to 18%", factors("", "", EMA), names("nfe", "8")),
    Fault("a network 1.5x slower", "1.5", lambda night, random: night, names("", ""), slower=1.5),
    Fault("NaN in one cell", "of 288", one_cell(lambda row: DIVERGED), event("failed")),
    Fault("one cell missing", "of 288", one_cell(lambda row: None), event("vanished")),
)


def unchanged(design: Design, kind: str, nights: int, seed: int = 0) -> int:
    """Return how many unchanged nights of a kind have an alarm."""
    draws, alarms = Nights(design, seed), 0
    shared = 1.0 if kind == "seeds" else 0.0
    for _ in range(nights):
        baseline, night = draws.night(shared), draws.night(shared)
        if kind == "half":
            night = half(baseline, night, design.places["fid_digits"][0][1])
        elif kind == "solver":
            night = draws.one_solver(baseline, SOLVER)
        alarms += check(baseline, night).exit_code != 0
    return alarms


def planted(design: Design, fault: Fault, nights: int, seed: int = 1) -> tuple[int, int]:
    """Return on how many nights a fault was caught, and on how many it was named."""
    draws, caught, named = Nights(design, seed), 0, 0
    for _ in range(nights):
        baseline, night = draws.night(), draws.night(slower=fault.slower)
        outcome = check(baseline, fault.plant(night, draws.random))
        caught += outcome.exit_code == 1
        named += fault.named(outcome)
    return caught, named


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=1000, help="unchanged nights of each kind")
    parser.add_argument("--faulty", type=int, default=200, help="nights of each fault")
    parser.add_argument("--records", type=Path, default=RECORDS)
    options = parser.parse_args()
    design = Design.read(options.records)
    for kind in KINDS:
        alarms = unchanged(design, kind, options.nights)
        print(f"unchanged, {kind:<30} alarms on {alarms:4} of {options.nights} nights: {alarms / options.nights:.1%}")
    for fault in FAULTS:
        caught, named = planted(design, fault, options.faulty)
        shares = f"caught {caught / options.faulty:6.1%}, named {named / options.faulty:6.1%}"
        print(f"{fault.name:<34} {fault.size:<43} {shares}")


if __name__ == "__main__":
    main()
