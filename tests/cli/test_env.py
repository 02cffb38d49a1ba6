"""`fmbench env`: what a bug report needs, and no secret in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import fmbench

SECRET = "hunter2-s3cret"
SET = {
    "MLFLOW_TRACKING_URI": f"https://ann:{SECRET}@tracking.example/x?api_key={SECRET}",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "MLFLOW_TRACKING_TOKEN": SECRET,
    "FMBENCH_HOME": f"s3://key:{SECRET}@bucket/results",
    "FMBENCH_PLUGINS": "mine.py",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
    "AWS_DEFAULT_REGION": "eu-central-1",
    "RAY_REDIS_PASSWORD": SECRET,
    "CUDA_VISIBLE_DEVICES": "",
    "DATABASE_URL": f"postgresql://ann:{SECRET}@host/db",
}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_env_shows_what_is_set_and_no_secret(options: tuple[str, ...], tmp_path: Path) -> None:
    done = fmbench("env", "--device", "cpu", *options, cwd=tmp_path, **SET, COLUMNS="300")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "DATABASE_URL" not in done.stdout
    for shown in ("https://ann:***@tracking.example/x?api_key=***", "s3://key:***@bucket/results", "eu-central-1"):
        assert shown in done.stdout
    if options:
        shown_variables = json.loads(done.stdout)["variables"]
        assert shown_variables["MLFLOW_TRACKING_TOKEN"] == shown_variables["RAY_REDIS_PASSWORD"] == "***"
        assert shown_variables["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("written", [["--tracking-uri", "{}"], ["--tracking-uri={}"]])
def test_a_detached_run_has_a_password_in_its_environment_and_not_in_its_command(
    written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmbench.cli.detach import _arguments
    from fmbench.runner.session import Options, Session

    session = Session.__new__(Session)
    session.options = Options(tracking_uri=SET["MLFLOW_TRACKING_URI"])
    words = [word.format(SET["MLFLOW_TRACKING_URI"]) for word in written]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setattr("sys.argv", ["fmbench", "retry", "tiny.yaml", *words, "--detach", "--jobs", "2"])
    assert _arguments(session, None) == ["run", "tiny.yaml", "--jobs", "2"]
    assert os.environ["MLFLOW_TRACKING_URI"] == SET["MLFLOW_TRACKING_URI"]
    session.options = Options(tracking_uri="http://tracking.example")
    assert "--tracking-uri" in " ".join(_arguments(session, None))


@pytest.mark.parametrize("written", [["--home", "{}"], ["--home={}"]])
def test_so_has_it_that_of_a_store(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from fmbench.cli.detach import _arguments
    from fmbench.runner.session import Options, Session

    session, url = Session.__new__(Session), "sftp://me:hunter2@host/store"
    session.options = Options(home=url)
    monkeypatch.setenv("FMBENCH_HOME", "")
    monkeypatch.setattr("sys.argv", ["fmbench", "run", *[word.format(url) for word in written], "tiny.yaml"])
    assert _arguments(session, None) == ["run", "tiny.yaml"]
    assert os.environ["FMBENCH_HOME"] == url
    session.options = Options(home="s3://bucket/team")
    assert "--home" in " ".join(_arguments(session, None))
