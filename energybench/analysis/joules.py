"""How many joules did one window use? The one room where readings become joules.

    joules per iteration = mean power over an interior stretch  x  loop time per iteration of the same stretch

The stretch lies strictly inside a gapless loop, after the sensor has settled, so that neither the loop's start nor
its end, neither the sensor's delay nor its averaging, can bias it. With an energy counter the stretch runs from one
of the counter's own ticks to another; without, it is made of the distinct power readings and the time each stood.

Source: `measurement.md` 3.1 to 3.3 (interior estimator, errors of aligned edges: 0.776 x poll interval / length).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.sensor import SensorProfile, Stream

TRIANGULAR_95 = 1 - math.sqrt(0.05)
"""95 % point of the difference of two uniform edge errors, in units of the edge interval."""

MIN_READINGS = 20
"""Fewer distinct readings than this say nothing certain of a window without a counter (`measurement.md` 3.1)."""

FEWEST_TO_CHECK = 4
"""Enough distinct readings to check a counter by, though not to report joules from."""

STAMP_S = 1e-6
"""Stamps and readings are rounded apart: an event at the very end of a loop must not fall out of it."""

DRIFT_LIMIT = 0.01
SIGMAS = 3.0


@dataclass(frozen=True)
class Stretch:
    """Mean power over a stretch of a loop.

    Attributes:
        start_s: begin, on the run's clock.
        stop_s: end.
        power_w: mean power in between.
        edge_halfwidth: relative 95 % half-width that the edges' timing leaves.
        estimator: ``counter`` or the kind of the power readings.
        readings: distinct values it was made of.
    """

    start_s: float
    stop_s: float
    power_w: float
    edge_halfwidth: float
    estimator: str
    readings: int


@dataclass(frozen=True)
class WindowJoules:
    """What one window says; ``energy_per_iteration_j`` is None with a ``reason`` where it cannot know.

    ``loop_latency_s`` is known for every window that ran, with or without a meter.
    """

    loop_latency_s: float
    power_w: float | None
    energy_per_iteration_j: float | None
    interior_s: float
    estimator: str
    edge_halfwidth: float
    counter_vs_integral: float | None
    flags: tuple[str, ...] = ()
    reason: str = ""
    observed: dict[str, int] = field(default_factory=dict)


def window_joules(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None) -> WindowJoules:
    """Joules of one window from its raw readings.

    Args:
        window: its record, with the loop's stamps.
        readings: every reading taken during it.
        sensor: what is known of the sensor; None where there is none.
    """
    counter = counter_stretch(window, readings, sensor) if sensor else None
    powers = power_stretch(window, readings, sensor, FEWEST_TO_CHECK if counter else MIN_READINGS) if sensor else None
    stretch = counter or powers
    if stretch is None:
        latency_s = loop_latency_s(window, window.start_s, window.stop_s)
        flags = _drift_flags(window, window.start_s, window.stop_s, None)
        return WindowJoules(latency_s, None, None, 0.0, "none", math.inf, None, flags, _why_not(readings, sensor))
    latency_s = loop_latency_s(window, stretch.start_s, stretch.stop_s)
    return WindowJoules(
        loop_latency_s=latency_s,
        power_w=stretch.power_w,
        energy_per_iteration_j=stretch.power_w * latency_s,
        interior_s=stretch.stop_s - stretch.start_s,
        estimator=stretch.estimator,
        edge_halfwidth=stretch.edge_halfwidth,
        counter_vs_integral=counter.power_w / powers.power_w - 1 if counter and powers else None,
        flags=_drift_flags(window, stretch.start_s, stretch.stop_s, _halves(window, readings, sensor)),
        observed={"readings": stretch.readings},
    )


def skip_s(sensor: SensorProfile) -> float:
    """Time after a loop's start before the sensor speaks of the loop alone: delay + span + rise of its best source."""
    best = next((s for kind in POWER_KINDS if (s := sensor.stream(kind)) is not None), None)
    counter_s = sensor.counter.delay_s if sensor.counter else 0.0
    return max(_settling_s(best) if best else 0.0, counter_s)


def _settling_s(stream: Stream) -> float:
    """Delay, span, and three rise times: a first-order rise is then within 0.1 % of its end."""
    return stream.delay_s + stream.span_s + 3 * stream.rise_s


def loop_latency_s(window: WindowRecord, start_s: float, stop_s: float) -> float:
    """Loop time per iteration between two times, from the loop's stamps (linear between them).

    Raises:
        ValueError: the window holds no two stamps.
    """
    if len(window.stamps) < 2:
        raise ValueError(f"window {window.number} has fewer than two stamps: no loop ran")
    times, iterations = np.array(window.stamps, dtype=float).T
    start_s, stop_s = max(start_s, times[0]), min(stop_s, times[-1])
    done = np.interp([start_s, stop_s], times, iterations)
    return float((stop_s - start_s) / (done[1] - done[0]))


def counter_stretch(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile) -> Stretch | None:
    """Mean power between the first and the last well-timed counter tick inside the loop; None without two."""
    if sensor.counter is None:
        return None
    begin_s, end_s = _interior(window, sensor)
    ticks = [t for t in _ticks(readings) if begin_s <= t.before_s and t.after_s <= end_s]
    if len(ticks) < 2:
        return None
    narrow = 3 * min(t.after_s - t.before_s for t in ticks) + 1e-4
    sharp = [t for t in ticks if t.after_s - t.before_s <= narrow]
    first, last = sharp[0], sharp[-1]
    length_s = last.time_s - first.time_s
    if length_s <= 0:
        return None
    edge_s = max(first.after_s - first.before_s, last.after_s - last.before_s)
    return Stretch(
        first.time_s,
        last.time_s,
        (last.value - first.value) / length_s,
        TRIANGULAR_95 * edge_s / length_s,
        "counter",
        len(ticks),
    )


def power_stretch(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, fewest: int = MIN_READINGS
) -> Stretch | None:
    """Time-weighted mean of the best power source's distinct interior readings; None with fewer than ``fewest``."""
    for kind in POWER_KINDS:
        standing = _standing(window, readings, sensor, kind, fewest)
        if standing is None:
            continue
        times, values = standing
        length_s = times[-1] - times[0]
        power_w = float(np.dot(values, np.diff(times)) / length_s)
        return Stretch(times[0], times[-1], power_w, 0.0, kind, len(values))
    return None


@dataclass(frozen=True)
class _Tick:
    """A change of the counter: it came after ``before_s`` and not later than ``after_s``."""

    before_s: float
    after_s: float
    value: float

    @property
    def time_s(self) -> float:
        return 0.5 * (self.before_s + self.after_s)


def _ticks(readings: Sequence[Reading]) -> list[_Tick]:
    found: list[_Tick] = []
    last: Reading | None = None
    for r in readings:
        if r.kind != ENERGY:
            continue
        if last is not None and r.value > last.value:
            found.append(_Tick(last.time_s, r.time_s, r.value))
        last = r
    return found


def _interior(window: WindowRecord, sensor: SensorProfile) -> tuple[float, float]:
    start_s, stop_s = window.stamps[0][0], window.stamps[-1][0]
    return start_s + skip_s(sensor), stop_s + STAMP_S


def _standing(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, kind: str, fewest: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Times at which the shown value changed and the value shown from each on; the partial ends are left out."""
    stream = sensor.stream(kind)
    if stream is None:
        return None
    begin_s = window.stamps[0][0] + _settling_s(stream)
    inside = [r for r in readings if r.kind == kind and begin_s <= r.time_s <= window.stamps[-1][0]]
    changes = [r for before, r in pairwise(inside) if r.value != before.value]
    if len(changes) < fewest + 1:
        return None
    times = np.array([r.time_s for r in changes])
    return times, np.array([r.value for r in changes[:-1]])


def _halves(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None
) -> tuple[float, float] | None:
    """Relative difference of the two halves' power, and its standard error, from the best power readings."""
    if sensor is None:
        return None
    for kind in POWER_KINDS:
        standing = _standing(window, readings, sensor, kind, MIN_READINGS)
        if standing is None:
            continue
        values = standing[1]
        first, second = values[: len(values) // 2], values[len(values) // 2 :]
        error = math.hypot(first.std(ddof=1) / math.sqrt(len(first)), second.std(ddof=1) / math.sqrt(len(second)))
        return (second.mean() - first.mean()) / values.mean(), error / values.mean()
    return None


def _drift_flags(
    window: WindowRecord, start_s: float, stop_s: float, power_halves: tuple[float, float] | None
) -> tuple[str, ...]:
    flags = []
    if len(window.stamps) >= 5 and stop_s > start_s:
        middle_s = _middle_stamp_s(window, start_s, stop_s)
        first, second = loop_latency_s(window, start_s, middle_s), loop_latency_s(window, middle_s, stop_s)
        if abs(second / first - 1) > DRIFT_LIMIT:
            flags.append("latency-drift")
    if power_halves is not None:
        difference, error = power_halves
        if abs(difference) > DRIFT_LIMIT and abs(difference) > SIGMAS * error:
            flags.append("power-drift")
    return tuple(flags)


def _middle_stamp_s(window: WindowRecord, start_s: float, stop_s: float) -> float:
    times = [time_s for time_s, _ in window.stamps]
    at = bisect.bisect(times, 0.5 * (start_s + stop_s))
    return times[min(max(at, 1), len(times) - 2)]


def _why_not(readings: Sequence[Reading], sensor: SensorProfile | None) -> str:
    if sensor is None:
        return "no meter"
    if not readings:
        return "the meter gave no usable reading in this window"
    if sensor.counter is not None:
        need_s = skip_s(sensor) + 3 * sensor.counter.tick_s
        return f"below the sensor's floor: fewer than two counter ticks inside the loop; {need_s:.2g} s would do"
    refresh_s = max(s.refresh_s for s in sensor.streams)
    need_s = skip_s(sensor) + (MIN_READINGS + 3) * refresh_s
    return (
        f"below the sensor's floor: fewer than {MIN_READINGS} distinct readings inside the loop; "
        f"windows of {need_s:.2g} s would do"
    )


def mean_power_w(readings: Sequence[Reading], start_s: float, stop_s: float) -> float | None:
    """Rough mean power between two times: from the counter's ticks, else the plain mean of power readings.

    For settling and for showing watts while measuring, never for a result.
    """
    ticks = [t for t in _ticks(readings) if start_s <= t.time_s <= stop_s]
    if len(ticks) >= 2 and ticks[-1].time_s > ticks[0].time_s:
        return (ticks[-1].value - ticks[0].value) / (ticks[-1].time_s - ticks[0].time_s)
    for kind in POWER_KINDS:
        values = [r.value for r in readings if r.kind == kind and start_s <= r.time_s <= stop_s]
        if values:
            return sum(values) / len(values)
    return None
