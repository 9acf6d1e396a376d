"""By how much do two variants differ? Ratios from mirrored pairs of blocks, of single cases and of totals.

Both variants of a pair were measured in the same blocks, so that drift is in both and cancels. A total is a sum over
stages, weighted by how often a network has them; the logarithm of a ratio of totals is, to first order, the sum of
the stages' log differences weighted by each stage's share of its total.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from energybench.analysis.statistics import (
    LEAST_REPLICATES,
    Interval,
    contrast,
    interval_from_error,
    mirrored_pairs,
    summed,
    visible_difference,
)

ByBlock = Mapping[int, float]


@dataclass(frozen=True)
class Ratio:
    """A ratio with its interval and the smallest difference that this design would have shown."""

    interval: Interval
    smallest_difference: float


@dataclass(frozen=True)
class Stage:
    """One term of a total: a value a block, how often it counts, and which measurement it is.

    ``each`` is the relative 95 % half-width that each of its values has by itself: no total is surer than that.

    Two stages with the same ``measurement`` are the same numbers; their errors do not average out.
    """

    measurement: str
    weight: float
    by_block: ByBlock
    each: float = 0.0

    @property
    def mean(self) -> float:
        """Geometric mean over the blocks."""
        return math.exp(sum(math.log(v) for v in self.by_block.values()) / len(self.by_block))

    def least(self, total: float) -> float:
        """What ``each`` leaves open of a total, relative."""
        return self.weight * self.mean / total * self.each / math.sqrt(len(self.by_block))


def ratio_of(variant: ByBlock, against: ByBlock, *, each: tuple[float, float] = (0.0, 0.0)) -> Ratio | None:
    """The ratio of two measurements made in the same blocks; None where they share no mirrored pair of blocks.

    ``each``: the half-width that each value of the two has by itself, as in :class:`Stage`.
    """
    if not variant or not against:
        return None
    if variant == against:
        return Ratio(Interval(1.0, 1.0, 1.0, math.inf), 0.0)
    return ratio_of_totals([Stage("variant", 1.0, variant, each[0])], [Stage("against", 1.0, against, each[1])])


def total_of(stages: Sequence[Stage]) -> Interval:
    """The weighted sum of independent stages with its interval (delta method on logarithms).

    Without one where some stage has fewer than ``LEAST_REPLICATES`` windows.
    """
    stages = merged(stages)
    few = min(len(s.by_block) for s in stages) < LEAST_REPLICATES
    total = sum(s.weight * s.mean for s in stages)
    parts = [contrast([s.weight * s.mean / total * math.log(v) for v in s.by_block.values()]) for s in stages]
    spread = summed(parts)
    if few or not math.isfinite(spread.high):
        return Interval(total, 0.0, math.inf, 0)
    half = max(math.log(spread.high / spread.estimate), math.hypot(*(s.least(total) for s in stages)))
    return Interval(total, total * math.exp(-half), total * math.exp(half), spread.degrees)


def ratio_of_totals(variant: Sequence[Stage], against: Sequence[Stage]) -> Ratio | None:
    """The ratio of two totals whose stages were measured in the same blocks, stage by stage.

    Args:
        variant: stages of the numerator.
        against: stages of the denominator, the same number in the same order.

    Returns:
        None where some stage has no mirrored pair in common; a ratio without an interval where every stage is a
        single value (a prediction), or where the pairs of some stage hold fewer than ``LEAST_REPLICATES`` windows of
        each.
    """
    if all(len(s.by_block) == 1 for s in (*variant, *against)):
        total_a, total_b = sum(s.weight * s.mean for s in variant), sum(s.weight * s.mean for s in against)
        return Ratio(Interval(total_a / total_b, 0.0, math.inf, 0), math.inf)
    paired = [_common_pairs(a, b) for a, b in zip(variant, against, strict=True)]
    if not all(paired):
        return None
    totals = [
        sum(stage.weight * _pair_mean(pairs, side) for stage, pairs in zip(stages, paired, strict=True))
        for side, stages in enumerate((variant, against))
    ]
    parts: dict[tuple[str, str], list[float]] = {}
    for a, b, pairs in zip(variant, against, paired, strict=True):
        share_a = a.weight * _pair_mean(pairs, 0) / totals[0]
        share_b = b.weight * _pair_mean(pairs, 1) / totals[1]
        differences = [share_a * log_a - share_b * log_b for log_a, log_b in pairs]
        key = (a.measurement, b.measurement)
        parts[key] = [x + y for x, y in zip(parts[key], differences, strict=True)] if key in parts else differences
    total_a, total_b = totals
    contrasts = [contrast(values) for values in parts.values()]
    centre = math.log(total_a / total_b)
    variance = sum(c.variance_of_mean for c in contrasts)
    few = 2 * min(len(pairs) for pairs in paired) < LEAST_REPLICATES
    if few or not math.isfinite(variance):
        return Ratio(Interval(total_a / total_b, 0.0, math.inf, 0), math.inf)
    differing = [pair for pair in zip(variant, against, strict=True) if pair[0].measurement != pair[1].measurement]
    least = math.hypot(*(s.least(total) for pair in differing for s, total in zip(pair, totals, strict=True)))
    spread = summed(contrasts)
    interval = interval_from_error(centre, math.sqrt(variance), spread.degrees, least=least)
    return Ratio(interval, visible_difference(math.sqrt(variance), spread.degrees))


def _common_pairs(a: Stage, b: Stage) -> list[tuple[float, float]]:
    """Log values of both in every mirrored pair of blocks that both have: only there has drift cancelled."""
    logs_a, logs_b = mirrored_pairs(dict(a.by_block)), mirrored_pairs(dict(b.by_block))
    return [(logs_a[p], logs_b[p]) for p in sorted(logs_a.keys() & logs_b.keys())]


def _pair_mean(pairs: Sequence[tuple[float, float]], side: int) -> float:
    """Geometric mean of one side over the common pairs."""
    return math.exp(sum(pair[side] for pair in pairs) / len(pairs))


def merged(stages: Sequence[Stage]) -> list[Stage]:
    """Stages of the same measurement as one, their weights added."""
    weights: dict[str, float] = {}
    for stage in stages:
        weights[stage.measurement] = weights.get(stage.measurement, 0.0) + stage.weight
    firsts = {stage.measurement: stage for stage in reversed(stages)}
    return [replace(firsts[name], weight=weight) for name, weight in weights.items()]
