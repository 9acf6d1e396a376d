"""What is the mean of readings whose errors are correlated, and how far may it be off?

    error of reading k  =  r_k x error of reading k - 1  +  something new,     r_k = phi ^ (time between them / refresh)

(a first-order autoregression, seen at any times). Readings that follow each other say little new: a mean of n of them
is worth n' = 1 / sum_ij w_i w_j phi^|t_i - t_j| independent ones, about n / tau with tau = (1 + phi) / (1 - phi). What
each adds to what the one before foretold is independent, so that the scatter has n - 1 degrees of freedom all the same.

Source: `measurement.md` 3.3 has the correlation factor for many readings; any number of them, at any times, is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from energybench.analysis.statistics import student_t

NORMAL_95 = student_t(0.975, math.inf)


@dataclass(frozen=True)
class CorrelatedMean:
    """The weighted mean of some readings at a steady load.

    Attributes:
        value: the mean.
        effective: how many independent readings would say as much.
        deviation: standard deviation of a single reading, from their own scatter; unit of the readings.
        readings: how many there are.
    """

    value: float
    effective: float
    deviation: float
    readings: int

    def halfwidth(self, known: float) -> float:
        """Half-width of its 95 % interval for a known standard deviation of one reading."""
        return NORMAL_95 * known / math.sqrt(self.effective)

    @property
    def own_halfwidth(self) -> float:
        """The same from the readings' own scatter, by Student's t; infinite for a single one."""
        if self.readings < 2:
            return math.inf
        return student_t(0.975, self.readings - 1) * self.deviation / math.sqrt(self.effective)


def correlated_mean(times: np.ndarray, values: np.ndarray, weights: np.ndarray, correlation: float) -> CorrelatedMean:
    """The mean of at least one reading, and what its errors' correlation makes of it.

    Args:
        times: [K] ascending, in units of the time over which ``correlation`` holds.
        values: [K] readings.
        weights: [K] of the readings, positive. With equal ones the mean is at most 6 % less certain than the best there
            is, which leans on the readings at the ends and so on the load being steady.
        correlation: of two readings one unit apart, in [0, 1).
    """
    shares = weights / weights.sum()
    mean = float(shares @ values)
    effective = 1 / float(shares @ correlation ** np.abs(times[:, None] - times) @ shares)
    kept = correlation ** np.diff(times)
    off = values - mean
    squares = float(off[0] ** 2) + float(((off[1:] - kept * off[:-1]) ** 2 / (1 - kept**2)).sum())
    deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else math.inf
    return CorrelatedMean(mean, effective, deviation, len(values))
