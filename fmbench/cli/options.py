"""The options that several verbs share, and the session that they open."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import completion
from fmbench.errors import UserError

if TYPE_CHECKING:
    from fmbench.runner.session import Options, Session


def nameable(value: Any) -> Any:
    """Return a path, or several, as given. Raises UserError for what no file can be called: else every look at it
    would fail.
    """
    for path in value if isinstance(value, list | tuple) else [value]:
        try:
            if path is not None:
                Path(path).stat()
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise UserError(f"{str(path)!r} cannot be a file or folder: {error.strerror}. Give another.") from error
        except ValueError as error:
            raise UserError(f"{str(path)!r} cannot be a file or folder: {error}. Give another.") from error
    return value


Suite = Annotated[
    Path,
    typer.Argument(
        metavar="SUITE",
        help="A suite file, or one that comes with fmbench: smoke, low_nfe.",
        callback=nameable,
        autocompletion=completion.suites,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting: training.steps=200",
        autocompletion=completion.settings,
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="AXIS=VALUE",
        help="Keep only these cells: path=linear, nfe=1,4",
        autocompletion=completion.filters,
    ),
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugins", metavar="PATH", help="A file, folder or module with your components.")
]
Home = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="FOLDER|URL",
        help="The store: a folder, or a URL such as s3://bucket/path. [default: FMBENCH_HOME, else .fmbench]",
        callback=nameable,
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, or cuda:1 for one GPU of several.")]
Executor = Annotated[
    str,
    typer.Option("--executor", help="What computes: local, on this machine; ray or slurm, on a cluster."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT",
        help="The Ray cluster; auto is the one that this machine belongs to. [default: one started here]",
    ),
]
PerGpu = Annotated[int, typer.Option("--per-gpu", min=1, max=64, help="Worker processes on each GPU of this machine.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE", help="With --executor slurm: partition=gpu, time=2:00:00, mem=16G"),
]
Reports = Annotated[Path, typer.Option("--reports", help="The folder of reports.", callback=nameable)]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow's server. [default: MLFLOW_TRACKING_URI, else ./mlflow.db]"),
]
Figures = Annotated[bool, typer.Option("--figures", help="Write the report's figures as files, too: PNG, SVG, GIF.")]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="Cut the budget: few steps and samples, one seed; its scores stand beside no others."),
]
LogModels = Annotated[
    bool | None,
    typer.Option(
        "--log-models/--no-log-models",
        help="Give MLflow the trained networks. [default: as the suite says]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_session(
    suite: Path,
    overrides: list[str] | None = None,
    filters: list[str] | None = None,
    plugins: list[str] | None = None,
    **rest: Any,
) -> Session:
    """Open a session from what the command line says."""
    from fmbench.runner import session

    return session.open_session(suite, make_options(overrides, filters, plugins, **rest))


def make_options(
    overrides: list[str] | None = None, filters: list[str] | None = None, plugins: list[str] | None = None, **rest: Any
) -> Options:
    """Return what the command line says besides the suite."""
    from fmbench.runner.session import Options

    timeout = rest.get("timeout")
    if timeout is not None and not 0 < timeout < math.inf:
        raise UserError(
            f"--timeout is a number of seconds above 0, 600 say; found {timeout:g}. Leave it away for no limit."
        )
    return Options(tuple(overrides or ()), tuple(filters or ()), tuple(plugins or ()), **rest)
