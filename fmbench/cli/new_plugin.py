"""The verb `new-plugin`: a package, or one file, with a component that works, to begin from."""

from __future__ import annotations

from typing import Annotated

import typer

from fmbench.cli.output import say

KINDS_HELP = "What it brings: solver, path, network, metric or another kind (fmbench plugins lists them)."


def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, my-solver say: a folder, and my_solver in suites.")
    ],
    kind: Annotated[str, typer.Option("--kind", help=KINDS_HELP)] = "solver",
    single_file: Annotated[bool, typer.Option("--file", help="Make one Python file, and no package.")] = False,
) -> None:
    """Make a plugin to begin from: a package with a component that works, its tests, a suite and what to do next."""
    from fmbench.plugin_template import new_plugin as make

    made = make(name, kind, single_file=single_file)
    if single_file:
        say(f"Wrote {made.path}: the {kind} {made.path.stem}. Edit it; then:")
    else:
        say(f"Wrote {made.path}:")
        for file in made.files:
            say(f"  {file.relative_to(made.path)}")
        say("Next:")
    for command in made.commands:
        say(f"  {command}")
