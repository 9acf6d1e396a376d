"""What still fits before a budget ends? Expected lengths of what is about to run, held against the time left.

Nothing that is running is cut off, so whatever begins must fit. A window may end late by a twentieth of the budget and
never by more than its own length: else a plan that just fills the budget would lose its last blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from energybench.devices import Prepared, samples_in
from energybench.planner import MIN_ITERATIONS
from energybench.runner.bench import Bench

LATE = 0.05


def left_s(bench: Bench) -> float:
    """Seconds that windows may still take; infinite without a budget."""
    if bench.deadline_s is None:
        return math.inf
    return bench.deadline_s - bench.kept_s - bench.device.clock.now_s()


def fits(bench: Bench, length_s: float) -> bool:
    """Whether something this long may still begin."""
    return length_s - min(length_s, LATE * (bench.plan.budget_s or 0.0)) <= left_s(bench)


def loop_s(bench: Bench, iteration_s: float) -> float:
    """Expected length of one window's loop, with as many iterations as a window needs; it ends with a whole one."""
    more_s = max(0.0, MIN_ITERATIONS * iteration_s - bench.plan.window_s)
    return bench.plan.loop_s + more_s + iteration_s


def windows_s(bench: Bench, works: Sequence[Prepared]) -> float:
    """Expected length of one window of each work."""
    return sum(loop_s(bench, work.iteration_s) for work in works)


def latency_pass_s(bench: Bench, work: Prepared) -> float:
    """Expected length of a work's latency pass."""
    return samples_in(bench.plan.latency_s, work.iteration_s) * work.iteration_s
