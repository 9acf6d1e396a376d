"""What is the mean of readings whose errors are correlated, how far may it be off, and how correlated are they?

    error of reading k  =  r_k x error of reading k - 1  +  something new,     r_k = phi ^ (time between them / refresh)

(a first-order autoregression, seen at any times). Readings that follow each other say little new: a mean of n of them
is worth n' = 1 / sum_ij w_i w_j phi^|t_i - t_j| independent ones, about n / tau with tau = (1 + phi) / (1 - phi). What
each adds to what the one before foretold is independent, so that the scatter has n - 1 degrees of freedom all the same.

How large the errors are and how correlated is found by restricted maximum likelihood: unlike the lag-1 product, it is
not biased low by taking out a mean and a trend from a short series, and its shape tells how large both may be. What
planning needs is their product c^2 tau: it sets the error of a long mean, and is far less certain than c alone.

Source: `docs/derivations.md` 3 has the correlation factor for many readings; any number of them, at any times, is ours.
Restricted likelihood: Patterson and Thompson, Biometrika 58 (1971); limits from its profile (Wilks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from energybench.analysis.statistics import student_t

NORMAL_95 = student_t(0.975, math.inf)
CORRELATIONS = np.tanh(np.linspace(0.0, math.atanh(0.99), 160))
"""Tried by :func:`scatter`: evenly spaced in Fisher's z, in which the likelihood has much the same width everywhere."""
LINE, CURVE, ENOUGH_FOR_A_CURVE = 1, 3, 150
"""Degree of the polynomial that is taken out of fewer readings than that, and of more: a board warms up meanwhile,
quickly first, but of a few correlated readings a curve leaves too little to judge them by."""
TWO_SIDED, UPPER = NORMAL_95**2, student_t(0.95, math.inf) ** 2
"""Twice the fall of the log likelihood at the ends of a 95 % interval, and at a 95 % upper limit."""


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


@dataclass(frozen=True)
class Scatter:
    """How far readings scatter at a steady load, and how much alike neighbours are.

    Attributes:
        deviation: standard deviation of a single reading; unit of the readings.
        deviation_halfwidth: half of its 95 % interval.
        correlation: of readings one unit of time apart, in [0, 1).
        correlation_halfwidth: half of its 95 % interval.
        margin: 95 % upper limit of deviation x sqrt(tau), what a long mean's error grows with, over its estimate.
    """

    deviation: float
    deviation_halfwidth: float
    correlation: float
    correlation_halfwidth: float
    margin: float


def scatter(times: np.ndarray, values: np.ndarray) -> Scatter:
    """The most likely deviation and correlation of readings around a slow trend.

    Args:
        times: [K] ascending, at least six; correlation is that over one unit.
        values: [K] readings.
    """
    trend = CURVE if len(values) >= ENOUGH_FOR_A_CURVE else LINE
    degrees = len(values) - trend - 1
    squares, levels = _restricted(times, values, trend)
    badness = degrees * np.log(squares) + levels
    best = int(np.argmin(badness))
    variances = squares / degrees
    tau = (1 + CORRELATIONS) / (1 - CORRELATIONS)
    likely = CORRELATIONS[badness <= badness[best] + TWO_SIDED]
    low, high = _limits(variances[best], np.ones_like(tau), squares, levels, degrees, TWO_SIDED)
    _, most = _limits(variances[best] * tau[best], tau, squares, levels, degrees, UPPER)
    deviation = math.sqrt(variances[best])
    return Scatter(
        deviation=deviation,
        deviation_halfwidth=0.5 * deviation * (math.sqrt(high) - math.sqrt(low)),
        correlation=float(CORRELATIONS[best]),
        correlation_halfwidth=0.5 * float(likely[-1] - likely[0]),
        margin=math.sqrt(most),
    )


def _restricted(times: np.ndarray, values: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """[G] Sum of squares of each correlation's independent residuals; terms of -2 log L without the variance."""
    place = 2 * (times - times[0]) / (times[-1] - times[0]) - 1
    columns = np.column_stack([np.polynomial.legendre.legvander(place, degree), values])
    kept = CORRELATIONS[:, None] ** np.diff(times)
    fresh = (columns[1:] - kept[..., None] * columns[:-1]) / np.sqrt(1 - kept**2)[..., None]
    products = np.einsum("gki,gkj->gij", fresh, fresh) + np.outer(columns[0], columns[0])
    trend, cross = products[:, :-1, :-1], products[:, :-1, -1]
    explained = np.einsum("gi,gi->g", cross, np.linalg.solve(trend, cross[..., None])[..., 0])
    squares = np.maximum(products[:, -1, -1] - explained, np.finfo(float).tiny)
    levels = np.log(1 - kept**2).sum(axis=1) + np.linalg.slogdet(trend)[1]
    return squares, levels


def _limits(
    estimate: float, scale: np.ndarray, squares: np.ndarray, levels: np.ndarray, degrees: int, fall: float
) -> tuple[float, float]:
    """Least and most of variance x scale over its estimate that the likelihood, at its best correlation, allows."""
    ratios = np.geomspace(1 / 64, 64, 385)
    variances = estimate * ratios[:, None] / scale
    badness = (degrees * np.log(variances) + squares / variances + levels).min(axis=1)
    allowed = ratios[badness <= badness.min() + fall]
    return float(allowed[0]), float(allowed[-1])
