"""The options that several verbs share, and the session that they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fmbench.session import Session

Suite = Annotated[Path, typer.Argument(metavar="SUITE", help="A suite file, such as suites/low_nfe.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: training.steps=200")
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", metavar="AXIS=VALUE", help="Keep only these cells: path=linear, nfe=1,4")
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugins", metavar="PATH", help="A file, folder or module with your components.")
]
Home = Annotated[Path | None, typer.Option("--home", help="The store's folder. [default: FMBENCH_HOME, else .fmbench]")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, or cuda:1 for one GPU of several.")]
Reports = Annotated[Path, typer.Option("--reports", help="The folder of reports.")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow's server. [default: MLFLOW_TRACKING_URI, else ./mlflow.db]"),
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
    from fmbench import session

    options = session.Options(tuple(overrides or ()), tuple(filters or ()), tuple(plugins or ()), **rest)
    return session.open_session(suite, options)
