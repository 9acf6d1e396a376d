"""Which phases of an iteration did a part-time sensor look at? What they leave open bounds how wrong joules can be.

A sensor that sees a span W of every refresh looks at the same part of an iteration again and again where the iteration
is nearly a multiple of the refresh. The phases it did look at are known from the loop's stamps and the sensor's
updates. Over all loads that are high for half of an iteration, wherever that half lies, the mean errs by at most

    swing x max over arcs of half an iteration | share of what was seen that lies in the arc - 1/2 |

One phase gives the bound of `docs/derivations.md` 4 at a duty of one half; phases that tile the iteration give none.
Delays turn all phases alike and change nothing. Ours; checked against that bound and by simulation in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from energybench.analysis.stretches import sharp_ends, ticks_of
from energybench.analysis.updates import published
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile, Stream

WORST_REST = 0.5


def uncovered(phases: Sequence[Sequence[float]], share: float) -> float:
    """The largest error of the mean, in units of the swing, that the phases leave open.

    Args:
        phases: of each window that saw any, when in its iteration each span began, in [0, 1); windows count alike.
        share: the sensor's span over the iteration. Whole iterations in it are seen without error; how much is left
            over is known no better than the span, so that half an iteration, the worst, is taken.
    """
    seen = [np.asarray(window, dtype=float) for window in phases if len(window)]
    rest = share if share < 1 else WORST_REST
    if not seen:
        seen = [np.zeros(1)]
    at = np.concatenate(seen)
    weights = np.concatenate([np.full(len(window), 1 / (len(seen) * len(window))) for window in seen])
    arcs = np.concatenate([at, at + rest, at - 0.5, at + rest - 0.5]) % 1.0  # extremes lie where a span begins or ends

    def before(places: np.ndarray) -> np.ndarray:
        """[A, K] how much of span k lies before each place, going round and round."""
        turns = places[:, None] - at[None, :]
        whole = np.floor(turns)
        seen_before: np.ndarray = whole * rest + np.minimum(turns - whole, rest)
        return seen_before

    inside = (before(arcs + 0.5) - before(arcs)) @ weights
    return float(np.abs(inside - 0.5 * rest).max()) / share


def phases_of(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile, stream: Stream, kind: str
) -> tuple[float, ...]:
    """When in its iteration each update of a part-time stream came, in [0, 1), up to one shift that all share.

    Args:
        window: its record, with the loop's stamps.
        readings: taken during it.
        sensor: what is known of the sensor.
        stream: the one that looks: the source's own, or the one a part-time counter sums up.
        kind: the source of the joules.
    """
    times_s = _ticking(readings, sensor, stream) if kind == ENERGY else _updating(readings, kind)
    stamps_s, iterations = np.array(window.stamps, dtype=float).T
    inside = times_s[(times_s >= stamps_s[0]) & (times_s <= stamps_s[-1])]
    return tuple((np.interp(inside, stamps_s, iterations) % 1.0).tolist())


def _updating(readings: Sequence[Reading], kind: str) -> np.ndarray:
    updates = published(readings, kind)
    return np.empty(0) if updates is None else updates.times_s


def _ticking(readings: Sequence[Reading], sensor: SensorProfile, stream: Stream) -> np.ndarray:
    """Times of the samples that a counter sums up: on the grid of its best-timed tick."""
    ticks = ticks_of(readings)
    if len(ticks) < 2 or sensor.counter is None:
        return np.empty(0)
    first, last = sharp_ends(ticks)
    length_s = last.time_s - first.time_s
    steps = max(round(length_s / sensor.counter.tick_s), 1)
    refresh_s = length_s / steps * stream.refresh_s / sensor.counter.tick_s
    return first.time_s + refresh_s * np.arange(round(length_s / refresh_s) + 1)
