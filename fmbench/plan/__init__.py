"""From a suite and a registry to all cells, without duplicates, with those left out and why. Pure and silent."""

from fmbench.plan.build import make_plan
from fmbench.plan.plan import LeftOut, Plan

__all__ = ["LeftOut", "Plan", "make_plan"]
