"""Does the counter keep a regular rhythm, and how well is its period known?

A tick is only known to have come between two polls, so a stretch between two ticks is open by about one polling
interval over its length. But ticks that come at k x period + phase all say something of that period: over a minute of
windows it is known to a few millionths. A stretch over n of them is then n periods long, and the host's timing drops
out.

    before_i <= phase + k_i period + slack,     phase + k_i period - slack <= after_i      for every tick i

is a linear programme: the least slack says how irregular the ticks are, the range of periods how well they are known.
No tick is averaged, so late polls (wide brackets) do no harm. Where the ticks keep no rhythm, the slack is as large as
the brackets and nothing is gained or claimed. Ours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import optimize

from energybench.journal import WindowRecord

SPAN_S = 60.0
"""A rhythm is fitted over no longer than this: two clocks drift apart by a millionth or so."""
FEWEST_TICKS = 16
MOST_PERIODS = 30_000
"""A counter that ticks more often than that in the time looked at ticks as fast as it is polled: no rhythm can help."""
AROUND, PHASE_STEP = 1.4, 0.2
"""Periods up to this factor from the guess are tried, in steps that shift the last tick by this share of a period."""
SHARP = 0.25
"""Only ticks that were timed to this share of the period are fitted."""
TOLD_APART = 0.75
"""Ticks that were timed to this share of the period still help to tell it from others."""
OUTLIERS = 0.05
"""Up to this share of the ticks may have come late and are left out of the fit."""
MISSED = 5.0
"""Irregularity e that N ticks did not show is below 5 brackets / N: each would have shown it with a chance of
e / bracket, and (1 - 5 / N)^N is under 1 %."""


@dataclass(frozen=True)
class Tick:
    """A change of the counter: it came after ``before_s`` and not later than ``after_s``."""

    before_s: float
    after_s: float
    value: float

    @property
    def time_s(self) -> float:
        """Best guess: the middle."""
        return 0.5 * (self.before_s + self.after_s)

    @property
    def width_s(self) -> float:
        """How long it stayed open when it came."""
        return self.after_s - self.before_s


@dataclass(frozen=True)
class Rhythm:
    """A counter's period, and how far its ticks may be off it.

    Attributes:
        low_s: the shortest period that the ticks allow.
        high_s: the longest.
        slack_s: how far a single tick may be from the rhythm (95 %).
        ticks: how many it was found from.
    """

    low_s: float
    high_s: float
    slack_s: float
    ticks: int

    @property
    def period_s(self) -> float:
        """The middle of what is allowed."""
        return 0.5 * (self.low_s + self.high_s)

    def length_s(self, first: Tick, last: Tick) -> tuple[float, float] | None:
        """Length of the stretch between two ticks and its half-width; None where it does not fit, or not uniquely.

        A tick that came late, or between polls too far apart to tell which one it was, does not fit.
        """
        least_s, most_s = last.before_s - first.after_s, last.after_s - first.before_s
        count = round((last.time_s - first.time_s) / self.period_s)
        halfwidth_s = 0.5 * count * (self.high_s - self.low_s) + 2 * self.slack_s
        around = (n * self.period_s for n in (count - 1, count, count + 1))
        fitting = [least_s - halfwidth_s <= length_s <= most_s + halfwidth_s for length_s in around]
        return (count * self.period_s, halfwidth_s) if fitting == [False, True, False] and count > 0 else None


def fit_rhythm(groups: Sequence[Sequence[Tick]]) -> Rhythm | None:
    """The rhythm of ticks that were seen within a minute or so; None where there is none, or too few to tell.

    Args:
        groups: ticks of stretches of unbroken polling (windows), in time order; within one, none was missed but by
            the counter itself.
    """
    gaps = [later.time_s - tick.time_s for group in groups for tick, later in pairwise(group)]
    guess_s = statistics.median(gaps) if gaps else 0.0
    if guess_s <= 0:
        return None
    origin_s = groups[0][0].time_s if groups[0] else 0.0
    ticks = np.array([(t.before_s - origin_s, t.after_s - origin_s) for group in groups for t in group])
    widths_s = ticks[:, 1] - ticks[:, 0]
    sharp = widths_s <= SHARP * guess_s
    if np.count_nonzero(sharp) < FEWEST_TICKS or np.ptp(ticks) > MOST_PERIODS * guess_s:
        return None
    period_s = _most_in_step_s(ticks[widths_s <= TOLD_APART * guess_s].mean(axis=1), guess_s)
    before, after = ticks[sharp].T
    slots = _slots(0.5 * (before + after), period_s)
    for _ in range(math.floor(OUTLIERS * len(slots)) + 1):
        found = _fitted(slots, before, after)
        if found is not None:
            return found
        worst = _worst(slots, before, after)
        slots, before, after = (np.delete(values, worst) for values in (slots, before, after))
    return None


def in_spans(windows: Iterable[WindowRecord]) -> list[list[WindowRecord]]:
    """Windows that share a rhythm: runs of them, of one session, that begin within ``SPAN_S``."""
    spans: list[list[WindowRecord]] = []
    for window in windows:
        first = spans[-1][0] if spans else None
        if first is None or window.session != first.session or window.start_s - first.start_s > SPAN_S:
            spans.append([])
        spans[-1].append(window)
    return spans


def _most_in_step_s(times_s: np.ndarray, guess_s: float) -> float:
    """The period, of those around a guess, with which the times are most in step: the peak of their periodogram.

    The guess may be off by as much as a poll in two ticks is: ticks that fell between two polls count as one.
    """
    step = PHASE_STEP * guess_s / max(float(np.ptp(times_s)), guess_s)
    rates = np.arange(1 / AROUND, AROUND, step) / guess_s
    in_step = np.zeros(len(rates), dtype=complex)
    for time_s in times_s:
        in_step += np.exp(2j * np.pi * rates * time_s)
    return float(1 / rates[np.argmax(np.abs(in_step))])


def _slots(times_s: np.ndarray, period_s: float) -> np.ndarray:
    """Number of each tick, counted in periods from the first; the phase is that of all of them."""
    phase = np.angle(np.exp(2j * np.pi * times_s / period_s).sum()) / (2 * np.pi)
    slots: np.ndarray = np.rint(times_s / period_s - phase)
    return slots


def _fitted(slots: np.ndarray, before: np.ndarray, after: np.ndarray) -> Rhythm | None:
    """The range of periods at the least slack; None where that is of the brackets' size, or any period fits."""
    width_s = float(np.median(after - before))
    least = _programme(slots, before, after, (0.0, 0.0, 1.0))
    slack_s = math.inf if least is None else float(least[2]) + MISSED * width_s / len(slots)
    if slack_s > 0.5 * width_s:
        return None
    low, high = (_programme(slots, before, after, (0.0, sign, 0.0), slack_s) for sign in (1.0, -1.0))
    if low is None or high is None:
        return None
    return Rhythm(float(low[1]), float(high[1]), slack_s, len(slots))


def _programme(
    slots: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    cost: tuple[float, float, float],
    slack_s: float = math.inf,
) -> np.ndarray | None:
    """Phase, period and slack (s) of least cost that fit every bracket; None where there is no such least."""
    ones = np.ones_like(slots)
    sides = np.concatenate([np.column_stack([-ones, -slots, -ones]), np.column_stack([ones, slots, -ones])])
    limits = np.concatenate([-before, after])
    bounds = [(None, None), (0.0, None), (0.0, None if math.isinf(slack_s) else slack_s)]
    found = optimize.linprog(cost, A_ub=sides, b_ub=limits, bounds=bounds, method="highs")
    return np.asarray(found.x) if found.success else None


def _worst(slots: np.ndarray, before: np.ndarray, after: np.ndarray) -> int:
    """The tick that is furthest from the line through all of them."""
    middle, centred = 0.5 * (before + after), slots - slots.mean()
    slope = float(centred @ middle) / max(float(centred @ centred), 1.0)
    return int(np.argmax(np.abs(middle - middle.mean() - slope * centred)))
