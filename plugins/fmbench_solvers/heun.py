"""Heun's method of second order."""

from __future__ import annotations

from fmbench_solvers._runge_kutta import ExplicitRungeKutta, Tableau


class Heun(ExplicitRungeKutta):
    """The trapezoidal rule with an Euler predictor: two evaluations a step, second order.

    Every step has both evaluations, the last one too (EDM's sampler ends with an Euler step instead).

    Source: Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.1; Karras et al. 2022
    (arXiv:2206.00364), algorithm 1.
    """

    reference = "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.1"
    nfe_per_step = 2
    order = 2
    tableau = Tableau(c=(0, 1), a=((), (1,)), b=(1 / 2, 1 / 2))
