"""What was the mean power over a stretch of a loop, from the values that were shown, and how far may it be off?

For boards without a counter. Every reading that was published after the sensor had settled counts for as many refreshes
as it stood, the last one for one. Their mean is as uncertain as the larger of two things leaves it (`correlated`):

    noise        1.96 c / sqrt(n')     c and the correlation behind n' as calibrated
    own scatter  t(n - 1) s / sqrt(n')  where the load is noisier than the one that was calibrated with

Where iterations are longer than the sensor's span, readings differ because the load does, which is no noise. Then,
beside the calibrated noise, a stretch of length L may hold a part of an iteration of period p too much: at most
s p / (2 L), as a load of deviation s strays from its mean by no more than s sqrt(l (p - l)) over a part l of a period
(Cauchy, Schwarz).

Source: `docs/derivations.md` 2 and 3 (noise); own scatter and part of an iteration: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from energybench.analysis.correlated import NORMAL_95, CorrelatedMean, correlated_mean
from energybench.analysis.stretches import EDGE_LIMIT, MIN_READINGS, Stretch
from energybench.journal import WindowRecord
from energybench.readings import POWER_KINDS, Reading
from energybench.sensor import ASSUMED, SensorProfile, Stream

FEWEST_READINGS = 5
"""From this many on, readings show by their own scatter when noise is far above the calibrated one.

With noise that leaves twice ``EDGE_LIMIT`` open, n readings pass for ``EDGE_LIMIT`` when chi^2(n - 1) falls below
(n - 1) (1.96 / (2 t))^2: in 6.1, 5.1, 3.7 and 2.6 % of windows for 2, 3, 4 and 5 readings; with three times the limit,
5 readings do in 0.6 %. So not one window in forty is printed that ought not to be.
"""

UNSEEN_READINGS = 2
"""Refreshes that may show no reading: the one under way when the sensor has settled, and one that polls miss."""


def fewest_readings(sensor: SensorProfile) -> int:
    """How many distinct readings a window needs at least.

    More where noise and correlation are only assumed: own scatter shows a larger noise, but of a correlation that is
    higher than assumed a few readings show nothing, and the half-width is short by the root of what tau is wrong.
    """
    return MIN_READINGS if sensor.provenance == ASSUMED else FEWEST_READINGS


def power_stretch(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, fewest: int | None = None
) -> Stretch | None:
    """Mean of the best power source's readings; None where they say too little.

    That they leave at most ``EDGE_LIMIT`` open must hold for a noise at its upper limit.

    Args:
        window: its record.
        readings: taken during it.
        sensor: what is known of the sensor.
        fewest: this many readings are enough, whatever they leave open: to check a counter by. By default, too few or a
            half-width over ``EDGE_LIMIT`` is too little to be printed.
    """
    for found in power_means(window, readings, sensor):
        enough = found.readings >= (fewest_readings(sensor) if fewest is None else fewest)
        if enough and (fewest is not None or at_most(found, sensor) <= EDGE_LIMIT):
            return found
    return None


def power_means(window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile) -> list[Stretch]:
    """What each power source says of a window, the best source first; those with two readings or more."""
    found = []
    for kind in POWER_KINDS:
        stream, standing = sensor.stream(kind), standing_values(window, readings, sensor, kind, 2)
        if stream is None or standing is None:
            continue
        times, values = standing
        places = (times - times[0]) / stream.refresh_s
        stood = np.append(np.maximum(np.rint(np.diff(places)), 1), 1)
        mean = correlated_mean(places, values, stood, stream.correlation)
        length_s = float(times[-1] - times[0])
        open_w = _open_w(mean, values, stream, _iteration_s(window), length_s)
        found.append(Stretch(float(times[0]), float(times[-1]), mean.value, open_w / mean.value, kind, len(values)))
    return found


def at_most(found: Stretch, sensor: SensorProfile) -> float:
    """The share that a stretch's readings leave open (95 %), for a noise at its upper limit."""
    stream = sensor.stream(found.estimator)
    return found.edge_halfwidth * (stream.noise_margin if stream else 1.0)


def standing_values(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, kind: str, fewest: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Times at which a value was first seen and the values; without the one that stood when the sensor had settled."""
    stream = sensor.stream(kind)
    if stream is None:
        return None
    begin_s = window.stamps[0][0] + stream.lag_s
    inside = [r for r in readings if r.kind == kind and begin_s <= r.time_s <= window.stamps[-1][0]]
    changes = [r for before, r in pairwise(inside) if r.value != before.value]
    if len(changes) < fewest:
        return None
    return np.array([r.time_s for r in changes]), np.array([r.value for r in changes])


def enough_s(sensor: SensorProfile, seen: Sequence[Stretch]) -> float:
    """Least length of a loop whose readings would say enough: of the best source, by what was seen of its noise.

    Args:
        sensor: with at least one stream.
        seen: what :func:`power_means` found in a window that said too little.
    """
    by_kind = {found.estimator: found for found in seen}
    return min(
        stream.lag_s + (_enough_readings(sensor, stream, by_kind.get(stream.kind)) + UNSEEN_READINGS) * stream.refresh_s
        for stream in sensor.streams
    )


def _enough_readings(sensor: SensorProfile, stream: Stream, seen: Stretch | None) -> int:
    fewest = fewest_readings(sensor)
    independent = (NORMAL_95 * stream.noise * stream.noise_margin / EDGE_LIMIT) ** 2
    by_noise = 1 + (independent - 1) * (1 + stream.correlation) / (1 - stream.correlation)
    noisier = seen is not None and seen.readings >= fewest
    by_scatter = seen.readings * (at_most(seen, sensor) / EDGE_LIMIT) ** 2 if seen is not None and noisier else 0.0
    return math.ceil(max(fewest, by_noise, by_scatter))


def _open_w(mean: CorrelatedMean, values: np.ndarray, stream: Stream, iteration_s: float, length_s: float) -> float:
    """95 % half-width of the mean over a stretch of some length."""
    noise_w = mean.halfwidth(stream.noise * mean.value)
    if iteration_s <= stream.span_s:
        return max(noise_w, mean.own_halfwidth)
    return math.hypot(noise_w, float(values.std()) * iteration_s / (2 * length_s))


def _iteration_s(window: WindowRecord) -> float:
    (start_s, first), (stop_s, last) = window.stamps[0], window.stamps[-1]
    return (stop_s - start_s) / max(last - first, 1)
