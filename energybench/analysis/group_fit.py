"""What do measured joules say of E(G) = c0 + a G + b / G? Its constants, its optimum, each with an interval.

Least squares on relative errors, no constant negative. Group sizes are the replicates, not windows: real kernels make
steps that the curve does not have, and measuring longer does not make those smaller.

Source: the curve is ours (``allocation``); C. Lawson, R. Hanson, "Solving Least Squares Problems", 1974, for the
algorithm; delta method for the interval of the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import nnls

from energybench.analysis.allocation import LinearPlusInverse
from energybench.analysis.statistics import CONFIDENCE, Interval, interval_from_error
from energybench.errors import EnergyBenchError

FEWEST = 4
NAMES = ("c0", "a", "b")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedConstant:
    """One constant of the curve, in joules.

    Attributes:
        name: ``c0``, ``a`` (joules per unit of G) or ``b`` (joules of all groups at G = 1).
        value: estimate; 0 where the best fit leaves nothing for it.
        low: lower end of its 95 % interval, not below 0.
        high: upper end; inf where the data do not bound it.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero and has an upper end."""
        return self.low > 0 and math.isfinite(self.high)


@dataclass(frozen=True)
class CurveFit:
    """The curve through measured joules.

    Attributes:
        curve: the best one.
        constants: c0, a and b with their intervals.
        optimum: G* = sqrt(b / a) with its interval; None where a or b is zero, so that there is none inside.
        relative_error: root mean square of what is left, over the degrees of freedom.
        group_sizes: measured ones, ascending.
        joules: measured there.
        degrees: degrees of freedom.
        covariance: of (c0, a, b), 3 x 3.
    """

    curve: LinearPlusInverse
    constants: tuple[FittedConstant, FittedConstant, FittedConstant]
    optimum: Interval | None
    relative_error: float
    group_sizes: tuple[float, ...]
    joules: tuple[float, ...]
    degrees: int
    covariance: tuple[tuple[float, ...], ...]

    def at(self, group_size: float) -> Interval:
        """The curve at a group size, with the interval of its mean (not of a single measurement)."""
        return interval_from_error(math.log(self.curve.at(group_size)), self.relative_se(group_size), self.degrees)

    def relative_se(self, group_size: float) -> float:
        """Relative standard error of the curve at a group size."""
        terms = np.array([1.0, group_size, 1 / group_size])
        variance = float(terms @ np.array(self.covariance) @ terms)
        return math.sqrt(max(variance, 0.0)) / self.curve.at(group_size)


def fit_curve(group_sizes: Sequence[float], joules: Sequence[float]) -> CurveFit:
    """The curve c0 + a G + b / G with the least relative errors.

    Args:
        group_sizes: distinct.
        joules: measured at each, above zero.

    Raises:
        EnergyBenchError: fewer than four group sizes, which leave nothing to judge the curve by.
    """
    if len(set(group_sizes)) < FEWEST:
        raise EnergyBenchError(
            f"{len(set(group_sizes))} group sizes cannot fix c0 + a G + b / G and judge it, {FEWEST} are needed",
            remedy="measure more group sizes, on both sides of the optimum",
        )
    sizes, values = np.asarray(group_sizes, dtype=float), np.asarray(joules, dtype=float)
    matrix = np.column_stack([np.ones_like(sizes), sizes, 1 / sizes]) / values[:, None]
    scale = np.linalg.norm(matrix, axis=0)
    scaled, distance = nnls(matrix / scale, np.ones_like(values))
    active = np.flatnonzero(scaled > 0)
    degrees = len(values) - len(active)
    variance = float(distance) ** 2 / degrees
    inverse = np.zeros((3, 3))
    inverse[np.ix_(active, active)] = np.linalg.inv(matrix[:, active].T @ matrix[:, active])
    covariance = inverse * variance
    solution = scaled / scale
    order = np.argsort(sizes)
    return CurveFit(
        curve=LinearPlusInverse(*map(float, solution)),
        constants=_constants(solution, covariance, active, degrees),
        optimum=_optimum(solution, covariance, degrees),
        relative_error=math.sqrt(variance),
        group_sizes=tuple(sizes[order].tolist()),
        joules=tuple(values[order].tolist()),
        degrees=degrees,
        covariance=tuple(tuple(row) for row in covariance.tolist()),
    )


def _constants(
    solution: Array, covariance: Array, active: NDArray[np.intp], degrees: int
) -> tuple[FittedConstant, FittedConstant, FittedConstant]:
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)) * np.sqrt(np.diag(covariance))
    c0, a, b = (
        FittedConstant(name, float(value), max(0.0, float(value - width)), float(value + width))
        if column in active
        else FittedConstant(name, 0.0, 0.0, math.inf)
        for column, (name, value, width) in enumerate(zip(NAMES, solution, half, strict=True))
    )
    return c0, a, b


def _optimum(solution: Array, covariance: Array, degrees: int) -> Interval | None:
    """sqrt(b / a): half the difference of two logarithms, its variance by the delta method."""
    _, a, b = solution
    if a <= 0 or b <= 0:
        return None
    variance = covariance[1, 1] / a**2 + covariance[2, 2] / b**2 - 2 * covariance[1, 2] / (a * b)
    return interval_from_error(0.5 * math.log(b / a), 0.5 * math.sqrt(max(float(variance), 0.0)), degrees)
