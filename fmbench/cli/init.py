"""The verb `init`: a suite for a model that you already have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.output import say
from fmbench.errors import UserError


def init(
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", metavar="FILE", help="Weights, .pt say.", callback=options.nameable),
    ],
    network: Annotated[
        str, typer.Option("--network", help="What they are for: 'net.py:Net', '{mlp: {width: 64}}', or with arguments.")
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="What it makes samples of: moons, or {arrays: {...}}.")],
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="The file to write.")] = Path("suite.yaml"),
    path: Annotated[str, typer.Option("--path", help="The probability path of its training.")] = "linear",
    predicts: Annotated[str, typer.Option("--predicts", help="velocity, x_1 or noise.")] = "velocity",
    time: Annotated[str, typer.Option("--time", help="data_at_one or data_at_zero.")] = "data_at_one",
    time_scale: Annotated[float, typer.Option("--time-scale", help="What its time is multiplied by.")] = 1.0,
    plugins: options.Plugins = None,
) -> None:
    """Write a suite that evaluates a checkpoint with 4 solvers at 4, 8 and 16 calls of its network, and plan it."""
    import yaml

    if suite.exists():
        raise UserError(f"{suite} is there already. Give another name for the suite, or remove it.")
    model: dict[str, Any] = {"file": str(checkpoint), "network": _read(network, "--network")}
    declared = {"path": _read(path, "--path"), "predicts": predicts, "time": time, "time_scale": time_scale}
    content = {
        "name": suite.stem,
        "datasets": [_read(dataset, "--dataset")],
        "models": [{"checkpoint": {**model, **declared}}],
        "evaluation": {
            "solvers": ["euler", "heun", "rk4", "dopri5"],
            "nfe": [4, 8, 16],
            "samples": 2000,
            "metrics": ["sliced_wasserstein", "sample_ms"],
        },
    }
    try:
        suite.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{suite} cannot be written: {error.strerror}. Give another name for the suite.") from error
    try:
        session = options.open_session(suite, plugins=plugins)
    except UserError:
        suite.unlink()
        raise
    say(f"Wrote {suite}: {len(session.plan.evaluations)} evaluations, nothing to train. Run: fmbench run {suite}")


def _read(text: str, option: str) -> Any:
    """Return what an option says as a suite would write it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{option} must be written as in a suite, {{mlp: {{width: 8}}}} say; found {text!r}") from error
