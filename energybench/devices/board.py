"""What does a simulated board draw, moment by moment? Power with an exact integral, and how real boards are unsteady.

    P(t)  =  P0 x (1 + drift x t)  +- ripple x (P0 - idle)  -  warming x (P0 - x(t)),     x' = (P0 - x) / warming_s

P0 is constant between two calls of ``BoardPower.set``. The ripple is above P0 in the first half of every iteration and
as much below in the second, so that it changes no iteration's joules. x follows power like the temperature does:
leakage is part of what a board draws, and comes late.

The exported truth is P0: what a board draws without drift once this work alone has warmed it (x = P0). Works of unlike
power measured in turn share one temperature, as they do on a real board, and each is off its P0 by
warming x (P0 - the mean power of all). The shapes are textbook (a first-order thermal model, leakage linear in
temperature over the few degrees in question); their sizes are the user's, none is measured.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

from energybench.errors import DeviceError
from energybench.spelling import did_you_mean

REMEMBERED_S = 100.0
STEADY_C = 50.0
"""Temperature of a board that does not warm up."""
COOL_C, FULL_RISE_C = 35.0, 45.0
"""Temperature at idle, and how much more at full power; ours."""


@dataclass(frozen=True)
class Unsteadiness:
    """How a simulated board departs from constant power, as in ``sim:h200,ripple=0.5,warming=0.05``.

    The default is a board without any of it.

    Args:
        ripple: how far power swings to either side of its mean within an iteration, over what the mean is above idle:
            1 reaches down to idle. In [0, 1].
        warming: share of a change of power that comes late, because leakage follows temperature. In [0, 0.5].
        warming_s: time constant of that.
        drift_per_s: relative growth of power per second, for ever.

    Raises:
        ValueError: one is out of range.
    """

    ripple: float = 0.0
    warming: float = 0.0
    warming_s: float = 20.0
    drift_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.ripple <= 1 and 0 <= self.warming <= 0.5):
            raise ValueError("ripple must lie in [0, 1] and warming in [0, 0.5]")
        if not (0 < self.warming_s < math.inf and abs(self.drift_per_s) < 1):
            raise ValueError("warming_s must be above 0 and drift_per_s between -1 and 1")

    def named(self) -> str:
        """What differs from the default, as :func:`unsteadiness` reads it."""
        default = asdict(Unsteadiness())
        return ",".join(f"{name}={value:g}" for name, value in asdict(self).items() if value != default[name])


def unsteadiness(text: str) -> Unsteadiness:
    """Read ``ripple=0.5,warming=0.05``; nothing is a steady board.

    Raises:
        DeviceError: an unknown name, or a value that is no number in its range.
    """
    names = [f.name for f in fields(Unsteadiness)]
    chosen: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in names:
            raise DeviceError(
                f"a simulated board has no {name!r}{did_you_mean(name, names)}",
                where="--device",
                remedy=f"sim:h200,{names[0]}=0.5; there are {', '.join(names)}",
            )
        try:
            chosen[name] = float(value)
            Unsteadiness(**chosen)
        except ValueError as error:
            raise DeviceError(f"{part}: {error}", where="--device", remedy=f"sim:h200,{names[0]}=0.5") from error
    return Unsteadiness(**chosen)


class _Segment(NamedTuple):
    """From ``start_s`` on: nominal power, ripple, x at the start, and joules up to it."""

    start_s: float
    power_w: float
    ripple_w: float
    period_s: float
    warm_w: float
    joules: float


class BoardPower:
    """True power of the board over time, with its exact integral.

    Args:
        idle_w: power at the start, for long enough that the board is as cool as it gets.
        full_w: power at which it is as hot as it gets; only its temperature depends on it.
        unsteady: how it departs from constant power.
    """

    def __init__(self, idle_w: float, full_w: float = math.inf, unsteady: Unsteadiness | None = None) -> None:
        self.unsteady = unsteady or Unsteadiness()
        self._idle_w = idle_w
        self._full_w = full_w
        self._segments = [_Segment(0.0, idle_w, 0.0, 1.0, idle_w, 0.0)]

    def set(self, time_s: float, power_w: float, *, iteration_s: float = 0.0) -> None:
        """From ``time_s`` on the board works at ``power_w``; times must not decrease.

        Args:
            time_s: when.
            power_w: nominal power: what a warm board draws on average.
            iteration_s: period of the ripple; 0 for work without one (idle).
        """
        ripple_w = self.unsteady.ripple * (power_w - self._idle_w) if iteration_s else 0.0
        warm_w, joules = self._warm_w(time_s), self.energy_j(time_s)
        self._segments.append(_Segment(time_s, power_w, ripple_w, iteration_s or 1.0, warm_w, joules))
        if len(self._segments) > 256 and self._segments[128].start_s < time_s - REMEMBERED_S:
            del self._segments[:128]

    def energy_j(self, time_s: float) -> float:
        """Exact joules drawn since time 0 up to ``time_s``."""
        segment = self._at(time_s)
        length_s = time_s - segment.start_s
        joules = segment.power_w * length_s
        unsteady = self.unsteady
        joules *= 1 + unsteady.drift_per_s * (segment.start_s + 0.5 * length_s)
        if segment.ripple_w:
            into_s = length_s % segment.period_s
            joules += segment.ripple_w * min(into_s, segment.period_s - into_s)
        if unsteady.warming:
            missing_w = segment.power_w - segment.warm_w
            joules += unsteady.warming * missing_w * unsteady.warming_s * math.expm1(-length_s / unsteady.warming_s)
        return segment.joules + joules

    def temperature_c(self, time_s: float) -> float:
        """Temperature of the board: it follows power, unless the board does not warm up."""
        if not self.unsteady.warming:
            return STEADY_C
        return COOL_C + FULL_RISE_C * (self._warm_w(time_s) - self._idle_w) / (self._full_w - self._idle_w)

    def _warm_w(self, time_s: float) -> float:
        """x: the constant power that would keep the board as warm as it is."""
        segment = self._at(time_s)
        kept = math.exp(-(time_s - segment.start_s) / self.unsteady.warming_s)
        return segment.power_w + (segment.warm_w - segment.power_w) * kept

    def _at(self, time_s: float) -> _Segment:
        i = bisect.bisect_right(self._segments, time_s, key=lambda segment: segment.start_s) - 1
        return self._segments[max(i, 0)]
