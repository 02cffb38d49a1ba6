"""A site of two reports in Chromium, from the disk and without a network: no error, nothing that keeps people out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_site import report

from fmbench.publish import write_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

browser_tests = pytest.importorskip("browser", reason="tests/browser.py drives Chromium")
browser = browser_tests.browser
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_results import results

    folder = tmp_path_factory.mktemp("site")
    report(results(), folder / "reports" / "a")
    report(results(luck=1, date="2026-02-01T00:00:00+00:00"), folder / "reports" / "b")
    write_site([folder / "reports"], folder / "site")
    return folder / "site"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 400)])
def test_a_reader_goes_from_page_to_page(browser: Browser, site: Path, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    address = (site / "index.html").as_uri()
    with browser_tests.opened(browser, address, color_scheme=scheme, viewport=size) as (page, seen):
        for link, heading in (("made", "made"), ("Benchmarks", "Benchmarks"), (" against ", "B against A")):
            page.get_by_role("link", name=link).first.click()
            assert heading in page.get_by_role("heading", level=1).inner_text()
            assert browser_tests.axe(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="All results").click()
        page.get_by_role("link", name="Report").first.click()
        assert page.get_by_role("heading", level=1).inner_text() == "Report"
        assert seen.faults == []
