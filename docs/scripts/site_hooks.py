"""What the site has besides the pages of docs/: mkdocs calls these functions while it builds; see mkdocs.yml."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import command_reference
import component_reference
import notebook_pages
import suite_reference
from repository_links import AS_THEY_ARE, ROOT, for_site, linked_files, page_of_file, place_in_site

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that pages link to, and those that they link to in turn."""
    waiting = deque(
        (f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages() if not file.generated_by
    )
    waiting.append(("README.md", "[1](CONTRIBUTING.md) [2](CHANGELOG.md)"))  # which the navigation names
    added: set[str] = set()
    while waiting:
        page, text = waiting.popleft()
        for path in linked_files(page, text):
            if path in added:
                continue
            added.add(path)
            place = place_in_site(path)
            if path.endswith(AS_THEY_ARE):
                files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
                continue
            files.append(File.generated(config, place, content=page_of_file(path)))
            if path.endswith(".md"):
                waiting.append((path, (ROOT / path).read_text(encoding="utf-8")))
    for place, text in {**component_reference.pages(), **notebook_pages.pages()}.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put made lists into a page of docs/, and lead its links to where the site has what they name."""
    if page.file.generated_by:
        return markdown
    for mark, made in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, made())
    return for_site(f"docs/{page.file.src_uri}", markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Name the search for screen readers, which the theme does not."""
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')


SEARCH = 'class="md-search" data-md-component="search" role="dialog"'
MARKS = {
    "<!-- command reference -->": command_reference.reference,
    "<!-- suite reference -->": suite_reference.reference,
    "<!-- component reference -->": component_reference.contents,
}
"""What stands in a page's source where the site has a list that is made from the code."""
