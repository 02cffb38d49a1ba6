"""torchdiffeq's adaptive Runge-Kutta methods.

They choose their own steps, so the grid and the NFE of a suite do not apply and the NFE is measured. The error is
controlled **for the batch as a whole**, as torchdiffeq does it: the root mean square over all elements of all examples
is compared with the tolerance. One example's steps hence depend on which others are in its batch, and so do its result
(within the tolerance) and its NFE. fmbench therefore hands adaptive solvers blocks of 256 examples, on every machine
and whatever `evaluation.batch_size` says.

Two settings differ from torchdiffeq's defaults, so that the velocity is never asked outside [0, 1]: the last step ends
at t=1 (by default it overshoots and interpolates), and the trial time of the starting step size is clamped to 1.

Here `nfe_per_step` counts the evaluations of one attempted step, accepted or not, and `nfe_offset` those of the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt

from fmbench import Solver
from fmbench.errors import Diverged

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class TorchdiffeqAdaptive(Solver):
    """An adaptive method of torchdiffeq; `method` is its name there.

    Args:
        rtol: relative tolerance, above 0.
        atol: absolute tolerance, above 0.
    """

    adaptive = True
    method: ClassVar[str]

    def __init__(self, *, rtol: Annotated[float, Gt(0)] = 1e-5, atol: Annotated[float, Gt(0)] = 1e-5) -> None:
        self.rtol = rtol
        self.atol = atol

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`; of `times` only the two ends count.

        Raises Diverged when the state is not finite or the step size vanishes.
        """
        from torchdiffeq import odeint

        batch = x_0.shape[0]
        ends = times[[0, -1]]
        try:
            states = odeint(
                lambda t, x: velocity(x, t.clamp(max=1).repeat(batch)),
                x_0,
                ends,
                method=self.method,
                rtol=self.rtol,
                atol=self.atol,
                options={"step_t": ends[1:]},
            )
        except AssertionError as error:  # torchdiffeq's way to say that it cannot go on
            raise Diverged(f"torchdiffeq's {self.method} gave up: {str(error)[:200]}") from error
        return states[-1]  # type: ignore[no-any-return]


class Dopri5(TorchdiffeqAdaptive):
    """torchdiffeq's `dopri5`, Dormand-Prince of order 5(4): 6 evaluations an attempted step, error control by batch.

    Source: Dormand and Prince 1980; Hairer, Norsett and Wanner 1993, table II.5.2.
    """

    reference = "Dormand and Prince 1980, RK5(4)7M; Chen 2018, torchdiffeq, method dopri5"
    nfe_per_step = 6
    nfe_offset = 2
    order = 5
    adaptive = True
    method = "dopri5"


class Dopri8(TorchdiffeqAdaptive):
    """torchdiffeq's `dopri8`, Dormand-Prince of order 8: 13 evaluations an attempted step, error control by batch.

    Source: Prince and Dormand 1981.
    """

    reference = "Prince and Dormand 1981, RK8(7)13M; Chen 2018, torchdiffeq, method dopri8"
    nfe_per_step = 13
    nfe_offset = 2
    order = 8
    adaptive = True
    method = "dopri8"


class Bosh3(TorchdiffeqAdaptive):
    """torchdiffeq's `bosh3`, Bogacki-Shampine of order 3(2): 3 evaluations an attempted step, error control by batch.

    Source: Bogacki and Shampine 1989.
    """

    reference = "Bogacki and Shampine 1989, A 3(2) pair; Chen 2018, torchdiffeq, method bosh3"
    nfe_per_step = 3
    nfe_offset = 2
    order = 3
    adaptive = True
    method = "bosh3"


class Fehlberg2(TorchdiffeqAdaptive):
    """torchdiffeq's `fehlberg2`, Fehlberg's RK1(2): 2 evaluations an attempted step, error control by batch.

    Its two formulas differ by 1/512 of the difference of two stages only, so it estimates far less error than it makes:
    several hundred times the tolerance on the conformance problems.

    Source: Fehlberg 1969, NASA TR R-315.
    """

    reference = "Fehlberg 1969, NASA TR R-315, RK1(2); Chen 2018, torchdiffeq, method fehlberg2"
    nfe_per_step = 2
    nfe_offset = 2
    order = 2
    adaptive = True
    method = "fehlberg2"


class AdaptiveHeun(TorchdiffeqAdaptive):
    """torchdiffeq's `adaptive_heun`, Heun with Euler as error estimate: 1 evaluation an attempted step.

    The first stage of a step is the last one of the step before, which torchdiffeq took at the Euler predictor and not
    at the accepted state: half the evaluations of Heun's method, at the same order. Error control by batch.
    """

    reference = "Chen 2018, torchdiffeq, method adaptive_heun"
    nfe_per_step = 1
    nfe_offset = 2
    order = 2
    adaptive = True
    method = "adaptive_heun"
