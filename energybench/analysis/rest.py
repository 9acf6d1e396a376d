"""Does the board stand still? Slope of its power and change of its temperature over the last ten seconds.

    steady:  |slope of power| <= 0.1 %/s x (wanted precision / 1 %)   and   |change of temperature| <= 1 degree in 10 s

Power comes from the energy counter's own updates, whose grid is found from all of them, so that coarse polling does not
blur a slope of a thousandth a second; else from the updates of the fastest power value.

Source: `docs/derivations.md` 8; `docs/trust.md`, requirement 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from energybench.analysis.updates import published
from energybench.readings import ENERGY, POWER_KINDS, Reading

LOOK_BACK_S = 10.0
STEADY_SLOPE_PER_S = 1e-3
AT_PRECISION = 0.01
STEADY_C = 1.0
FEWEST = 4


@dataclass(frozen=True)
class Rest:
    """How much the board still moves.

    Attributes:
        slope_per_s: relative change of power in a second; None where power could not be followed.
        warming_c: change of temperature, scaled to ten seconds; None where it is unknown.
        limit_per_s: the most that the slope may be.
    """

    slope_per_s: float | None
    warming_c: float | None
    limit_per_s: float

    @property
    def steady(self) -> bool:
        """Whether both stand still: power known to, temperature not known to move."""
        flat = self.slope_per_s is not None and abs(self.slope_per_s) <= self.limit_per_s
        return flat and (self.warming_c is None or abs(self.warming_c) <= STEADY_C)


def rest_of(
    readings: Sequence[Reading],
    temperatures_c: Sequence[tuple[float, float]],
    start_s: float,
    now_s: float,
    precision: float,
) -> Rest:
    """How much the board moved in the last ten seconds, or since ``start_s`` where that is less.

    Args:
        readings: in time order.
        temperatures_c: (time, degrees), in time order.
        start_s: begin of what may be judged: the loop's start, the sensor's lag skipped.
        now_s: its end.
        precision: wanted relative half-width of the joules.
    """
    begin_s = max(start_s, now_s - LOOK_BACK_S)
    recent = [r for r in readings if begin_s <= r.time_s <= now_s]
    slopes = (_slope_per_s(recent, kind) for kind in (ENERGY, *POWER_KINDS))
    slope = next((s for s in slopes if s is not None), None)
    return Rest(slope, _warming_c(temperatures_c, begin_s, now_s), STEADY_SLOPE_PER_S * precision / AT_PRECISION)


def _slope_per_s(readings: Sequence[Reading], kind: str) -> float | None:
    updates = published(readings, kind)
    if updates is None or len(updates.values) <= FEWEST:
        return None
    times, values = updates.times_s, updates.values
    if kind == ENERGY:
        times, values = 0.5 * (times[1:] + times[:-1]), np.diff(values) / np.diff(times)
    mean = float(values.mean())
    return float(np.polyfit(times - times.mean(), values, 1)[0]) / mean if mean > 0 else None


def _warming_c(temperatures_c: Sequence[tuple[float, float]], begin_s: float, now_s: float) -> float | None:
    inside = [degrees for time_s, degrees in temperatures_c if begin_s <= time_s <= now_s]
    if len(inside) < 2 or now_s <= begin_s:
        return None
    return (inside[-1] - inside[0]) * LOOK_BACK_S / (now_s - begin_s)
