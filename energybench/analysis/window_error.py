"""By how much may one window err, from what is known of its sensor alone, and several of them together?

    (95 % half-width)^2 = (0.776 T_eff / L)^2 + tau T (1.96 c)^2 / L

with L the window's length, T_eff the interval in which its ends lie, T the sensor's refresh, c the relative noise of
one reading and tau = (1 + phi) / (1 - phi) the correlation of neighbouring ones. What windows differ by beyond that
(clocks, temperature, other work) is found while measuring. Source: `docs/derivations.md` 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from energybench.analysis.statistics import CONFIDENCE, student_t
from energybench.analysis.stretches import TRIANGULAR_95
from energybench.readings import POWER_KINDS
from energybench.sensor import SensorProfile, Stream

NORMAL_95 = 1.96


@dataclass(frozen=True)
class WindowError:
    """What a sensor leaves open of a window.

    Attributes:
        edge_s: T_eff: the polling interval where windows end at a counter's ticks, else the refresh.
        refresh_s: T, of the readings whose noise counts; 0 where none is known.
        noise: c, relative to one reading; where it was calibrated, as large as it may be (95 %).
        tau: by how much correlation widens the noise of a mean.
    """

    edge_s: float
    refresh_s: float
    noise: float
    tau: float

    def halfwidth(self, length_s: float) -> float:
        """Relative 95 % half-width of one window of this length."""
        return math.hypot(TRIANGULAR_95 * self.edge_s / length_s, math.sqrt(self._noise_s / length_s))

    def halfwidth_of(self, windows: int, length_s: float) -> float:
        """Relative half-width of the interval that so many windows of this length give; Student's t widens it."""
        return self.halfwidth(length_s) * gain_of(windows)

    def edges_s(self, halfwidth: float) -> float:
        """Length at which the ends alone leave this half-width open."""
        return TRIANGULAR_95 * self.edge_s / halfwidth

    def noise_s(self, halfwidth: float) -> float:
        """Length at which the noise alone does."""
        return self._noise_s / halfwidth**2

    def length_s(self, halfwidth: float) -> float:
        """Length at which both together do, their variances added: the root of the formula above."""
        edges, noise = TRIANGULAR_95 * self.edge_s, self._noise_s
        return (noise + math.sqrt(noise**2 + (2 * edges * halfwidth) ** 2)) / (2 * halfwidth**2)

    @property
    def _noise_s(self) -> float:
        return self.tau * self.refresh_s * (NORMAL_95 * self.noise) ** 2

    def as_record(self) -> dict[str, Any]:
        """The numbers of the formula, for the record of a run."""
        return {"edge_s": self.edge_s, "refresh_s": self.refresh_s, "noise": self.noise, "tau": self.tau}


def gain_of(windows: int) -> float:
    """The interval of a mean of so many windows over that of one whose spread is known: t / (1.96 sqrt(n))."""
    return student_t(0.5 + CONFIDENCE / 2, windows - 1) / (NORMAL_95 * math.sqrt(windows))


def windows_for(times: float) -> int:
    """Windows, an even number, whose mean is so many times as precise as one of them.

    From n = times^2 of a known spread; Student's t asks for about 1.96^2 / 2 more of them.
    """
    windows = math.ceil(times**2 + NORMAL_95**2 / 2)
    return windows + windows % 2


def window_error(sensor: SensorProfile, edge_poll_s: float) -> WindowError:
    """How a sensor's windows err.

    A counter adds up what the same sensor sees, so it scatters at most as the steadiest of the published values does:
    that one's noise counts, as an upper bound. Without a counter the joules are made of the first of the readings.

    Args:
        sensor: what is known of it.
        edge_poll_s: polling interval while a tick of the counter is awaited.
    """
    if sensor.counter is None:
        stream = read_stream(sensor)
        return WindowError(stream.refresh_s, stream.refresh_s, stream.noise * stream.noise_margin, tau_of(stream))
    if not sensor.streams:
        return WindowError(edge_poll_s, 0.0, 0.0, 1.0)
    stream = min(sensor.streams, key=lambda s: tau_of(s) * s.refresh_s * s.noise**2)
    return WindowError(edge_poll_s, stream.refresh_s, stream.noise * stream.noise_margin, tau_of(stream))


def read_stream(sensor: SensorProfile) -> Stream:
    """The power value that joules are made of where there is no counter: the best kind on offer."""
    return next(stream for kind in POWER_KINDS if (stream := sensor.stream(kind)) is not None)


def tau_of(stream: Stream) -> float:
    """Variance of a mean of correlated readings over that of independent ones: (1 + phi) / (1 - phi)."""
    return (1 + stream.correlation) / (1 - stream.correlation)


def correlation_s(stream: Stream) -> float:
    """Time over which the correlation of a stream's noise falls by a factor of e; 0 for white noise."""
    return -stream.refresh_s / math.log(stream.correlation) if stream.correlation > 0 else 0.0
