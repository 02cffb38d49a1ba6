"""Fixtures that drive Chromium: a browser a file, pages without a network, and what a page did wrong.

A module that uses them marks its tests: `pytestmark = pytest.mark.browser`.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
LOCAL = ("file:", "data:", "blob:", "about:")


def why_no_browser() -> str:
    """Return why no browser can be driven here, or ""."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install 'fmbench[test]'"
    if not executable():
        return f"no Chromium: none of {', '.join(CHROMIUM)} is on the PATH (Debian: apt install chromium)"
    return ""


def executable() -> str | None:
    """Return the path of the system's Chromium; Playwright's own is never downloaded."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # No sandbox: tests may run as root in a container, and look at nothing but fmbench's own pages.
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a file, and no longer: Playwright's event loop would bar tests with their own."""
    if why := why_no_browser():
        pytest.skip(why)
    with chromium() as started:
        yield started


@dataclass
class Seen:
    """What went wrong in a page: errors, what it printed, and addresses that it asked for and that are not local."""

    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of it."""
        return [*self.errors, *self.console, *self.asked]


@contextmanager
def opened(browser: Browser, address: str, offline: bool = True, **options: Any) -> Iterator[tuple[Page, Seen]]:
    """Open an address in a page of its own, by itself without a network; `options` are those of a browser context."""
    seen = Seen()
    context = browser.new_context(offline=offline, **({"viewport": {"width": 1300, "height": 900}} | options))
    context.set_default_timeout(5_000)
    page = context.new_page()
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda said: seen.console.append(f"{said.type}: {said.text}"))
    if offline:
        page.on("request", lambda asked: None if asked.url.startswith(LOCAL) else seen.asked.append(asked.url))
    page.goto(address)
    yield page, seen
    context.close()


@cache
def axe_source() -> str:
    """Return axe-core, which looks for what keeps people out."""
    return AXE.read_text(encoding="utf-8")


def axe(page: Page) -> list[str]:
    """Return what axe-core finds wrong in a page as it is now: rule, element, why."""
    # Evaluated and not added as an element: a page's own policy may refuse scripts.
    page.evaluate(axe_source())
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [f"{rule['id']}: {node['html'][:120]}: {node['failureSummary']}" for rule in found for node in rule["nodes"]]
