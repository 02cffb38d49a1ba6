"""The data of the report page: what Python says of each number, within the page's budget, and safe in HTML."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_cases import FILTERS, expected_marks
from PIL import Image
from safetensors.numpy import save_file
from test_report import FID, IDENTITY, KID, MS, Factory, T, digits, moons, set_values, small, spec

from fmbench.report.drawable import drawable
from fmbench.report.html import page
from fmbench.report.html.static_chart import static_chart
from fmbench.report.page_data.json_text import json_text
from fmbench.report.page_data.payload import RunAddresses
from fmbench.report.page_data.samples import PICTURES, samples_data, sheet
from fmbench.report.result_table import make_result_tables
from fmbench.report.text.headline import in_short
from fmbench.results.records import EvaluationRecord, Records
from fmbench.stats.paired_seeds import difference, interval

BASELINE = {"path": "linear", "t_distribution": "uniform"}


def contents(records: Records, **more: Any) -> page.Contents:
    every = drawable(records)
    tables = make_result_tables(every.last_steps)
    return page.Contents(every, records.command, in_short(every, tables), [page.Section(t, []) for t in tables], **more)


def data_of(records: Records, **more: Any) -> dict[str, Any]:
    """Return the payload as a page holds it."""
    return dict(json.loads(json_text(page.data_of(contents(records, **more)))))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Two paths, a baseline, an adaptive solver, and a training that lost two of three seeds."""
    lost = ("cosine", "beta")
    return small(
        tmp_path_factory.mktemp("page"),
        t_distributions=T[:2],
        samples=digits,
        adaptive=("dopri5",),
        baseline=BASELINE,
        failed=lambda c: "diverged" if (c.path.name, c.t_distribution.name) == lost and c.seed else "ok",
    ).records()


@pytest.fixture(scope="module")
def data(records: Records) -> dict[str, Any]:
    return data_of(records)


def columns_of(data: dict[str, Any], name: str) -> dict[str, Any]:
    number = next(n for n, metric in enumerate(data["metrics"]) if metric["name"] == name)
    return next(dict(c) for c in data["datasets"][0]["metrics"] if c["metric"] == number)


def test_every_cell_has_its_key_and_its_value(records: Records, data: dict[str, Any]) -> None:
    dataset, columns = data["datasets"][0], columns_of(data, "fid_digits")
    place = {
        key: (seed, entry) for seed, keys in enumerate(dataset["cells"]["key"]) for entry, key in enumerate(keys) if key
    }
    assert place.keys() == {record.cell.key for record in records.evaluations}
    for record in records.evaluations:
        seed, entry = place[record.cell.key]
        assert dataset["seeds"][seed] == record.cell.training.seed
        budget = dataset["entries"]["nfe"][entry]
        assert (budget is None) == (record.cell.nfe is None)
        assert budget is None or dataset["nfe"][budget] == record.cell.nfe
        value, own = columns["values"][seed][entry], record.metrics.get("fid_digits")
        assert value == (None if own is None else pytest.approx(own, rel=1e-8))
        row = dataset["entries"]["row"][entry]
        labels = {a["name"]: a["values"][c[row]] for a, c in zip(data["axes"], dataset["rows"]["axes"], strict=True)}
        assert labels["path"] == str(record.cell.training.path)
        assert labels["solver"] == str(record.cell.solver)
        training = dataset["rows"]["training"][row]
        assert dataset["trainings"]["key"][seed][training] == record.cell.training.key


def test_means_and_intervals_are_those_of_the_tables(data: dict[str, Any]) -> None:
    columns = columns_of(data, "fid_digits")
    for entry, n in enumerate(columns["n"]):
        values = [v[entry] for v in columns["values"] if v[entry] is not None]
        said = interval(values)
        assert n == len(values)
        assert columns["mean"][entry] == pytest.approx(said.mean, rel=1e-5)
        if said.known:
            assert columns["low"][entry] == pytest.approx(said.low, rel=1e-5)
            assert columns["high"][entry] == pytest.approx(said.high, rel=1e-5)
        else:
            assert columns["low"][entry] is columns["high"][entry] is None


def test_each_value_that_is_missing_has_a_reason(data: dict[str, Any]) -> None:
    dataset, columns = data["datasets"][0], columns_of(data, "fid_digits")
    empty = {
        (entry, seed)
        for seed, keys in enumerate(dataset["cells"]["key"])
        for entry, key in enumerate(keys)
        if key and columns["values"][seed][entry] is None
    }
    said = {(entry, seed): data["reasons"][reason] for entry, seed, reason in columns["missing"]}
    assert said.keys() == empty
    assert set(said.values()) == {"diverged"}
    assert [n for n in columns["lost"] if n] == [2] * len({entry for entry, _ in empty})


def test_differences_are_from_the_baseline_with_the_same_sampler(data: dict[str, Any]) -> None:
    dataset, columns = data["datasets"][0], columns_of(data, "fid_digits")
    rows, entries = dataset["rows"], dataset["entries"]
    place = {at: n for n, at in enumerate(zip(entries["row"], entries["nfe"], strict=True))}
    compared = 0
    for entry, (row, budget) in enumerate(zip(entries["row"], entries["nfe"], strict=True)):
        other = rows["against"][row]
        percent = columns["against"]["percent"][entry]
        if other is None:
            assert percent is None
            assert row in rows["baseline"] or row in rows["adaptive"]
            continue
        values = [
            {seed: v[at] for seed, v in enumerate(columns["values"]) if v[at] is not None}
            for at in (entry, place[other, budget])
        ]
        found = difference(*values, "lower")
        assert percent == pytest.approx(found.percent.mean, rel=1e-3)
        told = data["verdicts"][columns["against"]["verdict"][entry]]
        assert told in (found.verdict, "not distinguishable"), "jointly never more is told than singly"
        compared += 1
    assert compared


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_marks_are_those_of_paired_t_tests(better: str, tmp_path: Path) -> None:
    facts = dataclasses.replace(FID, better=better)
    noise = np.random.default_rng(3)

    def change(record: EvaluationRecord) -> EvaluationRecord:
        level = 5.0 + (record.cell.training.path.name == "cosine") + 0.2 * len(record.cell.solver.name)
        return dataclasses.replace(record, metrics={"fid_digits": level + 0.1 * noise.normal()})

    found = data_of(small(tmp_path, metrics=(facts,), t_distributions=T, change=change, seeds=range(5)).records())
    columns = columns_of(found, "fid_digits")
    marks = expected_marks(found, found["datasets"][0], columns, FILTERS[0])
    assert dict(enumerate(columns["mark"])) == marks
    assert set(marks.values()) == {0, 1, 2}


def test_the_cases_for_the_page_differ_by_filter(data: dict[str, Any]) -> None:
    columns = columns_of(data, "fid_digits")
    marks = [expected_marks(data, data["datasets"][0], columns, kept) for kept in FILTERS]
    assert all(1 in each.values() for each in marks)
    assert len({len(each) for each in marks}) == len(FILTERS)


def test_values_of_two_identities_are_in_no_common_group(tmp_path: Path) -> None:
    def change(record: EvaluationRecord) -> EvaluationRecord:
        own = IDENTITY | {"samples": 500 if record.cell.training.path.name == "cosine" else 2000}
        return dataclasses.replace(record, identities={"fid_digits": own})

    found = data_of(small(tmp_path, change=change, metrics=(FID,)).records())
    dataset, columns = found["datasets"][0], columns_of(found, "fid_digits")
    path = next(n for n, axis in enumerate(found["axes"]) if axis["name"] == "path")
    of_entry = [dataset["rows"]["axes"][path][row] for row in dataset["entries"]["row"]]
    assert len(set(zip(of_entry, columns["group"], strict=True))) == 2
    assert [text for text in columns["groups"] if text] == ["path linear", "path cosine"]
    assert columns["why"]

    def mixed(record: EvaluationRecord) -> EvaluationRecord:
        return dataclasses.replace(record, identities={"fid_digits": IDENTITY | {"n": record.cell.training.seed}})

    found = data_of(small(tmp_path, change=mixed, metrics=(FID,)).records())
    columns = columns_of(found, "fid_digits")
    assert set(columns["group"]) == {-1}
    assert not any(columns["mark"])
    assert static_chart(found, found["datasets"][0]) == ""


def test_what_samplers_cost_is_there_once_for_all_seeds(tmp_path: Path) -> None:
    def change(record: EvaluationRecord) -> EvaluationRecord:
        time = {"sample_ms": 0.1 * (record.cell.nfe or 9), "sample_ms_iqr": 0.01}
        return dataclasses.replace(record, metrics={**record.metrics, **time})

    spread = dataclasses.replace(MS, name="sample_ms_iqr", better="")
    found = data_of(small(tmp_path, change=change, metrics=(FID, MS, spread)).records())
    columns = columns_of(found, "sample_ms")
    assert columns["shared"]
    assert len(columns["values"]) == 1
    assert set(columns["spread"]) == {0.01}
    assert [metric["name"] for metric in found["metrics"]] == ["fid_digits", "sample_ms"]
    assert found["datasets"][0]["timing"]["shown"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_what_is_no_number_is_null_with_a_reason(value: float, tmp_path: Path) -> None:
    def change(record: EvaluationRecord) -> EvaluationRecord:
        odd = record.cell.training.seed == 1
        return dataclasses.replace(record, metrics={**record.metrics, "fid_digits": value if odd else 1.0}, nfe=value)

    found = data_of(small(tmp_path, change=change).records())
    columns = columns_of(found, "fid_digits")
    assert set(columns["values"][1]) == {None}
    assert {found["reasons"][reason] for *_, reason in columns["missing"]} == {"not a finite number"}
    assert set(columns["lost"]) == {1}


def test_no_text_ends_the_element_or_starts_another(tmp_path: Path) -> None:
    nasty = "</script><script>alert(1)</script><!-- & \u2028 \ud800 é"
    assert not set("<>&") & set(json_text([nasty, {nasty: nasty}]))
    assert json.loads(json_text([nasty])) == [nasty]
    with pytest.raises(ValueError, match="JSON"):
        json_text([math.nan])
    network = (spec("network", nasty), spec("network", "plain"))
    factory = small(tmp_path, networks=network, failed=lambda c: "error" if c.seed == 2 else "ok", samples=digits)
    text = page.render(contents(factory.records(suite=nasty, description=nasty, left_out=[(nasty, nasty)])))
    plain = page.render(contents(small(tmp_path, samples=digits).records()))
    assert text.count("<script") == plain.count("<script")
    assert text.lower().count("</script") == plain.lower().count("</script")
    assert "alert(1)</script" not in text
    assert page_texts(text)["data"]["report"]["suite"] == nasty


def page_texts(text: str) -> dict[str, Any]:
    """Return the JSON elements of a page."""
    parts = {name: text.split(f'<script type="application/json" id="{name}">')[1] for name in ("data", "samples-data")}
    return {name: json.loads(part.split("</script>")[0]) for name, part in parts.items()}


def test_what_the_page_carries_cannot_end_its_element() -> None:
    for script in (page.scripts(), *page.vendor()):
        assert "</script" not in script.lower()
        assert "<!--" not in script
    assert all("Copyright" in library[:5000] for library in page.vendor())
    assert len(page.vendor()) == 2


def test_the_same_records_give_the_same_bytes(records: Records) -> None:
    assert page.render(contents(records)) == page.render(contents(records))


def test_runs_of_mlflow_stand_beside_their_cells(records: Records) -> None:
    cells = [record.cell for record in records.evaluations[:2]]
    links = RunAddresses("http://127.0.0.1:5000/#/experiments/1/runs/{run}", {c.key: "r" for c in cells})
    found = data_of(records, links=links)
    dataset = found["datasets"][0]
    runs = dict(zip(np.ravel(dataset["cells"]["key"]), np.ravel(dataset["cells"]["run"]), strict=True))
    assert [key for key, run in runs.items() if run] == [cell.key for cell in cells]
    assert found["tracking"]["link"].endswith("{run}")
    assert data_of(records)["datasets"][0]["cells"]["run"] is None


def test_losses_are_means_over_seeds_and_few_points(data: dict[str, Any]) -> None:
    loss = data["datasets"][0]["trainings"]["loss"]
    assert loss["training"] == list(range(4))
    for step, mean, low, high in zip(loss["step"], loss["mean"], loss["low"], loss["high"], strict=True):
        assert len(step) <= 60
        assert step == sorted(step)
        assert all(a <= b <= c for a, b, c in zip(low, mean, high, strict=True))


def test_sources_say_where_methods_come_from(tmp_path: Path) -> None:
    sources = {("solver", "euler"): ("One call a step.", "Euler 1768")}
    found = data_of(small(tmp_path).records(sources=sources))["citations"]
    assert found == [{"kind": "solver", "name": "euler", "summary": "One call a step.", "reference": "Euler 1768"}]


# Samples


def samples_of(records: Records, room: int = 10**6) -> dict[str, Any]:
    found = contents(records)
    tables = [section.result_table for section in found.sections]
    return dict(samples_data(found.records, page.data_of(found), tables, room)["datasets"][0])


def test_sheets_are_the_stored_pictures_to_the_bit(tmp_path: Path) -> None:
    records = small(tmp_path, samples=digits, t_distributions=T[:1]).records()
    found = samples_of(records)
    dataset = data_of(records)["datasets"][0]
    assert len(found["sheets"]) == len(dataset["entries"]["row"])
    assert (found["left_out"], found["note"], found["pixelated"]) == (0, "", True)
    picture = opened(found["real"])
    assert (picture.width, picture.height) == (found["width"], found["height"])
    pixels = np.asarray(picture)[1:, 1:].reshape(4, 9, 4, 9)[:, :8, :, :8].transpose(0, 2, 1, 3).reshape(16, 8, 8)
    assert np.array_equal(pixels, np.clip(digits(16)[:, 0] * 127.5 + 128, 0, 255).astype(np.uint8))


def opened(uri: str) -> Image.Image:
    head, _, content = uri.partition(";base64,")
    assert head in ("data:image/png", "data:image/webp")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_where_there_is_little_room_the_winners_and_the_baseline_come_first(tmp_path: Path) -> None:
    records = small(tmp_path, samples=digits, t_distributions=T, baseline=BASELINE).records()
    dataset = data_of(records)["datasets"][0]
    whole = samples_of(records)
    room = len(whole["real"]) + sum(len(uri) + 10 for uri in whole["sheets"].values()) // 2
    found = samples_of(records, room)
    assert 0 < len(found["sheets"]) < len(whole["sheets"])
    assert found["left_out"] == len(whole["sheets"]) - len(found["sheets"])
    assert f"{found['left_out']} entries have samples in the store and no room" in found["note"]
    rows = {dataset["entries"]["row"][int(entry)] for entry in found["sheets"]}
    wanted = {winner["row"] for winner in dataset["winners"]}
    assert wanted | {dataset["rows"]["against"][row] for row in wanted} - {None} <= rows
    assert samples_of(records, 0)["sheets"] == {}


@pytest.mark.parametrize(("shape", "form"), [((3, 20, 20), "WEBP"), ((1, 200, 100), "WEBP"), ((3, 4, 4), "PNG")])
def test_pictures_of_any_size_have_a_sheet(shape: tuple[int, ...], form: str) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (3, *shape)).astype(np.float32)
    picture = opened(sheet(samples))
    assert picture.format == form
    assert max(picture.size) <= 4 * 65 + 1
    assert sheet(samples) == sheet(samples.copy())
    assert PICTURES == 16


def test_points_are_whole_numbers_within_the_frame(tmp_path: Path) -> None:
    records = small(tmp_path, samples=moons, t_distributions=T[:1], metrics=(FID,)).records()
    found = samples_of(records)
    assert found["kind"] == "points"
    left, low, right, high = found["frame"]
    real = np.array(found["real"]).reshape(-1, 2) / found["levels"] * (right - left, high - low) + (left, low)
    assert np.abs(real - moons(256)).max() < (right - left) / found["levels"]
    assert all(0 <= level <= found["levels"] for points in found["points"].values() for level in points)
    assert found["flows"] is None


def test_samples_that_are_gone_are_counted(tmp_path: Path) -> None:
    records = small(tmp_path, samples=digits, paths=("linear",), solvers=("euler",)).records()
    kept = [record for record in records.evaluations if record.samples]
    assert kept[0].samples
    kept[0].samples.write_bytes(b"damaged")
    assert "of 1 entry the samples cannot be read" in samples_of(records)["note"] or kept[0].cell.training.seed
    none = dataclasses.replace(records, evaluations=[dataclasses.replace(r, samples=None) for r in records.evaluations])
    assert samples_of(none) == {"kind": "none", "note": "There are no samples to show."}


# Budgets


def many(folder: Path, cells: int, **changes: Any) -> Records:
    """Return records of at least so many cells, with colour pictures that are hard to compress, one file for all."""
    solvers = [f"solver_{n}" for n in range(-(-cells // (2 * 3 * 3 * 4)))]
    noise = np.random.default_rng(0).uniform(-1, 1, (16, 3, 32, 32)).astype(np.float32)
    save_file({"samples": noise}, folder / "noise.safetensors")
    factory = Factory(folder, solvers=(), nfe=(1, 2, 4, 8), baseline=BASELINE, **changes)
    known = factory.records()
    evaluations = [record for t in known.trainings for record in _evaluations(t.cell, solvers, folder, factory.nfe)]
    return dataclasses.replace(known, evaluations=evaluations)


def _evaluations(training: Any, solvers: Sequence[str], folder: Path, budgets: Sequence[int]) -> list[EvaluationRecord]:
    from fmbench.cells.cells import EvaluationCell
    from fmbench.cells.component_spec import Settings

    found = []
    for number, solver in enumerate(solvers):
        for nfe in budgets:
            parts = spec("solver", solver), spec("grid", "uniform"), nfe, nfe, 1.0, "ema", Settings({"samples": 2000})
            cell = EvaluationCell(training, *parts)
            level = 100.0 / nfe + number + len(str(training.path)) + math.sin(17.0 * training.seed + number)
            metrics = {"fid_digits": level, "kid_digits": math.sqrt(level), "sample_ms": nfe * (1.0 + number / 7)}
            found.append(
                EvaluationRecord(
                    cell, "ok", "", float(nfe), metrics, {"fid_digits": IDENTITY},
                    samples=folder / "noise.safetensors",
                )
            )  # fmt: skip
    return found


@pytest.mark.parametrize(("cells", "most"), [(300, 1_000_000), (2_000, 2_000_000)])
def test_a_page_keeps_its_budget(cells: int, most: int, tmp_path: Path) -> None:
    records = many(tmp_path, cells)
    assert cells <= len(records.evaluations) < 1.3 * cells
    text = page.render(contents(records))
    assert len(text.encode()) < most * max(1.0, len(records.evaluations) / cells)
    found = page_texts(text)
    assert len(json_text(found["data"])) < 0.2 * most
    sheets = found["samples-data"]["datasets"][0]
    assert len(sheets["sheets"]) > 8
    assert sheets["left_out"] > 0
    assert page.budget(300) == 1_000_000
    assert page.budget(2_000) == 2_000_000


# The chart without scripts


def test_the_static_chart_is_one_accessible_svg_in_the_colour_of_the_text(data: dict[str, Any]) -> None:
    text = static_chart(data, data["datasets"][0])
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    named = (root.get("aria-labelledby") or "").split()
    assert [element.get("id") for element in (root[0], root[1])] == named
    assert "fid_digits" in (root[0].text or "")
    colours = {element.get(name) for element in root.iter() for name in ("fill", "stroke")} - {None}
    assert colours == {"currentColor", "none"}
    panels = [element for element in root if element.tag == f"{space}g"]
    assert len(panels) >= 3
    numbers = [float(part) for element in root.iter() for part in (element.get("cx"), element.get("cy")) if part]
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("level", [0.0, -3.0, 1e-12, 1e25])
def test_a_static_chart_of_one_value_is_drawn(level: float, tmp_path: Path) -> None:
    change = set_values({"linear": [level] * 3, "cosine": [level] * 3}, "path")
    found = data_of(small(tmp_path, change=change, metrics=(FID, KID), nfe=(2,)).records())
    text = static_chart(found, found["datasets"][0])
    assert "nan" not in text
    ElementTree.fromstring(text)


def test_names_in_a_static_chart_are_escaped(tmp_path: Path) -> None:
    nasty = (spec("network", "<b>&\"'"), spec("network", "plain"))
    found = data_of(small(tmp_path, networks=nasty).records())
    text = static_chart(found, found["datasets"][0])
    ElementTree.fromstring(text)
    assert "<b>" not in text
