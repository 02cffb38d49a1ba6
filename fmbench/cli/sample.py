"""The verb sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import say

Key = Annotated[str, typer.Argument(metavar="KEY", help="The key of a training or an evaluation, or its first digits.")]
Number = Annotated[int, typer.Option("-n", "--n", min=1, help="How many samples.")]
SamplesFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="A picture (.png), or arrays (.npz, .npy).", callback=options.nameable
    ),
]
Solver = Annotated[
    str | None, typer.Option("--solver", metavar="SOLVER", help="As in a suite. [default: the evaluation's]")
]
Nfe = Annotated[int | None, typer.Option("--nfe", min=1, help="Network calls a sample. [default: the evaluation's]")]
Grid = Annotated[str | None, typer.Option("--grid", metavar="GRID", help="[default: the evaluation's, or uniform]")]
Guidance = Annotated[
    str | None, typer.Option("--guidance", metavar="WEIGHT|GUIDANCE", help="[default: the evaluation's, or none]")
]
Class = Annotated[int | None, typer.Option("--class", help="One class for all samples. [default: all in turn]")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Of the noise. [default: the cell's, as evaluated]")]
WhichWeights = Annotated[str | None, typer.Option("--weights", metavar="ema|raw", help="[default: the evaluation's]")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def sample(
    key: Key,
    output: SamplesFile = Path("samples.png"),
    n: Number = 64,
    solver: Solver = None,
    nfe: Nfe = None,
    grid: Grid = None,
    guidance: Guidance = None,
    label: Class = None,
    seed: Seed = None,
    weights: WhichWeights = None,
    device: options.Device = "auto",
    plugins: options.Plugins = None,
    home: options.Home = None,
    force: Force = False,
) -> None:
    """Draw samples of a trained cell by any solver, and write them as a picture or as arrays."""
    from fmbench.export import Asked, check_file, draw, open_cells, write_samples
    from fmbench.runtime.device import choose_device

    check_file(output, force)
    asked = Asked(n, solver, nfe, grid, guidance, weights, seed, label)
    cells = open_cells(plugins or (), home)
    drawn = draw(cells, key, asked, choose_device(device))
    write_samples(output, drawn)
    say(f"{drawn.said}: {n} samples of {drawn.nfe:g} network calls each")
    if cells.changed:
        say(f"the code is not what it was when the cell was computed: {', '.join(cells.changed)}", "yellow")
    say(f"Samples: {output}", "bold")
