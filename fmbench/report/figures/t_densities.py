"""How often training looks at each t: the densities of a suite's t-distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fmbench.report.figures.theme import Picture, looks, new_figure, save, themed
from fmbench.report.output_folder import Folder

LEAST_TOP = 2.0
FLAT = 1e-6
"""Densities that differ less than this are all uniform."""


def t_densities(densities: Mapping[str, Sequence[float]], folder: Folder, name: str) -> Picture | None:
    """Draw each density over [0, 1]; None where there is nothing but a uniform one."""
    curves = {label: np.asarray(values, dtype=float) for label, values in densities.items()}
    finite = np.concatenate([np.empty(0), *(values[np.isfinite(values)] for values in curves.values())])
    if not len(finite) or np.ptp(finite) < FLAT:
        return None
    top = max(LEAST_TOP, 1.25 * float(np.percentile(finite, 95)))
    with themed():
        figure = new_figure(6.4, 3.0)
        axes = figure.subplots()
        for (label, values), look in zip(curves.items(), looks(curves).values(), strict=True):
            t = (np.arange(len(values)) + 0.5) / len(values)
            axes.plot(t, values, color=look.colour, linestyle=look.dashes, linewidth=1.6, label=label)
        axes.grid(True, axis="y")
        axes.set(xlim=(0, 1), ylim=(0, top), xlabel="t (0 is noise, 1 is data)", ylabel="density")
        figure.legend(loc="outside right upper", handlelength=2.2)
        clipped = [label for label, values in curves.items() if (values > top).any()]
        caption = (
            "How often training draws each t, by t-distribution: the area under every line is 1, so what is looked at "
            "more at one time is looked at less at another."
        )
        caption += f" Cut at the top, where it goes on rising: {', '.join(clipped)}." if clipped else ""
        return save(figure, folder, name, "where training looks: the t-distributions", caption)
