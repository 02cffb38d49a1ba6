"""The reference of commands: Markdown of what the command line says of itself."""

from __future__ import annotations

import re
from typing import Any

import typer.main
from component_reference import table

from fmbench.cli.app import app


def reference() -> str:
    """Return each verb with its arguments and options."""
    found = _commands(typer.main.get_command(app), "fmbench")
    return "\n\n".join(_verb(name, command) for name, command in sorted(found.items())) + "\n"


def _commands(group: Any, name: str) -> dict[str, Any]:
    """Return the commands of a group by how they are called, those of groups within it too.

    They are of click, the installed one or the one that typer brings.
    """
    found: dict[str, Any] = {}
    for verb, command in group.commands.items():
        if not command.hidden:
            found[f"{name} {verb}"] = command
            if hasattr(command, "commands"):
                found |= _commands(command, f"{name} {verb}")
    return found


def _verb(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    parts = [f"### {name}", _line(command.help or ""), f"```text\n{command.get_usage(context)}\n```"]
    shown = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    if shown:
        rows = ((f"`{option}`", _line(text)) for option, text in shown if not option.endswith("--help"))
        parts.append(table(("argument or option", "meaning"), rows))
    return "\n\n".join(parts)


def _line(text: str) -> str:
    """Return a text in one line, as Markdown reads it."""
    return re.sub(r"\s+", " ", text).strip().replace("<", "&lt;").replace("*", r"\*")
