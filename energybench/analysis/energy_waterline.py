"""Where do the joules of a sequence of operators go? The waterline's twin in joules: stacked sums, never maxima.

Time hides the cheaper of arithmetic and memory behind the dearer one; energy hides nothing. Joules of operations, of
bytes and of static power over time add within an operator and over operators, so the twin is a stack.

Source: ours, after the three-term energy of J. Choi et al., "A Roofline Model of Energy", IPDPS 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from energybench.analysis.gap import ideal_energy_j
from energybench.cost import OperatorCost
from energybench.machine import EnergySplit, Machine, attainable_latency_s, operator_energy_j

SMALL = 0.05
"""Share of a sequence's joules below which an operator has no row of its own."""


@dataclass(frozen=True)
class EnergyBar:
    """Joules of one operator, to be stacked.

    Attributes:
        index: place in execution order, from 0.
        label: module path, or the operator's name.
        family: operator family.
        apart: True for operators without multiply-accumulates.
        energy: joules per iteration, by cause.
    """

    index: int
    label: str
    family: str
    apart: bool
    energy: EnergySplit


@dataclass(frozen=True)
class EnergyWaterline:
    """Joules of a sequence: operations, bytes and static power over time, which add.

    Attributes:
        bars: all operators, in execution order.
        ideal_j: joules of the arithmetic alone at peak rate, static power included.
        measured_j: measured joules per iteration, None where not measured.
    """

    bars: tuple[EnergyBar, ...]
    ideal_j: float
    measured_j: float | None

    @property
    def energy(self) -> EnergySplit:
        """Sum over the operators, by cause."""
        return sum((bar.energy for bar in self.bars), start=EnergySplit(0.0, 0.0, 0.0))

    @property
    def eta(self) -> float:
        """Attainable energy efficiency: ideal over modelled joules; 0 without FLOPs."""
        return self.ideal_j / self.energy.total_j if self.ideal_j else 0.0

    @property
    def quality(self) -> float | None:
        """Modelled over measured joules; None without a measurement."""
        return self.energy.total_j / self.measured_j if self.measured_j else None


def energy_waterline(
    operators: Sequence[OperatorCost],
    machine: Machine,
    latency_s: Sequence[float] | None = None,
    *,
    measured_j: float | None = None,
) -> EnergyWaterline:
    """The energy waterline of a sequence.

    Args:
        operators: in execution order.
        machine: what it runs on.
        latency_s: seconds of each operator that static power is paid for; None: the attainable ones.
        measured_j: measured joules per iteration of the whole sequence.

    Raises:
        MachineError: the sheet has no unit energy for an operator's data type.
        ValueError: ``latency_s`` is not as long as ``operators``.
    """
    times = [attainable_latency_s(op, machine) for op in operators] if latency_s is None else latency_s
    bars = tuple(
        EnergyBar(i, op.path or op.name, op.family, not op.flops, operator_energy_j(op, machine, time))
        for i, (op, time) in enumerate(zip(operators, times, strict=True))
    )
    return EnergyWaterline(bars, ideal_energy_j(operators, machine), measured_j)


def condensed(line: EnergyWaterline) -> EnergyWaterline:
    """The same joules in fewer bars: small operators by family, those without multiply-accumulates in one, last."""
    least_j = SMALL * line.energy.total_j
    kept: list[EnergyBar] = []
    small: dict[str, list[EnergyBar]] = {}
    for bar in line.bars:
        if bar.apart:
            small.setdefault("", []).append(bar)
        elif bar.energy.total_j < least_j:
            small.setdefault(bar.family, []).append(bar)
        else:
            kept.append(bar)
    families = [family for family in small if family] + ([""] if "" in small else [])
    return replace(line, bars=(*kept, *(_together(small[family]) for family in families)))


def _together(bars: Sequence[EnergyBar]) -> EnergyBar:
    """Several bars as one; a lone one keeps its name."""
    if len(bars) == 1:
        return bars[0]
    first = bars[0]
    what = "without MACs" if first.apart else f"small {first.family.removeprefix('conv_')}"
    energy = sum((bar.energy for bar in bars), start=EnergySplit(0.0, 0.0, 0.0))
    return replace(first, label=f"{len(bars)} {what}", energy=energy)
