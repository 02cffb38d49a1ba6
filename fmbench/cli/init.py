"""The verb `init`: a suite for a model, or for samples, that you already have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.output import say
from fmbench.errors import UserError
from fmbench.io.printable_text import count
from fmbench.io.whole_files import write_whole


def init(
    dataset: Annotated[str, typer.Option("--dataset", help="What it makes samples of: moons, or {arrays: {...}}.")],
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="The file to write.")] = Path("suite.yaml"),
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Weights, .pt say.", callback=options.nameable),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", help="What they are for: 'net.py:Net', '{mlp: {width: 64}}', or with arguments."),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", metavar="PLACE", help="A folder of pictures, or an .npz.", callback=options.nameable),
    ] = None,
    nfe: Annotated[int | None, typer.Option("--nfe", help="Network calls that a sample took.")] = None,
    value_range: Annotated[
        str | None, typer.Option("--value-range", help="Of an array that is not of bytes, or of the network: '[0, 1]'.")
    ] = None,
    path: Annotated[str, typer.Option("--path", help="The probability path of its training.")] = "linear",
    predicts: Annotated[str, typer.Option("--predicts", help="velocity, x_1, noise, score or v.")] = "velocity",
    time: Annotated[str, typer.Option("--time", help="data_at_one, data_at_zero or sigma.")] = "data_at_one",
    time_scale: Annotated[float, typer.Option("--time-scale", help="What its time is multiplied by.")] = 1.0,
    plugins: options.Plugins = None,
) -> None:
    """Write a suite, and plan it: a checkpoint with 4 solvers at 4, 8 and 16 calls of its network, or all samples of a
    place as they are.
    """
    import yaml

    if suite.exists():
        raise UserError(f"{suite} is there already. Give another name for the suite, or remove it.")
    if (checkpoint is None) == (samples is None) or (checkpoint is None) != (network is None):
        raise UserError("give --checkpoint FILE with its --network, or --samples PLACE: what this suite is for.")
    if checkpoint is not None and nfe is not None:
        raise UserError("--nfe is of --samples, which took so many calls: a checkpoint is sampled at 4, 8 and 16.")
    content: dict[str, Any] = {"name": suite.stem, "datasets": [_read(dataset, "--dataset")]}
    told = {} if value_range is None else {"value_range": _read(value_range, "--value-range")}
    if samples is not None:
        content |= _of_samples(samples, nfe, told)
    else:
        model: dict[str, Any] = {"file": str(checkpoint), "network": _read(str(network), "--network")}
        declared = {"path": _read(path, "--path"), "predicts": predicts, "time": time, "time_scale": time_scale}
        content["models"] = [{"checkpoint": {**model, **declared, **told}}]
        content["evaluation"] = {
            "solvers": ["euler", "heun", "rk4", "dopri5"],
            "nfe": [4, 8, 16],
            "samples": 2000,
            "metrics": ["sliced_wasserstein", "sample_ms"],
        }
    try:
        write_whole(suite, yaml.safe_dump(content, sort_keys=False).encode())
    except OSError as error:
        raise UserError(f"{suite} cannot be written: {error.strerror}. Give another name for the suite.") from error
    try:
        session = options.open_session(suite, plugins=plugins)
    except UserError:
        suite.unlink()
        raise
    many = count(len(session.plan.evaluations), "evaluation")
    say(f"Wrote {suite}: {many}, nothing to train. Run: fmbench run {suite}")


def _of_samples(place: Path, nfe: int | None, told: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a suite that scores all samples of a place, which is called after it.

    `told` is what else the entry holds. Raises UserError where the place is not there.
    """
    from fmbench.io.array_files import arrays_in
    from fmbench.io.picture_files import picture_names

    if not place.exists():
        raise UserError(f"--samples {place} is not there. Give a folder of pictures, or a file of an array.")
    name = place.resolve().name if place.is_dir() else place.stem
    entry: dict[str, Any] = {"folder" if place.is_dir() else "file": str(place), "name": name or "samples"}
    entry |= {"nfe": nfe} if nfe is not None else {}
    entry |= told
    if place.is_dir():
        n = len(picture_names(place))
    else:
        n = max((each.shape[0] for each in arrays_in(str(place)).values() if each.shape), default=0)
    metrics = ["sliced_wasserstein", "energy_distance"]
    return {"samples": [entry], "evaluation": {"samples": max(n, 1), "metrics": metrics}}


def _read(text: str, option: str) -> Any:
    """Return what an option says as a suite would write it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{option} must be written as in a suite, {{mlp: {{width: 8}}}} say; found {text!r}") from error
