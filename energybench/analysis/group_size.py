"""Which group size should a grouped convolution have? Three analytic models that answer three different questions.

- **thesis**: what E2GC (arXiv 2006.15100) argues, as far as we can reconstruct it: arithmetic against inverse reuse.
- **physical**: joules per inference on a machine: operations, bytes, static power over time, and a cost per group.
- **knee**: the group size up to which more arithmetic costs no time, because memory is the bound.

All three are reconstructions or derivations of ours. Of the paper only the abstract was available, not its equations,
constants or recommended group sizes, so nothing here may be presented as the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.allocation import divisors
from energybench.analysis.group_energy import GroupedKernel, GroupedShape, refuse_starving, tensor_lanes
from energybench.analysis.group_models import (
    BETA_OVER_ALPHA,
    KneeAnswer,
    Optimum,
    PhysicalAnswer,
    ThesisAnswer,
    knee_model,
    physical_model,
    thesis_model,
)
from energybench.errors import EnergyBenchError
from energybench.machine import Machine, need_energy, rate_dtype


@dataclass(frozen=True)
class GroupSizeAnswer:
    """The three models on one layer, side by side and never mixed.

    Attributes:
        shape: the layer.
        machine: name of the machine.
        group_sizes: feasible group sizes, ascending; every curve is over them.
        macs: multiply-accumulates per iteration at each.
        reuse: MACs per element moved at each.
        thesis: arithmetic against inverse reuse.
        physical: joules on the machine.
        knee: roofline knee.
    """

    shape: GroupedShape
    machine: str
    group_sizes: tuple[int, ...]
    macs: tuple[int, ...]
    reuse: tuple[float, ...]
    thesis: ThesisAnswer
    physical: PhysicalAnswer
    knee: KneeAnswer

    @property
    def optima(self) -> tuple[Optimum, Optimum, Optimum]:
        """The models' answers, for a table."""
        return self.thesis.optimum, self.physical.optimum, self.knee.optimum


@dataclass(frozen=True)
class MeasuredOptimum:
    """The measured least joules, and what cannot be told from it.

    Attributes:
        group_size: with the least joules.
        joules: there.
        indistinguishable: group sizes that may be as good, the best one included, ascending.
    """

    group_size: int
    joules: float
    indistinguishable: tuple[int, ...]


def group_size_models(
    *,
    channels: int,
    size: int,
    kernel: int,
    batch: int,
    dtype: str,
    machine: Machine,
    group_sizes: Sequence[int] | None = None,
    beta_over_alpha: float = BETA_OVER_ALPHA,
    group_overhead_s: float = 0.0,
    power_cap_w: float | None = None,
) -> GroupSizeAnswer:
    """What each model says about one layer: C in and C out, stride 1, padding that keeps the size.

    Args:
        channels: C.
        size: side of input and output in pixels.
        kernel: side of the filter.
        batch: inferences of one iteration.
        dtype: data type of all tensors.
        machine: where it runs.
        group_sizes: feasible ones; None: all divisors of ``channels``.
        beta_over_alpha: weight of inverse reuse over that of a MAC (thesis model).
        group_overhead_s: seconds per group (physical model); 0: none is known.
        power_cap_w: power limit (physical model and knee); None: the board's own for joules, none for the knee.

    Raises:
        EnergyBenchError: a size is not positive, a group size does not divide the channels, or nothing is left of the
            power cap for work.
        MachineError: the machine has no peak for ``dtype``.
    """
    rate_dtype(machine, dtype)
    need_energy(machine)
    refuse_starving(machine, power_cap_w)
    feasible = _feasible(channels, group_sizes, (size, kernel, batch))
    shape = GroupedShape(channels, size, kernel, batch, dtype)
    return GroupSizeAnswer(
        shape=shape,
        machine=machine.name,
        group_sizes=feasible,
        macs=tuple(round(shape.macs(G)) for G in feasible),
        reuse=tuple(shape.reuse(G) for G in feasible),
        thesis=thesis_model(shape, feasible, beta_over_alpha),
        physical=physical_model(
            shape, feasible, machine, GroupedKernel(tensor_lanes(machine, dtype), group_overhead_s, power_cap_w)
        ),
        knee=knee_model(shape, feasible, machine, power_cap_w),
    )


def measured_optimum(
    group_sizes: Sequence[int],
    joules: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    ratio_low: Sequence[float] | None = None,
) -> MeasuredOptimum | None:
    """The group size with the least measured joules, and those that cannot be told from it.

    A group size is told from the best one when its interval lies wholly above the best one's. That is careful: two
    95 % intervals that overlap a little may still differ. Where ratios to the best one were measured in mirrored pairs,
    ``ratio_low`` is sharper and is used instead: told from it when the ratio's lower end is above 1.

    Args:
        group_sizes: distinct, in any order.
        joules: measured at each; not finite where there is none, and then left out.
        low: lower ends of their intervals; not finite where there is none, and then nothing is told apart.
        high: upper ends.
        ratio_low: lower ends of the ratios of each to the best one; not finite where there is none.

    Returns:
        The optimum, or None where no group size has joules.
    """
    measured = [i for i, value in enumerate(joules) if math.isfinite(value)]
    if not measured:
        return None
    best = min(measured, key=lambda i: joules[i])

    def told_apart(i: int) -> bool:
        if ratio_low is not None and math.isfinite(ratio_low[i]):
            return ratio_low[i] > 1
        return math.isfinite(low[i]) and math.isfinite(high[best]) and low[i] > high[best]

    same = sorted(group_sizes[i] for i in measured if i == best or not told_apart(i))
    return MeasuredOptimum(group_sizes[best], joules[best], tuple(same))


def _feasible(channels: int, group_sizes: Sequence[int] | None, others: tuple[int, int, int]) -> tuple[int, ...]:
    if min(channels, *others) < 1:
        raise EnergyBenchError(
            f"channels, size, kernel and batch must be at least 1, got {(channels, *others)}",
            where="model group-size",
        )
    if group_sizes is None:
        return divisors(channels)
    wrong = sorted(G for G in group_sizes if G < 1 or channels % G)
    if wrong or not group_sizes:
        raise EnergyBenchError(
            f"group sizes {wrong} do not divide {channels} channels" if wrong else "no group size was given",
            where="model group-size",
            why="a grouped convolution needs whole groups",
            remedy=f"choose among {', '.join(map(str, divisors(channels)))}",
        )
    return tuple(sorted(set(group_sizes)))
