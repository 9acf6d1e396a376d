"""How steady is a source while the load is steady? Noise of its updates, their correlation, and when power settled.

Source: `docs/derivations.md` 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from energybench.analysis.correlated import scatter
from energybench.analysis.updates import Updates

SETTLED = 0.005
JUDGED_OVER_S = 1.0
FEWEST = 8


@dataclass(frozen=True)
class Noise:
    """Scatter of single updates at a steady load.

    Attributes:
        relative: standard deviation over the mean, a slow trend taken out.
        relative_halfwidth: its 95 % half-width.
        correlation: of neighbouring updates, in [0, 1).
        correlation_halfwidth: its 95 % half-width.
        margin: 95 % upper limit of the noise of a long mean over what these two make of it.
        mean_w: mean of the updates.
        updates: how many there were.
    """

    relative: float
    relative_halfwidth: float
    correlation: float
    correlation_halfwidth: float
    margin: float
    mean_w: float
    updates: int


def noise_of(updates: Updates, start_s: float, stop_s: float) -> Noise | None:
    """Noise between two times of steady load; None with fewer than eight updates."""
    chosen = updates.between(start_s, stop_s)
    values, slots = updates.values[chosen], updates.slots[chosen]
    count = len(values)
    if count < FEWEST:
        return None
    mean = float(values.mean())
    if not mean or not np.ptp(values):
        return None
    found = scatter(slots, values)
    return Noise(
        relative=found.deviation / abs(mean),
        relative_halfwidth=found.deviation_halfwidth / abs(mean),
        correlation=found.correlation,
        correlation_halfwidth=found.correlation_halfwidth,
        margin=found.margin,
        mean_w=mean,
        updates=count,
    )


def settling_s(updates: Updates, start_s: float, stop_s: float, noise: Noise | None) -> float | None:
    """Time from the start of a steady load until power stays within :func:`settled_to` of where it ends.

    Judged by running means over a second, at least two updates. The board's own warming is part of it, the sensor's lag
    too.

    Returns:
        None where power had not settled before the last third, or too little was seen.
    """
    times = updates.times_s
    chosen = np.flatnonzero((times > start_s) & (times <= stop_s))
    last_s = stop_s - (stop_s - start_s) / 3
    end = updates.values[chosen][times[chosen] > last_s]
    count, within = _judged_by(updates), settled_to(updates, noise)
    if len(end) < 3 or len(chosen) < 2 * count:
        return None
    means = np.convolve(updates.values[chosen], np.ones(count) / count, mode="valid")
    outside = np.flatnonzero(np.abs(means / float(end.mean()) - 1) > within)
    first = int(outside[-1]) + 1 if len(outside) else 0
    settled_s = float(times[chosen[first]])
    return settled_s - start_s if settled_s <= last_s else None


def settled_to(updates: Updates, noise: Noise | None) -> float:
    """Relative distance from the end that counts as settled: 0.5 %, or four standard errors where noise hides that."""
    if noise is None:
        return SETTLED
    tau = (1 + noise.correlation) / (1 - noise.correlation)
    return max(SETTLED, 4 * noise.relative * math.sqrt(min(tau / _judged_by(updates), 1.0)))


def _judged_by(updates: Updates) -> int:
    return max(2, math.ceil(JUDGED_OVER_S / updates.refresh_s))
