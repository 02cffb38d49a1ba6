"""What the store already holds of a plan, and the records that follow from it. Reads files, computes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fmbench.cells.cells import EvaluationCell, TrainingCell, evaluation_keys
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.errors import DamagedFile, EarlierFile
from fmbench.io.printable_text import count
from fmbench.plan import Plan
from fmbench.plan.evaluations import Samplings
from fmbench.plan.reference_cells import References
from fmbench.plugins.registry import Registry
from fmbench.results.cell_keys import flow_snapshot_key, sampler_key
from fmbench.results.cell_state import CellState, measured_times
from fmbench.results.records import (
    EvaluationRecord,
    MetricFacts,
    Records,
    ReferenceRecord,
    Timing,
    TrainingRecord,
    Tuned,
)
from fmbench.results.shared_values import SharedValues
from fmbench.store.sampler_timings import UNKNOWN_HARDWARE, hardware_of, key_of, leading_hardware, place_of
from fmbench.store.store import Store


class ResultsIndex:
    """The state of every cell of a plan. `damaged` collects files that are not what was written; their cells count as
    not done, and whoever computes them discards them. `passed_over` says what the store holds that is no cell's.

    `evaluations` and `reference_states` hold the states of those that the store has a folder for, by key: a plan may
    have a million others. `evaluation` and `reference` return the state of any.

    `here` says what a sampler's cost must have been measured on to count; it is asked only when costs are looked at.
    With `anywhere`, costs of other hardware count where there are none from here. Costs of one hardware lead: those of
    the others stand beside them, in `EvaluationRecord.elsewhere`.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        registry: Registry,
        here: Callable[[], Mapping[str, Any]] | None = None,
        *,
        anywhere: bool = False,
    ) -> None:
        self.plan, self.store, self.registry = plan, store, registry
        self._damaged: dict[tuple[str, str], DamagedFile] = {}
        self._shared = SharedValues()
        store.look_anew()
        self.passed_over = store.passed_over()
        self._here, self._anywhere = here, anywhere or here is None
        self._has_steps = any(cell.kept.at_steps for cell in plan.trainings)
        self._snapshot_seconds: dict[str, dict[int, float]] = {}
        self._pull_trainings(plan.trainings)
        self.trainings = {cell.key: self._training_state(cell) for cell in plan.trainings}
        self._found = {cell.key: cell for cell in self._computed()}
        store.pull("evaluation", self._found)
        self.evaluations = {key: self._read(cell) for key, cell in self._found.items()}
        shown = self._with_flow_snapshot()
        store.pull("portrait", map(flow_snapshot_key, shown))
        self.flow_snapshots = {key: self.state("portrait", flow_snapshot_key(key), ()) for key in shown}
        self.references = References(plan, registry)
        known = [(cell, self.references.metrics(cell)) for cell in self._referred()]
        for section in ("floor", "oracle"):
            store.pull(section, [cell.key for cell, _ in known if cell.section == section])
        self.reference_states = {cell.key: self.state(cell.section, cell.key, wanted) for cell, wanted in known}

    def _pull_trainings(self, cells: Iterable[TrainingCell]) -> None:
        """Have trainings of a store by URL here, and the snapshots that are wanted of them."""
        if self.store.mirror is not None:
            self.store.pull("training", [cell.key for cell in cells if cell.samples is None])
            self.store.pull("snapshot", [each.key(cell.key) for cell in cells for each in cell.snapshots])

    def _computed(self) -> Iterator[EvaluationCell]:
        """Yield the evaluations for which the store has a folder."""
        if not (there := set(self.store.keys("evaluation"))):
            return
        shared: Samplings = ()
        digests: list[str] = []
        for training, samplings in self.plan.evaluations.groups:
            if samplings is not shared:
                shared, digests = samplings, [sampling.digest for sampling in samplings]
            keys = list(evaluation_keys(training.key, digests))
            if not there.isdisjoint(keys):
                pairs = zip(keys, samplings, strict=True)
                yield from (sampling.of(training) for key, sampling in pairs if key in there)

    def _referred(self) -> Iterator[ReferenceCell]:
        """Yield the floors and oracles for which the store has a folder."""
        for section, cells in (("floor", self.references.floors), ("oracle", self.references.oracles)):
            if there := set(self.store.keys(section)):
                yield from (cell for cell in cells if cell.key in there)

    def evaluation(self, cell: EvaluationCell) -> CellState:
        """Return the state of an evaluation."""
        known = self.evaluations.get(cell.key)
        return known or self._absent("evaluation", cell.key, self.wanted_of(cell))

    def reference(self, cell: ReferenceCell) -> CellState:
        """Return the state of a floor or an oracle."""
        known = self.reference_states.get(cell.key)
        return known or self._absent(cell.section, cell.key, self.references.metrics(cell))

    def _absent(self, section: str, key: str, wanted: tuple[ComponentSpec, ...]) -> CellState:
        return CellState(self.store.folder(section, key), wanted=wanted)

    def _read(self, cell: EvaluationCell) -> CellState:
        return self.state("evaluation", cell.key, self.wanted_of(cell))

    @cached_property
    def samplers(self) -> dict[str, CellState]:
        """The costs of the samplers on the leading hardware, by `sampler_key`."""
        return {key: self._leading_state(key, wanted) for key, wanted in self._timed.items()}

    @cached_property
    def _shared_samplers(self) -> dict[str, CellState]:
        """The costs of the samplers, by `sampler_key`; those that make the same calls share the steadiest times."""
        by_calls: dict[str, list[CellState]] = {}
        for state in self.samplers.values():
            if state.result is not None and not state.failures and not state.missing_metrics:
                by_calls.setdefault(state.result["facts"].get("calls", ""), []).append(state)
        steadiest = {calls: min(states, key=_unrest) for calls, states in by_calls.items() if calls}
        shared = {id(state): steadiest[calls] for calls in steadiest for state in by_calls[calls]}
        return {key: shared.get(id(state), state) for key, state in self.samplers.items()}

    @cached_property
    def _timed(self) -> dict[str, tuple[ComponentSpec, ...]]:
        """The metrics that are wanted of each sampler, by `sampler_key`."""
        wanted: dict[str, tuple[ComponentSpec, ...]] = {}
        for cell in self._measured():
            wanted.setdefault(sampler_key(cell), self.wanted(cell.training, "sampler"))
        return wanted

    def _measured(self) -> Iterator[EvaluationCell]:
        """Yield evaluations among which every sampler is: trainings that differ in what samplers do not see share them.

        An adaptive solver's cost depends on the training.
        """
        walked: set[tuple[Any, ...]] = set()
        for training, samplings in self.plan.evaluations.groups:
            if not self.wanted(training, "sampler"):
                continue
            seen = (training.dataset, training.objective, training.network)
            place = (*(spec.digest for spec in seen), training.settings.text, id(samplings))
            for sampling in samplings:
                if place not in walked or sampling.nfe is None:
                    yield sampling.of(training)
            walked.add(place)

    @cached_property
    def _timings(self) -> dict[str, dict[str, CellState]]:
        """What the store holds of each sampler's cost, on any hardware: by `sampler_key`, by folder."""
        timings: dict[str, dict[str, CellState]] = {key: {} for key in self._timed}
        places = [place for place in self.store.keys("sampler") if key_of(place) in timings]
        self.store.pull("sampler", places)
        for place in places:
            timings[key_of(place)][place] = self.state("sampler", place, self._timed[key_of(place)])
        return timings

    @cached_property
    def _counting(self) -> Mapping[str, Any]:
        return self._here() if self._here is not None else {}

    @cached_property
    def _leading(self) -> str:
        """The hardware whose costs have the metrics' plain names."""
        results = (state.result for timings in self._timings.values() for state in timings.values())
        return leading_hardware(results, str(self._counting.get("hardware", "")), anywhere=self._anywhere)

    def _leading_state(self, key: str, wanted: tuple[ComponentSpec, ...]) -> CellState:
        """Return the state of a sampler's cost on the leading hardware; what does not count is as if not measured."""
        timings = self._timings[key]
        place = place_of(key, self._leading, {name: state.result for name, state in timings.items()})
        state = timings.get(place, CellState(self.store.folder("sampler", place), wanted=wanted))
        if self._anywhere:
            failed = (s for s in timings.values() if s.result is None and s.failure is not None)
            return state if place in timings else next(failed, state)
        facts = (state.result or {}).get("facts", {})
        counts = all(facts.get(name) == value for name, value in self._counting.items())
        return state if state.result is None or counts else CellState(state.folder, wanted=wanted)

    def _elsewhere(self, key: str) -> tuple[Timing, ...]:
        """Return what a sampler costs on other hardware than the leading one."""
        timings = {hardware_of(s.result): s for s in self._timings.get(key, {}).values() if s.result is not None}
        others = sorted(line for line in timings if line != self._leading)
        return tuple(Timing(line or UNKNOWN_HARDWARE, *self._metrics(timings[line])) for line in others)

    def timed_on(self, cell: EvaluationCell) -> dict[str, str]:
        """Return the hardware on which a cell's sampler was measured, each with the folder of the measurement."""
        timings = self._timings.get(sampler_key(cell), {})
        measured = {place: state.result for place, state in timings.items() if state.result is not None}
        return {hardware_of(result) or UNKNOWN_HARDWARE: place for place, result in measured.items()}

    def _with_flow_snapshot(self) -> list[str]:
        """Return the keys of the cells that figures show: on points, the first seed of each combination."""
        chosen: dict[tuple[str, ...], TrainingCell] = {}
        for cell in self.plan.trainings:
            if (
                cell.samples is None
                and self.plan.is_evaluated(cell)
                and "points" in self.registry.attribute(cell.dataset, "provides")
            ):
                chosen.setdefault((*(spec.digest for spec in cell.components), cell.settings.text), cell)
        return [cell.key for cell in chosen.values()]

    def _training_state(self, cell: TrainingCell) -> CellState:
        """Read the folder of a training cell, and those of the snapshots that are wanted of it.

        Samples that were made elsewhere need nothing more.
        """
        if cell.samples is not None:
            return CellState(self.store.folder("training", cell.key), {"facts": {}})
        state = self.state("training", cell.key, self.wanted(cell, "training"))
        kept = {each: self.state("snapshot", each.key(cell.key), ()).result for each in cell.snapshots}
        state.lacking = tuple(each for each, result in kept.items() if result is None)
        steps = {each.step: result for each, result in kept.items() if each.kind == "step" and result is not None}
        self._snapshot_seconds[cell.key] = {step: result["facts"]["seconds"] for step, result in steps.items()}
        return state

    def _trained(self, cell: EvaluationCell) -> tuple[int | None, float | None]:
        """Return for how many steps and seconds an evaluation's weights were trained, where several are evaluated."""
        if not self._has_steps or cell.training.is_given or cell.training.samples is not None:
            return None, None
        if cell.at_step is not None:
            return cell.at_step, self._snapshot_seconds.get(cell.training.key, {}).get(cell.at_step)
        facts = (self.trainings[cell.training.key].result or {}).get("facts", {})
        return int(cell.training.settings["steps"]), facts.get("seconds")

    def wanted(
        self, cell: TrainingCell, scope: Literal["training", "evaluation", "sampler"]
    ) -> tuple[ComponentSpec, ...]:
        """Return the metrics that the suite wants of a cell in a scope: none of one that only teaches."""
        return self.plan.metrics_for(cell, scope) if self.plan.is_evaluated(cell) else ()

    def wanted_of(self, cell: EvaluationCell) -> tuple[ComponentSpec, ...]:
        """Return the metrics that the suite wants of an evaluation: on validation data the one that chooses."""
        if cell.on_validation:
            return (self.plan.tuning.metric.spec,) if self.plan.tuning else ()
        return self.wanted(cell.training, "evaluation")

    def state(self, section: str, key: str, wanted: Sequence[ComponentSpec]) -> CellState:
        """Read a cell's folder."""
        folder = self.store.folder(section, key)
        try:
            if folder.is_there():
                result, metrics = self._shared.of(folder.result()), self._shared.of(folder.metrics())
                return CellState(folder, result, folder.failure(), metrics, tuple(wanted))
        except DamagedFile as error:
            self._damaged[section, key] = error
        return CellState(folder, wanted=tuple(wanted))

    @property
    def damaged(self) -> list[str]:
        """What was found damaged, a text each cell; all that earlier versions of fmbench wrote is one text."""
        earlier = [error for error in self._damaged.values() if isinstance(error, EarlierFile)]
        texts = [str(error) for error in self._damaged.values() if error not in earlier]
        if len(earlier) == 1:
            texts.append(str(earlier[0]))
        elif earlier:
            texts.append(f"{earlier[0]}, and {len(earlier) - 1} more cells")
        return texts

    def is_told(self, section: str, key: str) -> bool:
        """Tell whether a cell is among the damaged ones."""
        return (section, key) in self._damaged

    def look_again(self, training: TrainingCell, evaluations: Iterable[EvaluationCell]) -> None:
        """Read the folders of a training cell and its evaluations anew."""
        evaluations = list(evaluations)
        self._pull_trainings([training])
        self.store.pull("evaluation", [cell.key for cell in evaluations])
        self.trainings[training.key] = self._training_state(training)
        for cell in evaluations:
            self._found[cell.key], self.evaluations[cell.key] = cell, self._read(cell)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return, for trainings and evaluations, how many are done, failed and to be computed.

        What a failed training would be needed for counts as failed.
        """
        lost = sum(len(samplings) for training, samplings in self.plan.evaluations.groups if self.failed(training))
        usable = [state for cell, state in self.stored_evaluations() if not self.failed(cell.training)]
        trained = [self.trainings[cell.key] for cell in self.plan.trainings if cell.samples is None]
        trainings = _tally(len(trained), trained)
        return {"trainings": trainings, "evaluations": _tally(len(self.plan.evaluations), usable, lost)}

    def stored_evaluations(self) -> Iterator[tuple[EvaluationCell, CellState]]:
        """Yield the evaluations for which the store has a folder, and their states."""
        return ((cell, self.evaluations[key]) for key, cell in self._found.items())

    def failed(self, training: TrainingCell) -> bool:
        """Tell whether a training cell failed, so that nothing of it can be evaluated."""
        state = self.trainings[training.key]
        return state.result is None and state.failure is not None

    def training_record(self, cell: TrainingCell) -> TrainingRecord:
        """Return what is known of a training cell now."""
        state = self.trainings[cell.key]
        history = state.folder.history() if state.result is not None and cell.samples is None else []
        values, identities = self._metrics(state)
        facts = (state.result or {}).get("facts", {})
        flow_snapshot = self._flow_snapshot(cell)
        return TrainingRecord(cell, state.status, state.error, values, identities, history, facts, flow_snapshot)

    def _flow_snapshot(self, cell: TrainingCell) -> Path | None:
        """Return the file with a cell's flow snapshot; None where figures do not show the cell, or it has none."""
        state = self.flow_snapshots.get(cell.key)
        files = list((state.result or {}).get("files", ())) if state is not None else []
        return state.folder.file(files[0]) if state is not None and files else None

    def evaluation_record(self, cell: EvaluationCell) -> EvaluationRecord:
        """Return what is known of an evaluation cell now; where its training failed, it failed with it."""
        training, state = self.trainings[cell.training.key], self.evaluation(cell)
        if training.result is None and training.failure is not None:
            steps, _ = self._trained(cell)
            return EvaluationRecord(cell, training.status, f"training: {training.error}", training_steps=steps)
        if cell.on_validation:
            values, identities = self._metrics(state)
            return EvaluationRecord(cell, state.status, state.error, None, values, identities)
        sampler = self._shared_samplers.get(sampler_key(cell)) if state.status == "ok" else None
        # metrics of the training are those of its last weights
        values, identities = self._metrics(training if cell.at_step is None else None, state, sampler)
        facts = (state.result or {}).get("facts", {})
        name = "samples.safetensors"
        samples = state.folder.file(name) if state.result is not None and state.folder.has(name) else None
        hardware = hardware_of(sampler.result) if sampler is not None else ""
        elsewhere = self._elsewhere(sampler_key(cell)) if state.status == "ok" else ()
        shown = sampler if sampler is not None and sampler.failures else state
        became = (shown.status, shown.error, facts.get("nfe"), values, identities, samples, facts)
        reference = self.references.oracle_key(cell)
        return EvaluationRecord(cell, *became, reference, hardware, elsewhere, *self._trained(cell))

    def _reference_records(self) -> Iterator[ReferenceRecord]:
        for cell in self.references.cells:
            state = self.reference(cell)
            values, identities = self._metrics(state)
            entries = {str(spec): state.metrics.get(spec.digest, {}) for spec in state.wanted}
            counted = {name: (e["n"], e["extrapolated"]) for e in entries.values() if "n" in e for name in e["values"]}
            left_out = {label: why for label, e in entries.items() if (why := e.get("left_out") or e.get("error"))}
            nfe = (state.result or {}).get("facts", {}).get("nfe")
            yield ReferenceRecord(cell, state.status, state.error, nfe, values, identities, counted, left_out)

    def _metrics(self, *states: CellState | None) -> tuple[dict[str, float], dict[str, Mapping[str, Any]]]:
        """Return the values and identities of the metrics that are wanted and there; the last state counts."""
        values: dict[str, float] = {}
        identities: dict[str, Mapping[str, Any]] = {}
        for metrics, spec in ((state.metrics, spec) for state in states if state for spec in state.wanted):
            if (entry := metrics.get(spec.digest)) is not None:
                values |= entry["values"]
                identities |= dict.fromkeys(entry["values"], entry["identity"])
        return values, identities

    def _not_defined(self) -> Iterator[tuple[str, str]]:
        """Yield the metrics that are not defined for some cells, with the reason and how many these are."""
        told: Counter[tuple[str, str]] = Counter()
        for state in (*self.trainings.values(), *self.evaluations.values()):
            for spec in state.wanted:
                if why := state.metrics.get(spec.digest, {}).get("left_out"):
                    told[f"metric={spec}", why] += 1
        for (metric, why), cells in told.items():
            yield metric, f"{why} ({count(cells, 'cell')})"

    def metric_facts(self) -> list[MetricFacts]:
        """Return what reports must know of each metric value, in the suite's order."""
        names: dict[str, list[str]] = {}
        timed = [state for timings in self._timings.values() for state in timings.values()]
        for state in [*self.trainings.values(), *self.evaluations.values(), *timed]:
            for metric_digest, entry in state.metrics.items():
                if entry["values"]:
                    names.setdefault(metric_digest, list(entry["values"]))
        return [
            self._facts(spec, name, main=number == 0)
            for spec in self.plan.metrics
            for number, name in enumerate(names.get(spec.digest, [spec.name]))
        ]

    def _facts(self, spec: ComponentSpec, name: str, *, main: bool) -> MetricFacts:
        better, unit, scope, version, over = (
            self.registry.attribute(spec, attribute) for attribute in ("better", "unit", "scope", "version", "over")
        )
        return MetricFacts(name, better if main else "", unit, scope, str(spec), version, "" if main else over)

    def records(self, **about: Any) -> Records:
        """Return the records of the whole suite; `about` fills in the fields that the store does not know."""
        suite, tuning = self.plan.suite, self.plan.tuning
        evaluations = [self.evaluation_record(cell) for cell in self.plan.evaluations]
        return Records(
            suite=suite.name,
            description=suite.description,
            trainings=[self.training_record(cell) for cell in self.plan.trainings],
            evaluations=[record for record in evaluations if not record.cell.on_validation],
            validation=[record for record in evaluations if record.cell.on_validation],
            tuning=Tuned(tuning.axes, tuning.metric.spec.name) if tuning else None,
            metrics=self.metric_facts(),
            left_out=[*((left.cell, left.reason) for left in self.plan.left_out), *self._not_defined()],
            references=list(self._reference_records()),
            sources=self._sources(evaluations),
            **about,
        )

    def _sources(self, evaluations: Iterable[EvaluationRecord]) -> dict[tuple[str, str], tuple[str, str]]:
        """Return what components and metrics of the plan say of themselves: a summary, and where they come from."""
        specs = [spec for cell in self.plan.trainings for spec in cell.components]
        specs += [spec for record in evaluations for spec in record.cell.components]
        named = dict.fromkeys((s.kind, s.name) for s in (*specs, *self.plan.metrics) if s.is_registered)
        entries = {name: self.registry.entry(*name) for name in named}
        return {name: (entry.summary, str(entry.reference)) for name, entry in entries.items()}


def _tally(total: int, states: Iterable[CellState], lost: int = 0) -> dict[str, int]:
    """Return how many of so many cells are done, failed and to be computed, given the states of those that are there.

    Others are `lost`: they need what failed.
    """
    ended = [state for state in states if not state.todo]
    failed = sum(bool(state.failures) for state in ended)
    left = total - len(ended) - lost
    return {"total": total, "done": len(ended) - failed, "failed": failed + lost, "todo": left}


def _unrest(state: CellState) -> float:
    """Return how far the repeats of a sampler's times lie apart, as a part of the time: of the worst of them."""
    times = [time for time in measured_times(state.metrics).values() if time.time > 0]
    return max((time.spread / time.time for time in times), default=0.0)
