"""What else could have bent a number? Guards that are computed from a calibrated sensor and from raw windows.

A part-time sensor can alias with a loop's own period; polling can slow what is polled; a source can repeat itself or
say what cannot be. Each guard returns a number for a column, and the limit from which it is worth a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from energybench.analysis.phases import uncovered
from energybench.analysis.statistics import Interval, contrast, exp_interval, summed
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile, Stream

OBSERVER_LIMIT = 0.005
STALE_REFRESHES = 5
UNTRUSTED_SHARE = 0.01
FOREIGN_MEMORY_BYTES = 256e6
"""A context alone takes more; what kernels load lazily of our own is loaded before the first window."""
THROTTLE_WARNS, THROTTLE_FAILS = 1e-3, 1e-2
WORST_DUTY = 0.5
CLOCKS_AGREE = 0.005
"""Source: `docs/trust.md`, requirement 21."""


def alias_bias_w(swing_w: float, period_s: float, span_s: float, *, duty: float = WORST_DUTY) -> float:
    """Largest error of a part-time mean of a periodic load, over all phases.

        |bias| <= swing x min(max(d, 1 - d), d (1 - d) p / W)

    Args:
        swing_w: how much power moves within a period.
        period_s: of the load: one iteration of the loop.
        span_s: what one reading averages over (W).
        duty: share of the period at high power; one half is the worst case.

    Source: `docs/derivations.md` 4 (ours, checked by simulation there).
    """
    return swing_w * min(max(duty, 1 - duty), duty * (1 - duty) * period_s / span_s)


def alias_bound(
    power_w: float,
    idle_w: float,
    period_s: float,
    sensor: SensorProfile,
    kind: str,
    phases: Sequence[Sequence[float]] = (),
) -> float:
    """The same over the mean power: how wrong joules may be because the sensor sees only part of the time.

    The swing within an iteration is unknown and taken to be what the loop draws above active idle. The worst case needs
    an iteration nearly commensurate with the refresh; the phases that were really looked at say how near it was.

    Args:
        power_w: mean power of the loop.
        idle_w: active idle.
        period_s: time of one iteration.
        sensor: the calibrated sensor.
        kind: what the joules were made of: ``energy_j`` (a counter) or a power kind.
        phases: of each window, when in its iteration each reading came; without them the worst single phase counts.

    Returns:
        0 where the source sees all of the time.
    """
    stream = part_time_stream(sensor, kind)
    if stream is None or power_w <= 0:
        return 0.0
    swing_w = max(power_w - idle_w, 0.0)
    return swing_w * uncovered(phases, stream.span_s / period_s) / power_w


def longest_safe_iteration_s(
    power_w: float, idle_w: float, sensor: SensorProfile, kind: str, precision: float
) -> float:
    """The longest iteration whose alias bound stays within the wanted precision; infinite where there is none."""
    stream = part_time_stream(sensor, kind)
    swing = 1 - idle_w / power_w
    if stream is None or swing * max(WORST_DUTY, 1 - WORST_DUTY) <= precision:
        return math.inf
    return precision * stream.span_s / (swing * WORST_DUTY * (1 - WORST_DUTY))


def part_time_stream(sensor: SensorProfile, kind: str) -> Stream | None:
    """The power stream behind a source that sees only part of the time; None for one that sees all of it."""
    stream = sensor.stream(kind)
    if kind == ENERGY:
        stream = sensor.fastest if sensor.counter is not None and sensor.counter.part_time else None
    return stream if stream is not None and stream.span_s < stream.refresh_s else None


def clocks_differ(window: WindowRecord) -> float | None:
    """Time of a loop by the device's events over the same by the host's clock - 1; None where the host was late."""
    if window.host_stop_s is None or len(window.stamps) < 2:
        return None
    begin_s, stop_s = window.stamps[0][0], window.stamps[-1][0]
    host_s = window.host_stop_s - begin_s
    return (stop_s - begin_s) / host_s - 1 if host_s > 0 else None


def host_bound_share(latency: WindowRecord) -> float | None:
    """Share of the time of an iteration launched kernel by kernel in which the device waits for the host.

        1 - time as a graph / time launched by the host

    None where the device does not know the difference, or nothing could be captured. Source: `docs/derivations.md` 7.
    """
    eager_s, graph_s = latency.eager_latency_s, latency.graph_latency_s
    return max(0.0, 1 - graph_s / eager_s) if eager_s and graph_s else None


def foreign_memory_bytes(windows: Sequence[WindowRecord]) -> float:
    """By how much the board's used memory changed while this run held the same of it; the most of all such stretches.

    A stretch runs from one settling to the next: before each, work is prepared or given back. 0 where the driver does
    not say. A window in which torch.compile made a graph begins another one.
    """
    most, used = 0.0, list[float]()
    for window in windows:
        if window.kind == "settle" or window.recompilations:
            used = []
        elif window.kind == "window":
            boards = (window.before, window.after)
            used += [b.memory_used_bytes for b in boards if b is not None and b.memory_used_bytes is not None]
            most = max([most, *([max(used) - min(used)] if used else [])])
    return most


@dataclass(frozen=True)
class ObserverEffect:
    """How much dense polling slows the loop: time with over time without, with its 95 % interval.

    ``significant`` says that the interval leaves out 1 and the effect is over half a percent; ``small`` that the whole
    interval lies within half a percent. Where neither holds, more pairs are needed.
    """

    ratio: Interval

    @property
    def small(self) -> bool:
        """The effect is known to be within the limit."""
        return abs(self.ratio.low - 1) <= OBSERVER_LIMIT and abs(self.ratio.high - 1) <= OBSERVER_LIMIT

    @property
    def significant(self) -> bool:
        """The effect is known to exist, and is over the limit."""
        apart = self.ratio.low > 1 or self.ratio.high < 1
        return apart and abs(self.ratio.estimate - 1) > OBSERVER_LIMIT


def observer_effect(dense_s: Sequence[float], sparse_s: Sequence[float]) -> ObserverEffect:
    """Loop time per iteration of windows polled as in the run over that of windows hardly polled.

    Windows that alternate (dense, sparse, sparse, dense, ...) are compared pair by pair, so that a drift cancels;
    of unequal numbers the means of the logarithms are compared.

    Args:
        dense_s: loop seconds per iteration, polled as usual.
        sparse_s: the same work, polled only at its ends.

    Raises:
        ValueError: fewer than two of either, or one that is not positive.
    """
    if min(len(dense_s), len(sparse_s)) < 2 or min(*dense_s, *sparse_s) <= 0:
        raise ValueError("an observer effect needs at least two positive loop times of each kind")
    dense, sparse = np.log(dense_s), np.log(sparse_s)
    if len(dense) == len(sparse):
        return ObserverEffect(exp_interval(dense - sparse))
    return ObserverEffect(summed([contrast(dense.tolist()), contrast((-sparse).tolist())]))


@dataclass(frozen=True)
class ReadingHealth:
    """Shares of readings that say nothing or cannot be true.

    Attributes:
        stale_share: by kind, share of the loop's time in which a source had been repeating one value for over five of
            its refreshes.
        impossible_share: dropped values, and those whose time stamps ran backwards, over all values asked for.
        reversed_stamps: values that the source or the host's clock stamped earlier than the one before.
        call_s: by kind, how long each call took that read a value.
    """

    stale_share: Mapping[str, float]
    impossible_share: float
    reversed_stamps: int = 0
    call_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def worst_stale(self) -> float:
        """Of the kind that was stale longest; 0 without readings."""
        return max(self.stale_share.values(), default=0.0)

    def invalid(self, kind: str) -> bool:
        """Whether joules made of this kind must not be printed: over 1 % of its time or of all readings."""
        return max(self.stale_share.get(kind, 0.0), self.impossible_share) > UNTRUSTED_SHARE


def reading_health(
    readings: Sequence[Reading], faults: Mapping[str, int], sensor: SensorProfile, start_s: float, stop_s: float
) -> ReadingHealth:
    """Judge the readings of one loop.

    Args:
        readings: taken meanwhile, in time order, before ``start_s`` too: what was dropped is known of all of the loop.
        faults: values the meter dropped in the same time, by what was wrong.
        sensor: what is known of the sensor.
        start_s: begin of the loop, the sensor's lag skipped: power must be varying with noise or load.
        stop_s: its end.
    """
    periods = {stream.kind: stream.refresh_s for stream in sensor.streams}
    if sensor.counter is not None:
        periods[ENERGY] = sensor.counter.tick_s
    inside = [r for r in readings if start_s <= r.time_s <= stop_s]
    kinds = {r.kind for r in inside} & periods.keys()
    stale = {kind: _stale_share(inside, kind, STALE_REFRESHES * periods[kind], stop_s) for kind in sorted(kinds)}
    dropped, reversals = sum(faults.values()), _reversed_stamps(readings)
    asked = dropped + len(readings)
    calls = {kind: tuple(r.call_s for r in inside if r.kind == kind) for kind in sorted({r.kind for r in inside})}
    return ReadingHealth(stale, (dropped + reversals) / asked if asked else 0.0, reversals, calls)


def _reversed_stamps(readings: Sequence[Reading]) -> int:
    """Readings stamped earlier than the one before of the same kind, by their source or by the host."""
    last: dict[str, Reading] = {}
    found = 0
    for reading in readings:
        before = last.get(reading.kind)
        if before is not None:
            native = (before.native_time_s, reading.native_time_s)
            back = native[0] is not None and native[1] is not None and native[1] < native[0]
            found += back or reading.time_s < before.time_s
        last[reading.kind] = reading
    return found


def call_percentiles(healths: Iterable[ReadingHealth]) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of the time that one call to each source took, in seconds."""
    calls: dict[str, list[float]] = {}
    for health in healths:
        for kind, times in health.call_s.items():
            calls.setdefault(kind, []).extend(times)
    return {
        kind: (float(np.percentile(times, 50)), float(np.percentile(times, 99)))
        for kind, times in sorted(calls.items())
        if times
    }


def _stale_share(readings: Sequence[Reading], kind: str, patience_s: float, stop_s: float) -> float:
    times, values = np.array([(r.time_s, r.value) for r in readings if r.kind == kind]).T
    changed = np.concatenate(([True], np.diff(values) != 0))
    stood_s = np.diff(np.concatenate((times[changed], [stop_s])))
    total_s = stop_s - times[0]
    return float(np.maximum(stood_s - patience_s, 0.0).sum() / total_s) if total_s > 0 else 0.0


def throttle_verdict(share: float | None) -> str:
    """What the share of time slowed down by heat or hardware means: ``ok``, ``warns`` above 0.1 %, ``fails`` above 1 %.

    Unknown (None) is ``unknown``, never ``ok``. Source: `docs/trust.md`, requirement 16.
    """
    if share is None:
        return "unknown"
    if share > THROTTLE_FAILS:
        return "fails"
    return "warns" if share > THROTTLE_WARNS else "ok"
