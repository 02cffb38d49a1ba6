"""Averages of a training's weights of any length, made after the training from two kinds that were kept on the way.

Source: Karras et al. 2312.02696, section 3. The average of exponent gamma over t steps weighs the weights of step s by
(s^(gamma+1) - (s-1)^(gamma+1)) / t^(gamma+1): the part from s-1 to s of the profile (gamma+1) s^gamma / t^(gamma+1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmbench.cells.snapshots import LENGTHS


def exponent(length: float) -> float:
    """Return the exponent gamma of the average of a length: its standard deviation as a part of the training.

    Source: Karras et al. 2312.02696, eq. 126 and algorithm 2: length^2 = (gamma+1) / ((gamma+2)^2 (gamma+3)).
    """
    roots = np.roots([1.0, 7.0, 16.0 - length**-2, 12.0 - length**-2])
    return float(max(root.real for root in roots if abs(root.imag) < 1e-9))


def decay(step: int, gamma: float) -> float:
    """Return the share of the average that optimizer step number `step` (from 0) leaves as it is.

    Source: Karras et al. 2312.02696, eq. 127.
    """
    return float((1 - 1 / (step + 1)) ** (gamma + 1))


def inner_product(
    t: NDArray[np.float64], gamma: NDArray[np.float64], other_t: NDArray[np.float64], other_gamma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the integrals of products of profiles, elementwise.

    Source: Karras et al. 2312.02696, algorithm 3.
    """
    ratio = (t / other_t) ** np.where(t < other_t, other_gamma, -gamma)
    over = (gamma + other_gamma + 1) * np.maximum(t, other_t)
    product: NDArray[np.float64] = (gamma + 1) * (other_gamma + 1) * ratio / over
    return product


def coefficients(steps: Sequence[int], length: float) -> NDArray[np.float64]:
    """Return the share of each average that was kept, `(steps, LENGTHS)`, in the average of a length over all steps.

    Their sum of profiles is as near to the wanted profile as it can be (in least squares), and weighs the steps by 1
    together: the shares sum to 1.
    """
    t = np.repeat(np.asarray(steps, dtype=np.float64), len(LENGTHS))
    gamma = np.tile([exponent(each) for each in LENGTHS], len(steps))
    wanted = np.full_like(t, t.max()), np.full_like(t, exponent(length))
    ones = np.ones((1, len(t)))
    of_all = inner_product(t[:, None], gamma[:, None], t[None], gamma[None])
    scale = 1 / np.sqrt(np.diag(of_all))  # profiles of norm 1: those of early steps are steep
    matrix = np.block([[of_all * scale[:, None] * scale, ones.T * scale[:, None]], [ones * scale, np.zeros((1, 1))]])
    target = np.append(inner_product(t, gamma, *wanted) * scale, 1.0)
    shares: NDArray[np.float64] = np.linalg.lstsq(matrix, target, rcond=1e-13)[0][:-1] * scale
    return shares.reshape(len(steps), len(LENGTHS))
