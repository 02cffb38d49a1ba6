"""The verb `init`: a new suite, of trainings, or for a model or samples that you already have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fmbench.cli import new_suite, options
from fmbench.cli.new_suite import SCHEMA, Answers, ask, completed, components, numbers, suite_text
from fmbench.cli.output import say
from fmbench.cli.schema_and_env import write_schema
from fmbench.errors import UserError
from fmbench.io.printable_text import count
from fmbench.io.whole_files import write_whole


def init(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="The file to write.")] = Path("suite.yaml"),
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="The data: moons, or {arrays: {...}}. Repeatable.")
    ] = None,
    path: Annotated[
        list[str] | None, typer.Option("--path", help="A probability path, of a checkpoint that of its training.")
    ] = None,
    solver: Annotated[list[str] | None, typer.Option("--solver", help="A solver. Repeatable.")] = None,
    nfe: Annotated[
        str | None, typer.Option("--nfe", help="Network calls a sample, 2,4,8 say; of --samples how many they took.")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="How often each training is repeated.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="How long each training is: small, medium or large.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", help="'{mlp: {width: 64}}', or of a checkpoint 'net.py:Net', with arguments say."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Weights, .pt say.", callback=options.nameable),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", metavar="PLACE", help="A folder of pictures, or an .npz.", callback=options.nameable),
    ] = None,
    value_range: Annotated[
        str | None, typer.Option("--value-range", help="Of an array that is not of bytes, or of the network: '[0, 1]'.")
    ] = None,
    predicts: Annotated[str, typer.Option("--predicts", help="velocity, x_1, noise, score or v.")] = "velocity",
    time: Annotated[str, typer.Option("--time", help="data_at_one, data_at_zero or sigma.")] = "data_at_one",
    time_scale: Annotated[float, typer.Option("--time-scale", help="What its time is multiplied by.")] = 1.0,
    plugins: options.Plugins = None,
) -> None:
    """Write a suite, and plan it: from flags, in a terminal from questions for what they do not say; or for a
    checkpoint with 4 solvers at 4, 8 and 16 calls of its network, or for all samples of a place as they are.
    """
    if suite.exists():
        raise UserError(f"{suite} is there already. Give another name for the suite, or remove it.")
    if checkpoint is not None or samples is not None:
        if solver or seeds is not None or budget is not None:
            raise UserError("--solver, --seeds and --budget are of suites that train: leave them away, or the others.")
        given = (network, samples, nfe, value_range, path or ["linear"], predicts, time, time_scale)
        text = _of_what_exists(suite.stem, dataset, checkpoint, *given)
        _write(suite, text, plugins, "nothing to train. ")
        return
    said = Answers(
        datasets=components(dataset, "dataset") if dataset else None,
        paths=components(path, "path") if path else None,
        networks=components([network], "network") if network else None,
        solvers=components(solver, "solver") if solver else None,
        nfe=numbers(nfe, "--nfe") if nfe is not None else None,
        seeds=new_suite.seeds(seeds) if seeds is not None else None,
        budget=new_suite.budget(budget) if budget is not None else None,
    )
    if can_ask() and None in vars(said).values():
        from fmbench.plugins.registry import load_registry

        said = ask(said, load_registry(tuple(plugins or ())).names)
    elif said.datasets is None:
        raise UserError(
            "nobody is there to be asked: give --dataset NAME at least, and as you like --path, --network, --solver, "
            "--nfe, --seeds and --budget; or --checkpoint or --samples for what exists already."
        )
    _write(suite, suite_text(completed(said), suite.stem, str(suite)), plugins)
    _write_schema(suite.parent / SCHEMA, plugins)


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _write(suite: Path, text: str, plugins: list[str] | None, besides: str = "") -> None:
    """Write a suite and plan it; of one that cannot be planned nothing is left. Raises UserError."""
    try:
        write_whole(suite, text.encode())
    except OSError as error:
        raise UserError(f"{suite} cannot be written: {error.strerror}. Give another name for the suite.") from error
    try:
        session = options.open_session(suite, plugins=plugins)
    except UserError:
        suite.unlink()
        raise
    many = count(len(session.plan.evaluations), "evaluation")
    trained = f"{count(len(session.plan.trainings), 'training')}, " if not besides else ""
    say(f"Wrote {suite}: {trained}{many}{f', {besides}' if besides else '. '}Run: fmbench run {suite}")


def _write_schema(file: Path, plugins: list[str] | None) -> None:
    """Write the file from which editors complete the suite; one that is there may be of other plugins, and stays."""
    if file.exists():
        return
    write_schema(file, plugins)
    say(f"Wrote {file}, by which editors complete and check it; `fmbench schema -o {file}` writes it anew.")


def _of_what_exists(
    name: str,
    datasets: list[str] | None,
    checkpoint: Path | None,
    network: str | None,
    samples: Path | None,
    nfe: str | None,
    value_range: str | None,
    paths: list[str],
    predicts: str,
    time: str,
    time_scale: float,
) -> str:
    """Return a suite for a checkpoint or for samples. Raises UserError."""
    import yaml

    if (checkpoint is None) == (samples is None) or (checkpoint is None) != (network is None):
        raise UserError("give --checkpoint FILE with its --network, or --samples PLACE: what this suite is for.")
    if checkpoint is not None and nfe is not None:
        raise UserError("--nfe is of --samples, which took so many calls: a checkpoint is sampled at 4, 8 and 16.")
    if datasets is None or len(datasets) != 1 or len(paths) != 1:
        raise UserError("give one --dataset, of which the network or the samples are, and of a checkpoint one --path.")
    content: dict[str, Any] = {"name": name, "datasets": [_read(datasets[0], "--dataset")]}
    told = {} if value_range is None else {"value_range": _read(value_range, "--value-range")}
    if samples is not None:
        content |= _of_samples(samples, _calls(nfe), told)
    else:
        model: dict[str, Any] = {"file": str(checkpoint), "network": _read(str(network), "--network")}
        declared = {"path": _read(paths[0], "--path"), "predicts": predicts, "time": time, "time_scale": time_scale}
        content["models"] = [{"checkpoint": {**model, **declared, **told}}]
        content["evaluation"] = {
            "solvers": ["euler", "heun", "rk4", "dopri5"],
            "nfe": [4, 8, 16],
            "samples": 2000,
            "metrics": ["sliced_wasserstein", "sample_ms"],
        }
    return str(yaml.safe_dump(content, sort_keys=False))


def _calls(nfe: str | None) -> int | None:
    """Return how many calls samples took. Raises UserError."""
    found = numbers(nfe, "--nfe") if nfe is not None else []
    if len(found) > 1:
        raise UserError(f"samples took one number of calls; --nfe says {nfe}.")
    return found[0] if found else None


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
