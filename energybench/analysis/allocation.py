"""Which of the possible group sizes, for one layer and for a whole network at a given number of MACs?

For one layer: the minimum of c0 + a G + b / G among the divisors. For a network: why one group size for all layers
beats one number of groups at equal MACs. With shares p of the output elements C x S (channels x pixels) of the layers,
MACs go with sum(p G) and the movement per output with sum(p / G); by Cauchy-Schwarz their product F is at least 1, and
1 only where G is constant.

Source: ours, from the counts of a grouped convolution (``group_size``). E2GC (arXiv 2006.15100) states a constant
group size; its own equations were not available to us, so nothing here may be presented as the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from energybench.errors import EnergyBenchError


@dataclass(frozen=True)
class LinearPlusInverse:
    """The curve c0 + a G + b / G over group size G: work that grows with G against a cost per group.

    Strictly convex for b > 0, and symmetric about its minimum in log G: the values at G and at b / (a G) are equal.
    Source: ours.

    Attributes:
        constant: c0, in the unit of the curve.
        per_group_size: a.
        per_group: b, the cost of all groups at G = 1.
    """

    constant: float
    per_group_size: float
    per_group: float

    def at(self, group_size: float) -> float:
        """The curve at one group size."""
        return self.constant + self.per_group_size * group_size + self.per_group / group_size

    @property
    def optimum(self) -> float | None:
        """sqrt(b / a); None where there is no interior minimum (a or b not above zero)."""
        if self.per_group_size <= 0 or self.per_group <= 0:
            return None
        return math.sqrt(self.per_group / self.per_group_size)

    @property
    def minimum(self) -> float | None:
        """The value there, c0 + 2 sqrt(a b)."""
        if self.optimum is None:
            return None
        return self.constant + 2 * math.sqrt(self.per_group_size * self.per_group)


@dataclass(frozen=True)
class GroupedStage:
    """A grouped convolution as it stands in a network.

    Attributes:
        channels: C, input and output channels.
        size: side of its output in pixels.
        repeat: how often the network has it.
    """

    channels: int
    size: int
    repeat: int = 1

    @property
    def output_elements(self) -> int:
        """C x S times repeats: the layer's weight in every sum below."""
        return self.channels * self.size**2 * self.repeat


@dataclass(frozen=True)
class FixedMacs:
    """What an allocation of group sizes costs at the MACs it has; a reconstruction, ours, not the paper's.

    Attributes:
        equivalent_group_size: constant group size with the same MACs, sum(p G).
        mean_inverse: sum(p / G), what movement per output goes with.
        penalty: F = sum(p G) sum(p / G): movement over that of the equivalent constant group size; 1 at best.
    """

    equivalent_group_size: float
    mean_inverse: float
    penalty: float


def divisors(number: int) -> tuple[int, ...]:
    """Divisors of ``number`` (at least 1), ascending."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*small, *(number // d for d in small)}))


def common_group_sizes(channels: Sequence[int]) -> tuple[int, ...]:
    """Group sizes that every one of several widths can have: the divisors of their greatest common divisor."""
    return divisors(math.gcd(*channels))


def divisor_choice(curve: LinearPlusInverse, group_sizes: Sequence[int]) -> int:
    """The group size among ``group_sizes`` at which the curve is least; the smaller one of a tie.

    Only the neighbours G1 < G* < G2 of the optimum matter, and G2 wins if and only if G1 x G2 < b / a: rounding in
    log space, not to the nearest integer.

    Args:
        curve: with a >= 0 and b >= 0.
        group_sizes: at least one, each above zero.

    Source: ours; follows from E(G1) - E(G2) = (G2 - G1) (b / (G1 G2) - a).
    """
    ascending = sorted(group_sizes)
    choice = ascending[0]
    for following in ascending[1:]:
        if choice * following * curve.per_group_size >= curve.per_group:
            break
        choice = following
    return choice


def fit_linear_plus_inverse(group_sizes: Sequence[float], values: Sequence[float]) -> LinearPlusInverse:
    """The least-squares curve c0 + a G + b / G through values at group sizes.

    Raises:
        EnergyBenchError: fewer than three distinct group sizes, which leave the curve open.
    """
    sizes = np.asarray(group_sizes, dtype=float)
    if len(set(group_sizes)) < 3:
        raise EnergyBenchError(
            f"{len(set(group_sizes))} distinct group sizes cannot fix the three terms of c0 + a G + b / G",
            remedy="measure at least three group sizes, better five, that straddle the optimum",
        )
    design = np.column_stack([np.ones_like(sizes), sizes, 1 / sizes])
    constant, per_group_size, per_group = np.linalg.lstsq(design, np.asarray(values, dtype=float), rcond=None)[0]
    return LinearPlusInverse(float(constant), float(per_group_size), float(per_group))


def shares(stages: Sequence[GroupedStage]) -> tuple[float, ...]:
    """Each stage's share p of all output elements C x S; they sum to 1."""
    total = sum(stage.output_elements for stage in stages)
    return tuple(stage.output_elements / total for stage in stages)


def equivalent_group_size(stages: Sequence[GroupedStage], groups: int) -> float:
    """The constant group size with the MACs of a constant number of groups: mean width (by C x S) / ``groups``."""
    return fixed_macs(stages, [stage.channels / groups for stage in stages]).equivalent_group_size


def fixed_macs(stages: Sequence[GroupedStage], group_sizes: Sequence[float]) -> FixedMacs:
    """What an allocation costs against the constant group size of equal MACs.

    Args:
        stages: the network's grouped layers, all with the same filter.
        group_sizes: of each stage, in order.

    Raises:
        ValueError: not as many group sizes as stages.
    """
    weighted = list(zip(shares(stages), group_sizes, strict=True))
    mean = sum(p * size for p, size in weighted)
    mean_inverse = sum(p / size for p, size in weighted)
    return FixedMacs(mean, mean_inverse, mean * mean_inverse)


def optimal_allocation(
    stages: Sequence[GroupedStage], mean_group_size: float, movement: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Group sizes of the stages with the least movement at MACs that go with ``mean_group_size``.

    With weights w = C x S for MACs and v for movement, sum(v / G) is least at fixed sum(w G) for G ~ sqrt(v / w):
    constant exactly where movement per output element is the same in all layers.

    Args:
        stages: the network's grouped layers, all with the same filter.
        mean_group_size: sum(p G) to be kept.
        movement: v of each stage, in any unit; None: v = w.

    Source: ours (Lagrange multipliers).
    """
    weights = [float(stage.output_elements) for stage in stages]
    pairs = zip(weights if movement is None else movement, weights, strict=True)
    shape = [math.sqrt(v / w) for v, w in pairs]
    scale = mean_group_size / fixed_macs(stages, shape).equivalent_group_size
    return tuple(scale * size for size in shape)
