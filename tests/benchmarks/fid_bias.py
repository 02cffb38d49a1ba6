"""FID against the number of samples: its bias, the floor, and FID-infinity. Writes reports/fid_bias/.

    python tests/benchmarks/fid_bias.py [--repeats 60] [--folder reports/fid_bias]

Four cases, all with the mean and covariance that FID compares:

- "gaussians": samples and reference are N(0, I) in 32 dimensions, so that the truth is 0 and the theory is exact.
- "model, same" and "model, disturbed": there are 1,797 scans of digits, too few to draw thousands without drawing some
  twice, or on both sides. So a smooth model stands for them: a mixture of ten Gaussians, one a class, fitted to the
  LeNet features of all scans (or of their disturbed copies: blurred, with noise). What is drawn from it are features,
  not pictures. Its mean and covariance are known, so the truth is, too; the reference is the population itself.
- "scans, same" and "scans, disturbed": the scans themselves, cut at random into 899 for the reference and 898 of which
  the samples (or their disturbed copies) are taken. No scan is on both sides, but repeats share scans, so that their
  spread says less than with fresh ones. The reference's own finite n stays in FID-infinity; the truth is not known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from fmbench.runtime.environment import environment
from fmbench_datasets.digits import Digits
from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.extrapolation import Cloud, extrapolate
from fmbench_metrics.gaussians import Target, root_trace
from fmbench_metrics.quantiser import quantise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = Path(__file__).parents[2] / "reports" / "fid_bias"
SIZES, SCAN_SIZES = (256, 512, 1024, 2048, 4096), (256, 400, 600, 898)
POINTS = 15
"""How many subsets the paper draws for one line."""
FID, BOTH, INFINITY, ERROR, LINE, PAPER = range(6)
"""What is measured: FID against the target, and against n fresh samples of the same population (where the truth is 0);
FID-infinity with its standard error, with a line in place of the parabola, and in the paper's way."""
TITLES = {
    "gaussians": "Gaussians N(0, I), 32 dimensions",
    "model, same": "a model of digits' features, same population",
    "model, disturbed": "a model of digits' features, disturbed",
    "scans, same": "scans of digits against 899 others",
    "scans, disturbed": "disturbed scans against 899 others",
}
RED, BLUE, GREY = "#b3442f", "#2563a8", "#666666"


TEXT = """# FID against the number of samples

![FID, the floor and FID-infinity against n](fid_bias.png)

    python tests/benchmarks/fid_bias.py --repeats {repeats}

{hardware}; {versions}.
{repeats} repeats at each n; ± is the standard deviation between them (of slopes: 1.96 standard errors). There are 32
features, of which {alive} vary on digits. FID is of n samples against a reference that does not change, "n against n"
against as many fresh samples of the same population: the floor.

- gaussians: samples of N(0, I) against N(0, I).
- model: features drawn from a mixture of ten Gaussians that was fitted to the features of the 1,797 scans of digits, or
  of their disturbed copies (blurred, with noise), against the mixture of the undisturbed. There are too few scans to
  draw thousands without taking some twice or on both sides; the model's mean and covariance, and so the truth, are
  known. What is drawn are features, not pictures.
- scans: the scans themselves, 899 of them for the reference and the samples from the other 898. Repeats share scans.
  The reference's own finite n stays in FID-infinity, which is why it does not fall to 0 on undisturbed scans.

The theory's b, to first order in 1/n: d + d(d + 1)/4 for whitened Gaussian features against their population, twice
that, d^2/2 + 5d/2, for n against n; for other features from
their eigenvalues and fourth moments (`floor`).

FID-infinity's 95% interval (1.96 standard errors, as the metric gives them) covers the truth in {covered} draws, with
all cases and n together whose truth is known; where it is 0 the intervals are a little too wide. "With a line" takes
a line in place of the parabola, through the same points; "in the paper's way" a line through {points} subsets of n/4
to n samples that are drawn independently. The slope of FID-infinity against 1/n is the bias that it leaves. A line
takes away too much where n is few times the number of features; of what a parabola leaves, nothing shows beside the
interval of a single value.

## Lines through the means against 1/n

{slopes}

## Values

{table}
"""


@dataclass
class Case:
    """What is compared: `draw(n, generator)` gives features and their target.

    `truth` is the distance of the populations, `slope` the theory's b in FID = truth + b/n; None where not known.
    `found` are, by n, a row of the six values for each repeat.
    """

    name: str
    sizes: tuple[int, ...]
    draw: Callable[[int, Generator], tuple[Tensor, Target]]
    truth: float | None = None
    slope: float | None = None
    found: dict[int, np.ndarray] = field(default_factory=dict)

    def measure(self, repeats: int, generator: Generator) -> None:
        """Fill `found`."""
        for n in self.sizes:
            rows = []
            for _ in range(repeats):
                x, target = self.draw(n, generator)
                found = extrapolate(x, target, generator)
                line = float(np.polyfit(found.inverse_sizes, found.distances, 1)[1])
                paper = by_the_paper(x, target, generator)
                twin = Target.of(self.draw(n, generator)[0]) if self.truth == 0 else target
                both = float(Cloud(x, twin).distances([torch.arange(n)]))
                rows.append([float(found.distances[0]), both, found.value, found.error, line, paper])
            self.found[n] = np.array(rows)
            print(self.name, n, self.found[n].mean(0).round(4), flush=True)


def by_the_paper(x: Tensor, target: Target, generator: Generator) -> float:
    """Return the end of a line through the distances of 15 subsets of n/4 to n samples, drawn independently."""
    cloud, n = Cloud(x, target), len(x)
    sizes = np.linspace(n / 4, n, POINTS).astype(int)
    distances = cloud.distances([torch.randperm(n, generator=generator)[:size] for size in sizes])
    return float(np.polyfit(1 / sizes, distances, 1)[1])


class Mixture:
    """A Gaussian for each class, with the mean and the covariance of its features `(n, d)`, and the class's share."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        of_class = [features[labels == label] for label in labels.unique()]
        self.shares = torch.tensor([len(x) / len(features) for x in of_class], dtype=torch.float64)
        self.parts = [Target.of(x) for x in of_class]
        means = torch.stack([part.mean for part in self.parts])
        self.mean = self.shares @ means
        between = (means - self.mean).T @ torch.diag(self.shares) @ (means - self.mean)
        within = sum(share * part.covariance for share, part in zip(self.shares, self.parts, strict=True))
        self.target = Target.with_covariance(self.mean, between + within)

    def draw(self, n: int, generator: Generator) -> Tensor:
        """Draw features `(n, d)`."""
        counts = torch.bincount(torch.multinomial(self.shares, n, replacement=True, generator=generator), minlength=10)
        noise = torch.randn(n, len(self.mean), generator=generator, dtype=torch.float64).split(counts.tolist())
        return torch.cat(
            [part.mean + z[:, : len(part.factor)] @ part.factor for part, z in zip(self.parts, noise, strict=True)]
        )


def floor(draws: Tensor, target: Target) -> float:
    """Return b of the floor b/n for n samples of a population against the population itself, to first order.

    E|m - mean|^2 is tr S / n, and that of the rest sum_ij E[H_ij^2] / (2 (l_i + l_j)), where l are the eigenvalues of S
    and H is the error of the covariance in its eigenvectors, of variance Var(z_i z_j)/n. For N(0, I) that makes
    d + d (d + 1)/4. The variances are taken over `draws`.
    """
    values, vectors = torch.linalg.eigh(target.covariance)
    there = values > values.max() * 1e-9
    z, values = (draws - target.mean) @ vectors[:, there], values[there]
    squares = z.square()
    variances = squares.T @ squares / len(z) - (z.T @ z / len(z)).square()
    return float(values.sum() + (variances / (values[:, None] + values) / 2).sum())


def distance(one: Target, other: Target) -> float:
    """Return the squared Fréchet distance of two populations."""
    common = root_trace(other.seen(other.seen(one.covariance).mT))
    traces = one.variance + other.variance
    return float((one.mean - other.mean).square().sum() + traces - 2 * common)


def disturb(x: Tensor, generator: Generator) -> Tensor:
    """Blur pictures `(n, 1, 8, 8)` by a fifth of a 3x3 box, and add noise of deviation 0.1."""
    box = torch.full((1, 1, 3, 3), 0.2 / 9)
    box[0, 0, 1, 1] += 0.8
    return F.conv2d(x + 1, box, padding=1) - 1 + 0.1 * torch.randn(x.shape, generator=generator)


def alive() -> int:
    """Return how many of the extractor's features vary on the scans."""
    features = small_extractor("digits", "cpu").features(quantise(Digits().load("train")[0]))
    return int((features.std(0) > 0).sum())


def cases(generator: Generator) -> list[Case]:
    """Return what is measured."""
    d = 32
    unit = Target(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64))

    def gaussians(n: int, generator: Generator) -> tuple[Tensor, Target]:
        return torch.randn(n, d, generator=generator, dtype=torch.float64), unit

    extractor = small_extractor("digits", "cpu")
    parts = [Digits().load(split) for split in ("train", "test")]
    pictures, labels = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    features = [extractor.features(quantise(x)).double() for x in (pictures, disturb(pictures, generator))]
    real, disturbed = (Mixture(x, labels) for x in features)
    half = len(pictures) // 2

    def scans(x: Tensor) -> Callable[[int, Generator], tuple[Tensor, Target]]:
        def draw(n: int, generator: Generator) -> tuple[Tensor, Target]:
            order = torch.randperm(len(x), generator=generator)
            return x[order[:n]], Target.of(features[0][order[half:]])

        return draw

    return [
        Case("gaussians", SIZES, gaussians, 0.0, d + d * (d + 1) / 4),
        Case("model, same", SIZES, lambda n, g: (real.draw(n, g), real.target), 0.0, model_floor(real, generator)),
        Case(
            "model, disturbed",
            SIZES,
            lambda n, g: (disturbed.draw(n, g), real.target),
            distance(disturbed.target, real.target),
        ),
        Case("scans, same", SCAN_SIZES, scans(features[0])),
        Case("scans, disturbed", SCAN_SIZES, scans(features[1])),
    ]


def model_floor(model: Mixture, generator: Generator) -> float:
    """Return b of the floor b/n of a mixture, from 200,000 draws."""
    return floor(model.draw(200_000, generator), model.target)


def fitted(case: Case, column: int) -> tuple[float, float, float]:
    """Return the intercept and the slope of a line through the means of a column against 1/n, and the slope's error."""
    x = np.array([1 / n for n in case.sizes])
    errors = np.array([found[:, column].std(ddof=1) / len(found) ** 0.5 for found in case.found.values()])
    means = np.array([found[:, column].mean() for found in case.found.values()])
    (slope, intercept), covariance = np.polyfit(x, means, 1, w=1 / errors, cov="unscaled")
    return float(intercept), float(slope), float(covariance[0, 0] ** 0.5)


def draw_case(case: Case, ax: Axes) -> None:
    """Draw FID, the floor and FID-infinity of a case against 1/n; the points at one n stand beside each other."""
    x = np.array([1 / n for n in case.sizes])
    line = np.array([0, 1.08 * x.max()])
    if case.truth is not None:
        ax.axhline(case.truth, color="black", lw=1, ls=":", label="truth")
    if case.truth is not None and case.slope is not None:
        ax.plot(line, case.truth + case.slope * line, color=RED, lw=1, label="theory of FID: truth + b/n")
        ax.plot(line, case.truth + 2 * case.slope * line, color=GREY, lw=1, label="theory of the floor: 2b/n")
    for column, colour, marker, name, beside in (
        (BOTH, GREY, "^", "FID, n against n: the floor", -1),
        (FID, RED, "o", "FID against the reference", 0),
        (INFINITY, BLUE, "s", "FID-infinity", 1),
    ):
        if column == BOTH and case.truth != 0:
            continue
        means = np.array([rows[:, column].mean() for rows in case.found.values()])
        spread = np.array([1.96 * rows[:, column].std(ddof=1) for rows in case.found.values()])
        at = x + beside * 0.012 * x.max()
        style = {"color": colour, "ls": "none"}
        ax.errorbar(at, means, spread, elinewidth=0.8, capsize=2, **style)
        ax.errorbar(at, means, spread / len(case.found[case.sizes[0]]) ** 0.5, elinewidth=3.5, **style)
        ax.plot(at, means, marker=marker, ms=5, label=name, **style)
    ax.set_xlim(*line)
    named = case.sizes[: next((i for i, n in enumerate(case.sizes) if n > 2048), None)]
    ax.set_xticks([0, *(1 / n for n in named)], ["∞", *(f"{n:,}" for n in named)], fontsize=8)
    ax.set_title(TITLES[case.name], loc="left", fontsize=10)
    ax.set_xlabel("n, on a scale of 1/n")
    ax.spines[["top", "right"]].set_visible(False)


def draw_figure(found: list[Case], path: Path) -> None:
    """Draw all cases, and what the marks mean."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
    for case, ax in zip(found, axes.flat, strict=False):
        draw_case(case, ax)
    for ax in axes[:, 0]:
        ax.set_ylabel("squared Fréchet distance")
    axes[1, 2].axis("off")
    axes[1, 2].legend(*axes[0, 0].get_legend_handles_labels(), loc="upper left", frameon=False)
    said = "thin bars: where 95% of the repeats lie\nthick bars: 95% interval of their mean"
    axes[1, 2].text(0.03, 0.35, said, transform=axes[1, 2].transAxes, fontsize=10)
    figure.savefig(path, dpi=110)


def covered(case: Case, rows: np.ndarray) -> np.ndarray:
    """Return, for each repeat, whether FID-infinity's interval covers the truth."""
    return np.abs(rows[:, INFINITY] - case.truth) <= 1.96 * rows[:, ERROR]


def table(found: list[Case]) -> list[str]:
    """Return the measured values as lines of Markdown."""
    lines = [
        "| case | n | FID | FID, n against n | FID-infinity | mean standard error | covers the truth | with a line | "
        "in the paper's way |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in found:
        for n, rows in case.found.items():
            cells = [
                f"{rows[:, i].mean():.4f} ± {rows[:, i].std(ddof=1):.4f}" for i in (FID, BOTH, INFINITY, LINE, PAPER)
            ]
            cells[1] = cells[1] if case.truth == 0 else "–"
            cells.insert(3, f"{np.sqrt(np.square(rows[:, ERROR]).mean()):.4f}")
            cells.insert(4, "–" if case.truth is None else f"{covered(case, rows).mean():.1%}")
            lines.append(" | ".join([f"| {case.name}", f"{n:,}", *cells]) + " |")
    return lines


def slopes(found: list[Case]) -> list[str]:
    """Return lines through the means against 1/n as lines of Markdown."""
    lines = [
        "| case | truth | FID at 1/n = 0 | slope b of FID | theory's b | FID-infinity at 1/n = 0 | its slope | "
        "with a line, its slope |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in found:
        at_zero, b, error = fitted(case, FID)
        infinity, left, left_error = fitted(case, INFINITY)
        _, of_line, of_line_error = fitted(case, LINE)
        known = [f"{value:.4f}" if value is not None else "–" for value in (case.truth, case.slope)]
        cells = [known[0], f"{at_zero:.4f}", f"{b:.1f} ± {1.96 * error:.1f}", known[1], f"{infinity:.4f}"]
        cells += [f"{left:.1f} ± {1.96 * left_error:.1f}", f"{of_line:.1f} ± {1.96 * of_line_error:.1f}"]
        lines.append(" | ".join([f"| {case.name}", *cells]) + " |")
    return lines


def main() -> None:
    """Measure, draw, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=60, help="at every n")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    found = cases(generator)
    for case in found:
        case.measure(options.repeats, generator)
    options.folder.mkdir(parents=True, exist_ok=True)
    draw_figure(found, options.folder / "fid_bias.png")
    facts = environment("cpu")
    known = np.concatenate(
        [covered(case, rows) for case in found if case.truth is not None for rows in case.found.values()]
    )
    text = TEXT.format(
        repeats=options.repeats,
        points=POINTS,
        alive=alive(),
        covered=f"{known.mean():.1%} of {known.size:,}",
        slopes="\n".join(slopes(found)),
        table="\n".join(table(found)),
        hardware=facts["hardware"],
        versions=f"Python {facts['python']}, torch {facts['torch']}, numpy {facts['numpy']}",
    )
    (options.folder / "README.md").write_text(text)


if __name__ == "__main__":
    main()
