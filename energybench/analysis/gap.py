"""How far is a model from its arithmetic? The efficiency gap between ideal and actual latency, and between joules.

Ideal latency is arithmetic at peak, so on a log axis equal distance is equal computational efficiency. The energy twin
takes the joules of the same arithmetic at peak rate; bytes and waiting are the gap.

Source: A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617 (ideal and actual latency,
the gap as their distance); the log axis and the energy twin are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from energybench.cost import OperatorCost
from energybench.machine import Machine, arithmetic_latency_s, operator_energy_j


@dataclass(frozen=True)
class LatencyGap:
    """Ideal and actual seconds per inference.

    Attributes:
        ideal_s: FLOPs of one inference at peak; 0 without multiply-accumulates.
        actual_s: measured (or modelled) seconds per inference.
    """

    ideal_s: float
    actual_s: float

    @property
    def efficiency(self) -> float | None:
        """Computational efficiency, ideal over actual; None where there is no arithmetic to compare with."""
        return _efficiency(self.ideal_s, self.actual_s)

    @property
    def factor(self) -> float | None:
        """How many times longer than ideal."""
        return _factor(self.ideal_s, self.actual_s)

    @property
    def decades(self) -> float | None:
        """Width of the gap on a log10 axis; below 0 where the actual beats the ideal."""
        return _decades(self.ideal_s, self.actual_s)


@dataclass(frozen=True)
class EnergyGap:
    """Ideal and actual joules per inference.

    Attributes:
        ideal_j: joules of the FLOPs of one inference at peak rate; 0 without multiply-accumulates.
        actual_j: measured (or modelled) joules per inference.
    """

    ideal_j: float
    actual_j: float

    @property
    def efficiency(self) -> float | None:
        """Ideal over actual joules; None where there is no arithmetic to compare with."""
        return _efficiency(self.ideal_j, self.actual_j)

    @property
    def factor(self) -> float | None:
        """How many times more joules than ideal."""
        return _factor(self.ideal_j, self.actual_j)

    @property
    def decades(self) -> float | None:
        """Width of the gap on a log10 axis; below 0 where the actual beats the ideal."""
        return _decades(self.ideal_j, self.actual_j)


def ideal_latency_s(operators: Iterable[OperatorCost], machine: Machine) -> float:
    """Seconds per iteration of the operators' arithmetic at peak, each in its own data type.

    Raises:
        MachineError: the sheet has no peak for an operator's data type.
    """
    return sum(arithmetic_latency_s(op, machine) for op in operators)


def ideal_energy_j(
    operators: Iterable[OperatorCost], machine: Machine, *, reference_power_w: float | None = None
) -> float:
    """Joules per iteration of the operators' arithmetic at peak rate: no bytes, no waiting.

    Args:
        operators: of one iteration.
        machine: what it runs on.
        reference_power_w: power measured on a matrix product at peak rate. None: operations plus static power from
            the machine sheet.

    Raises:
        MachineError: the sheet has no peak for an operator's data type.
    """
    if reference_power_w is not None:
        return reference_power_w * ideal_latency_s(operators, machine)
    energies = (operator_energy_j(op, machine, arithmetic_latency_s(op, machine)) for op in operators)
    return sum(energy.operations_j + energy.static_j for energy in energies)


def latency_gap(operators: Iterable[OperatorCost], machine: Machine, latency_s: float, *, batch: int = 1) -> LatencyGap:
    """The gap of one case.

    Args:
        operators: of one iteration.
        machine: what it ran on.
        latency_s: seconds per iteration.
        batch: inferences of one iteration.
    """
    return LatencyGap(ideal_latency_s(operators, machine) / batch, latency_s / batch)


def energy_gap(
    operators: Iterable[OperatorCost],
    machine: Machine,
    energy_j: float,
    *,
    batch: int = 1,
    reference_power_w: float | None = None,
) -> EnergyGap:
    """The energy gap of one case.

    Args:
        operators: of one iteration.
        machine: what it ran on.
        energy_j: joules per iteration.
        batch: inferences of one iteration.
        reference_power_w: as in ``ideal_energy_j``.
    """
    ideal_j = ideal_energy_j(operators, machine, reference_power_w=reference_power_w)
    return EnergyGap(ideal_j / batch, energy_j / batch)


def _efficiency(ideal: float, actual: float) -> float | None:
    return ideal / actual if ideal > 0 and actual > 0 else None


def _factor(ideal: float, actual: float) -> float | None:
    return actual / ideal if ideal > 0 and actual > 0 else None


def _decades(ideal: float, actual: float) -> float | None:
    return math.log10(actual / ideal) if ideal > 0 and actual > 0 else None
