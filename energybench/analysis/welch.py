"""By how much do two runs differ that shared no block? Unpaired ratios of cases and totals, split into time and power.

Two runs are independent: nothing cancels but the gain of a sensor that both share. Each side's windows are the
replicates, the difference of the logarithms has Welch's degrees of freedom, and because the same windows make all
three quantities, ln(energy ratio) = ln(latency ratio) + ln(power ratio) holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from energybench.analysis.ratios import Ratio
from energybench.analysis.statistics import LEAST_REPLICATES, Contrast, Interval, contrast, summed, visible_difference

MISSES = 0.05
"""How often a 95 % statement may miss."""


@dataclass(frozen=True)
class Windows:
    """The windows of one measurement, as a term of a total.

    Attributes:
        measurement: which measurement it is; two terms with the same one are the same numbers.
        weight: how often the total has it.
        latency_s: loop seconds per iteration, one a window.
        energy_j: joules per iteration of the same windows; empty where joules are not compared.
    """

    measurement: str
    weight: float
    latency_s: tuple[float, ...]
    energy_j: tuple[float, ...] = ()


@dataclass(frozen=True)
class Logs:
    """Natural logarithms of a total's latency, energy and power: mean, variance of the mean, degrees of freedom."""

    latency: Contrast
    energy: Contrast | None
    power: Contrast | None


def logs_of(terms: Sequence[Windows]) -> Logs:
    """The logarithms of the weighted sum of ``terms``; of one term, of its geometric means.

    The logarithm of a sum varies, to first order, like the sum of its terms' logarithms weighted by their shares.
    Power is energy over latency, window by window, so that what varies in both cancels as it does in the joules.

    Args:
        terms: at least one; either all with joules or none.
    """
    merged = _merged(terms)
    logs_t = [np.log(term.latency_s) for term in merged]
    total_s, shares_t = _total(merged, logs_t)
    latency = _sum(math.log(total_s), [share * logs for share, logs in zip(shares_t, logs_t, strict=True)])
    if not all(term.energy_j for term in merged):
        return Logs(latency, None, None)
    logs_e = [np.log(term.energy_j) for term in merged]
    total_j, shares_e = _total(merged, logs_e)
    energies = [share * logs for share, logs in zip(shares_e, logs_e, strict=True)]
    powers = [e - share * logs for e, share, logs in zip(energies, shares_t, logs_t, strict=True)]
    return Logs(latency, _sum(math.log(total_j), energies), _sum(math.log(total_j / total_s), powers))


def unpaired_ratio(numerator: Contrast, denominator: Contrast) -> Ratio:
    """The ratio of two independent quantities from their logarithms; no interval where one has too few windows.

    Source: B. L. Welch, "The generalization of Student's problem ...", Biometrika 34 (1947).
    """
    negated = Contrast(-denominator.mean, denominator.variance_of_mean, denominator.degrees)
    interval = summed([numerator, negated])
    variance = numerator.variance_of_mean + denominator.variance_of_mean
    if variance == 0:
        return Ratio(interval, 0.0)
    return Ratio(interval, visible_difference(math.sqrt(variance), interval.degrees))


def gain_halfwidth(gain_a: float, gain_b: float) -> float:
    """95 % half-width of ln(k_b / k_a), two gains each anywhere within +-``gain`` of 1.

    The difference of two uniform errors of half-widths a >= b lies beyond x with probability (a + b - x)^2 / (4 a b)
    where x >= a - b, and with 1 - x / a below. Two of +-5 % come to +-7.6 % of the logarithm. Source:
    `docs/derivations.md` 1 and 6 (gain within about +-5 % of reading, rectangular); the combination is ours.
    """
    a, b = (math.log1p(gain) for gain in sorted((gain_a, gain_b), reverse=True))
    return a + b - math.sqrt(4 * MISSES * a * b) if b >= MISSES * a else (1 - MISSES) * a


def widened(interval: Interval, log_halfwidth: float) -> Interval:
    """``interval`` with a systematic half-width of its logarithm added to both ends (linearly: on the safe side)."""
    factor = math.exp(log_halfwidth)
    return Interval(interval.estimate, interval.low / factor, interval.high * factor, interval.degrees)


def _merged(terms: Sequence[Windows]) -> list[Windows]:
    """Terms of the same measurement as one, their weights added: their errors do not average out."""
    found: dict[str, Windows] = {}
    for term in terms:
        before = found.get(term.measurement)
        weight = term.weight + (before.weight if before else 0.0)
        found[term.measurement] = Windows(term.measurement, weight, term.latency_s, term.energy_j)
    return list(found.values())


def _total(terms: Sequence[Windows], logs: Sequence[np.ndarray]) -> tuple[float, list[float]]:
    parts = [term.weight * math.exp(float(np.mean(values))) for term, values in zip(terms, logs, strict=True)]
    total = sum(parts)
    return total, [part / total for part in parts]


def _sum(log_total: float, replicates: Sequence[np.ndarray]) -> Contrast:
    contrasts = [contrast(values.tolist()) for values in replicates]
    variance = sum(c.variance_of_mean for c in contrasts)
    if min(map(len, replicates)) < LEAST_REPLICATES or not math.isfinite(variance):
        return Contrast(log_total, math.inf, 0)
    weights = sum(c.variance_of_mean**2 / c.degrees for c in contrasts)
    return Contrast(log_total, variance, variance**2 / weights if weights else math.inf)
