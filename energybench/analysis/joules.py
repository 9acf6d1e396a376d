"""How many joules did one window use? The one room where readings become joules.

    joules per iteration = mean power over an interior stretch  x  loop time per iteration of the same stretch

With an energy counter the stretch runs from one of the counter's own ticks to another (`stretches`); without, the mean
power is that of the distinct power readings (`power_stretch`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from energybench.analysis.guards import part_time_stream
from energybench.analysis.power_stretch import at_most, enough_s, fewest_readings, power_means, power_stretch
from energybench.analysis.rhythm import Rhythm
from energybench.analysis.rises import NO_RISES, Rises, rises_of
from energybench.analysis.stationarity import Halves, power_halves, speed_halves
from energybench.analysis.stretches import (
    EDGE_LIMIT,
    counter_stretch,
    interior_ticks,
    skip_s,
    ticks_of,
    unaligned_power_w,
)
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.sensor import SensorProfile

FEWEST_TO_CHECK = 4
"""Enough distinct readings to check a counter by, though not to report joules from."""

STANDS_STILL = 3
"""A counter that is watched for this many of its ticks and does not move stands still."""


@dataclass(frozen=True)
class WindowJoules:
    """What one window says; ``energy_per_iteration_j`` is None with a ``reason`` where it cannot know.

    ``loop_latency_s`` is known for every window that ran, with or without a meter. ``speed`` and ``power`` compare the
    window's halves, where enough was seen. ``unaligned_w`` is what the counter would have said if it were read at the
    loop's ends and not at its ticks. ``rises``: of its counter, to find jumps by.
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
    speed: Halves | None = None
    power: Halves | None = None
    unaligned_w: float | None = None
    rises: Rises = NO_RISES

    @property
    def drift(self) -> float | None:
        """The larger relative difference of its halves, in power or in time an iteration; None where unknown."""
        return max((abs(h.difference) for h in (self.speed, self.power) if h is not None), default=None)


def window_joules(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None, rhythm: Rhythm | None = None
) -> WindowJoules:
    """Joules of one window from its raw readings.

    Args:
        window: its record, with the loop's stamps.
        readings: every reading taken during it.
        sensor: what is known of the sensor; None where there is none.
        rhythm: of its counter, found from this window and those around it; None where it keeps none, or while
            measuring, when only the polls of this window are at hand.
    """
    counter = counter_stretch(window, readings, sensor, rhythm) if sensor else None
    powers = power_stretch(window, readings, sensor, FEWEST_TO_CHECK if counter else None) if sensor else None
    stretch = counter or powers
    if stretch is None:
        latency_s = loop_latency_s(window, window.start_s, window.stop_s)
        speed = speed_halves(window, window.start_s, window.stop_s)
        return WindowJoules(
            latency_s, None, None, 0.0, "none", math.inf, None, _drift_flags(speed, None),
            _why_not(window, readings, sensor),
            speed=speed,
        )  # fmt: skip
    latency_s = loop_latency_s(window, stretch.start_s, stretch.stop_s)
    speed = speed_halves(window, stretch.start_s, stretch.stop_s)
    power = power_halves(window, readings, sensor, stretch)
    return WindowJoules(
        loop_latency_s=latency_s,
        power_w=stretch.power_w,
        energy_per_iteration_j=stretch.power_w * latency_s,
        interior_s=stretch.stop_s - stretch.start_s,
        estimator=stretch.estimator,
        edge_halfwidth=stretch.edge_halfwidth,
        counter_vs_integral=counter.power_w / powers.power_w - 1 if counter and powers else None,
        flags=_drift_flags(speed, power),
        observed={"readings": stretch.readings},
        speed=speed,
        power=power,
        unaligned_w=unaligned_power_w(window, readings) if counter else None,
        rises=_rises(window, readings, sensor, latency_s) if counter and sensor else NO_RISES,
    )


def _rises(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, latency_s: float) -> Rises:
    if sensor.counter is None:
        return NO_RISES
    part_time = part_time_stream(sensor, ENERGY)
    span_s = part_time.span_s if part_time else sensor.counter.tick_s
    return rises_of(interior_ticks(window, readings, sensor), sensor.counter.tick_s, span_s, latency_s)


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


def mean_power_w(readings: Sequence[Reading], start_s: float, stop_s: float) -> float | None:
    """Rough mean power between two times: from the counter's ticks, else the plain mean of power readings.

    For settling and for showing watts while measuring, never for a result.
    """
    ticks = [t for t in ticks_of(readings) if start_s <= t.time_s <= stop_s]
    if len(ticks) >= 2 and ticks[-1].time_s > ticks[0].time_s:
        return (ticks[-1].value - ticks[0].value) / (ticks[-1].time_s - ticks[0].time_s)
    for kind in POWER_KINDS:
        values = [r.value for r in readings if r.kind == kind and start_s <= r.time_s <= stop_s]
        if values:
            return sum(values) / len(values)
    return None


def _drift_flags(speed: Halves | None, power: Halves | None) -> tuple[str, ...]:
    halves = {"latency-drift": speed, "power-drift": power}
    return tuple(flag for flag, found in halves.items() if found is not None and found.drifted)


def _why_not(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None) -> str:
    if sensor is None:
        return "no meter"
    if not readings:
        return "the meter gave no usable reading in this window"
    still = _stands_still(readings, sensor)
    if sensor.counter is not None and not still:
        need_s = skip_s(sensor) + 3 * sensor.counter.tick_s
        return (
            f"below the sensor's floor: no two counter ticks inside the loop that were timed to {EDGE_LIMIT:.0%}; "
            f"{need_s:.2g} s would do"
        )
    if not sensor.streams:
        return "the energy counter stands still: it did not move for over three of its ticks"
    return f"{'the energy counter stands still, and ' if still else ''}{_below_the_floor(window, readings, sensor)}"


def _below_the_floor(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile) -> str:
    """Why a window's power readings say too little, and how long a window would do."""
    seen = power_means(window, readings, sensor)
    count, fewest = max((found.readings for found in seen), default=0), fewest_readings(sensor)
    if count < fewest:
        what = f"fewer than {fewest} distinct readings inside the loop"
    else:
        open_share = min(at_most(found, sensor) for found in seen if found.readings >= fewest)
        what = f"{count} distinct readings inside the loop leave {open_share:.1%} open, over {EDGE_LIMIT:.0%}"
    return f"below the sensor's floor: {what}; windows of {enough_s(sensor, seen):.2g} s would do"


def _stands_still(readings: Sequence[Reading], sensor: SensorProfile) -> bool:
    """Whether the counter was watched for long enough to move, and did not."""
    times = [r.time_s for r in readings if r.kind == ENERGY]
    watched_s = times[-1] - times[0] if times else 0.0
    return sensor.counter is not None and watched_s > STANDS_STILL * sensor.counter.tick_s and not ticks_of(readings)
