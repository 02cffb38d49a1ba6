"""The explicit midpoint method."""

from __future__ import annotations

from fmbench_solvers._runge_kutta import ExplicitRungeKutta, Tableau


class Midpoint(ExplicitRungeKutta):
    """x + h v(x + h/2 v(x, t), t + h/2): two evaluations a step, second order.

    Source: Runge 1895; Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, eq. II.1.4.
    """

    reference = "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, eq. II.1.4"
    nfe_per_step = 2
    order = 2
    tableau = Tableau(c=(0, 1 / 2), a=((), (1 / 2,)), b=(0, 1))
