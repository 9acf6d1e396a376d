"""When did a source publish a new value? Its refresh period and its updates, from readings that mostly repeat them.

A reading is polled far more often than it changes. A change is known to lie between two polls; the refresh follows
from the line through many changes, so it is known much better than the polling interval. Source: `measurement.md`
2.3, 1 (the median gap starts the fit: the minimum is too low, the mean counts repeated values twice).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile

FEWEST_CHANGES = 4
SHARP = 2.6
"""A change is timed well when the two polls around it lie within this multiple of the usual polling interval."""
REGULAR = 0.6
"""Changes lie on a grid when they scatter around it by less than this share of the polling interval (uniform: 0.29)."""
HOLE = 3.0
"""A pause longer than this many polling intervals (and than the refresh) separates two stretches of polling."""
FASTER, SLOWER = 0.8, 1.3
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


def seen_refresh_s(readings: Iterable[Reading], kind: str) -> tuple[float, float, int] | None:
    """Mean and median time between changes within unbroken stretches of polling, and how many; None without any.

    Works at polling intervals as coarse as the refresh itself; stretches are separated by pauses in the polling.
    """
    times, values = _series(readings, kind)
    if len(times) < FEWEST_CHANGES:
        return None
    changed = np.concatenate(([False], np.diff(values) != 0))
    rough_s = float(np.median(np.diff(times[changed]))) if np.count_nonzero(changed) > 2 else math.inf
    holes = np.concatenate(([False], np.diff(times) > max(HOLE * float(np.median(np.diff(times))), 1.5 * rough_s)))
    gaps: list[float] = []
    last_s: float | None = None
    for time_s, change, hole in zip(times, changed, holes, strict=True):
        if hole:
            last_s = None
        elif change:
            if last_s is not None:
                gaps.append(float(time_s) - last_s)
            last_s = float(time_s)
    return (float(np.mean(gaps)), float(np.median(gaps)), len(gaps)) if gaps else None


def check_refresh(readings: Sequence[Reading], profile: SensorProfile) -> str:
    """Why a stored profile no longer fits the refresh seen in a run; empty where it fits or too little was seen.

    Args:
        readings: of loops, in time order; pauses between windows are recognised.
        profile: what was calibrated.
    """
    periods = {stream.kind: stream.refresh_s for stream in profile.streams}
    if profile.counter is not None:
        periods[ENERGY] = profile.counter.tick_s
    reasons = (refresh_mismatch(readings, kind, period_s) for kind, period_s in periods.items())
    return next((f"{reason}: energybench calibrate" for reason in reasons if reason), "")


def refresh_mismatch(readings: Sequence[Reading], kind: str, refresh_s: float) -> str:
    """Why what was seen contradicts a known refresh; empty where it fits or too little was seen.

    A source that repeats values looks slower on average, so "slower" is judged by the median gap and "faster" by the
    mean, each within what coarse polling can shift.
    """
    seen = seen_refresh_s(readings, kind)
    if seen is None or seen[2] < FEWEST_TO_CHECK:
        return ""
    mean_s, median_s, count = seen
    times, _ = _series(readings, kind)
    poll_s = float(np.median(np.diff(times)))
    if mean_s < FASTER * refresh_s:
        return f"{kind} changed every {mean_s:.3g} s ({count} changes), faster than its stored {refresh_s:.3g} s"
    if median_s > SLOWER * refresh_s + poll_s:
        return f"{kind} changed every {median_s:.3g} s ({count} changes), slower than its stored {refresh_s:.3g} s"
    return ""


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
