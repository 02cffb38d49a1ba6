"""Texts of others in Markdown: what they hold is shown, and marks up nothing."""

from __future__ import annotations

import re


def escape_markdown(text: str) -> str:
    """Escape what Markdown and HTML would read as markup; the result stays on one line."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", " ".join(text.split()))


def fence(content: str) -> str:
    """Fence a block of code with more backticks than it holds."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", content))])
    return f"{ticks}bash\n{content}\n{ticks}"
