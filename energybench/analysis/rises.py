"""Is one of a counter's rises out of place? What it rose by from tick to tick, against what is usual for this loop.

A steady loop adds the same joules with every period of the counter, so each rise is a whole number of usual ones; which
number, the polls around the two ticks allow for (a tick that is lost doubles a rise, and its time). What a rise is off
by, in usual rises, scatters with the ticks' own timing and with the load. One that stands out from both its neighbours
by more than that scatter makes is a jump: neither a drift nor a step of power, whose rises follow one another, nor a
tick that came late, whose joules the next rise lacks.

Small jumps in wide brackets are seen because it is the joules that keep a grid here, not the times. Ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special

from energybench.analysis.rhythm import Tick

SEEN_ONE_BY_ONE = 1.5
"""Ticks further apart than this many periods of the counter fell together between polls: their rises keep no grid."""
LEAST = 0.03
"""Rises off by less than this share of a usual one are let pass: of a window of ten ticks it is 0.3 %."""
CHANCE = 1e-5
"""A rise of a steady window is called a jump with this chance at most: one in about 10,000 windows of ten rises."""
FEWEST_OF_ITS_OWN = 5
"""With fewer rises than this a window's usual rise is that of all windows: one of three may be the one that jumped."""
FEWEST_STEPS = 8
ROOM = 0.25
"""Ticks may be off their grid by this share of a period before a rise is another number of periods."""
ROBUST = 0.37
"""Efficiency of a scale from medians: so many of its values say as much as the rest of all in a standard deviation.

Source: Rousseeuw and Croux, JASA 88 (1993), table 2 (median absolute deviation, normal values).
"""
MEDIAN, HIGH = (0.5, 0.6745), (0.8, 1.2816)
"""Shares of normal values whose sizes are below so many standard deviations. The higher one also sees rises of which
every few differ, as those of a loop with long phases do."""


@dataclass(frozen=True)
class Rises:
    """What the counter rose by from each tick of a window's interior to the next.

    Attributes:
        joules: [N] of each rise.
        least_s: [N] shortest time between its two ticks that the polls allow.
        most_s: [N] longest.
        blur: by what share of a usual rise the phases of an iteration alone may set rises apart.
        doubt_s: what the polls leave open of the time from the first tick to the last.
    """

    joules: tuple[float, ...] = ()
    least_s: tuple[float, ...] = ()
    most_s: tuple[float, ...] = ()
    blur: float = 0.0
    doubt_s: float = 0.0

    @property
    def gaps_s(self) -> np.ndarray:
        """[N] best guess of the time between the two ticks of each rise."""
        gaps_s: np.ndarray = 0.5 * (np.array(self.least_s) + np.array(self.most_s))
        return gaps_s


NO_RISES = Rises()


def rises_of(ticks: Sequence[Tick], tick_s: float, span_s: float, iteration_s: float) -> Rises:
    """The rises between ticks; none where the polls do not tell the ticks apart.

    Args:
        ticks: of one window, in time order.
        tick_s: the counter's period.
        span_s: how long of each period the counter sees.
        iteration_s: time of one iteration. A rise holds parts of iterations at both its ends, and the power within an
            iteration is unknown: by `docs/derivations.md` 4 each part is worth at most a quarter of an iteration.
    """
    pairs = list(pairwise(ticks))
    found = Rises(
        tuple(later.value - tick.value for tick, later in pairs),
        tuple(max(0.0, later.before_s - tick.after_s) for tick, later in pairs),
        tuple(later.after_s - tick.before_s for tick, later in pairs),
        0.5 * iteration_s / span_s,
        0.5 * (ticks[0].width_s + ticks[-1].width_s) if pairs else 0.0,
    )
    return found if pairs and float(np.median(found.gaps_s)) <= SEEN_ONE_BY_ONE * tick_s else NO_RISES


def out_of_place(windows: Sequence[Rises]) -> list[str]:
    """For each of several windows of the same work, what is out of place in it; empty where nothing is."""
    usual_j = _usual_j(windows)
    own_j = [_usual_j([rises]) if len(rises.joules) >= FEWEST_OF_ITS_OWN else usual_j for rises in windows]
    period_s = _period_s(windows, own_j)
    periods = [_periods(rises, own, period_s) for rises, own in zip(windows, own_j, strict=True)]
    off = [np.array(rises.joules) / own - n for rises, own, n in zip(windows, own_j, periods, strict=True)]
    limit = max(LEAST, _scatter(off))
    return [
        _odd_rise(rises, values, own, max(limit, rises.blur)) or _odd_time(rises, n, period_s)
        for rises, values, own, n in zip(windows, off, own_j, periods, strict=True)
    ]


def _usual_j(windows: Iterable[Rises]) -> float:
    """Joules of a usual rise: their median, and never the middle of a single rise and a double one."""
    joules = [value for rises in windows for value in rises.joules]
    return float(np.quantile(joules, 0.5, method="lower")) if joules else math.nan


def _period_s(windows: Sequence[Rises], usual_j: Sequence[float]) -> float:
    """The counter's period, from the time of each window and the usual rises in its joules; the median window's."""
    found = [
        rises.gaps_s.sum() / max(1.0, np.rint(np.array(rises.joules) / own).sum())
        for rises, own in zip(windows, usual_j, strict=True)
        if rises.joules
    ]
    return float(np.median(found)) if found else math.nan


def _periods(rises: Rises, usual_j: float, period_s: float) -> np.ndarray:
    """[N] how many of the counter's periods each rise is made of: as its joules say, within what its time allows."""
    least = np.maximum(1, np.ceil(np.array(rises.least_s) / period_s - ROOM))
    most = np.maximum(least, np.floor(np.array(rises.most_s) / period_s + ROOM))
    periods: np.ndarray = np.clip(np.rint(np.array(rises.joules) / usual_j), least, most)
    return periods


def _scatter(off: Sequence[np.ndarray]) -> float:
    """How far a rise of a steady window is off at most, but for ``CHANCE``; infinite where too few rises say so."""
    steps = np.abs(np.concatenate([np.diff(values) for values in off])) if off else np.empty(0)
    if len(steps) < FEWEST_STEPS:
        return math.inf
    scale = max(float(np.quantile(steps, share)) / deviations for share, deviations in (MEDIAN, HIGH)) / math.sqrt(2)
    return float(special.stdtrit(max(1.0, ROBUST * len(steps)), 1 - CHANCE / 2)) * scale


def _odd_rise(rises: Rises, off: np.ndarray, usual_j: float, limit: float) -> str:
    """The rise that is furthest out of place, in words; empty where none is further than ``limit`` usual ones."""
    apart = [_apart(off, k) for k in range(len(off))]
    k = max(range(len(off)), key=lambda k: abs(apart[k]), default=0)
    if not apart or abs(apart[k]) <= limit:
        return ""
    return f"it rose by {rises.joules[k]:.4g} J at once where {rises.joules[k] - off[k] * usual_j:.4g} J are usual"


def _apart(off: np.ndarray, k: int) -> float:
    """By how much a rise stands out from the usual and from both its neighbours; 0 where one of these evens it out."""
    neighbours = [float(off[j]) for j in (k - 1, k + 1) if 0 <= j < len(off)]
    distances = [float(off[k]), *(float(off[k]) - near for near in neighbours)]
    late = any(abs(off[k] + near) < ROOM * abs(off[k]) for near in neighbours)
    one_sided = min(distances) > 0 or max(distances) < 0
    return min(distances, key=abs) if one_sided and not late else 0.0


def _odd_time(rises: Rises, periods: np.ndarray, period_s: float) -> str:
    """Whether a window is not as long as the periods in it, in words: one of its rises was none of the counter's."""
    if not len(periods):
        return ""
    ticks = rises.gaps_s.sum() / period_s
    if abs(ticks - periods.sum()) <= ROOM + rises.doubt_s / period_s:
        return ""
    return f"it rose {periods.sum():.0f} times in the time of {ticks:.2f} of its periods"
