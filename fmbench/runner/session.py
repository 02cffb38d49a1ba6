"""What every verb begins with: registry, suite, plan and store, opened from one set of options."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fmbench.components.contracts import Dataset
from fmbench.errors import DamagedFile, UserError
from fmbench.executors.choose import EXECUTORS, check_executor, remote_device, timed_on
from fmbench.executors.devices import Gpus, gpus_here
from fmbench.executors.jobs import jobs_and_threads, remote_jobs_and_threads
from fmbench.io.file_lock import StoppedWaiting
from fmbench.plan import Plan, make_plan
from fmbench.plan.result_code import result_code
from fmbench.plugins.registry import Registry, load_registry
from fmbench.plugins.source import code_fingerprint
from fmbench.results.cell_keys import sampler_key
from fmbench.results.cell_state import CellState, unsteady
from fmbench.results.collect import ResultsIndex
from fmbench.results.records import Records
from fmbench.runner.quick_run import quick_run
from fmbench.runtime.device import choose_device, device_type
from fmbench.runtime.environment import environment
from fmbench.store.atomic_files import read_sealed, write_sealed
from fmbench.store.cache_files import contents_of_models, real_samples, t_density
from fmbench.store.file_forms import CONTENTS, DENSITY
from fmbench.store.open_store import open_store, shown_home
from fmbench.store.store import Store
from fmbench.suite import Suite, load_suite

MOST_SHOWN = 200
"""Characters of a plugin's error that are shown."""

LONGEST_NAME = 100
"""Letters of a report folder's name that say what was changed of a suite."""
COMPUTING = ("run", "retry", "check")
REPORTING = (*COMPUTING, "report", "sync")
LOGGING = (*COMPUTING, "sync")
"""The verbs that take --device, --reports and --tracking-uri."""


@dataclass(frozen=True)
class Options:
    """What a command line may say besides the suite.

    `home` is the store's folder or URL (default FMBENCH_HOME, else `.fmbench`), `reports` the folder of reports,
    `tracking_uri` MLflow's server (None: MLFLOW_TRACKING_URI, else a sqlite file), `log_models` whether MLflow is given
    the trained networks (None: as the suite says), `timeout` seconds a cell, `jobs`
    "auto" or a number, `executor` the name of what computes (`fmbench.executors.choose`), `address` that of its
    cluster, `per_gpu` the workers on each GPU of this machine, `slurm` what is said to SLURM. Where nothing is
    computed, files of models may be gone: they count as they were in the last run. With `fail_fast` a run ends where a
    cell fails, with `figures` a report has its figures as files, too. `quick` cuts the suite's budget
    (`fmbench.runner.quick_run`).
    """

    overrides: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    home: str | Path | None = None
    reports: Path = Path("reports")
    device: str = "auto"
    jobs: str = "auto"
    executor: str = "local"
    address: str | None = None
    per_gpu: int = 1
    slurm: tuple[str, ...] = ()
    timeout: float | None = None
    tracking: bool = True
    tracking_uri: str | None = None
    log_models: bool | None = None
    checkpoint_seconds: float = 15.0
    computes: bool = True
    fail_fast: bool = False
    figures: bool = False
    quick: bool = False


@dataclass
class Session:
    """A suite, planned, and the store in which its cells lie."""

    path: Path
    options: Options
    registry: Registry
    suite: Suite
    plan: Plan
    store: Store
    not_comparable: str = ""
    """Why its results stand beside no others; "" where they do."""

    @cached_property
    def device(self) -> str:
        """The device that computes."""
        if self.is_remote:
            return remote_device(self.options.device, dict(self.resources).get("gpu", 0.0))
        return choose_device(self.options.device)

    @property
    def is_remote(self) -> bool:
        """Whether other machines than this one compute."""
        check_executor(self.options.executor, self.options)
        return EXECUTORS[self.options.executor].remote

    @cached_property
    def gpus(self) -> Gpus:
        """The GPUs of this machine that workers are shared out to: none on a CPU, on a cluster, or on one of several.

        Raises UserError where `--per-gpu` has no GPU.
        """
        if self.options.per_gpu > 1:
            here = "--per-gpu is for the GPUs of this machine"
            if self.is_remote:
                raise UserError(f"{here}; for a cluster, a suite says resources: {{gpu: 0.5}}.")
            if device_type(self.device) != "cuda":
                raise UserError(f"{here}, and {self.device} computes; --jobs says how many processes it has.")
        several = not self.is_remote and device_type(self.device) == "cuda" and ":" not in self.device
        return gpus_here(os.environ) if several else Gpus((), None)

    def check_options(self) -> None:
        """Raise UserError where an option of a run is wrong: before anything is written, or detached."""
        if self.is_remote:
            remote_jobs_and_threads(self.options.jobs)
        else:
            jobs_and_threads(self.options.jobs, 1, self.device)
        _ = self.gpus

    @property
    def resources(self) -> tuple[tuple[str, float], ...]:
        """What the suite says that a worker is given."""
        return () if self.suite.resources is None else self.suite.resources.named

    @property
    def logs_models(self) -> bool:
        """Whether MLflow is given the trained networks."""
        said = self.options.log_models
        return bool(self.suite.tracking and self.suite.tracking.log_models) if said is None else said

    @cached_property
    def measured_on(self) -> dict[str, Any]:
        """What a sampler's cost must have been measured on in order to count here."""
        return dict(timed_on(self.options.executor, self.options, self.device, self.resources))

    @cached_property
    def data(self) -> dict[str, str]:
        """What the plan's datasets say that they read, by label; only those that say something.

        Raises UserError where one cannot say it.
        """
        found: dict[str, str] = {}
        for spec in dict.fromkeys(cell.dataset for cell in self.plan.trainings):
            if self.registry.overrides(spec, "describe"):
                try:
                    dataset = self.registry.build(spec)
                    assert isinstance(dataset, Dataset)
                    found[str(spec)] = dataset.describe()
                except UserError:
                    raise
                except Exception as error:
                    why = f"{type(error).__name__}: {error}"[:MOST_SHOWN]
                    raise UserError(f"dataset {spec} cannot say what it reads ({why}). Mend its describe().") from error
        return {label: text for label, text in found.items() if text}

    def results_index(self, *, anywhere: bool = False) -> ResultsIndex:
        """Look at what the store holds; `anywhere` accepts sampler costs of other hardware."""
        return ResultsIndex(self.plan, self.store, self.registry, lambda: self.measured_on, anywhere=anywhere)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Hardware, versions and git commit."""
        return environment(self.device)

    @property
    def report_folder(self) -> Path:
        """The folder of this suite's report; a run with overrides or filters has one of its own."""
        parts = [re.sub(r"[^A-Za-z0-9_.=-]+", "-", text).strip("-") for text in self._changes]
        name = "+".join(parts)[:LONGEST_NAME]
        # Another list of changes may be written so, too: in letters that stand for others, or on a disk that does not
        # tell capitals apart.
        if name != "+".join(self._changes).lower():
            exact = json.dumps([self.options.overrides, self.options.filters])
            name += "-" + hashlib.sha256(exact.encode()).hexdigest()[:8]
        return self.options.reports / "+".join([self.suite.name, *([name] if self._changes else [])])

    @property
    def _changes(self) -> tuple[str, ...]:
        return (*self.options.overrides, *self.options.filters)

    @property
    def variant(self) -> str:
        """What was changed of the suite as it stands, in words that are the same in any order; "" for nothing."""
        settings = {text.partition("=")[0].strip(): text for text in self.options.overrides}  # the last one counts
        changes = [f"--set {text}" for _, text in sorted(settings.items())]
        changes += ["--quick"] * self.options.quick
        return " ".join([*changes, *(f"--filter {text}" for text in sorted(set(self.options.filters)))])

    @property
    def command(self) -> str:
        """The command line that makes this suite's records."""
        return shlex.join(["fmbench", "run", str(self.path), *self._flags])

    def again(self, verb: str, *more: str) -> str:
        """Return the command line of a verb on these cells, in this store: the suite follows `more`.

        What does not change them, such as --jobs, is not in it.
        """
        words = ["fmbench", verb, *more, str(self.path), *self._flags]
        from fmbench.tracking import shown

        options, places = self.options, Options()
        if options.home is not None:
            words += ["--home", shown_home(options.home)]
        if verb in REPORTING and options.reports != places.reports:
            words += ["--reports", str(options.reports)]
        if verb in COMPUTING and options.device != places.device:
            words += ["--device", options.device]
        if verb in LOGGING and not options.tracking:
            words += ["--no-tracking"] if verb in COMPUTING else []
        elif verb in LOGGING and options.tracking_uri is not None:
            words += ["--tracking-uri", shown(options.tracking_uri)]
        if verb in LOGGING and options.log_models is not None:
            words.append("--log-models" if options.log_models else "--no-log-models")
        return shlex.join(words)

    @property
    def _flags(self) -> list[str]:
        """The options that say which cells there are."""
        options = self.options
        given = {"--set": options.overrides, "--filter": options.filters, "--plugins": options.plugins}
        words = [word for flag, values in given.items() for value in values for word in (flag, value)]
        return [*words, *["--quick"] * options.quick]

    def failures(self) -> Counter[str]:
        """Return how many of the plan's cells failed with which status; one of several counts with each."""
        failed = _failed(self.results_index(anywhere=True))
        found = (dict.fromkeys(str(failure["status"]) for failure in state.failures) for state in failed)
        return Counter(status for statuses in found for status in statuses)

    def clear_failures(self, statuses: Collection[str] | None = None) -> int:
        """Forget the failures of the plan's cells, so that they are computed again; return how many there were.

        With `statuses`, only those with one of these. Else unsteady times are forgotten too, and not counted.
        """
        index = self.results_index(anywhere=True)
        failed = [
            state
            for state in _failed(index)
            if statuses is None or any(failure["status"] in statuses for failure in state.failures)
        ]
        for state in failed:
            with contextlib.suppress(StoppedWaiting), state.folder.lock(wait=False):  # else another tries it already
                state.folder.clear_failures(statuses)
        if statuses is None:
            self._forget_unsteady(index)
        return len(failed)

    def _forget_unsteady(self, index: ResultsIndex) -> None:
        """Forget times that are no facts."""
        timed = {sampler_key(cell): cell for cell in self.plan.evaluations if index.samplers}
        measured = [(cell, index.samplers[key].folder) for key, cell in timed.items() if key in index.samplers]
        for cell in unsteady(measured):
            with contextlib.suppress(StoppedWaiting):  # another process measures it anew
                index.samplers[sampler_key(cell)].folder.remove()

    def records(self, results_index: ResultsIndex) -> Records:
        """Return the records of the suite as the store holds them."""
        states = (*results_index.trainings.values(), *results_index.evaluations.values())
        finished = [s.result["facts"]["finished"] for s in states if s.result and "finished" in s.result["facts"]]
        self.store.pull_shared()
        datasets = {cell.dataset for cell in self.plan.trainings}
        real = {str(each): self.store.shared_file(real_samples(self.store.root, each)) for each in datasets}
        return results_index.records(
            real={label: path for label, path in real.items() if path is not None},
            t_densities=self._t_densities(),
            environment=self.environment,
            settings=self.suite.settings(),
            baseline=self.suite.baseline_labels(),
            command=self.command,
            finished=max(finished, default=""),
            variant=self.variant,
            data=self.data,
            code=self.code,
            not_comparable=self.not_comparable,
        )

    @cached_property
    def code(self) -> dict[str, dict[str, str]]:
        """The fingerprints of the code that no cell names: see `fmbench.results.records.Records`."""
        stages = {"training code": result_code("training"), "evaluation code": result_code("evaluation")}
        core = {kind: {module: code_fingerprint(module) for module in modules} for kind, modules in stages.items()}
        specs = (self.registry.spec("metric", metric.name, metric.parameters) for metric in self.plan.metrics)
        return {"metric": {str(spec): spec.fingerprint for spec in specs}, **core}

    def _t_densities(self) -> dict[str, list[float]]:
        """Return the densities that the store holds; a damaged one is no loss, for the next run writes it again."""
        found = {}
        for spec in dict.fromkeys(cell.t_distribution for cell in self.plan.trainings):
            with contextlib.suppress(DamagedFile):
                if kept := read_sealed(t_density(self.store.root, spec), DENSITY):
                    found[str(spec)] = kept["density"]
        return found


def _failed(index: ResultsIndex) -> list[CellState]:
    """Return the cells that failed."""
    sections = (index.trainings, index.flow_snapshots, index.evaluations, index.samplers, index.reference_states)
    return [state for section in sections for state in section.values() if state.failures]


def open_session(suite: str | Path, options: Options | None = None) -> Session:
    """Load plugins, read the suite, plan it. Raises UserError; writes nothing."""
    options = options or Options()
    store = open_store(options.home)
    if not options.computes:
        store.pull_shared()
    registry = load_registry(options.plugins, None if options.computes else _contents(store))
    loaded, filters, not_comparable = load_suite(suite, options.overrides), options.filters, ""
    if options.quick:
        quick = quick_run(loaded)
        loaded = load_suite(suite, (*options.overrides, *quick.overrides))
        filters, not_comparable = (*filters, *quick.filters), quick.said
    plan = make_plan(loaded, registry, filters)
    return Session(Path(suite), options, registry, loaded, plan, store, not_comparable)


def _contents(store: Store) -> dict[str, str]:
    """Return the contents of models' files that the store remembers; none where what it has is damaged."""
    with contextlib.suppress(DamagedFile):
        return read_sealed(contents_of_models(store.root), CONTENTS) or {}
    return {}


def remember_contents(session: Session) -> None:
    """Leave in the store what models' files held, for reports of a time when they may be gone."""
    contents = session.registry.contents
    if contents and (known := _contents(session.store)) != known | contents:
        with session.store.alone("contents-of-models"):
            write_sealed(contents_of_models(session.store.root), _contents(session.store) | contents)
