"""The Euler method."""

from __future__ import annotations

from fmbench_solvers._runge_kutta import ExplicitRungeKutta, Tableau


class Euler(ExplicitRungeKutta):
    """x + h v(x, t): one evaluation a step, first order; exact where trajectories are straight.

    Source: Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, eq. I.7.3.
    """

    reference = "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, eq. I.7.3"
    nfe_per_step = 1
    order = 1
    tableau = Tableau(c=(0,), a=((),), b=(1,))
