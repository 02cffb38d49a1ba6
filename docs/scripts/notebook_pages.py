"""Notebooks as pages of the site: their text, their code, and what outputs they were saved with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """Return a page for each notebook of docs/, by its name in the site."""
    found = {str(file.relative_to(DOCS).with_suffix(".md")): file for file in DOCS.rglob("*.ipynb")}
    return {place: page(json.loads(file.read_text()), file.name) for place, file in sorted(found.items())}


def page(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown, with a link to itself."""
    parts = ["".join(cell["source"]) if cell["cell_type"] == "markdown" else _code(cell) for cell in notebook["cells"]]
    return "\n\n".join([*parts, f"*This page is a notebook: [{name}]({name}).*"]) + "\n"


def _code(cell: dict[str, Any]) -> str:
    parts = [f"```python\n{''.join(cell['source'])}\n```"]
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if "image/png" in data:
            source = f"data:image/png;base64,{data['image/png'].strip()}"
            parts.append(f'<img alt="the figure that the code above draws" src="{source}">')
        elif text := "".join(data.get("text/plain", output.get("text", ()))):
            parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts)
