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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from energybench.analysis.rhythm import Tick

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

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


@dataclass(frozen=True, eq=False)
class Rises:
    """What the counter rose by from each tick of a window's interior to the next.

    Attributes:
        joules: [N] of each rise.
        least_s: [N] shortest time between its two ticks that the polls allow.
        most_s: [N] longest.
        blur: by what share of a usual rise the phases of an iteration alone may set rises apart.
        doubt_s: what the polls leave open of the time from the first tick to the last.
    """

    joules: Floats
    least_s: Floats
    most_s: Floats
    blur: float = 0.0
    doubt_s: float = 0.0

    @property
    def gaps_s(self) -> Floats:
        """[N] best guess of the time between the two ticks of each rise."""
        return 0.5 * (self.least_s + self.most_s)


NO_RISES = Rises(np.empty(0), np.empty(0), np.empty(0))


def rises_of(ticks: Sequence[Tick], tick_s: float, span_s: float, iteration_s: float) -> Rises:
    """The rises between ticks; none where the polls do not tell the ticks apart.

    Args:
        ticks: of one window, in time order.
        tick_s: the counter's period.
        span_s: how long of each period the counter sees.
        iteration_s: time of one iteration. A rise holds parts of iterations at both its ends, and the power within an
            iteration is unknown: by `docs/derivations.md` 4 each part is worth at most a quarter of an iteration.
    """
    if len(ticks) < 2:
        return NO_RISES
    before_s, after_s = np.array([tick.before_s for tick in ticks]), np.array([tick.after_s for tick in ticks])
    found = Rises(
        np.diff([tick.value for tick in ticks]),
        np.maximum(0.0, before_s[1:] - after_s[:-1]),
        after_s[1:] - before_s[:-1],
        0.5 * iteration_s / span_s,
        0.5 * (ticks[0].width_s + ticks[-1].width_s),
    )
    return found if float(np.median(found.gaps_s)) <= SEEN_ONE_BY_ONE * tick_s else NO_RISES


def out_of_place(windows: Sequence[Rises]) -> list[str]:
    """For each of several windows of the same work, what is out of place in it; empty where nothing is.

    Rises of all windows stand in one array: this is asked after every window of a run, of all before it.
    """
    lengths = np.array([len(rises.joules) for rises in windows], dtype=int)
    if not lengths.sum():
        return [""] * len(windows)
    joules, gaps_s = (np.concatenate([getattr(r, name) for r in windows]) for name in ("joules", "gaps_s"))
    whose = np.repeat(np.arange(len(windows)), lengths)
    own_j = _usual_j(windows, joules)[whose]
    period_s = _period_s(joules / own_j, gaps_s, whose)
    least_s, most_s = (np.concatenate([getattr(r, name) for r in windows]) for name in ("least_s", "most_s"))
    periods = _periods(joules / own_j, least_s / period_s, most_s / period_s)
    off = joules / own_j - periods
    before = np.concatenate([[np.nan], np.where(np.diff(whose) == 0, off[:-1], np.nan)])
    after = np.concatenate([np.where(np.diff(whose) == 0, off[1:], np.nan), [np.nan]])
    limit = max(LEAST, _scatter(np.abs(off - before)))
    apart = np.abs(_apart(off, before, after))
    odd = apart > np.maximum(limit, np.array([rises.blur for rises in windows]))[whose]
    said = _odd_times(windows, gaps_s / period_s, periods, whose, period_s)
    for window in np.unique(whose[odd]):
        k = int(np.argmax(np.where(whose == window, apart, -1.0)))
        usual_j = joules[k] - off[k] * own_j[k]
        said[window] = f"it rose by {joules[k]:.4g} J at once where {usual_j:.4g} J are usual"
    return said


def _usual_j(windows: Sequence[Rises], joules: Floats) -> Floats:
    """[windows] joules of a usual rise: the window's own where it has enough of them, else that of all."""
    of_all = _low_median(joules)
    return np.array([_low_median(r.joules) if len(r.joules) >= FEWEST_OF_ITS_OWN else of_all for r in windows])


def _low_median(values: Floats) -> float:
    """The median, and never the middle of a single rise and a double one."""
    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])


def _period_s(usual: Floats, gaps_s: Floats, whose: Indices) -> float:
    """The counter's period, from the time of each window and the usual rises in its joules; the median window's."""
    counts = np.bincount(whose, weights=np.rint(usual))
    found = np.bincount(whose, weights=gaps_s) / np.maximum(1.0, counts)
    return float(np.median(found[np.unique(whose)]))


def _periods(usual: Floats, least: Floats, most: Floats) -> Floats:
    """[N] how many of the counter's periods each rise is made of: as its joules say, within what its time allows."""
    fewest = np.maximum(1, np.ceil(least - ROOM))
    return np.clip(np.rint(usual), fewest, np.maximum(fewest, np.floor(most + ROOM)))


def _scatter(steps: Floats) -> float:
    """How far a rise of a steady window is off at most, but for ``CHANCE``; infinite where too few rises say so."""
    steps = steps[~np.isnan(steps)]
    if len(steps) < FEWEST_STEPS:
        return math.inf
    scale = max(float(np.quantile(steps, share)) / deviations for share, deviations in (MEDIAN, HIGH)) / math.sqrt(2)
    return float(special.stdtrit(max(1.0, ROBUST * len(steps)), 1 - CHANCE / 2)) * scale


def _apart(off: Floats, before: Floats, after: Floats) -> Floats:
    """[N] by how much a rise stands out from the usual and from both its neighbours; 0 where one of these evens it out.

    Args:
        off: [N] what each rise is off by.
        before: [N] what the one before it in its window is off by; NaN where there is none.
        after: [N] the same of the one after it.
    """
    late = np.any([np.abs(off + near) < ROOM * np.abs(off) for near in (before, after)], axis=0)
    distances = np.stack([off, off - before, off - after])
    one_sided = (np.nanmin(distances, axis=0) > 0) | (np.nanmax(distances, axis=0) < 0)
    return np.where(one_sided & ~late, np.nanmin(np.abs(distances), axis=0), 0.0)


def _odd_times(windows: Sequence[Rises], ticks: Floats, periods: Floats, whose: Indices, period_s: float) -> list[str]:
    """Which windows are not as long as the periods in them, in words: one of their rises was none of the counter's."""
    doubt = np.array([rises.doubt_s for rises in windows]) / period_s
    rose = np.bincount(whose, weights=periods, minlength=len(windows))
    took = np.bincount(whose, weights=ticks, minlength=len(windows))
    return [
        f"it rose {rose[k]:.0f} times in the time of {took[k]:.2f} of its periods" if odd else ""
        for k, odd in enumerate(np.abs(took - rose) > ROOM + doubt)
    ]
