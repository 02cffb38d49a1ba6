"""Optimizers, learning-rate schedules and moving averages, as a suite writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.ema_decay import Averaging
from fmbench.suite.field_types import (
    Choice,
    ComponentRef,
    Count,
    Flag,
    Fraction,
    NotNegative,
    Positive,
    Rule,
    Share,
    Shortened,
    ShorthandType,
    Whole,
    fault,
)
from fmbench.suite.setting_axes import setting_spec, written_setting
from fmbench.suite.strict_model import StrictModel


class _Adam(StrictModel):
    lr: Positive = Field(description="Learning rate.")
    betas: Annotated[tuple[Fraction, Fraction], Rule("two numbers from 0 to below 1, [0.9, 0.999] say")] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdamW(_Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2)."""

    name: Literal["adamw"]
    weight_decay: NotNegative = 0.01


class Adam(_Adam):
    """Adam (Kingma & Ba 2015, algorithm 1)."""

    name: Literal["adam"]
    weight_decay: NotNegative = 0.0


class Adamax(_Adam):
    """Adam with the infinity norm in place of the second moment (Kingma & Ba 2015, algorithm 2)."""

    name: Literal["adamax"]
    weight_decay: NotNegative = 0.0


class SGD(StrictModel):
    """Stochastic gradient descent, with momentum where it is asked for."""

    name: Literal["sgd"]
    lr: Positive = Field(description="Learning rate.")
    momentum: Fraction = 0.0
    nesterov: Flag = False
    weight_decay: NotNegative = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise fault("nesterov needs a momentum above 0; found 0. Set momentum: 0.9, say.", "nesterov")
        return self


class Constant(StrictModel):
    """The learning rate stays as it is, after a linear rise over `warmup` steps."""

    name: Literal["constant"]
    warmup: Count = 0


class Cosine(StrictModel):
    """The learning rate falls along half a cosine to `final` of its height, after a linear rise over `warmup` steps."""

    name: Literal["cosine"]
    warmup: Count = 0
    final: Share = 0.0


Optimizer = Annotated[
    Annotated[AdamW | Adam | Adamax | SGD, Field(discriminator="name")],
    Choice("an optimizer", "adamw", "adam", "adamax", "sgd"),
]
Schedule = Annotated[
    Annotated[Constant | Cosine, Field(discriminator="name")], Choice("a schedule", "constant", "cosine")
]


class Ema(StrictModel, Shortened):
    """The moving average of the weights, written as its decay or as `{decay: 0.999, warmup: false}`.

    Where it is warmed up, a training of n steps ends with a decay of at most n/(n + 9), 0.9955 for 2,000 steps.
    """

    decay: Fraction = Field(0.999, description="Share of the average that a step leaves as it is; 0 for no average.")
    warmup: Flag = Field(
        True,
        description="Whether the decay starts as (1+step)/(10+step), as long as that is below it; "
        "false for the same decay from the first step on, as published recipes mean it.",
    )

    def written(self) -> Any:
        """Return the average as a suite file writes it; without a decay there is nothing to warm up."""
        return super().written() if self.decay else 0.0

    @property
    def averaging(self) -> Averaging:
        """The decay over the steps."""
        return Averaging(self.decay, self.warmup)


Average = Annotated[Ema, ShorthandType("a number from 0 to below 1")]
_READERS: dict[str, TypeAdapter[Any]] = {
    "optimizer": TypeAdapter(Optimizer),
    "schedule": TypeAdapter(Schedule),
    "steps": TypeAdapter(Whole),
    "batch_size": TypeAdapter(Whole),
    "ema": TypeAdapter(Average),
}


def read_setting(axis: str, ref: ComponentRef) -> ComponentSpec:
    """Return the value that an entry of `include` adds to an axis of settings. Raises ValidationError."""
    return setting_spec(axis, _READERS[axis].validate_python(written_setting(axis, ref)))
