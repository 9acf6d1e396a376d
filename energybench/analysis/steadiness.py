"""How steady is a source while the load is steady? Noise of its updates, their correlation, and when power settled.

Source: `measurement.md` 2.3, 6 and 7. Bias of a short series' lag-1 correlation, -(1 + 3 phi) / n: Kendall (1954).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from energybench.analysis.updates import Updates

SETTLED = 0.005
MOST_CORRELATION = 0.98
FEWEST = 8


@dataclass(frozen=True)
class Noise:
    """Scatter of single updates at a steady load.

    Attributes:
        relative: standard deviation over the mean, a slow trend taken out.
        relative_halfwidth: its 95 % half-width.
        correlation: of neighbouring updates, in [0, 1).
        correlation_halfwidth: its 95 % half-width.
        mean_w: mean of the updates.
        updates: how many there were.
    """

    relative: float
    relative_halfwidth: float
    correlation: float
    correlation_halfwidth: float
    mean_w: float
    updates: int


def noise_of(updates: Updates, start_s: float, stop_s: float) -> Noise | None:
    """Noise between two times of steady load; None with fewer than eight updates."""
    chosen = updates.between(start_s, stop_s)
    values, slots = updates.values[chosen], updates.slots[chosen]
    count = len(values)
    if count < FEWEST:
        return None
    places = slots - slots.mean()
    mean = float(values.mean())
    residuals = values - mean - places * float(places @ values) / float(places @ places)
    variance = float(residuals @ residuals) / (count - 2)
    neighbours = np.diff(slots) == 1
    raw = 0.0
    if variance > 0 and np.count_nonzero(neighbours) >= 3:
        raw = (
            float(np.mean(residuals[1:][neighbours] * residuals[:-1][neighbours]))
            * (count - 1)
            / (count - 2)
            / variance
        )
    correlation = float(np.clip(raw + (1 + 3 * raw) / count, 0.0, MOST_CORRELATION))
    effective = max(count * (1 - correlation**2) / (1 + correlation**2), 2.0)
    deviation = math.sqrt(variance) / abs(mean) if mean else math.inf
    return Noise(
        relative=deviation,
        relative_halfwidth=1.96 * deviation / math.sqrt(2 * effective),
        correlation=correlation,
        correlation_halfwidth=1.96 * math.sqrt((1 - correlation**2) / count),
        mean_w=mean,
        updates=count,
    )


def settling_s(updates: Updates, start_s: float, stop_s: float, noise: Noise | None) -> float | None:
    """Time from the start of a steady load until power stays within 0.5 % of where it ends.

    Judged by running means over a second, at least two updates; where noise hides 0.5 %, by four standard errors of
    such a mean. The board's own warming is part of it, the sensor's lag too.

    Returns:
        None where power had not settled before the last third, or too little was seen.
    """
    times = updates.times_s
    chosen = np.flatnonzero((times > start_s) & (times <= stop_s))
    last_s = stop_s - (stop_s - start_s) / 3
    end = updates.values[chosen][times[chosen] > last_s]
    count = max(2, math.ceil(1.0 / updates.refresh_s))
    if len(end) < 3 or len(chosen) < 2 * count:
        return None
    within = SETTLED
    if noise is not None:
        tau = (1 + noise.correlation) / (1 - noise.correlation)
        within = max(within, 4 * noise.relative * math.sqrt(min(tau / count, 1.0)))
    means = np.convolve(updates.values[chosen], np.ones(count) / count, mode="valid")
    outside = np.flatnonzero(np.abs(means / float(end.mean()) - 1) > within)
    first = int(outside[-1]) + 1 if len(outside) else 0
    settled_s = float(times[chosen[first]])
    return settled_s - start_s if settled_s <= last_s else None
