"""Links that are right on GitHub and in the site: what pages name of the repository becomes a part of the site.

Pages link relatively, to other pages and to files of the repository. In the site a file that lies outside docs/ stands
under `repository/`: Markdown as a page, a picture or a report as itself, any other text as a page that shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
ELSEWHERE = "repository"
AS_THEY_ARE = (".png", ".svg", ".gif", ".jpg", ".html", ".csv", ".json")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
CODE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ ]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\](?:\([^()]*\))?)*)\]\(([^()\s]+)\)")


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return a Markdown text with each stretch changed that is no fence of code; code within a line belongs to it."""
    parts, start = [], 0
    for code in CODE.finditer(text):
        if code[1]:
            parts += [change(text[start : code.start()]), code[0]]
            start = code.end()
    return "".join([*parts, change(text[start:])])


def targets(text: str) -> list[str]:
    """Return where the links and pictures of a Markdown text lead, outside fences of code."""
    found: list[str] = []

    def collect(part: str) -> str:
        for link in LINK.finditer(part):
            found.append(link[3])
            found.extend(targets(link[2]))
        return part

    outside_code(text, collect)
    return found


def place_in_site(path: str) -> str:
    """Return where a file of the repository stands in the site's sources, by its path in the repository."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/").replace(".ipynb", ".md")  # see notebook_pages.py
    shown = re.sub(r"(^|/)[.]", r"\1", path)  # mkdocs leaves hidden files out
    place = f"{ELSEWHERE}/{shown}"
    return place if path.endswith((".md", *AS_THEY_ARE)) else f"{place}.md"


def in_repository(target: str, page: str) -> str | None:
    """Return the path in the repository of what a link on a page leads to; None for what is no relative link."""
    if re.match(r"[a-z]+:|#|/", target):
        return None
    return os.path.normpath(PurePosixPath(page).parent / target.partition("#")[0])


def linked_files(page: str, text: str) -> list[str]:
    """Return the files outside docs/ that a page links to, by their paths in the repository."""
    found = dict.fromkeys(in_repository(target, page) for target in targets(text))
    return [
        path for path in found if path and not path.startswith(("docs/", "..", "README.md")) and (ROOT / path).is_file()
    ]


def for_site(page: str, text: str) -> str:
    """Return the Markdown of a page of the repository with its links as the site has them.

    A link to a folder outside docs/ leaves its words. One that leads nowhere stays, for the build to complain of.
    """
    here = PurePosixPath(place_in_site(page)).parent

    def change(link: re.Match[str]) -> str:
        mark, words, target = link.groups()
        words = LINK.sub(change, words)
        path = in_repository(target, page)
        if path is None or not (ROOT / path).exists():
            return f"{mark}[{words}]({target})"
        if (ROOT / path).is_dir():
            return words
        anchor = target.partition("#")[2]
        place = os.path.relpath(place_in_site(path), here)
        return f"{mark}[{words}]({place}{'#' + anchor if anchor else ''})"

    return outside_code(text, lambda part: LINK.sub(change, part))


def page_of_file(path: str) -> str:
    """Return the Markdown page that shows a text file of the repository, or that is one."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return for_site(path, text)
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    language = LANGUAGES.get(Path(path).suffix, "text")
    head = f"---\nsearch: {{exclude: true}}\n---\n# {path.rpartition('/')[2]}\n\n`{path}`"
    return f"{head}\n\n{fence}{language}\n{text}\n{fence}\n"
