"""One experiment on a tracking server: finds its runs, makes them, and writes what is not there yet."""

from __future__ import annotations

import getpass
import json
import math
import re
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from fmbench.io.file_lock import held, lock_of
from fmbench.io.markdown import escape_markdown
from fmbench.tracking.client import check_file, make_client
from fmbench.tracking.database_version import DatabaseVersion
from fmbench.tracking.known_runs import CONTENT, KnownRun, KnownRuns
from fmbench.tracking.ledger import TOKEN
from fmbench.tracking.logged_models import log_model
from fmbench.tracking.moved_artifacts import bring_home
from fmbench.tracking.run_content import CONFIGURATION, EXPERIMENT, NOTE, VARIANT, Part, RunContent, mark_of
from fmbench.tracking.run_params import TAG_LENGTH, cut
from fmbench.tracking.shown_views import set_views
from fmbench.tracking.uris import artifact_root, folder_of, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATUS, ERROR = "fmbench.status", "fmbench.error"
PARENT, LOGGED_IMAGES = "mlflow.parentRunId", "mlflow.loggedImages"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's page asks what kind of experiment this is."""

SOUND = {"ok", "missing"}
"""What a part's status is where nothing failed."""

METRICS_WITH_TAGS, PARAMS_WITH_TAGS = 800, 100
"""More than these go ahead alone: of several requests, MLflow's client sends tags with the first, not the last."""


class Written(NamedTuple):
    """A run's id, whether anything had to be written, and the cells whose runs it took the place of."""

    run_id: str
    changed: bool
    superseded: tuple[str, ...] = ()


class Server:
    """One experiment on one tracking server. Every method may raise what mlflow raises; see `server_errors`."""

    def __init__(self, uri: str, suite: str, description: str = "") -> None:
        self.uri, self.suite, self.description = uri, suite, description
        self.experiment = ""
        self._client: MlflowClient | None = None
        self._runs: KnownRuns | None = None
        self._alone = False
        self._version = DatabaseVersion()

    @contextmanager
    def alone(self, goes_on: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Be the only one among fmbench's processes who writes to a sqlite database, whatever store it logs from.

        Raises StoppedWaiting when `goes_on()` ends before another process has let go. A server is shared: there, a run
        is looked for again right after it was made, and deleted if it is the second of its cell.
        """
        database = sqlite_file(self.uri)
        if database is not None and self._client is None:
            check_file(database)
        with held(lock_of(database), goes_on) if database is not None else nullcontext():
            self._alone = database is not None
            if self._runs is not None and (database is None or not self._version.is_noted(database)):
                self._runs.sure = False
            try:
                yield
            finally:
                if database is not None:
                    self._version.note(database)
                self._alone = False

    def close(self) -> None:
        """Let go of the database."""
        self._version.close()

    @property
    def client(self) -> MlflowClient:
        """MLflow's client."""
        self.connect()
        assert self._client is not None
        return self._client

    def connect(self) -> bool:
        """Import mlflow, make a new database and the client, unless there is one; return whether this was done."""
        if self._client is not None:
            return False
        self._client = make_client(self.uri)
        return True

    def open(self) -> str:
        """Find or make the experiment; return its token."""
        client, database = self.client, sqlite_file(self.uri)
        if database is not None:
            bring_home(database)
        found = client.get_experiment_by_name(self.suite)
        if found is None:
            self.experiment = self.client.create_experiment(self.suite, artifact_location=self._artifacts())
            self._runs = KnownRuns(client, self.experiment, complete=True, sure=self._alone)
            tags = {}
        else:
            self.experiment, tags = found.experiment_id, dict(found.tags)
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(self.experiment)
        wanted = {**EXPERIMENT_TAGS, TOKEN: tags.get(TOKEN) or uuid.uuid4().hex}
        if self.description and NOTE not in tags:  # with the first views comes one that leads to them
            wanted[NOTE] = escape_markdown(self.description)[:TAG_LENGTH]
        for key, value in wanted.items():
            if tags.get(key) != value:
                self.client.set_experiment_tag(self.experiment, key, value)
        return wanted[TOKEN]

    def forget(self) -> None:
        """Trust nothing that was known: a request that failed may have been carried out."""
        self._runs = None

    def write(self, content: RunContent, logged: Mapping[str, str], run_id: str | None, parent: str | None) -> Written:
        """Bring a run up to `content`, which may be a part of it. Half-written runs are completed.

        `logged` are the marks of what is surely there, `run_id` its id if it is known, `parent` that of the run above.
        """
        runs = self._known_runs()
        run = runs.find(content.cell, run_id, alone=self._alone, search=self._alone)
        if run is None:
            logged, run = {}, self._create(content, parent)
            if not self._alone:
                run = runs.confirm(content.cell, run)
            superseded = runs.supersede(run, alone=self._alone)
        else:
            superseded = runs.restore(run, content.name, alone=self._alone)
        if content.keeps is not None:
            superseded += runs.retire(content.tags[VARIANT], content.keeps, alone=self._alone)
        marks = {**logged, **content.marks}
        status = _run_status(content, logged)
        moved = parent is not None and run.tags.get(PARENT) != parent
        if run.tags.get(CONTENT) == mark_of(marks) and run.status == status and not superseded and not moved:
            return Written(run.id, False)
        fresh = [part for part in content.parts.values() if logged.get(part.key) != part.mark]
        tags = {**self._tags(run, content, status), **({PARENT: parent} if parent else {})}
        unsent: Exception | None = None
        try:
            tags |= self._log_files(run, content, fresh)
            if content.network is not None and "network" not in logged:
                log_model(self.client, self.experiment, run.id, content.network)
            tags[CONTENT] = mark_of(marks)
        except Exception as error:  # numbers are logged even where artifacts cannot be; the run stays half-written
            unsent = error
        self._log_dataset(run, content)
        self._log_batch(run, content, fresh, tags, logged)
        if run.status != status:
            self.client.set_terminated(run.id, status, run.start + round(1000 * content.seconds))
            run.status = status
        if unsent is not None:
            raise unsent
        return Written(run.id, True, superseded)

    def find(self, cell: str, run_id: str | None) -> str | None:
        """Return the id of a cell's run, or None; `run_id` is what the ledger says."""
        run = self._known_runs().find(cell, run_id, alone=self._alone)
        return run.id if run is not None else None

    def tidy(self) -> None:
        """Tell sqlite how its tables are filled, without which a search among thousands of runs takes half a minute."""
        database = sqlite_file(self.uri)
        if database is not None:
            with closing(sqlite3.connect(database, timeout=5.0)) as connection:
                connection.execute("PRAGMA analysis_limit = 1000")
                connection.execute("ANALYZE")
                connection.commit()

    def _artifacts(self) -> str | None:
        database = sqlite_file(self.uri)
        if database is None:
            return None
        return (artifact_root(database) / (re.sub(r"[^\w.-]", "_", self.suite).strip(".") or "suite")).as_uri()

    def _known_runs(self) -> KnownRuns:
        if self._runs is None:
            self._runs = KnownRuns(self.client, self.experiment)
        return self._runs

    def _create(self, content: RunContent, parent: str | None) -> KnownRun:
        """Make a run that can be found again by its cell, whatever happens next."""
        source = {"mlflow.user": _user(), "mlflow.source.name": "fmbench", "mlflow.source.type": "LOCAL"}
        above = {PARENT: parent} if parent else {}
        start = content.started or round(1000 * time.time())
        tags = {**source, **above, **content.tags, **self._notes(content)}
        created = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=content.name)
        artifacts, configuration = created.info.artifact_uri, tags.get(CONFIGURATION, "")
        run = KnownRun(
            created.info.run_id, start, artifacts, content.name, tags=tags, configuration=configuration, made_here=True
        )
        self._known_runs().add(content.cell, run)
        return run

    def _notes(self, content: RunContent) -> dict[str, str]:
        """Return the tags that do not count, with links into this experiment."""
        return {key: text.replace(EXPERIMENT, self.experiment) for key, text in content.notes.items()}

    def _tags(self, run: KnownRun, content: RunContent, status: str) -> dict[str, str]:
        """Return the tags that say what became of the run; one that failed elsewhere keeps those it has."""
        tags = {**content.tags, **self._notes(content)}
        states = [part.status for part in content.parts.values() if part.status != "ok"]
        errors = [part for part in content.parts.values() if part.status not in SOUND]
        if errors or status != "FAILED":
            tags[STATUS] = errors[0].status if errors else [*states, "ok"][0]
        if errors:
            tags[ERROR] = cut("\n".join(_explained(part, content.kind) for part in errors), TAG_LENGTH)
        elif status != "FAILED" and ERROR in run.tags:
            self.client.delete_tag(run.id, ERROR)
            del run.tags[ERROR]
        return tags

    def _log_dataset(self, run: KnownRun, content: RunContent) -> None:
        """Say what dataset a run was made from, unless the server knows it."""
        if content.dataset is None or run.has_dataset:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name, digest, source = content.dataset
        dataset = Dataset(name, digest, source_type="fmbench", source=source)
        used = [InputTag("mlflow.data.context", content.kind)]
        self.client.log_inputs(run.id, datasets=[DatasetInput(dataset, tags=used)])
        run.has_dataset = True

    def _log_batch(
        self,
        run: KnownRun,
        content: RunContent,
        fresh: Sequence[Part],
        tags: Mapping[str, str],
        logged: Collection[str],
    ) -> None:
        """Log the params and metrics that are not there: a param cannot be changed, a metric is not logged twice."""
        from mlflow.entities import Metric, Param, RunTag

        entries = (self._entries(run, part, known=not logged or part.key in logged) for part in fresh)
        metrics = [Metric(*entry) for some in entries for entry in some]
        params = [Param(name, value) for name, value in content.params.items() if name not in run.params]
        changed = [RunTag(key, value) for key, value in tags.items() if run.tags.get(key) != value]
        if len(metrics) > METRICS_WITH_TAGS or len(params) > PARAMS_WITH_TAGS:
            self.client.log_batch(run.id, metrics=metrics, params=params)
            metrics, params = [], []
        self.client.log_batch(run.id, metrics=metrics, params=params, tags=changed)
        run.params |= content.params.keys()
        run.tags |= tags
        run.metrics |= {v.table or v.name: v.value for part in fresh for v in part.points}
        for value in (value for part in fresh if not part.pace for value in part.points if not value.table):
            if run.made_here or value.name in run.points:
                run.points.setdefault(value.name, {})[value.step] = value.value

    def _entries(self, run: KnownRun, part: Part, *, known: bool) -> list[tuple[str, float, int, int]]:
        """Return name, value, time and step of what is not on the server.

        MLflow keeps one entry for each name, step, time and value. Times that follow from the run's start thus make it
        safe to log a curve again; a value that changed gets the time of now, so that it counts as the later one.
        `known` says that the part may be there already, perhaps with other values.
        """
        ends = {value.name: value.value for value in part.values if not value.table} if part.pace else {}
        curves = {name for name, end in ends.items() if name in run.metrics and _same(run.metrics[name], end)}
        entries = []
        for value in part.points:
            if value.table:
                there = run.metrics.get(value.table)
            else:
                there = self._value_at(run, value.name, value.step) if known and not part.pace else None
            if value.name in curves or (there is not None and _same(there, value.value)):
                continue
            at = run.start + round(part.pace * value.step) if there is None else round(1000 * time.time())
            entries.append((value.name, value.value, at, value.step))
            if value.table not in {"", value.name}:
                entries.append((value.table, value.value, at, 0))
        return entries

    def _value_at(self, run: KnownRun, name: str, step: int) -> float | None:
        """Return what a metric of a run is at a step, None where it has no value; asks for its history once."""
        if name not in run.points and name in run.metrics and not run.made_here:
            history = sorted(self.client.get_metric_history(run.id, name), key=lambda entry: entry.timestamp)
            run.points[name] = {entry.step: entry.value for entry in history}
        return run.points.get(name, {}).get(step)

    def _log_files(self, run: KnownRun, content: RunContent, fresh: Iterable[Part]) -> dict[str, str]:
        """Send all that is no number; return the tag that makes MLflow look for pictures, if there are any."""
        if content.folder is not None and content.folder.is_dir():
            with self._artifacts_of(run, "report") as place:
                shutil.copytree(content.folder, place, copy_function=shutil.copyfile, dirs_exist_ok=True)
        if content.views:
            set_views(self.client, self.experiment, self.description, content)
        if content.documents:
            with self._artifacts_of(run) as place:
                for name, document in content.documents.items():
                    (place / name).write_text(json.dumps(document, indent=2, default=str), encoding="utf-8")
        pictured = [part for part in fresh if part.samples is not None]
        if not pictured:
            return {}
        from fmbench.tracking.images import FOLDER, write_pictures

        with self._artifacts_of(run, FOLDER) as folder:
            count = write_pictures(pictured, folder, run.start)
        return {LOGGED_IMAGES: "True"} if count else {}

    @contextmanager
    def _artifacts_of(self, run: KnownRun, name: str = "") -> Iterator[Path]:
        """Yield a folder whose files become artifacts: the run's own folder where the store is a sqlite file.

        MLflow remembers for a whole process where the artifacts of a run lie, also when the run's database is a copy.
        """
        if urlsplit(run.artifacts).scheme == "file" and sqlite_file(self.uri) is not None:
            place = folder_of(run.artifacts) / name
            place.mkdir(parents=True, exist_ok=True)
            yield place
            return
        with tempfile.TemporaryDirectory(prefix="fmbench-") as folder:
            yield Path(folder)
            if any(Path(folder).iterdir()):
                self.client.log_artifacts(run.id, folder, name or None)


def _run_status(content: RunContent, logged: Mapping[str, str]) -> str:
    """FAILED when any part failed, also one that this content does not have."""
    statuses = {part.status for part in content.parts.values()}
    earlier = any(mark.startswith("!") for key, mark in logged.items() if key not in content.parts)
    if statuses <= SOUND and not earlier:
        return "RUNNING" if "missing" in statuses else "FINISHED"
    return "FAILED"


def _same(there: float, value: float) -> bool:
    """Whether the server has this value; it stores an infinity as the largest number."""
    if math.isnan(value) or math.isnan(there):
        return math.isnan(value) and math.isnan(there)
    limit = 1.7976931348623157e308
    return max(-limit, min(limit, value)) == max(-limit, min(limit, there))


def _explained(part: Part, kind: str) -> str:
    text = f"{part.status}: {part.error}"
    return f"nfe={part.step}: {text}" if kind == "evaluation" and part.step else text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"  # a container whose user has no name
