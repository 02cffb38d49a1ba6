"""The report page in Chromium: what it shows, what the reader can do with it, and who can read it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from browser import Seen, axe, opened
from test_report import FACTS, Factory, digits

from fmbench.report import write_report
from fmbench.report.page_data.json_text import json_text

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
WIDE, TELEPHONE = {"width": 1300, "height": 900}, {"width": 400, "height": 800}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report of images with a baseline."""
    folder = tmp_path_factory.mktemp("page")
    factory = Factory(folder, samples=digits, baseline={"path": "linear", "t_distribution": "uniform"})
    return write_report(factory.records(), folder / "report")


@pytest.fixture(scope="module")
def data(file: Path) -> dict[str, Any]:
    """The numbers in the page."""
    text = file.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">')[1].split("</script>")[0])
    return found


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The page on a wide screen, without a network; the test fails where it complains."""
    with opened(browser, file.as_uri()) as (page, seen):
        yield page
        assert not seen.faults


def shown(browser: Browser, file: Path, state: str = "", **options: Any) -> AbstractContextManager[tuple[Page, Seen]]:
    """Open the page with a state in its address."""
    return opened(browser, file.as_uri() + state, **options)


def cells(page: Page, column: str) -> list[str]:
    """Return a column of the table as texts, without the floor."""
    heads = page.locator("#table-place thead th").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.startswith(column))
    return page.locator(f"#table-place tbody tr[id] > :nth-child({place + 1})").all_inner_texts()


def wait_for_rows(page: Page, count: int) -> None:
    """Wait until the table has so many rows, besides the floor."""
    from playwright.sync_api import expect

    expect(page.locator("#table-place tbody tr[id]")).to_have_count(count)


def numbers(texts: list[str]) -> list[float]:
    """Return the means of a column; a dash is left out."""
    return [float(text.split("±")[0].replace("†", "").replace(",", "")) for text in texts if text[0].isdigit()]


def marked(page: Page) -> dict[str, set[str]]:
    """Return the ids of the table's cells that are bold and those that bear a dagger, as "row column"."""
    script = """mark => [...document.querySelectorAll(`#table-place tbody tr[id] td.${mark}`)].map(
        cell => `${cell.parentElement.id.slice(4)} ${cell.cellIndex}`)"""
    return {mark: set(page.evaluate(script, mark)) for mark in ("best", "tied")}


def expected_marks(data: dict[str, Any], rows: set[int], labels: int) -> dict[str, set[str]]:
    """Compute by SciPy what is best among some rows and what ties: a paired t-test each."""
    from scipy.stats import ttest_rel  # type: ignore[import-untyped]

    dataset = data["datasets"][0]
    metric = next(each for each in dataset["metrics"] if each["metric"] == dataset["headline"])
    values = np.array(metric["values"], dtype=float)
    best: set[str] = set()
    others: list[tuple[str, float]] = []
    for place in range(len(dataset["nfe"])):
        entries = [
            i
            for i, (row, nfe) in enumerate(zip(dataset["entries"]["row"], dataset["entries"]["nfe"], strict=True))
            if nfe == place and row in rows and not (metric["lost"] and metric["lost"][i])
        ]
        first = min(entries, key=lambda i: values[:, i].mean())
        for entry in entries:
            cell = f"{dataset['entries']['row'][entry]} {labels + place}"
            if (values[:, entry] == values[:, first]).all():
                best.add(cell)
            else:
                others.append((cell, float(ttest_rel(values[:, entry], values[:, first]).pvalue)))
    return {"best": best, "tied": {cell for cell, p in others if p > 0.05}}


def test_the_result_and_the_whole_chart_are_on_the_first_screen(page: Page, data: dict[str, Any]) -> None:
    winners = data["datasets"][0]["winners"]
    assert [card.split("\n")[0] for card in page.locator("#winners .card").all_inner_texts()] == [
        f"NFE {data['datasets'][0]['nfe'][winner['nfe']]}" for winner in winners
    ]
    for winner, card in zip(winners, page.locator("#winners .card").all_inner_texts(), strict=True):
        assert winner["name"] in card.replace("\n", " ")
        value = float(card.split("\n")[1].split("±")[0])
        assert value == pytest.approx(winner["mean"], rel=0.01)
    box = page.locator("#chart-drawing svg").bounding_box()
    assert box
    assert box["y"] + box["height"] <= WIDE["height"]
    assert page.evaluate("scrollY") == 0


def test_a_click_on_a_head_sorts_by_its_column_and_a_second_turns_it_round(page: Page) -> None:
    page.click("#sort-2")
    assert page.get_attribute("th:has(#sort-2)", "aria-sort") == "ascending"
    up = numbers(cells(page, "NFE 2"))
    assert up == sorted(up)
    page.click("#sort-2")
    assert page.get_attribute("th:has(#sort-2)", "aria-sort") == "descending"
    assert numbers(cells(page, "NFE 2")) == sorted(up, reverse=True)
    assert page.locator("[aria-sort]").count() == 1


@pytest.mark.parametrize(
    ("better", "name", "down", "best"),
    [
        ("lower", "4", False, True),
        ("lower", "4", True, False),
        ("higher", "4", True, True),
        ("lower", "row", False, False),
    ],
)
def test_rows_are_called_the_best_where_the_best_come_first(
    page: Page, better: str, name: str, down: bool, best: bool
) -> None:
    selection = {"dataset": {"columns": [{"key": 4}]}, "metric": {"better": better}}
    assert page.evaluate("all => isBestFirst(...all)", [selection, {"name": name, "down": down}]) is best


def test_words_in_the_field_narrow_the_rows_everywhere(page: Page) -> None:
    page.fill("#filter-text", "cosine AB2")
    wait_for_rows(page, 3)
    assert set(cells(page, "path")) == {"cosine"} or all("cosine" in cell for cell in cells(page, "path"))
    assert page.locator("#chart-legend [aria-pressed=true]").all_inner_texts() == ["ab2"]
    page.fill("#filter-text", "nothing like it")
    wait_for_rows(page, 0)
    assert page.locator("#chart-drawing .empty").is_visible()


def test_under_a_filter_best_and_ties_are_computed_again(page: Page, data: dict[str, Any]) -> None:
    dataset = data["datasets"][0]
    page.click("#filter > summary")
    for axis, value in (("solver", "ab2"), ("path", "linear"), ("t_distribution", "u_shaped")):
        place = next(i for i, each in enumerate(data["axes"]) if each["name"] == axis)
        without, column = data["axes"][place]["values"].index(value), dataset["rows"]["axes"][place]
        rows = {row for row, at in enumerate(column) if at != without}
        page.uncheck(f"#filter label:has-text('{value}') input")
        assert page.locator("#table-place tbody tr[id]").count() == len(rows)
        expected = expected_marks(data, rows, len(dataset["varying"]))
        assert expected["best"]
        assert marked(page) == expected
        page.click(f"#all-{axis}")
        assert page.locator("#table-place tbody tr[id]").count() == len(column)


def test_the_page_ranks_all_rows_as_python_does(page: Page) -> None:
    python, own = page.evaluate(
        """() => {
            const selection = select(readReport(JSON.parse(byId("data").textContent)), readState(""));
            const marks = () => selection.entries.map((shown) => shown.mark);
            const python = marks();
            selection.whole = false;
            selection.entries.forEach((shown) => (shown.mark = 0));
            markBest(selection);
            return [python, marks()];
        }"""
    )
    assert set(own) == {0, 1, 2}
    assert own == python


def test_the_distribution_behind_the_ties_is_students(page: Page) -> None:
    from scipy.stats import t  # type: ignore[import-untyped]

    freedoms = [1, 2, 3, 4, 9, 30, 200]
    assert page.evaluate(f"{freedoms}.map(quantile)") == pytest.approx([t.ppf(0.975, df) for df in freedoms], rel=1e-10)
    found = page.evaluate(f"{freedoms}.map(df => twoSided(1.7, df))")
    assert found == pytest.approx([2 * t.sf(1.7, df) for df in freedoms], rel=1e-10)


def test_differences_from_a_row_are_pythons(page: Page, data: dict[str, Any]) -> None:
    from fmbench.stats.paired_seeds import relative

    rng = np.random.default_rng(0)
    for n, scale in ((1, 1.0), (2, 0.1), (3, 0.2), (8, 0.3)):
        reference = 5 + scale * rng.normal(size=n)
        values = 4 + scale * rng.normal(size=n)
        found = page.evaluate("([v, r]) => difference(v, r).percent", [values.tolist(), reference.tolist()])
        wanted = relative(values.tolist(), reference.tolist())
        for part in ("mean", "low", "high"):
            ours = found[part] if isinstance(found[part], int | float) else float("nan")
            assert ours == pytest.approx(getattr(wanted, part), rel=1e-9, nan_ok=True)


def test_the_difference_from_the_baseline_replaces_the_values(page: Page) -> None:
    page.select_option("#choose-against", "baseline")
    said = [cell for cell in cells(page, "NFE 8") if cell not in ("reference", "–")]
    assert said
    assert all("%" in cell for cell in said)
    assert "difference in percent" in page.inner_text("#chart-caption")
    page.select_option("#choose-against", "0")
    page.click("text=seeds >> nth=-1")


def test_what_is_unsteady_or_lost_a_seed_is_on_no_front(page: Page) -> None:
    costs = """clock => [0, 1].map(id => costOf({id}, clock, {timing: {metric: clock, unsteady: new Set([0])}}))"""
    assert page.evaluate(costs, {"mean": [1.5, 2.5]}) == [None, 2.5]
    points = [
        {"x": 1, "y": 1, "complete": False},
        {"x": 2, "y": 3, "complete": True},
        {"x": 3, "y": 2, "complete": True},
    ]
    assert page.evaluate("points => frontOf(points, 'lower').map(point => point.x)", points) == [2, 3]


def test_latex_has_no_letter_that_it_would_read_as_markup(page: Page) -> None:
    table = {"heads": {"labels": ["a_b"], "columns": []}, "lines": [{"labels": ["{x: $1}\\&"], "cells": []}]}
    said = page.evaluate("({heads, lines}) => asLatex(heads, lines)", table)
    assert "a\\_b" in said
    assert r"\{x: \$1\}\textbackslash{}\&" in said


def test_the_slider_moves_both_sheets_and_real_data_stay(page: Page) -> None:
    page.locator("#samples").scroll_into_view_if_needed()
    page.wait_for_selector(".sheet")
    before = page.eval_on_selector_all(".sheet img", "all => all.map(each => each.src)")
    assert len(before) == 3
    page.fill("#samples-slider", "3")
    page.wait_for_function(
        "before => [...document.querySelectorAll('.sheet img')].slice(0, 2).some((each, i) => each.src !== before[i])",
        arg=before,
    )
    after = page.eval_on_selector_all(".sheet img", "all => all.map(each => each.src)")
    assert page.inner_text(".sample-controls output") == "NFE 8"
    assert before[:2] != after[:2]
    assert before[2] == after[2]
    assert page.locator(".sheet figcaption").all_inner_texts()[2].startswith("Real data")
    page.select_option("#samples-left", "0")
    assert "left=0" in page.evaluate("location.hash")


@pytest.fixture
def copied(browser: Browser, file: Path) -> Iterator[Page]:
    with shown(browser, file, permissions=["clipboard-read", "clipboard-write"]) as (page, seen):
        yield page
        assert not seen.faults


def test_what_is_filtered_is_copied_as_csv_markdown_and_latex(copied: Page, data: dict[str, Any]) -> None:
    page = copied
    page.fill("#filter-text", "cosine")
    wait_for_rows(page, 15)

    def copy(form: str) -> str:
        page.click(f"#copy-{form}")
        page.wait_for_selector(f"#announcer.said:has-text('{form}')")
        text: str = page.evaluate("navigator.clipboard.readText()")
        return text

    rows = list(csv.DictReader(io.StringIO(copy("csv"))))
    assert len(rows) == 15
    assert {row["path"] for row in rows} == {"cosine"}
    name = data["metrics"][data["datasets"][0]["headline"]]["name"]
    assert [float(row[f"{name}_nfe8_mean"]) for row in rows] == sorted(float(row[f"{name}_nfe8_mean"]) for row in rows)
    assert sum(row[f"{name}_nfe4_mark"] == "best" for row in rows) == 1
    table = copy("markdown").splitlines()
    assert table[0].startswith("| path | t\\_distribution | solver | NFE 1 |")
    assert len(table) == 17
    assert any("**" in line for line in table)
    latex = copy("latex")
    assert latex.startswith("\\begin{tabular}{lllrrrr}\n\\toprule\npath & t\\_distribution")
    assert latex.count("\\\\\n") == 16
    assert "\\textbf{" in latex


def test_pointing_at_a_point_says_it_and_a_click_pins_its_row(page: Page) -> None:
    drawing = page.locator("#chart-drawing svg")
    drawing.hover(position={"x": 60, "y": 22})
    tip = page.locator("#chart-drawing .tip")
    tip.wait_for()
    said = tip.inner_text()
    assert "seeds:" in said
    assert "fmbench run" in said
    assert "--filter nfe=1" in said
    drawing.click(position={"x": 60, "y": 22})
    pinned = page.locator("#pinned .pinned")
    assert pinned.count() == 1
    assert said.split("\n")[0] in pinned.inner_text()
    assert page.locator("#table-place tr.marked").count() == 1
    assert "pin=" in page.evaluate("location.hash")
    page.click("#pinned button:has-text('Unpin')")
    assert page.locator("#pinned .pinned").count() == 0
    assert page.locator("#table-place tr.marked").count() == 0


def test_an_open_row_shows_its_seeds_command_and_samples(page: Page, data: dict[str, Any]) -> None:
    button = page.locator("#table-place .open").first
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    details = page.locator("#table-place .opened")
    text = details.inner_text()
    assert all(f"seed {seed}" in text for seed in data["datasets"][0]["seeds"])
    assert data["report"]["command"] in text
    assert details.locator(".thumbnail").count() > 0
    button.click()
    assert details.count() == 0


def test_the_address_holds_the_state_and_reset_clears_it(browser: Browser, file: Path) -> None:
    state = "#scale=linear&show=seeds&only.path=cosine&sort=-4&heat=on&pin=20&colour=path"
    with shown(browser, file, state) as (page, seen):
        assert page.input_value("#choose-colour") == "path"
        assert page.locator("#heat").is_checked()
        assert page.get_attribute("th:has(#sort-4)", "aria-sort") == "descending"
        assert page.locator("#pinned .pinned").count() == 1
        assert not page.locator("#filter label:has-text('linear') input").is_checked()
        assert page.get_attribute(".choice [data-value=seeds]", "aria-pressed") == "true"
        page.click("#reset")
        assert page.evaluate("location.hash") == ""
        assert page.locator("#pinned .pinned").count() == 0
        assert page.is_disabled("#reset")
        assert not seen.faults


def test_a_state_that_names_what_is_not_there_is_passed_over(browser: Browser, file: Path) -> None:
    state = "#metric=none&colour=x&facets=y&sort=z&pin=999&pin=x&page=-3&only.no=1&only.path=gone&dataset=q&left=1e9"
    state += "&against=777&nfe=x"
    with shown(browser, file, state) as (page, seen):
        assert page.locator("#chart-drawing svg").count() == 1
        assert page.locator("#table-place tbody tr[id]").count() > 10
        assert not seen.faults


def test_dark_is_the_systems_choice_or_the_readers(browser: Browser, file: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with shown(browser, file, color_scheme="dark") as (page, seen):
        dark = page.evaluate(paper)
        page.click("#theme")
        light = page.evaluate(paper)
        assert dark != light == "rgb(255, 255, 255)"
        page.reload()
        assert page.evaluate(paper) == light
        assert not seen.faults


def test_everything_can_be_done_by_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#filter > summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert "only." in page.evaluate("location.hash")
    assert page.evaluate("document.activeElement.type") == "checkbox"
    page.keyboard.press("Escape")
    assert page.locator("#filter[open]").count() == 0
    page.locator("#chart-drawing").focus()
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#chart-drawing .tip")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#chart-drawing .tip") != first
    page.keyboard.press("Enter")
    assert page.locator("#pinned .pinned").count() == 1
    page.locator("#sort-8").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "sort-8"
    assert page.get_attribute("th:has(#sort-8)", "aria-sort") == "descending"
    page.locator("#table-place .open").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#table-place .opened").count() == 1


def all_sections(page: Page) -> None:
    """Scroll past everything, so that all is drawn."""
    for section in ("samples", "cost", "training"):
        page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        page.wait_for_selector(f"#{section}-place > *")
    page.evaluate("scrollTo(0, 0)")


def test_nobody_is_kept_out(browser: Browser, file: Path) -> None:
    with shown(browser, file, "#heat=on&pin=2") as (page, seen):
        all_sections(page)
        page.locator("#table-place .open").first.click()
        for viewport in (WIDE, TELEPHONE):
            page.set_viewport_size({"width": viewport["width"], "height": viewport["height"]})
            page.wait_for_function(
                f"() => document.querySelector('#chart-drawing svg').clientWidth < {viewport['width']}"
            )
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                assert axe(page) == [], f"{viewport} {scheme}"
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert not seen.faults


def test_without_scripts_the_result_the_table_and_the_chart_are_there(
    browser: Browser, file: Path, data: dict[str, Any]
) -> None:
    with shown(browser, file, java_script_enabled=False) as (page, seen):
        assert page.locator("#controls").is_hidden()
        assert page.locator(".static .card").count() == len(data["datasets"][0]["winners"])
        assert page.locator("#table .static table").first.is_visible()
        assert page.locator("#table .static svg").first.is_visible()
        page.click(".contents a[href='#glossary']")
        assert not seen.faults


def test_print_is_the_static_page_and_cuts_nothing(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#table .static table").first.is_visible()
    page.set_viewport_size({"width": 1040, "height": 720})  # A4 across, less its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 1040
    assert page.evaluate(
        "[...document.querySelectorAll('.static td')].every(cell => cell.getBoundingClientRect().right <= 1040)"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_a_frame_with_scripts_and_nothing_else_shows_the_page(browser: Browser, file: Path) -> None:
    frame = (
        f'<iframe sandbox="allow-scripts" style="width:1200px;height:800px" srcdoc="{quote_attribute(file)}"></iframe>'
    )
    with opened(browser, "data:text/html," + quote("<!doctype html><title>t</title>")) as (page, seen):
        page.set_content(frame)
        inside = page.frame_locator("iframe")
        inside.locator("#sort-2").click()
        assert inside.locator("th:has(#sort-2)").get_attribute("aria-sort") == "ascending"
        inside.locator("#theme").click()
        inside.locator("#copy-csv").click()
        inside.locator("#announcer.said, dialog").first.wait_for()
        inside.locator("#save-svg").click()
        inside.locator("dialog img").wait_for()
        assert not seen.faults


def quote_attribute(file: Path) -> str:
    return file.read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_chart_is_saved_as_a_file(page: Page, form: str) -> None:
    with page.expect_download() as waiting:
        page.click(f"#save-{form}")
    saved = Path(waiting.value.path()).read_bytes()
    assert waiting.value.suggested_filename == f"chart.{form}"
    assert saved.startswith(b"<svg" if form == "svg" else b"\x89PNG")
    assert b"var(--" not in saved


def changed(file: Path, place: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """Write the page again with other numbers: `change` gets the data and the samples."""
    text = file.read_text(encoding="utf-8")
    parts = {name: text.split(f'id="{name}">')[1].split("</script>")[0] for name in ("data", "samples-data")}
    loaded = [json.loads(part) for part in parts.values()]
    change(*loaded)
    for (name, part), new in zip(parts.items(), loaded, strict=True):
        text = text.replace(f'id="{name}">{part}<', f'id="{name}">{json_text(new)}<')
    place.write_text(text, encoding="utf-8")
    return place


def test_where_times_are_unsteady_they_are_nowhere_and_the_reason_is(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    def change(data: dict[str, Any], samples: dict[str, Any]) -> None:
        data["datasets"][0]["timing"] |= {"shown": False, "reason": "Repeats of one call differ by 80%."}

    with shown(browser, changed(file, tmp_path / "index.html", change), "#x=ms&metric=sample_ms") as (page, seen):
        assert page.input_value("#choose-x") == "nfe"
        assert page.get_attribute("#choose-x option[value=ms]", "disabled") is not None
        assert "sample_ms" not in page.locator("#choose-metric option").all_inner_texts()
        page.evaluate("document.getElementById('cost').scrollIntoView()")
        page.wait_for_selector("#cost-note:has-text('differ by 80%')")
        assert page.locator("#cost-place svg").count() == 0
        assert not seen.faults


def test_points_in_the_plane_are_drawn_and_their_flow_is_played_by_the_slider(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    def change(data: dict[str, Any], samples: dict[str, Any]) -> None:
        entries = range(len(data["datasets"][0]["entries"]["row"]))
        trainings = range(max(data["datasets"][0]["rows"]["training"]) + 1)
        space = {"frame": [-1, -1, 1, 1], "levels": 1023}
        paths = {str(n): [[10, 10, 20, 20], [500, 500, 510, 510], [1000, 1000, 900, 900]] for n in trainings}
        drawn = {str(n): [100 + n, 200, 300, 400] for n in entries}
        flows = {"times": [0, 0.5, 1], "paths": paths, **space}
        samples["datasets"] = [{"kind": "points", "seed": 0, "points": drawn, "real": [1, 2], "flows": flows, **space}]

    with shown(browser, changed(file, tmp_path / "index.html", change)) as (page, seen):
        page.locator("#samples").scroll_into_view_if_needed()
        page.wait_for_selector(".sheet canvas")
        assert page.locator(".sheet canvas").count() == 3
        before = page.eval_on_selector(".sheet canvas", "canvas => canvas.toDataURL()")
        page.click(".sample-controls .choice button >> nth=1")
        page.wait_for_selector("output:has-text('t = 0.00')")
        page.click("#samples-play")
        page.wait_for_selector("output:has-text('t = 0.50')")
        page.click("#samples-play")
        assert page.eval_on_selector(".sheet canvas", "canvas => canvas.toDataURL()") != before
        assert not seen.faults


def test_names_that_look_like_html_are_text(browser: Browser, tmp_path: Path) -> None:
    bad = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    factory = Factory(tmp_path, paths=(bad, "linear"), solvers=("euler", bad), nfe=(1, 2), metrics=FACTS[:1])
    file = write_report(factory.records(description=bad), tmp_path / "report")
    with shown(browser, file, f"#only.path={quote(bad)}") as (page, seen):
        assert bad in page.inner_text("h1")
        assert page.locator("#table-place tbody tr[id]").count() > 0
        page.locator("#table-place .open").first.click()
        page.click("#winners button >> nth=0")
        assert page.locator("img[src=x]").count() == 0
        assert not seen.faults


def test_a_page_of_one_cell_and_of_one_seed_stands(browser: Browser, tmp_path: Path) -> None:
    one: dict[str, Any] = {"paths": ("linear",), "t_distributions": Factory.t_distributions[:1], "seeds": (0,)}
    file = write_report(Factory(tmp_path, solvers=("euler",), nfe=(4,), **one).records(), tmp_path / "report")
    with shown(browser, file) as (page, seen):
        assert page.locator("#chart-drawing svg").count() == 1
        assert "nothing else was tried" in page.inner_text("#winners")
        assert page.locator("#choose-against option[value=baseline]").count() == 0  # the suite has none
        assert page.locator("#table-place tbody tr[id]").count() == 1
        assert not seen.faults
