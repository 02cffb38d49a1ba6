"""Formulas in docstrings: which words are one, and how they are set."""

from __future__ import annotations

import re

import pytest
from formulas import mathml, with_formulas


def found(text: str) -> list[str]:
    """Return the formulas that are found in a text."""
    return re.findall(r'aria-label="([^"]*)"', with_formulas(text))


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("x_t = t x_1 + (1-t) x_0, the straight path", ["x_t = t x_1 + (1-t) x_0"]),
        ("its velocity x_1 - x_0 does not depend on t.", ["x_1 - x_0"]),
        ("below `sigma_min` (x_t) it is", ["x_t"]),
        ("Density 2 / (pi (1 - 2t + 2t^2)): the path", ["2 / (pi (1 - 2t + 2t^2))"]),
        ("a path of a class, and/or linear_vp, 1x28x28 pictures", []),
        ("sqrt(|output - dx_t|^2 / d + c^2) - c: quadratic", ["sqrt(|output - dx_t|^2 / d + c^2) - c"]),
    ],
)
def test_what_is_a_formula(text: str, formulas: list[str]) -> None:
    assert found(text) == formulas


@pytest.mark.parametrize(
    ("formula", "inside"),
    [
        ("x_1", "<msub><mi>x</mi><mn>1</mn></msub>"),
        ("t^(n-1)", "<msup><mi>t</mi><mrow><mi>n</mi><mo>−</mo><mn>1</mn></mrow></msup>"),
        ("sqrt(a)", "<msqrt><mrow><mi>a</mi></mrow></msqrt>"),
        ("a <= pi", "<mi>a</mi><mo>≤</mo><mi>π</mi>"),
    ],
)
def test_how_it_is_set(formula: str, inside: str) -> None:
    assert f"<mrow>{inside}</mrow></math>" in mathml(formula)


def test_what_is_no_formula_stays_text() -> None:
    assert with_formulas("a < b & `x_0 < 1`, linear_vp") == r"a &lt; b & `x_0 < 1`, linear\_vp"
