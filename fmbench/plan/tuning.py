"""What a suite's section `tune` asks for: the evaluations on validation data by which settings are chosen.

They are evaluations of their own: other source noise than that of the samples which are reported, and scores against
the validation split, so that neither test data nor the reported samples choose anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.components.contracts import VALIDATION
from fmbench.errors import SuiteError
from fmbench.plan.axes import EVALUATION_AXES, shown_choice
from fmbench.plan.compatibility import Rules
from fmbench.plan.evaluations import Sampling, Samplings
from fmbench.plan.plan import MetricRule, Tuning
from fmbench.plan.selection import means
from fmbench.plan.validation_data import lacks_validation
from fmbench.suite import Suite
from fmbench.suite.weights import END

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry


class Tuner:
    """Adds to the evaluations of a training the one on validation data. Raises SuiteError for what cannot be."""

    def __init__(self, suite: Suite, rules: Rules, registry: Registry, *, filtered: bool) -> None:
        self._suite, self._registry, self._filtered = suite, registry, filtered
        self._known: dict[tuple[int, int], tuple[Samplings, Samplings]] = {}
        self.tuning = None if suite.tune is None else Tuning(suite.tune.axes, self._metric(rules))

    def _metric(self, rules: Rules) -> MetricRule:
        """Return the metric by which settings are chosen: the one named, else the first that judges samples."""
        assert self._suite.tune is not None
        name = self._suite.tune.metric
        known, refused = rules.metric_rules()
        for spec, reason in refused:
            if spec.name == name:
                self._refuse(f"metric {name} cannot choose: {reason}.", "metric")
        if name is None:
            known = [rule for rule in known if rule.scope == "evaluation" and self._better(rule)]
            if not known:
                self._refuse("no metric of the suite judges samples and has a direction. Add one, fid_digits say.")
            return known[0]
        rule = next(rule for rule in known if rule.spec.name == name)
        if rule.scope == "sampler":
            self._refuse(f"metric {name} is what a sampler costs, which no setting of a training changes.", "metric")
        if not self._better(rule):
            self._refuse(f"metric {name} has no direction in which it is better, so it cannot choose.", "metric")
        return rule

    def _better(self, rule: MetricRule) -> bool:
        return self._registry.attribute(rule.spec, "better") in ("lower", "higher")

    def check_data(self, datasets: Iterable[ComponentSpec]) -> None:
        """Raise SuiteError where settings would be chosen on a dataset that has no validation data."""
        if self.tuning is None:
            return
        for spec in datasets:
            if lacking := lacks_validation(spec, self._registry):
                self._refuse(f"settings are chosen on {lacking}.")

    def with_validation(self, samplings: Samplings, capabilities: frozenset[str], steps: int) -> Samplings:
        """Return the evaluations of a training of so many steps and, as the last of them, that on validation data."""
        if self.tuning is None or not self.tuning.metric.requires <= capabilities:
            return samplings
        # Training cells share the tuples, which outlive this: their identity stands for them.
        shared = id(samplings), steps
        if shared not in self._known:
            self._known[shared] = samplings, (*samplings, *self._validation(samplings, steps))
        return self._known[shared][1]

    def _validation(self, samplings: Samplings, steps: int) -> Samplings:
        assert self.tuning is not None
        assert self._suite.tune is not None
        at = self._suite.tune.at
        chosen = [each for each in samplings if at is None or _is_at(each, at.axes, steps)]
        if len(chosen) > 1:
            self._refuse_several(chosen)
        if not chosen:
            if not self._filtered:
                self._refuse(
                    f"a training has no evaluation at {at}. Name a way of sampling that all of them have.", "at"
                )
            return ()
        (one,) = chosen
        # A metric of the training looks at no samples: one is drawn, since an evaluation has some.
        samples = one.settings["samples"] if self.tuning.metric.scope == "evaluation" else 1
        return (replace(one, settings=Settings({"samples": samples, "split": VALIDATION})),)

    def _refuse_several(self, chosen: list[Sampling]) -> NoReturn:
        labels = {axis: list(dict.fromkeys(_label(each, axis) for each in chosen)) for axis in EVALUATION_AXES}
        differ = {axis: values for axis, values in labels.items() if len(values) > 1}
        said = ", ".join(f"{axis} ({', '.join(values)})" for axis, values in differ.items())
        named = self._suite.tune.at.axes if self._suite.tune and self._suite.tune.at else {}
        first = ", ".join(f"{axis}: {labels[axis][0]}" for axis in labels if axis in differ or axis in named)
        self._refuse(
            f"settings are chosen by one way of sampling, and {len(chosen)} are left, which differ in {said}. Name "
            f"one: at: {{{first}}}, say.",
            "at",
        )

    def _refuse(self, text: str, *key: str) -> NoReturn:
        raise SuiteError(f"{'.'.join(('tune', *key))}: {text}", str(self._suite.place("tune", *key)))


def _is_at(sampling: Sampling, wanted: dict[str, tuple[Any, ...]], steps: int) -> bool:
    last = (steps, END) if sampling.at_step is None else (sampling.at_step,)
    held = {axis: last if axis == "at_step" else (getattr(sampling, axis),) for axis in wanted}
    return all(any(means(value, one) for value in wanted[axis] for one in ones) for axis, ones in held.items())


def _label(sampling: Sampling, axis: str) -> str:
    value = getattr(sampling, axis)
    if axis == "at_step" and value is None:
        return END
    return "none" if value is None else shown_choice(value)
