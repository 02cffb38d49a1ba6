"""The plan is made here: products, then exclusions, then rules, then filters, then cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.cells.snapshots import BEST, Kept
from fmbench.errors import SuiteError, UserError
from fmbench.plan.axes import COMPONENT_AXES, EVALUATION_AXES, NOT_ASKED, TRAINING_AXES, Axes, Indices
from fmbench.plan.compatibility import NO_AVERAGE, Gap, Missing, Rules, provided_by
from fmbench.plan.evaluations import Evaluations, Sampling, Samplings
from fmbench.plan.given_models import SETTINGS as GIVEN_SETTINGS
from fmbench.plan.given_models import given_settings
from fmbench.plan.plan import LeftOut, MetricRule, Plan
from fmbench.plan.result_code import result_code_fingerprint
from fmbench.plan.selection import Match, match_filter, match_selection
from fmbench.plan.teachers import Teachers
from fmbench.plan.training_settings import training_settings
from fmbench.plan.tuning import Tuner
from fmbench.plan.validation_data import lacks_validation
from fmbench.plan.weaker_models import WeakerModels
from fmbench.suite import Problem, Suite, Training, raise_problems
from fmbench.suite.weights import END

if TYPE_CHECKING:
    from fmbench.cells.component_spec import ComponentSpec
    from fmbench.plugins.registry import Registry

Unit = Literal["training", "evaluation", "metric"]


def make_plan(suite: Suite, registry: Registry, filters: Sequence[str] = ()) -> Plan:
    """Return all cells of a suite, each once, with those left out and why.

    `exclude` applies to the suite's product and to the products of `include`. `filters` are `axis=value,value`: a cell
    must match all of them; the cells that they drop are not listed as left out.

    Raises SuiteError where a component is refused, an exclusion or the baseline matches nothing, or no cell is left;
    UserError where a filter matches nothing.
    """
    axes = Axes(suite, registry)
    matches = [match_filter(text, axes) for text in filters]
    rules = Rules(suite, axes, registry)
    teachers = Teachers(suite, registry, rules.granted)
    weaker = WeakerModels(axes, registry, teachers, rules.granted)
    tuner = Tuner(suite, rules, registry, filtered=bool(filters))
    return _Making(suite, axes, rules, matches, teachers, weaker, tuner).plan(filters)


def with_kept(
    trainings: Iterable[TrainingCell], groups: Iterable[tuple[TrainingCell, Samplings]], training: Training
) -> Iterator[TrainingCell]:
    """Yield training cells with what their evaluations, longer trainings and the suite's settings want kept of them."""
    asked = {cell.key: samplings for cell, samplings in groups}
    cells = list(trainings)
    longest: dict[str, int] = {}
    several = len({cell.settings["steps"] for cell in cells if _is_trained(cell)}) > 1
    for cell in filter(_is_trained, cells) if several else ():
        longest[cell.course_key] = max(longest.get(cell.course_key, 0), cell.settings["steps"])
    known: dict[int, Kept] = {}
    for cell in cells:
        if not _is_trained(cell):
            yield cell
            continue
        samplings = asked.get(cell.key, ())
        if id(samplings) not in known:  # training cells share the tuples
            at_steps = {sampling.at_step for sampling in samplings if sampling.at_step is not None}
            best, averages = any(sampling.weights == BEST for sampling in samplings), training.post_hoc_ema
            known[id(samplings)] = Kept(
                tuple(sorted(at_steps)), best, averages and bool(samplings), training.keep_state
            )
        kept = known[id(samplings)]
        is_continued = several and cell.course_key and longest[cell.course_key] > cell.settings["steps"]
        kept = replace(kept, state=True) if is_continued and kept.state == "auto" else kept
        yield cell if kept == cell.kept else replace(cell, kept=kept)


def _is_trained(cell: TrainingCell) -> bool:
    return not cell.is_given and cell.samples is None


@dataclass
class _Sorted:
    """What becomes of a list of evaluations: those that are kept, and how many are not, by the reason."""

    kept: Samplings = ()
    excluded: Counter[int] = field(default_factory=Counter)
    gaps: Counter[Gap | Missing] = field(default_factory=Counter)
    filtered: int = 0


class _Making:
    """The plan while it is made."""

    def __init__(
        self,
        suite: Suite,
        axes: Axes,
        rules: Rules,
        filters: Sequence[Match],
        teachers: Teachers,
        weaker_models: WeakerModels,
        tuner: Tuner,
    ) -> None:
        self.suite, self.axes, self.rules, self.filters = suite, axes, rules, filters
        self.teachers, self.weaker_models, self.tuner = teachers, weaker_models, tuner
        problems: list[Problem] = []
        self.excludes = [
            match_selection(entry, axes, ("exclude", number), problems) for number, entry in enumerate(suite.exclude)
        ]
        self.baseline = match_selection(suite.baseline, axes, ("baseline",), problems) if suite.baseline else Match()
        raise_problems(problems)
        self.tally: Counter[tuple[Unit, str, str]] = Counter()
        self.used = [False] * len(self.excludes)
        self.has_baseline = False
        draws = suite.evaluation.noise_draws
        repeated = {"noise_draws": draws} if draws > 1 else {}
        self.sampling = Settings({"samples": suite.evaluation.samples, **repeated})
        self.code = result_code_fingerprint("training"), result_code_fingerprint("evaluation")
        self.sorted: dict[tuple[int, tuple[int, ...], frozenset[str], int], _Sorted] = {}
        self.settings: dict[Indices, Settings] = {}
        self.judged: dict[Indices, tuple[Gap | None, frozenset[str]]] = {}

    def plan(self, filters: Sequence[str]) -> Plan:
        """Walk all training cells of all products."""
        trainings: dict[str, TrainingCell] = {}
        groups: list[tuple[TrainingCell, Samplings]] = []
        indices: list[Indices] = []
        for training, candidates in self._candidates():
            kept = self._judge(training, candidates)
            if kept:
                cell = self._cell(training)
                taught = self.teachers.taught(cell) if cell.samples is None else cell
                if isinstance(taught, Gap):
                    self._count("training", taught, 1)
                    continue
                kept, gaps = self.weaker_models.completed(taught, kept)
                for gap in gaps:
                    self._count("evaluation", gap, 1)
                if not kept:
                    continue
                indices += [training]
                weaker = dict.fromkeys(s.weaker for s in kept if s.weaker is not None)
                for named in (*weaker, taught):
                    trainings |= {each.key: each for each in (*reversed(list(named.teachers)), named)}
                groups.append((taught, self._with_validation(taught, training, kept)))
        if not groups:
            self._nothing_left(filters)
        self._check_used()
        self.tuner.check_data(
            dict.fromkeys(cell.dataset for cell, _ in groups if not cell.is_given and cell.samples is None)
        )
        self._check_validation(groups)
        rules = tuple(self._metrics(indices))
        left_out = tuple(LeftOut(cell, reason, n, unit) for (unit, cell, reason), n in self.tally.items())
        applied = tuple(rule.spec for rule in rules)
        cells = tuple(with_kept(trainings.values(), groups, self.suite.training))
        provided = self.rules.all_provided(spec for cell in cells for spec in cell.components)
        walked = Evaluations(groups)
        granted, tuning = self.rules.granted, self.tuner.tuning
        return Plan(self.suite, cells, walked, left_out, applied, rules, provided, granted, tuning)

    def _with_validation(self, cell: TrainingCell, training: Indices, kept: Samplings) -> Samplings:
        """Return the evaluations of a training cell with that by which the suite chooses settings, if it does."""
        if cell.is_given or cell.samples is not None:
            return kept
        capabilities = self._training_verdict(training[: len(COMPONENT_AXES)])[1]
        return self.tuner.with_validation(kept, capabilities, self.rules.training_steps(training))

    def _cell(self, training: Indices) -> TrainingCell:
        """Return a training cell; that of what exists already has settings and code of its own."""
        places = dict(zip(TRAINING_AXES, training, strict=True))
        chosen: dict[str, Any] = {axis: self.axes.values[axis][places[axis]] for axis in (*COMPONENT_AXES, "seed")}
        if (samples := self.axes.samples.get(chosen["network"].digest)) is not None:
            return TrainingCell(**chosen, settings=GIVEN_SETTINGS, samples=samples.files)
        if chosen["network"].kind == "model":
            given = given_settings(provided_by(chosen["network"], self.rules.registry))
            code = result_code_fingerprint("given model")
            return TrainingCell(**chosen, settings=given, code=code, compile=self.suite.training.compile)
        return TrainingCell(
            **chosen,
            settings=self._settings(tuple(places[axis] for axis in SETTING_AXES)),
            code=self.code[0],
            compile=self.suite.training.compile,
            varied=self.axes.varied(training),
        )

    def _settings(self, places: Indices) -> Settings:
        """Return the settings of training cells, by their indices on the axes of settings; the same ones are shared."""
        if places not in self.settings:
            chosen = (self.axes.specs(axis)[place] for axis, place in zip(SETTING_AXES, places, strict=True))
            self.settings[places] = Settings(training_settings(self.suite.training, chosen))
        return self.settings[places]

    def _candidates(self) -> list[tuple[Indices, tuple[Indices, ...]]]:
        """Return every training cell once, with the evaluations that any of the products asks of it.

        Training cells with the same evaluations share one tuple of them.
        """
        found: dict[Indices, tuple[Indices, ...]] = {}
        merged: dict[tuple[tuple[Indices, ...], tuple[Indices, ...]], tuple[Indices, ...]] = {}
        for block in self.axes.blocks:
            for training, evaluations in block.cells():
                before = found.get(training)
                if before is None:
                    found[training] = evaluations
                    continue
                pair = (before, evaluations)
                if pair not in merged:
                    merged[pair] = tuple(dict.fromkeys(before + evaluations))
                found[training] = merged[pair]
        return list(found.items())

    def _judge(self, training: Indices, candidates: tuple[Indices, ...]) -> Samplings:
        """Return the evaluations of a training cell that are kept, and note what is left out and why."""
        meant = [number for number, match in enumerate(self.excludes) if match.has_training(training)]
        whole = [number for number in meant if not self.excludes[number].evaluation]
        partly = tuple(number for number in meant if self.excludes[number].evaluation)
        for number in meant:
            # Looked for among all evaluations, also those that a rule leaves out: excluding them too is no mistake.
            self.used[number] = self.used[number] or any(map(self.excludes[number].has_evaluation, candidates))
        gap, capabilities = self._training_verdict(training[: len(COMPONENT_AXES)])
        capabilities |= frozenset() if self.rules.is_averaged(training) else {NO_AVERAGE}
        if not whole and gap is None:
            self.has_baseline = self.has_baseline or self.baseline.has_training(training)
        if not all(match.has_training(training) for match in self.filters):
            return ()
        if whole:
            self._exclude(whole[0], 1, "training")
        elif gap is not None:
            self._count("training", gap, 1)
        else:
            return self._evaluations(training, candidates, partly, capabilities)
        return ()

    def _training_verdict(self, components: Indices) -> tuple[Gap | None, frozenset[str]]:
        if components not in self.judged:
            self.judged[components] = self.rules.training_gap(components), self.rules.capabilities(components)
        return self.judged[components]

    def _evaluations(
        self,
        training: Indices,
        candidates: tuple[Indices, ...],
        excludes: tuple[int, ...],
        capabilities: frozenset[str],
    ) -> Samplings:
        # The tuple of candidates is shared and outlives this walk, so that its identity stands for it.
        steps = self.rules.training_steps(training)
        shared = (id(candidates), excludes, capabilities, steps)
        if shared not in self.sorted:
            self.sorted[shared] = self._sort(candidates, excludes, capabilities, steps)
        found = self.sorted[shared]
        for number, count in found.excluded.items():
            self._exclude(number, count, "evaluation")
        for gap, count in found.gaps.items():
            if isinstance(gap, Missing):
                words = self.axes.words(gap.axis, gap.number)
                gap = self.rules.gap(gap.axis, words, gap.capability, training)
            self._count("evaluation", gap, count)
        if not found.kept and not found.filtered:
            pairs = zip(COMPONENT_AXES, training, strict=False)
            cell = " ".join(self.axes.words(axis, index) for axis, index in pairs)
            self._count("training", Gap(cell, "no evaluation of it is left"), 1)
        return found.kept

    def _sort(
        self, candidates: tuple[Indices, ...], excludes: tuple[int, ...], capabilities: frozenset[str], steps: int
    ) -> _Sorted:
        """Decide on evaluations, for all training cells of so many steps with these capabilities that these exclusions
        may concern.
        """
        found, kept = _Sorted(), []
        for cell in candidates:
            excluding = next((number for number in excludes if self.excludes[number].has_evaluation(cell)), None)
            gap = self.rules.evaluation_gap(cell, capabilities, steps)
            if not all(match.has_evaluation(cell) for match in self.filters):
                found.filtered += 1
            elif excluding is not None:
                found.excluded[excluding] += 1
            elif gap is not None:
                found.gaps[gap] += 1
            else:
                kept.append(self._sampling(cell, steps))
        found.kept = tuple(dict.fromkeys(kept))  # the last step and the end are one
        return found

    def _sampling(self, cell: Indices, steps: int) -> Sampling:
        chosen = zip(EVALUATION_AXES, cell, strict=True)
        held: dict[str, Any] = {axis: None if i == NOT_ASKED else self.axes.values[axis][i] for axis, i in chosen}
        held["at_step"] = None if held["at_step"] in {END, steps} else held["at_step"]
        if not held["solver"].is_registered:
            settings = Settings({"samples": self.suite.evaluation.samples})  # of which nothing more can be drawn
            return Sampling(**held, steps=None, settings=settings, code=result_code_fingerprint("given samples"))
        code = self.rules.guidances.with_code(cell[EVALUATION_AXES.index("guidance")], self.code[1])
        return Sampling(**held, steps=self.rules.steps(cell), settings=self.sampling, code=code)

    def _count(self, unit: Unit, gap: Gap, count: int) -> None:
        self.tally[unit, gap.cell, gap.reason] += count

    def _exclude(self, number: int, count: int, unit: Unit) -> None:
        place = self.suite.place("exclude", number)
        where = f"{place.source}:{place.line}" if place.line else place.source
        reason = f"excluded by the suite ({where})" if where else "excluded by the suite"
        self._count(unit, Gap(str(self.suite.exclude[number]), reason), count)

    def _check_used(self) -> None:
        """Raise SuiteError for exclusions and a baseline whose values exist, but in no cell together."""
        problems = [
            Problem(self.suite.place("exclude", number), f"exclude: no cell has {entry} together. Remove the entry.")
            for number, entry in enumerate(self.suite.exclude)
            if not self.used[number]
        ]
        if self.suite.baseline and not self.has_baseline:
            text = f"baseline: no training cell that is left has {self.suite.baseline} together. Choose one that is."
            problems.append(Problem(self.suite.place("baseline"), text))
        raise_problems(problems)

    def _check_validation(self, groups: Iterable[tuple[TrainingCell, Samplings]]) -> None:
        """Raise SuiteError where the best weights are wanted on a dataset without validation data."""
        chosen = (cell.dataset for cell, kept in groups if any(sampling.weights == BEST for sampling in kept))
        for dataset in dict.fromkeys(chosen):
            if lacking := lacks_validation(dataset, self.axes.registry):
                place = self.suite.place("evaluation", "weights")
                raise SuiteError(f"evaluation.weights: the best weights are chosen on {lacking}.", str(place))

    def _nothing_left(self, filters: Sequence[str]) -> None:
        """Raise the error that says why the plan is empty."""
        reasons = [f"{cell}: {reason}" for (_, cell, reason) in self.tally]
        more = f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        why = f" Left out: {'; '.join(reasons[:3])}{more}." if reasons else ""
        if filters:
            raise UserError(f"no cell of the suite matches --filter {' --filter '.join(filters)}.{why}")
        raise SuiteError(f"no cell is left to run.{why} Change the axes or the exclusions.", self.suite.path)

    def _check_names(self, metrics: Sequence[ComponentSpec]) -> None:
        """Raise SuiteError where two metrics have one name: values are kept by it."""
        for name, count in Counter(metric.name for metric in metrics).items():
            if count > 1:
                alike = " and ".join(str(metric) for metric in metrics if metric.name == name)
                raise SuiteError(
                    f"{alike} have one name, {name}, under which their values would stand in one column. Take one of "
                    "them, or another name for one: `fmbench plugins` lists those there are (fid_digits is fid with "
                    "the extractor digits), and fmbench.Preset makes more.",
                    str(self.suite.place("evaluation", "metrics")),
                )

    def _metrics(self, trainings: Sequence[Indices]) -> list[MetricRule]:
        """Return the metrics that apply to some cell, and note where the others do not.

        Raises SuiteError where none does.
        """
        rules, refused = self.rules.metric_rules()
        for spec, reason in refused:
            self._count("metric", Gap(f"metric={spec}", reason), len(trainings))
        self._check_names([rule.spec for rule in rules])
        applied = []
        distinct = Counter(training[: len(COMPONENT_AXES)] for training in trainings)
        for rule in rules:
            met = False
            for components, count in distinct.items():
                lacking = rule.requires - self._training_verdict(components)[1]
                met = met or not lacking
                if lacking:
                    gap = self.rules.metric_gap(rule, min(lacking), components)
                    self._count("metric", gap, count)
            applied += [rule] if met else []
        if not applied:
            reasons = "; ".join(f"{cell}: {reason}" for (unit, cell, reason) in self.tally if unit == "metric")
            raise SuiteError(
                f"no metric of the suite applies to any of its cells: {reasons}. Choose others, or raise samples.",
                str(self.suite.place("evaluation", "metrics")),
            )
        return applied
