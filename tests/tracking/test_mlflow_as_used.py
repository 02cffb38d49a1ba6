"""MLflow as people use it: a real run is searched, its networks are loaded, and its page is clicked through."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_tracking import trained

import fmbench
from fmbench.tracking import TrainedNetworks, resolve_uri, run_links, ui_command, ui_links
from fmbench.tracking.logged_models import NetworkToLog

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from fmbench.runner.run import RunResult

SUITE = """
name: toy
description: Which path?
datasets: [moons]
training:
  paths: [linear, cosine]
  networks: [{mlp: {width: 16, depth: 1}}]
  seeds: [0, 1]
  steps: 20
  batch_size: 64
evaluation: {solvers: [euler, heun], nfe: [2, 4], samples: 200, metrics: [sliced_wasserstein]}
"""
METRIC = "sliced_wasserstein"
GUIDE = Path(__file__).parents[2] / "docs" / "tracking.md"


@dataclass
class Used:
    """A finished run, its folder, and MLflow's address of what was logged."""

    folder: Path
    result: RunResult
    uri: str


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Used:
    """Run a small suite once, with its networks logged."""
    folder = tmp_path_factory.mktemp("used")
    for file in empty_database.glob("mlflow.db*"):
        shutil.copy(file, folder)
    (folder / "toy.yaml").write_text(SUITE)
    uri = resolve_uri(f"sqlite:///{folder / 'mlflow.db'}", folder)
    options = fmbench.Options(
        home=folder / "home", reports=folder / "reports", tracking_uri=uri, jobs="1", log_models=True
    )
    result = fmbench.run(folder / "toy.yaml", options)
    assert result.tracking is not None
    assert result.tracking.pending == 0, result.tracking.problem
    return Used(folder, result, uri)


def mean(used: Used, nfe: int, **axes: str) -> float:
    """Return the mean over seeds of some cells."""
    frame = used.result.records.frame()
    frame = frame[frame["nfe_budget"] == nfe]
    for axis, label in axes.items():
        frame = frame[frame[axis] == label]
    return float(frame[METRIC].mean())


def test_the_recipe_of_the_guide_finds_the_best_configuration_and_makes_a_table(
    used: Used, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = next(
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S) if "search_runs" in block
    )
    for written, here in (("sqlite:///mlflow.db", used.uri), ("low_nfe", "toy"), ("fid_digits", METRIC)):
        assert written in recipe
        recipe = recipe.replace(written, here)
    found: dict[str, Any] = {}
    exec(compile(recipe, str(GUIDE), "exec"), found)
    samplers = [(path, solver) for path in ("linear", "cosine") for solver in ("euler", "heun")]
    means = {(path, solver): mean(used, 4, path=path, solver=solver) for path, solver in samplers}
    best = min(means, key=lambda each: means[each])
    assert found["best"][f"metrics.{METRIC}_nfe4"] == pytest.approx(means[best])
    assert (found["best"]["params.path"], found["best"]["params.solver"]) == best
    table = found["table"]
    assert sorted(table.index) == ["cosine", "linear"]
    assert table.loc["linear", 4] == pytest.approx(min(means["linear", solver] for solver in ("euler", "heun")))
    assert best[1] in capsys.readouterr().out


def test_a_logged_network_is_loaded_by_mlflow_and_gives_fmbenchs_velocity(used: Used) -> None:
    import mlflow
    import torch

    from fmbench.model.context import WorkerContext
    from fmbench.model.trained_model import load_trained
    from fmbench.runner.session import open_session

    client = mlflow.MlflowClient(used.uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    models = {m.tags["fmbench.cell"]: m for m in client.search_logged_models([experiment.experiment_id])}
    assert models.keys() == {record.cell.key for record in used.result.records.trainings}
    session = open_session(used.folder / "toy.yaml", fmbench.Options(home=used.folder / "home"))
    links = run_links(next((used.folder / "home" / "tracking").glob("*.json")), used.uri, "toy")
    x, t = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.linspace(0, 1, 5)
    for record in used.result.records.trainings:
        logged = models[record.cell.key]
        assert logged.source_run_id == links.runs[record.cell.key]
        assert logged.tags["fmbench.saved_as"].startswith("a traced graph")
        mlflow.set_tracking_uri(used.uri)
        velocity = mlflow.pytorch.load_model(f"models:/{logged.model_id}")
        own = load_trained(record.cell, WorkerContext(session.registry, session.store)).velocity()
        assert (velocity(x, t) - own(x, t)).abs().max() <= 1e-6
        assert velocity(x[:1], t[:1]).shape == (1, 2)


def test_a_network_that_cannot_be_traced_is_saved_as_a_pickle_and_says_so(tmp_path: Path) -> None:
    import mlflow
    import torch
    from torch import Tensor, nn

    class Branches(nn.Module):
        """What looks at values cannot be traced."""

        example = (torch.zeros(2, 2), torch.zeros(2))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x * t[:, None]

    network = NetworkToLog(
        trained().cell, TrainedNetworks(lambda cell: Branches(), lambda cell: ["torch", "of-a-plugin==1"])
    )
    said = network.save(tmp_path / "model", "m-0", "0")
    assert said.startswith("a pickle: needs fmbench and its plugins")
    assert "cannot be traced" in said
    assert "of-a-plugin==1" in (tmp_path / "model" / "requirements.txt").read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about pickles
        loaded = mlflow.pytorch.load_model(str(tmp_path / "model"))
    assert loaded(torch.ones(1, 2), torch.ones(1)).tolist() == [[1.0, 1.0]]


def test_every_cell_has_a_link_to_its_run(used: Used) -> None:
    ledger = next((used.folder / "home" / "tracking").glob("*.json"))
    links = run_links(ledger, used.uri, "toy")
    records = used.result.records
    assert {record.cell.key for record in (*records.trainings, *records.evaluations)} <= links.runs.keys()
    address = links.address(records.evaluations[0].cell.key)
    assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/[0-9a-f]{32}", address)
    assert links.address("unknown") == ""
    assert run_links(ledger, used.uri, "another").runs == {}


@pytest.fixture(scope="module")
def address(used: Used) -> Iterator[str]:
    """Serve what was logged, as `fmbench ui` does."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [
        sys.executable,
        "-c",
        "from fmbench.cli import main; main()",
        "ui",
        "--port",
        str(port),
        "--tracking-uri",
        used.uri,
    ]
    log = used.folder / "ui.txt"
    with log.open("w") as out:
        server = subprocess.Popen(line, stdout=out, stderr=out, start_new_session=True, cwd=used.folder)
    try:
        until = time.monotonic() + 120
        while "MLflow's UI: http" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """Open Debian's Chromium; a browser of Playwright's own is never fetched."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("NO CHROMIUM: MLflow's page was not clicked through; apt install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


LINES = """
() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => chart.data)
    .filter(line => line.metricKey).map(line => [line.metricKey, line.x, line.y])
"""
"""The lines of all charts that MLflow's page has drawn: metric, steps and values."""


@pytest.mark.browser
def test_three_clicks_lead_from_mlflows_start_page_to_scores_against_nfe_by_solver(
    used: Used, address: str, page: Page
) -> None:
    errors: list[str] = []
    page.context.on("weberror", lambda error: errors.append(str(error.error)))
    page.goto(address)
    page.get_by_text("Model training").click()
    page.get_by_role("link", name="toy").first.click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=f"{METRIC} against NFE, by solver").click()
    chart = opened.value
    chart.wait_for_function(f"() => ({LINES})().length >= 2")
    lines = [dict(zip(x, y, strict=True)) for metric, x, y in chart.evaluate(LINES) if metric == METRIC]
    for solver in ("euler", "heun"):
        wanted = {nfe: pytest.approx(mean(used, nfe, solver=solver), rel=1e-6) for nfe in (2, 4)}
        assert wanted in lines
        chart.get_by_text(f"{solver} ({METRIC})").first.wait_for()  # the legend
        lines = [line for line in lines if line != wanted]
    assert not lines  # two solvers, and no more
    assert not [error for error in errors if "ResizeObserver" not in error]  # that one is MLflow's own

    chart.get_by_test_id("saved-views-trigger").click()
    names = [*ui_links(used.uri, address)["toy"]][1:]
    for name in names:
        assert chart.get_by_role("menuitem", name=name).count() == 1


def test_the_ui_is_told_of_when_it_answers_with_a_link_a_view(used: Used, address: str) -> None:
    said = (used.folder / "ui.txt").read_text()
    for name, link in ui_links(used.uri, address)["toy"].items():
        assert f"toy, {name}: {link}" in said
    assert ui_command(used.uri, 5000).folder == used.folder
