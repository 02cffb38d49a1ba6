"""The verb export."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import say
from fmbench.cli.sample import Force, WhichWeights
from fmbench.errors import UserError

Winner = Annotated[
    str,
    typer.Argument(metavar="KEY|SUITE", help="The key of an evaluation or a training, or a suite with --best."),
]
ModelFolder = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FOLDER", help="[default: exported/ and the key]", callback=options.nameable
    ),
]
Best = Annotated[
    list[str] | None,
    typer.Option("--best", metavar="AXIS=VALUE", help="The best of a suite's cells with these values: nfe=4"),
]
BestMetric = Annotated[
    str | None, typer.Option("--metric", help="With --best: what is best. [default: the suite's first metric]")
]
Licence = Annotated[str | None, typer.Option("--license", metavar="ID", help="Of the weights, for the card: mit, say.")]
Hub = Annotated[
    str | None, typer.Option("--to-hub", metavar="USER/NAME", help="Upload it to the Hugging Face Hub, too.")
]
Private = Annotated[bool, typer.Option("--private", help="With --to-hub: a repository that nobody else sees.")]


def export(
    winner: Winner,
    output: ModelFolder = None,
    best: Best = None,
    metric: BestMetric = None,
    weights: WhichWeights = None,
    license: Licence = None,
    to_hub: Hub = None,
    private: Private = False,
    plugins: options.Plugins = None,
    home: options.Home = None,
    force: Force = False,
) -> None:
    """Write a trained cell as a folder that samples without fmbench: weights, program, configuration, model card."""
    from fmbench.export import Origin, check_hub, export_cell, key_of, open_cells, upload
    from fmbench.runtime.git_commit import git_commit

    if metric and not best:
        raise UserError("--metric says what is best: give --best AXIS=VALUE with it, nfe=4 say")
    if private and not to_hub:
        raise UserError("--private is for --to-hub")
    api = check_hub(to_hub) if to_hub else None
    key, suite = _best_key(winner, best, metric, plugins, home) if best else (winner, "")
    cells = open_cells(plugins or (), home)
    key = key_of(cells, key)
    folder = output or Path("exported") / key
    words = ["fmbench", "export", key, *(["--weights", weights] if weights else [])]
    config = export_cell(cells, key, folder, weights, license, Origin(shlex.join(words), suite, git_commit()), force)
    if cells.changed:
        say(f"the code is not what it was when the cell was computed: {', '.join(cells.changed)}", "yellow")
    what = "the whole sampler" if config["program"] == "sampler" else "the velocity, with Euler, Heun and RK4"
    say(f"{key}: {what}, checked against fmbench's samples")
    say(f"Model: {folder}", "bold")
    if to_hub:
        say(f"Uploaded: {upload(api, to_hub, folder, private)}", "bold")


def _best_key(
    suite: str, best: list[str], metric: str | None, plugins: list[str] | None, home: str | None
) -> tuple[str, str]:
    """Return the key of the best cell of a suite, and the command that computes the suite."""
    from fmbench.export import best_cell

    session = options.open_session(Path(suite), None, best, plugins, home=home, computes=False)
    cell, name = best_cell(session.records(session.results_index(anywhere=True)), metric)
    say(f"the best by {name}: {cell}")
    return cell.key, session.command
