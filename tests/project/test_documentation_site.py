"""The documentation site: built without a warning, whole without a network, formulas and references in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import axe, browser, opened

from fmbench.plugins.registry import Registry
from fmbench.suite.models import Evaluation, Suite, Training

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]

ROOT = Path(__file__).parents[2]
SEEN = ("evidence", "reference/path")
"""Pages that are looked at in a browser: a long text with links, formulas and tables."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it: a warning is an error."""
    pytest.importorskip("mkdocs", reason="the site needs pip install 'fmbench[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    for page in pages:
        name = page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html")
        assert (site / name).exists(), f"{page} is not in the site"
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\s(?:src|srcset)=\"?(?:https?:)?//|<link[^>]*stylesheet[^>]*//"
    )
    for file in site.rglob("*.html"):
        assert not loaded.search(file.read_text()), f"{file.relative_to(site)} loads something from elsewhere"


def test_no_list_or_table_is_left_as_text(site: Path) -> None:
    """What GitHub reads as a list or table, and Markdown as it was first defined does not."""
    for file in site.rglob("*.html"):
        if "repository" not in file.parts:
            text = re.sub(r"<pre.*?</pre>", "", file.read_text(), flags=re.DOTALL)
            fault = re.search(r"<p>[^<]*\n(- |\d+\. |\| )|<p>\|", text)
            assert fault is None, f"{file.relative_to(site)}: {fault[0] if fault else ''}"


def test_the_references_have_every_component_and_every_key(site: Path, registry: Registry) -> None:
    for entry in registry.entries():
        page = (site / "reference" / f"{entry.kind}.html").read_text()
        assert f'id="{entry.name}"' in page, f"{entry.kind} {entry.name}"
        for parameter in entry.parameters:
            assert f"<code>{parameter.name}</code>" in page, f"{entry.kind} {entry.name}: {parameter.name}"
    page = (site / "reference" / "suite.html").read_text()
    for model in (Suite, Training, Evaluation):
        for key in model.model_fields:
            assert f"<code>{key}</code>" in page, key


def test_formulas_are_set(site: Path) -> None:
    page = (site / "reference" / "path.html").read_text()
    assert 'aria-label="x_t = sin(pi t/2) x_1 + cos(pi t/2) x_0"' in page
    assert "<msqrt>" in page
    assert "<msub><mi>σ</mi><mi>t</mi></msub>" in page


@pytest.mark.browser
def test_search_works_from_the_file_system_without_a_network(site: Path, browser: Browser) -> None:
    with opened(browser, (site / "index.html").as_uri()) as (page, seen):
        page.keyboard.press("s")
        page.keyboard.type("schrodinger", delay=5)
        found = page.locator(".md-search-result__link").first
        found.wait_for(state="attached", timeout=20_000)
        assert "reference/" in str(found.get_attribute("href")) or "components" in str(found.get_attribute("href"))
        assert not seen.faults


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 400), ("dark", 1300)])
def test_pages_keep_nobody_out(site: Path, browser: Browser, scheme: str, width: int) -> None:
    for name in SEEN:
        address = (site / f"{name}.html").as_uri()
        with opened(browser, address, color_scheme=scheme, viewport={"width": width, "height": 900}) as (page, seen):
            assert not seen.faults, name
            assert not axe(page), name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is too wide"
