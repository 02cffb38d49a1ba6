"""The classic Runge-Kutta method of fourth order."""

from __future__ import annotations

from fmbench_solvers._runge_kutta import ExplicitRungeKutta, Tableau


class RK4(ExplicitRungeKutta):
    """The classic method of Kutta: four evaluations a step, fourth order. torchdiffeq's `rk4` is the 3/8 rule instead.

    Source: Kutta 1901; Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, table II.1.2, left.
    """

    reference = "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, table II.1.2"
    nfe_per_step = 4
    order = 4
    tableau = Tableau(
        c=(0, 1 / 2, 1 / 2, 1),
        a=((), (1 / 2,), (0, 1 / 2), (0, 0, 1)),
        b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    )
