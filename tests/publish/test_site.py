"""Sites of reports: what is in them, that their links lead somewhere, and whose folder they touch."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_results import results, write_csv, write_results
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.errors import UserError
from fmbench.io.whole_files import write_whole
from fmbench.publish import find_reports, site_folder, write_site
from fmbench.results.snapshot import Snapshot

PAGE = '<!doctype html><html lang="en"><title>Report</title><h1>Report</h1><a href="records.csv">records</a></html>'
NIGHT = "2026-02-01T00:00:00+00:00"


def report(snapshot: Snapshot, folder: Path) -> Path:
    write_results(snapshot, folder)
    (folder / "index.html").write_text(PAGE)
    (folder / "records.csv").write_text("a\n")
    return folder


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four reports of two suites: two nights on one machine, one on another."""
    folder = tmp_path_factory.mktemp("reports")
    report(results(answer=["Answer: euler is best."], description="Which?"), folder / "monday")
    report(results(luck=1, date=NIGHT), folder / "tuesday")
    report(results(luck=2, hardware="A GPU"), folder / "gpu")
    report(results(suite="another <suite>", samples=500), folder / "another")
    return folder


@pytest.fixture(scope="module")
def site(reports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site([reports], folder, "Ours & <b>theirs</b>")
    return folder


class Links(HTMLParser):
    """The addresses that a page leads to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "action")]


def test_every_link_of_the_site_leads_to_a_file_in_it(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + 2 + 2 + 4  # first page, suites, comparisons, reports
    for page in pages:
        for link in Links(page).found:
            assert not re.match(r"[a-z]+:|/", link), (page, link)
            assert (page.parent / link).resolve().is_relative_to(site.resolve())
            assert (page.parent / link).is_file(), (page, link)


def test_all_is_reached_from_the_first_page(site: Path) -> None:
    reached, ahead = set(), [site / "index.html"]
    while ahead:
        page = ahead.pop().resolve()
        if page not in reached:
            reached.add(page)
            ahead += [page.parent / link for link in Links(page).found if link.endswith(".html")]
    assert reached == {page.resolve() for page in site.rglob("*.html")}


def test_the_first_page_says_what_there_is(site: Path) -> None:
    text = unescape((site / "index.html").read_text())
    for said in ("Ours & <b>theirs</b>", "another <suite>", "A GPU", "2026-02-01", "Answer: euler is best."):
        assert said in text
    assert "<b>theirs" not in (site / "index.html").read_text()


def test_the_same_reports_give_the_same_bytes(site: Path, reports: Path, tmp_path: Path) -> None:
    write_site([reports / name for name in ("tuesday", "gpu", "another", "monday")], tmp_path, "Ours & <b>theirs</b>")
    files = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def tables_of(page: Path) -> list[str]:
    return re.split(r"<h2>", page.read_text())[1:]


def test_a_leaderboard_merges_scores_over_machines_and_never_times(site: Path) -> None:
    scores, *rest = tables_of(site / "suites" / "made.html")
    assert "fid, lower is better" in scores
    assert "A GPU" in scores
    assert "Test CPU" in scores
    times = [text for text in rest if "sample_ms" in text.partition("</h2>")[0]]
    assert len(times) == 2
    for text in times:
        assert ("A GPU" in text) != ("Test CPU" in text)


def test_scores_of_another_identity_have_a_leaderboard_of_their_own(tmp_path: Path) -> None:
    report(results(), tmp_path / "reports" / "a")
    report(results(samples=500, date=NIGHT), tmp_path / "reports" / "b")
    write_site([tmp_path / "reports"], tmp_path / "site")
    scores = [text for text in tables_of(tmp_path / "site" / "suites" / "made.html") if "fid, lower" in text[:60]]
    assert len(scores) == 2
    assert all(("2026-01-01" in text) != ("2026-02-01" in text) for text in scores)


def test_who_lost_a_seed_is_never_the_best_of_a_leaderboard(tmp_path: Path) -> None:
    def change(labels: dict[str, str], seed: int, values: dict[str, float]) -> dict[str, float] | None:
        lucky = labels["path"] == "cosine" and labels["solver"] == "heun"
        return ({**values, "fid": 0.001} if seed == 0 else None) if lucky else values

    report(results(change=change), tmp_path / "reports" / "a")
    write_site([tmp_path / "reports"], tmp_path / "site")
    scores = tables_of(tmp_path / "site" / "suites" / "made.html")[0]
    (lucky,) = re.findall(r"<tr><th scope=\"row\">cosine, heun</th>.*?</tr>", scores)
    assert lucky.count("(n = 1)") == 2
    assert "★" not in lucky
    assert scores.count("★ ") == 2
    assert "such a mean is never the best" in scores


def test_another_folder_is_not_touched_and_the_site_is_made_anew_in_its_own(reports: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty, and no site"):
        write_site([reports], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    target = tmp_path / "site"
    write_site([reports], target)
    (target / "CNAME").write_text("bench.example.org")
    write_site([reports / "gpu"], target)
    assert (target / "CNAME").exists()
    assert len(list(target.rglob("*.html"))) == 3
    assert not (target / "compare").exists()


def test_a_site_whose_first_writing_was_cut_short_is_written_anew(
    reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "site"

    def full(path: Path, *arguments: Any, **options: Any) -> None:
        if path.suffix == ".csv":
            raise OSError(28, "No space left on device")
        write_whole(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(site_folder, "write_whole", full)
        with pytest.raises(UserError, match="free some space"):
            write_site([reports], target)
    assert any(target.iterdir())
    write_site([reports / "gpu"], target)
    write_site([reports / "gpu"], tmp_path / "other")
    assert [p.relative_to(target) for p in sorted(target.rglob("*"))] == [
        p.relative_to(tmp_path / "other") for p in sorted((tmp_path / "other").rglob("*"))
    ]


@pytest.mark.parametrize("name", ["../outside", "/outside", ".."])
def test_a_mark_that_was_edited_removes_nothing_outside(reports: Path, tmp_path: Path, name: str) -> None:
    target, outside = tmp_path / "site", tmp_path / "outside"
    outside.write_text("mine")
    write_site([reports / "gpu"], target)
    (target / "fmbench-site.json").write_text(f'{{"format": 1, "files": ["{name}"]}}')
    write_site([reports / "gpu"], target)
    assert outside.read_text() == "mine"


def test_what_is_no_report_is_said(tmp_path: Path) -> None:
    write_csv(results(), tmp_path / "old")
    for folder, message in (("nowhere", "there is no folder"), ("old", "`fmbench report SUITE` writes")):
        with pytest.raises(UserError, match=message):
            find_reports([tmp_path / folder])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_site([tmp_path], tmp_path / "file")


def test_a_link_in_a_report_publishes_nothing_from_elsewhere(tmp_path: Path) -> None:
    folder = report(results(), tmp_path / "report")
    (tmp_path / "secret.csv").write_text("secret")
    (folder / "linked.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "notes.txt").write_text("private")
    write_site([folder], tmp_path / "site")
    assert not any("secret" in p.read_text() or "private" in p.read_text() for p in (tmp_path / "site").rglob("*.*"))


def test_from_the_command_line(reports: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["publish", str(reports), "-o", str(tmp_path / "site")])
    assert done.exit_code == 0, done.output
    assert "made: 3 reports, 2 comparisons" in done.output


@pytest.mark.slow
def test_a_history_beside_the_reports_is_a_figure(
    reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nights are those of the check; what is drawn is tested in tests/history."""
    from fmbench import history

    monkeypatch.setattr("fmbench.history.night.snapshot", lambda made: made.snapshot)
    folder = report(results(), tmp_path / "reports" / "a").parent
    (folder / "history").mkdir()
    path = folder / "history" / "made.parquet"
    for number in range(2):
        night = replace(results(luck=number), settings={"training": {}, "evaluation": {}})
        made: Any = SimpleNamespace(suite="made", finished="", trainings=[], evaluations=[], snapshot=night)
        history.append(history.make_night(made, datetime(2026, 1, 1 + number, tzinfo=UTC)), path)
    write_site([folder], tmp_path / "site")
    assert list((tmp_path / "site" / "history").glob("*.svg"))
    assert "<img" in (tmp_path / "site" / "suites" / "made.html").read_text()
