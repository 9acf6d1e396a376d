"""What was the mean power over a stretch of a loop? From the counter's own ticks; `power_stretch` for want of one.

The stretch lies strictly inside the loop, after the sensor has settled, so that neither the loop's start nor its end,
neither the sensor's delay nor its averaging, can bias it.

Source: `docs/derivations.md` 2 and 3 (interior estimator; errors of aligned edges: 0.776 x poll interval / length).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.rhythm import Rhythm, Tick
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.sensor import SensorProfile

TRIANGULAR_95 = 1 - math.sqrt(0.05)
"""95 % point of the difference of two uniform edge errors, in units of the edge interval they share."""

MIN_READINGS = 20
"""Fewer distinct readings than this say nothing certain where the sensor is only assumed (`docs/derivations.md` 2)."""

STAMP_S = 1e-6
"""Stamps and readings are rounded apart: an event at the very end of a loop must not fall out of it."""

MOST_DROPPED = 8
"""Ticks at a window's ends that may be passed over because they came late or were seen by late polls."""

EDGE_LIMIT = 0.02
"""A stretch whose ends leave a larger share of it open than this (95 %) says too little to be printed."""


@dataclass(frozen=True)
class Stretch:
    """Mean power over a stretch of a loop.

    Attributes:
        start_s: begin, on the run's clock.
        stop_s: end.
        power_w: mean power in between.
        edge_halfwidth: relative 95 % half-width that the edges' timing leaves, or the noise of the power readings.
        estimator: ``counter`` or the kind of the power readings.
        readings: distinct values it was made of.
    """

    start_s: float
    stop_s: float
    power_w: float
    edge_halfwidth: float
    estimator: str
    readings: int


def edges_95_s(first_s: float, last_s: float) -> float:
    """What the two ends of a stretch leave open of its length, at 95 %.

    A tick came anywhere between the polls that saw it, so that the length is off by the difference of two uniform
    errors. Its density is a trapezoid: beyond h it leaves ((a + b) / 2 - h)² / (a b), where h lies on its slopes.

    Args:
        first_s: time between the polls around the first tick.
        last_s: time between those around the last one.
    """
    narrow_s, wide_s = sorted((first_s, last_s))
    if narrow_s < 0.05 * wide_s:  # h lies under the trapezoid's flat top
        return 0.475 * wide_s
    return 0.5 * (narrow_s + wide_s) - math.sqrt(0.05 * narrow_s * wide_s)


def skip_s(sensor: SensorProfile) -> float:
    """Time after a loop's start before the sensor speaks of the loop alone: delay + span + rise of its best source."""
    best = next((s for kind in POWER_KINDS if (s := sensor.stream(kind)) is not None), None)
    counter_s = sensor.counter.delay_s if sensor.counter else 0.0
    return max(best.lag_s if best else 0.0, counter_s)


def counter_stretch(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, rhythm: Rhythm | None = None
) -> Stretch | None:
    """Mean power between two counter ticks inside the loop, early and late; None without two.

    The time between them is that of the polls which saw them, or a whole number of the counter's periods where its
    rhythm says it more closely.
    """
    if sensor.counter is None:
        return None
    ticks = interior_ticks(window, readings, sensor)
    if len(ticks) < 2:
        return None
    first, last = sharp_ends(ticks)
    length_s = last.time_s - first.time_s
    halfwidth_s = edges_95_s(first.width_s, last.width_s)
    if rhythm is not None and (known := _longest(ticks, rhythm)) and known[3] / known[2] < halfwidth_s / length_s:
        first, last, length_s, halfwidth_s = known
    if halfwidth_s > EDGE_LIMIT * length_s:
        return None
    middle_s = 0.5 * (first.time_s + last.time_s)
    return Stretch(
        middle_s - 0.5 * length_s,
        middle_s + 0.5 * length_s,
        (last.value - first.value) / length_s,
        halfwidth_s / length_s,
        "counter",
        len(ticks),
    )


def unaligned_power_w(window: WindowRecord, readings: Sequence[Reading]) -> float | None:
    """What the counter would have said if it were just read at the loop's two ends; None without two readings.

    For the record, to show what the ticks are worth: never for a result.
    """
    shown = [r for r in readings if r.kind == ENERGY and window.stamps[0][0] <= r.time_s <= window.stamps[-1][0]]
    if len(shown) < 2 or shown[-1].time_s <= shown[0].time_s:
        return None
    return (shown[-1].value - shown[0].value) / (shown[-1].time_s - shown[0].time_s)


def ticks_of(readings: Sequence[Reading]) -> list[Tick]:
    """Every change of the counter that the readings show; a value may be as old as the begin of its call."""
    found: list[Tick] = []
    last: Reading | None = None
    for r in readings:
        if r.kind != ENERGY:
            continue
        if last is not None and r.value > last.value:
            found.append(Tick(last.time_s - 0.5 * last.call_s, r.time_s + 0.5 * r.call_s, r.value))
        last = r
    return found


def interior_ticks(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile) -> list[Tick]:
    """The counter's ticks inside the loop, from when the sensor speaks of the loop alone."""
    begin_s, end_s = _interior(window, sensor)
    return [t for t in ticks_of(readings) if begin_s <= t.before_s and t.after_s <= end_s]


def sharp_ends(ticks: Sequence[Tick]) -> tuple[Tick, Tick]:
    """The two of at least two ticks that leave the least of the time between them open.

    Sharp ones, then, unless they lie close together: a poll that came late costs precision, never the window.
    """
    ends, least = (ticks[0], ticks[-1]), math.inf
    sharpest, *others = sorted(ticks, key=lambda tick: tick.width_s)
    first = last = sharpest
    for tick in others:
        first, last = min(first, tick, key=lambda t: t.time_s), max(last, tick, key=lambda t: t.time_s)
        open_share = tick.width_s / (last.time_s - first.time_s)
        if open_share < least:
            ends, least = (first, last), open_share
    return ends


def _longest(ticks: Sequence[Tick], rhythm: Rhythm) -> tuple[Tick, Tick, float, float] | None:
    """The outermost two ticks that keep the rhythm, the time between them and its half-width."""
    for dropped in range(min(len(ticks) - 1, MOST_DROPPED)):
        for start in range(dropped + 1):
            first, last = ticks[start], ticks[len(ticks) - 1 - dropped + start]
            found = rhythm.length_s(first, last)
            if found is not None:
                return first, last, *found
    return None


def _interior(window: WindowRecord, sensor: SensorProfile) -> tuple[float, float]:
    start_s, stop_s = window.stamps[0][0], window.stamps[-1][0]
    return start_s + skip_s(sensor), stop_s + STAMP_S
