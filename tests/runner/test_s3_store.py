"""Suites in a store on S3: killed and run again, by two machines at once, with damaged objects; as on a disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import fmbench
from helpers import SMOKE
from s3_server import file_system, s3_server

pytestmark = pytest.mark.slow

SUITES = Path(__file__).parents[2] / "suites"
BUCKET = "bench"


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the server notes each request."""
    return tmp_path_factory.mktemp("server") / "requests.log"


@pytest.fixture(scope="module")
def server(requests: Path) -> Iterator[dict[str, str]]:
    """The environment of a server that has the bucket."""
    with s3_server(requests) as environment:
        file_system(environment).mkdir(BUCKET)
        yield environment


@pytest.fixture
def s3(server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system of the server; this process reaches it, too, from a cache of its own."""
    for name, value in {**server, "FMBENCH_CACHE": str(tmp_path / "cache"), "FMBENCH_STORE_PATIENCE": "20"}.items():
        monkeypatch.setenv(name, value)
    return file_system(server)


def start(suite: Path, folder: Path, home: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start `fmbench run` in a process of its own, with its cache and report in a folder."""
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-c",
        "from fmbench.cli import main; main()",
        "run",
        str(suite),
        "--no-tracking",
        "--json",
    ]
    environment = {**os.environ, "FMBENCH_HOME": home, "FMBENCH_CACHE": str(folder / "cache"), **environment}
    with (folder / "said.json").open("wb") as said, (folder / "told.txt").open("wb") as told:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=told)


def said(folder: Path) -> dict[str, Any]:
    """Return what a run that ended printed."""
    found: dict[str, Any] = json.loads((folder / "said.json").read_text())
    return found


def scores(folder: Path, name: str = "smoke") -> list[str]:
    """Return the lines of a report's records without what time and machine decide."""
    import pandas as pd

    table = pd.read_csv(folder / "reports" / name / "records.csv")
    timed = [column for column in table.columns if "seconds" in column or column in ("finished", "hardware")]
    return table.drop(columns=timed).to_csv(index=False).splitlines()


def killed(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver and its workers at once."""
    processes = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    driver.wait()


def test_the_smoke_suite_killed_in_the_middle_and_run_again_gives_the_table_of_a_disk(s3: Any, tmp_path: Path) -> None:
    home, suite = f"s3://{BUCKET}/killed", SUITES / "smoke.yaml"
    on_disk, mine, yours = tmp_path / "disk", tmp_path / "mine", tmp_path / "yours"
    disk = start(suite, on_disk, str(on_disk / "store"))
    driver = start(suite, mine, home)
    while not s3.glob(f"{BUCKET}/killed/evaluation/*/result.json"):
        assert driver.poll() is None, (mine / "told.txt").read_text()
        time.sleep(0.02)
    killed(driver)
    finished = {name.rpartition("/")[0] for name in s3.glob(f"{BUCKET}/killed/*/*/result.json")}
    half = len([folder for folder in finished if "/evaluation/" in folder])
    again = start(suite, mine, home)
    assert disk.wait() == 0
    assert again.wait() == 0, (mine / "told.txt").read_text()
    assert 0 < half < 16
    assert scores(mine) == scores(on_disk)
    assert len(s3.glob(f"{BUCKET}/killed/evaluation/*/result.json")) == 16
    left = [name for name in s3.find(f"{BUCKET}/killed") if "checkpoint" in name or "/.lease" in name]
    # a kill between a result and the end of its lease leaves this; nobody takes a cell that is done
    assert not [name for name in left if name.rpartition("/")[0] not in finished]

    other = start(suite, yours, home)
    assert other.wait() == 0
    assert said(yours)["computed"] == {}
    mine_files, yours_files = (
        {str(path.relative_to(each)): path.read_bytes() for path in sorted(each.rglob("*")) if path.is_file()}
        for each in (mine / "reports", yours / "reports")
    )
    assert mine_files == yours_files


def test_two_drivers_with_caches_of_their_own_share_the_work(s3: Any, requests: Path, tmp_path: Path) -> None:
    home, suite = f"s3://{BUCKET}/shared", SUITES / "smoke.yaml"
    folders = [tmp_path / "one", tmp_path / "two"]
    drivers = [start(suite, folder, home) for folder in folders]
    assert [driver.wait() for driver in drivers] == [0, 0], [(each / "told.txt").read_text() for each in folders]
    assert scores(folders[0]) == scores(folders[1])
    written = re.findall(rf'"PUT /{BUCKET}/shared/(\w+/[\w-]+)/result.json', requests.read_text())
    assert sorted(written) == sorted(set(written)), "each unit is computed once"
    sections = Counter(place.partition("/")[0] for place in written)
    assert (sections["training"], sections["evaluation"]) == (4, 16)


def test_damaged_objects_are_computed_again(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    home = f"s3://{BUCKET}/damaged"
    arguments = ("run", "tiny.yaml", "--home", home, "--no-tracking")
    assert fmbench(*arguments, cwd=tmp_path).returncode == 0
    before = scores(tmp_path, "tiny")
    results = sorted(s3.glob(f"{BUCKET}/damaged/evaluation/*/result.json"))
    s3.pipe_file(results[0], s3.cat_file(results[0])[:-9])
    s3.pipe_file(results[1].replace("result", "metrics"), b"\xff\xfe not json")
    s3.rm_file(results[2].replace("result.json", "samples.safetensors"))
    s3.rm_file(s3.glob(f"{BUCKET}/damaged/floor/*/result.json")[0])
    for cache in ("cache", "another"):
        done = fmbench(*arguments, cwd=tmp_path, FMBENCH_CACHE=str(tmp_path / cache))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert scores(tmp_path, "tiny") == before
    assert len(s3.glob(f"{BUCKET}/damaged/evaluation/*/samples.safetensors")) == 3
    (weights,) = s3.glob(f"{BUCKET}/damaged/training/*/weights.safetensors")
    s3.pipe_file(weights, b"short")
    done = fmbench(*arguments, cwd=tmp_path)
    assert "damaged, so computed again" in done.stdout + done.stderr
    assert "1 training" in done.stdout
    assert s3.size(weights) > 5


def test_every_verb_takes_the_url(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    home = f"s3://{BUCKET}/verbs"
    assert fmbench("run", "tiny.yaml", "--no-tracking", cwd=tmp_path, FMBENCH_HOME=home).returncode == 0

    def verb(*arguments: str) -> dict[str, Any]:
        done = fmbench(*arguments, "--json", cwd=tmp_path, FMBENCH_CACHE=str(tmp_path / "other"))
        assert done.returncode == 0, (arguments, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    plan = verb("plan", "tiny.yaml", "--home", home)
    key = plan["cells"][0]["key"] if "cells" in plan else next(iter(_keys(plan)))
    assert "computed" in verb("why", key, "tiny.yaml", "--home", home)["verdict"]
    assert fmbench("report", "tiny.yaml", "--home", home, cwd=tmp_path).returncode == 0
    assert verb("retry", "tiny.yaml", "--home", home, "--no-tracking")["computed"] == {}

    merged = verb("merge", home, "--into", str(tmp_path / "disk"))
    assert merged["counts"]["evaluation"] == {"copied": 3}
    assert (tmp_path / "disk" / "cache").is_dir()
    second = f"s3://{BUCKET}/second"
    assert verb("merge", str(tmp_path / "disk"), "--into", second)["counts"]["training"] == {"copied": 1}
    assert verb("merge", str(tmp_path / "disk"), "--into", second)["counts"]["training"] == {"there": 1}
    done = fmbench("run", "tiny.yaml", "--home", second, "--no-tracking", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["computed"] == {}

    assert len(verb("clean", "tiny.yaml", "--home", second)["cells"]) == 0
    gone = verb("clean", "--older-than", "0", "--yes", "--home", second)["cells"]
    assert len(gone) >= 6
    assert not s3.glob(f"{BUCKET}/second/*/*/*.json")


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("key"), str):
            yield value["key"]
        for each in value.values():
            yield from _keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


@pytest.mark.parametrize(
    ("home", "environment", "said"),
    [
        ("s3://nobody-made-it/team", {}, "there is no bucket 'nobody-made-it'; make it"),
        (f"s3://{BUCKET}/team", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check the network"),
        (f"s3://{BUCKET}/team", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "set credentials"),
    ],
)
def test_a_store_that_cannot_be_used_is_said_in_one_message(
    s3: Any, tmp_path: Path, home: str, environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    done = fmbench("run", "tiny.yaml", cwd=tmp_path, FMBENCH_HOME=home, FMBENCH_STORE_PATIENCE="1", **environment)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "secret-of-a-test" not in done.stderr + done.stdout
