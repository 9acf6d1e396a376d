"""How is a budget of time spread over the comparisons of a run, so that the widest interval is as narrow as it can be?

Before anything is measured every window is alike: all pieces of work get the same number, which is cut until they fit.
Once each has them, what is left goes where the interval is widest, until it is no wider than the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from energybench.planner import BUDGET, LEAST_WINDOWS, Plan, estimate, percent


class Width(NamedTuple):
    """The widest interval of a comparison: its relative half-width, and the windows it is made of."""

    halfwidth: float
    windows: int


def next_share(widths: Mapping[str, Width], precision: float) -> tuple[str, int] | None:
    """The comparison that gets the next share of what is left of a budget, and how many windows it is to have.

    As many as are expected to narrow it to the next widest, by n x (half-width / target)^2, at least a pair and at most
    twice what it has, because a half-width of a few windows is itself uncertain. None where all are precise enough.
    """
    ordered = sorted(widths.items(), key=lambda item: -item[1].halfwidth)
    if not ordered or ordered[0][1].halfwidth <= precision:
        return None
    comparison, widest = ordered[0]
    if not math.isfinite(widest.halfwidth):
        return comparison, widest.windows + 2
    target = max(precision, ordered[1][1].halfwidth if len(ordered) > 1 else precision)
    wanted = math.ceil(widest.windows * (widest.halfwidth / target) ** 2)
    return comparison, min(max(wanted + wanted % 2, widest.windows + 2), 2 * widest.windows)


def within_budget(plan: Plan, works: int, comparisons: int) -> Plan:
    """The plan made to fit its budget, so that every comparison gets its share of it.

    First fewer windows, though never fewer than ``LEAST_WINDOWS``. Then windows that only their precision makes long
    are shortened until half of the budget is left for the comparisons that turn out to be noisiest; then all of them,
    though never below what the sensor can see. What a budget cannot hold even so is cut off at its end. The cost is
    in ``remarks``.
    """
    if plan.budget_s is None:
        return plan
    unlimited = replace(plan, budget_s=None)

    def duration_s(windows: int, window_s: float) -> float:
        return estimate(replace(unlimited, windows=windows, window_s=window_s), works, comparisons, None).duration_s

    needs_s = duration_s(plan.windows, plan.window_s)
    if needs_s <= plan.budget_s:
        return plan
    windows, window_s, rule = plan.windows, plan.window_s, plan.rule
    while windows > LEAST_WINDOWS and duration_s(windows, window_s) > plan.budget_s:
        windows -= 2
    for least_s, share in ((plan.least_s, 0.5), (plan.floor_s, 1.0)):
        over_s = duration_s(windows, window_s) - share * plan.budget_s
        if over_s > 0 and window_s > least_s:
            window_s, rule = max(least_s, window_s - over_s / (works * windows)), BUDGET
    return _told(replace(plan, windows=windows, window_s=window_s, rule=rule), duration_s(windows, window_s), needs_s)


def _told(plan: Plan, takes_s: float, needs_s: float) -> Plan:
    """A plan that was cut to its budget, and what that costs in words."""
    budget_s, said = plan.budget_s or math.inf, ""
    if takes_s > 1.001 * budget_s:
        said = (
            f"{plan.windows} windows of {plan.window_s:.2g} s of each take {_long(takes_s)}: the budget of "
            f"{_long(budget_s)} ends before all are measured; --budget {_long(takes_s, '')} would do"
        )
    elif not plan.reaches_precision:
        said = (
            f"a precision of {percent(plan.precision)} is out of reach within {_long(budget_s)}: the sensor may leave "
            f"+-{percent(plan.halfwidth or 0.0)}; --budget {_long(needs_s, '')} would do"
        )
    return replace(plan, remarks=(*plan.remarks, *filter(None, (said,))))


def _long(duration_s: float, space: str = " ") -> str:
    """A duration as it is typed after ``--budget``, rounded up."""
    minutes = math.ceil(duration_s / 6) / 10
    return f"{minutes:g}{space}min" if minutes < 120 else f"{math.ceil(minutes / 6) / 10:g}{space}h"
