"""When did a source publish a new value? Its refresh period and its updates, from readings that mostly repeat them.

A reading is polled far more often than it changes. A change is known to lie between two polls; the refresh follows
from the line through many changes, so it is known much better than the polling interval. Source: `docs/derivations.md`
9 (the median gap starts the fit: the minimum is too low, the mean counts repeated values twice).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from energybench.readings import ENERGY, Reading
from energybench.sensor import ASSUMED, SensorProfile

FEWEST_CHANGES = 4
SHARP = 2.6
"""A change is timed well when the two polls around it lie within this multiple of the usual polling interval."""
REGULAR = 0.6
"""Changes lie on a grid when they scatter around it by less than this share of the polling interval (uniform: 0.29)."""
HOLE = 3.0
"""A pause longer than this many polling intervals (and than the refresh) separates two stretches of polling."""
CALIBRATED_TO, ASSUMED_TO = 0.02, 0.2
"""Relative uncertainty of a refresh: what a calibration answers for (requirement 9), and one of a generation."""
SURE = 4.0
"""Standard errors of what was seen: by chance one of ten thousand sources would seem to have changed."""
USUAL = 1.75
"""Changes that come later than this multiple of the earlier ones' time had an update between them that did not show."""
FEWEST_TO_CHECK = 8


@dataclass(frozen=True)
class Updates:
    """The distinct values one source published.

    Attributes:
        kind: kind of reading.
        times_s: [K] when each value appeared: on the fitted grid where the source keeps one, else midway between the
            polls around it.
        values: [K] what appeared.
        slots: [K] number of the update, counted in refresh periods; lost or repeated values leave gaps.
        refresh_s: the refresh period.
        refresh_halfwidth_s: its 95 % half-width.
        regular: whether the source keeps a grid.
        poll_s: the usual polling interval.
        spread_s: standard deviation of the changes around the grid.
    """

    kind: str
    times_s: np.ndarray
    values: np.ndarray
    slots: np.ndarray
    refresh_s: float
    refresh_halfwidth_s: float
    regular: bool
    poll_s: float
    spread_s: float

    @property
    def missing_share(self) -> float:
        """Share of the updates that never showed, or showed the same value again."""
        return 1.0 - (len(self.slots) - 1) / max(int(self.slots[-1] - self.slots[0]), 1)

    def between(self, start_s: float, stop_s: float) -> np.ndarray:
        """[K] which updates appeared between two times."""
        return (self.times_s > start_s) & (self.times_s <= stop_s)

    def part(self, chosen: np.ndarray | slice) -> Updates:
        """Some of the updates, with the refresh that was found from all."""
        return replace(self, times_s=self.times_s[chosen], values=self.values[chosen], slots=self.slots[chosen])


def published(readings: Iterable[Reading], kind: str) -> Updates | None:
    """The updates of one kind; None where fewer than four changes were seen.

    Args:
        readings: in time order, polled at least twice a refresh.
        kind: which source.
    """
    times, values = _series(readings, kind)
    if len(times) < FEWEST_CHANGES:
        return None
    changed = np.flatnonzero(np.diff(values) != 0) + 1
    if len(changed) < FEWEST_CHANGES:
        return None
    poll_s = float(np.median(np.diff(times)))
    before, after = times[changed - 1], times[changed]
    sharp = after - before <= SHARP * poll_s
    middle = np.where(sharp, 0.5 * (before + after), after - 0.5 * poll_s)  # dropped values: the new one is on time
    if np.count_nonzero(sharp) < FEWEST_CHANGES:
        sharp = np.ones(len(changed), dtype=bool)
    refresh_s = float(np.median(np.diff(middle[sharp])))
    for _ in range(3):
        slots = _slots(middle, refresh_s)
        origin_s, refresh_s, halfwidth_s, spread_s = _line(slots[sharp], middle[sharp], poll_s)
    regular = spread_s <= REGULAR * poll_s
    grid = origin_s + refresh_s * slots if regular else middle
    return Updates(kind, grid, values[changed], slots, refresh_s, halfwidth_s, regular, poll_s, spread_s)


def same_source(readings: Sequence[Reading], one: str, other: str) -> bool:
    """Whether two kinds show one stream: equal values in over nine of ten polls that read both.

    Source: Yang, Adámek, Armour (arXiv 2312.02741), their code: the share of 90 %.
    """
    first, second = ({r.time_s: r.value for r in readings if r.kind == kind} for kind in (one, other))
    both = [abs(value - second[time_s]) <= 1e-9 for time_s, value in first.items() if time_s in second]
    if not both:  # two calls, two times: pair the polls in order
        both = [a == b for a, b in zip(first.values(), second.values(), strict=False)]
    return bool(both) and sum(both) > 0.9 * len(both)


def check_refresh(readings: Sequence[Reading], profile: SensorProfile) -> str:
    """Why a stored profile no longer fits the refresh seen in a run; empty where it fits or too little was seen.

    Args:
        readings: of loops, in time order; pauses between windows are recognised.
        profile: what was calibrated, or is assumed.
    """
    periods = {stream.kind: stream.refresh_s for stream in profile.streams}
    if profile.counter is not None:
        periods[ENERGY] = profile.counter.tick_s
    known = ASSUMED_TO if profile.provenance == ASSUMED else CALIBRATED_TO
    reasons = (refresh_mismatch(readings, kind, period_s, known) for kind, period_s in periods.items())
    return next((f"{reason}: energybench calibrate" for reason in reasons if reason), "")


def refresh_mismatch(readings: Iterable[Reading], kind: str, refresh_s: float, known: float = CALIBRATED_TO) -> str:
    """Why what was seen contradicts a known refresh; empty where it fits or too little was seen.

    A source that loses or repeats values looks slower on average, so "faster" is judged by the mean time between all
    changes and "slower" by that of the usual ones. Each is allowed what the known refresh may be off by, and four
    standard errors: a change came at any time between two polls.

    Args:
        readings: in time order, polled at least about twice a refresh.
        kind: which source.
        refresh_s: what it is known as.
        known: relative uncertainty of that.
    """
    gaps = _gaps(readings, kind)
    if len(gaps) < FEWEST_TO_CHECK:
        return ""
    lengths_s, variances, last_variances = gaps.T
    count = len(gaps)
    mean_s, mean_error_s = float(lengths_s.mean()), math.sqrt(float(last_variances.sum())) / count
    usual = lengths_s <= USUAL * np.quantile(lengths_s, 0.25)
    usual_s, few = float(lengths_s[usual].mean()), np.count_nonzero(usual)
    usual_error_s = math.sqrt(max(float(variances[usual].mean()), float(lengths_s[usual].var())) / few)
    if mean_s + SURE * mean_error_s < (1 - known) * refresh_s:
        return f"{kind} changed every {mean_s:.3g} s ({count} changes), faster than its stored {refresh_s:.3g} s"
    if usual_s - SURE * usual_error_s > (1 + known) * refresh_s:
        return f"{kind} changed every {usual_s:.3g} s ({count} changes), slower than its stored {refresh_s:.3g} s"
    return ""


def _gaps(readings: Iterable[Reading], kind: str) -> np.ndarray:
    """[K, 3] Times between changes within unbroken stretches of polling.

    Length, variance that the polls around both changes leave of it, and the part of that which stays in the sum of a
    stretch: only its first and last change do not cancel.
    """
    times, values = _series(readings, kind)
    if len(times) < FEWEST_CHANGES:
        return np.empty((0, 3))
    changed = np.flatnonzero(np.diff(values)) + 1
    rough_s = float(np.median(np.diff(times[changed]))) if len(changed) > 2 else math.inf
    polls_s = np.diff(times)
    hole_s = max(HOLE * float(np.median(polls_s)), 1.5 * rough_s)
    stretch = np.concatenate(([0], np.cumsum(polls_s > hole_s)))
    changed = changed[stretch[changed] == stretch[changed - 1]]  # what changed in a pause, changed at an unknown time
    middles_s, variances = times[changed] - 0.5 * polls_s[changed - 1], polls_s[changed - 1] ** 2 / 12
    found = []
    for number in np.unique(stretch[changed]):
        own = stretch[changed] == number
        lengths_s, each = np.diff(middles_s[own]), variances[own]
        ends = np.zeros(len(lengths_s))
        if len(ends):
            ends[0], ends[-1] = ends[0] + each[0], ends[-1] + each[-1]
        found.append(np.column_stack([lengths_s, each[1:] + each[:-1], ends]))
    return np.concatenate(found) if found else np.empty((0, 3))


def _series(readings: Iterable[Reading], kind: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = [(r.time_s, r.value) for r in readings if r.kind == kind]
    if not chosen:
        return np.empty(0), np.empty(0)
    times, values = np.array(chosen, dtype=float).T
    return times, values


def _slots(middle: np.ndarray, refresh_s: float) -> np.ndarray:
    steps = np.maximum(np.rint(np.diff(middle) / refresh_s), 1)
    return np.concatenate(([0.0], np.cumsum(steps)))


def _line(slots: np.ndarray, middle: np.ndarray, poll_s: float) -> tuple[float, float, float, float]:
    """Origin, slope, 95 % half-width of the slope, and spread around the line.

    Polling in step with the refresh shows no spread at all; the half-width then rests on the polling interval.
    """
    centred = slots - slots.mean()
    power = float(centred @ centred)
    slope = float(centred @ middle) / power
    origin = float(middle.mean() - slope * slots.mean())
    residuals = middle - (origin + slope * slots)
    spread = float(residuals.std(ddof=2)) if len(slots) > 2 else math.inf
    return origin, slope, 1.96 * max(spread, poll_s / math.sqrt(12)) / math.sqrt(power), spread
