"""The verbs schema and env."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.notify import NOTIFY
from fmbench.cli.output import say, show_json, show_table
from fmbench.errors import UserError
from fmbench.io.whole_files import write_whole


def schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", callback=options.nameable, help="Write it to a file."),
    ] = None,
    plugins: options.Plugins = None,
) -> None:
    """Print the JSON Schema of suite files, with the components that are registered here; editors complete from it."""
    if output is None:
        show_json(_schema(plugins))
        return
    write_schema(output, plugins)
    say(f"Wrote {output}. Editors complete a suite beside it whose first line is")
    say(f"# yaml-language-server: $schema={output.name}", fold=False)


def write_schema(file: Path, plugins: list[str] | None) -> None:
    """Write the JSON Schema of suites. Raises UserError."""
    try:
        write_whole(file, json.dumps(_schema(plugins), ensure_ascii=True).encode())
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}. Give another file.") from error


def _schema(plugins: list[str] | None) -> dict[str, Any]:
    from fmbench.plugins.registry import load_registry
    from fmbench.suite import suite_schema

    registry = load_registry(tuple(plugins or ()))
    schemas: dict[str, dict[str, Any]] = {}
    for entry in registry.entries():
        schemas.setdefault(entry.kind, {})[entry.name] = registry.schema(entry.kind, entry.name)
    return suite_schema(schemas)


VARIABLES = (
    "FMBENCH_",
    "MLFLOW_",
    "CUDA_",
    "OMP_",
    "MKL_",
    "PYTORCH_",
    "TORCH_",
    "RAY_",
    "SLURM_JOB",
    "AWS_",
    "FSSPEC_",
)
"""How variables begin that change where fmbench reads and writes, and on what it computes."""


def env(device: options.Device = "auto", as_json: options.Json = False) -> None:
    """Show versions, hardware and variables that a run depends on, without secrets; paste it into bug reports."""
    from fmbench.runner.notification import shown_target
    from fmbench.runtime.device import choose_device
    from fmbench.runtime.environment import environment
    from fmbench.tracking import shown_variable

    facts = environment(choose_device(device))
    set_here = {
        name: shown_variable(name, os.environ[name]) for name in sorted(os.environ) if name.startswith(VARIABLES)
    }
    if NOTIFY in set_here:  # whose whole value is a secret
        set_here[NOTIFY] = shown_target(os.environ[NOTIFY])
    facts |= {"variables": set_here} if as_json else set_here
    if as_json:
        show_json(facts)
    else:
        show_table(("what", "value"), facts.items())
