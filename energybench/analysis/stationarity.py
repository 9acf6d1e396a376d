"""Did power and speed stay the same through a window? Its two halves, each compared by the best source there is.

    drifted:  the halves differ by over 1 %  and  by more than chance does in 99.7 % of steady windows

Power comes from the energy counter where it ticked often enough: ticks keep a grid, so that the joules of every
interval between two of them are known exactly although most of them were polled coarsely. Else from the distinct power
readings, whose errors are widened by their calibrated correlation.

Source: `docs/trust.md`, requirement 14 (1 %, three standard deviations; here Student's t of the same probability,
because a half may hold two values).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from energybench.analysis.power_stretch import standing_values
from energybench.analysis.stretches import Stretch, sharp_ends, ticks_of
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.sensor import SensorProfile

DRIFT_LIMIT = 0.01
TWO_SIDED = 0.0027
"""Probability of a normal variable beyond three standard deviations."""
FEWEST_READINGS = 8
FEWEST_INTERVALS = 4
OFF_GRID = 0.2
"""A tick may miss its place on the grid by this share of a period."""


@dataclass(frozen=True)
class Halves:
    """The second half of a window against the first.

    Attributes:
        difference: relative.
        error: its standard error, from the scatter within the halves.
        degrees: of freedom of that error (Welch-Satterthwaite).
    """

    difference: float
    error: float
    degrees: float

    @property
    def drifted(self) -> bool:
        """Whether they differ by over 1 % and by more than chance."""
        chance = float(special.stdtrit(self.degrees, 1 - TWO_SIDED / 2)) * self.error
        return abs(self.difference) > max(DRIFT_LIMIT, chance)


def power_halves(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None, stretch: Stretch | None
) -> Halves | None:
    """Power of the second half of the interior over the first; None where too little was seen to tell.

    Args:
        window: its record.
        readings: taken during it.
        sensor: what is known of the sensor.
        stretch: the interior that the window's power is the mean of.
    """
    if sensor is None or stretch is None:
        return None
    if stretch.estimator == "counter":
        found = _counted(readings, stretch)
        if found is not None:
            return found
    for kind in POWER_KINDS:
        stream, standing = sensor.stream(kind), standing_values(window, readings, sensor, kind, FEWEST_READINGS)
        if stream is not None and standing is not None:
            values, middle = standing[1], len(standing[1]) // 2
            widening = math.sqrt((1 + stream.correlation) / (1 - stream.correlation))
            return _halves(values[:middle], values[middle:], widening)
    return None


def speed_halves(window: WindowRecord, start_s: float, stop_s: float) -> Halves | None:
    """Time an iteration in the second half of the interior over the first; None with fewer than four stamps in it."""
    times, iterations = np.array(window.stamps, dtype=float).T
    inside = (times >= start_s) & (times <= stop_s)
    times, iterations = times[inside], iterations[inside]
    if len(times) < FEWEST_INTERVALS + 1:
        return None
    seconds, done = np.diff(times), np.diff(iterations)
    first = 0.5 * (times[1:] + times[:-1]) < 0.5 * (times[0] + times[-1])
    if min(np.count_nonzero(first), np.count_nonzero(~first)) < 2 or done.min() <= 0:
        return None
    each = seconds / done
    return _halves(each[first], each[~first], 1.0, weights=(done[first], done[~first]))


def drift_words(speed: Halves | None, power: Halves | None) -> str:
    """How far the halves of a window lie apart, in words."""
    said = {"power": power, "time an iteration": speed}
    apart = [f"{name} {found.difference:+.1%}" for name, found in said.items() if found is not None and found.drifted]
    return f"the window before it drifted from its first half to its second: {', '.join(apart)}" if apart else ""


def _counted(readings: Sequence[Reading], stretch: Stretch) -> Halves | None:
    """From the counter's ticks between the two well-timed ones; None where they are few, or do not keep a grid."""
    edge_s = 1e-6
    counted = [r for r in readings if r.kind == ENERGY]
    ticks = [t for t in ticks_of(counted) if stretch.start_s - edge_s <= t.time_s <= stretch.stop_s + edge_s]
    if len(ticks) < FEWEST_INTERVALS + 1:
        return None
    first, last = sharp_ends(ticks)
    between = [t for t in ticks if first.time_s <= t.time_s <= last.time_s]
    steps = len(between) - 1
    if steps < FEWEST_INTERVALS:
        return None
    period_s = (last.time_s - first.time_s) / steps
    slack_s = OFF_GRID * period_s
    for number, tick in enumerate(between):  # a tick that was missed moves all after it off the grid
        if not tick.before_s - slack_s <= first.time_s + number * period_s <= tick.after_s + slack_s:
            return None
    joules = np.diff([t.value for t in between])
    middle = steps // 2
    return _halves(joules[:middle], joules[-middle:], 1.0)


def _halves(
    first: np.ndarray, second: np.ndarray, widening: float, *, weights: tuple[np.ndarray, np.ndarray] | None = None
) -> Halves:
    """Means of two sets of values against each other, with Welch's error."""
    weigh = weights or (np.ones(len(first)), np.ones(len(second)))
    means = [float(np.average(values, weights=weight)) for values, weight in zip((first, second), weigh, strict=True)]
    squares = [float(v.var(ddof=1)) / len(v) * widening**2 for v in (first, second)]
    total = sum(squares)
    parts = sum(s**2 / (len(v) - 1) for s, v in zip(squares, (first, second), strict=True))
    degrees = total**2 / parts if parts > 0 else math.inf
    return Halves(means[1] / means[0] - 1, math.sqrt(total) / means[0], degrees)
