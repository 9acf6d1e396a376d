"""How sure are we of a mean or a ratio? Intervals whose replicate is the window, never the single reading.

Readings inside a window are correlated, so resampling them states intervals that are far too narrow
(`docs/derivations.md` 6: 48 % coverage for a nominal 95 % at a lag-1 correlation of 0.8). Whole windows are close to
independent, and Student's t on their logarithms holds its coverage at any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
POWER = 0.80
LEAST_REPLICATES = 5
"""No interval is made of fewer windows: measuring on until it is narrow would let it hold the truth in 90 % of runs
only (`docs/derivations.md` 6)."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, both of the same unit.

    Attributes:
        estimate: the centre (geometric mean for intervals on logarithms).
        low: lower end, -inf or 0 where there are too few replicates.
        high: upper end.
        degrees: degrees of freedom (may be fractional).
    """

    estimate: float
    low: float
    high: float
    degrees: float

    @property
    def relative_halfwidth(self) -> float:
        """Half the width over the estimate; inf where there are too few replicates."""
        return (self.high - self.low) / (2 * self.estimate) if self.estimate else math.inf


def log_interval(values: Sequence[float], confidence: float = CONFIDENCE, *, each: float = 0.0) -> Interval:
    """Student-t interval of the geometric mean of positive ``values`` (one a window); unbounded where they are few.

    Args:
        values: one a window.
        confidence: of the interval.
        each: relative 95 % half-width that each value leaves by itself. The interval is never narrower than that
            over the root of their number: a few windows may agree by chance.

    Raises:
        ValueError: no value, or one that is not positive and finite.
    """
    if not values or not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError("an interval on logarithms needs positive, finite values")
    if len(values) < LEAST_REPLICATES:
        return Interval(math.exp(float(np.mean(np.log(values)))), 0.0, math.inf, 0)
    return exp_interval(np.log(values), confidence, least=each / math.sqrt(len(values)))


def exp_interval(logs: Sequence[float] | np.ndarray, confidence: float = CONFIDENCE, *, least: float = 0.0) -> Interval:
    """Student-t interval of exp(mean) of ``logs``: of a geometric mean, or of a ratio."""
    centre = float(np.mean(logs))
    degrees = len(logs) - 1
    if degrees < 1:
        return Interval(math.exp(centre), 0.0, math.inf, 0)
    standard_error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return interval_from_error(centre, standard_error, degrees, confidence, least=least)


def interval_from_error(
    log_centre: float, standard_error: float, degrees: float, confidence: float = CONFIDENCE, *, least: float = 0.0
) -> Interval:
    """The interval exp(centre +- t * standard error), at least exp(centre +- least)."""
    half = max(student_t(0.5 + confidence / 2, degrees) * standard_error, least) if degrees > 0 else math.inf
    if not math.isfinite(half):
        return Interval(math.exp(log_centre), 0.0, math.inf, 0)
    return Interval(math.exp(log_centre), math.exp(log_centre - half), math.exp(log_centre + half), degrees)


def student_t(probability: float, degrees: float) -> float:
    """The quantile of Student's t; the bare function, because a report asks for a hundred thousand of them."""
    return float(special.ndtri(probability) if math.isinf(degrees) else special.stdtrit(degrees, probability))


@dataclass(frozen=True)
class Contrast:
    """The mean of some replicates of a log quantity: what adds up into a ratio of totals."""

    mean: float
    variance_of_mean: float
    degrees: float


def contrast(replicates: Sequence[float]) -> Contrast:
    """Mean, variance of the mean and degrees of freedom of ``replicates``; one replicate has no variance (inf)."""
    n = len(replicates)
    variance = float(np.var(replicates, ddof=1)) / n if n > 1 else math.inf
    return Contrast(float(np.mean(replicates)), variance, n - 1)


def summed(contrasts: Sequence[Contrast]) -> Interval:
    """The exponential of a sum of independent contrasts, degrees of freedom after Welch and Satterthwaite.

    Source: B. L. Welch, "The generalization of Student's problem ...", Biometrika 34 (1947).
    """
    centre = sum(c.mean for c in contrasts)
    variance = sum(c.variance_of_mean for c in contrasts)
    if not math.isfinite(variance):
        return Interval(math.exp(centre), 0.0, math.inf, 0)
    if variance == 0:
        return Interval(math.exp(centre), math.exp(centre), math.exp(centre), math.inf)
    weights = sum(c.variance_of_mean**2 / c.degrees for c in contrasts if c.degrees > 0)
    return interval_from_error(centre, math.sqrt(variance), variance**2 / weights)


def mirrored_pairs(by_block: dict[int, float]) -> dict[int, float]:
    """Mean log value of each mirrored pair of blocks (0 and 1, 2 and 3, ...) that is whole.

    A drift that is linear in time cancels in the difference of two variants' pair means, because the second block
    runs in the mirrored order of the first.
    """
    pairs: dict[int, float] = {}
    for block, value in by_block.items():
        other = by_block.get(block ^ 1)
        if block % 2 == 0 and other is not None:
            pairs[block // 2] = 0.5 * (math.log(value) + math.log(other))
    return pairs


def visible_difference(standard_error: float, degrees: float, confidence: float = CONFIDENCE) -> float:
    """Smallest relative difference that a design with this standard error (of a log ratio) shows with 80 % power.

    (t(1 - alpha/2) + t(power)) x standard error, `docs/derivations.md` 5; inf without degrees of freedom.
    """
    if degrees <= 0 or not math.isfinite(standard_error):
        return math.inf
    t_sum = student_t(0.5 + confidence / 2, degrees) + student_t(POWER, degrees)
    return math.expm1(t_sum * standard_error)


def verdict(ratio: Interval, margin: float = 0.01) -> str:
    """``less``, ``more``, ``same`` (the whole interval within ``margin`` of 1) or ``cannot tell``."""
    if ratio.low > 1 - margin and ratio.high < 1 + margin:
        return "same"
    if ratio.high < 1:
        return "less"
    if ratio.low > 1:
        return "more"
    return "cannot tell"
