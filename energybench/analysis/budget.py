"""Where do the seconds and joules of a sequence of operators go, from the arithmetic to what was measured?

Seconds: arithmetic at peak, then what memory adds, the operators without multiply-accumulates, what kernels lose
against their own roofline, and what passes between them. They add up to the wall time and hold the three factors

    C = attainable x kernel quality x busy fraction        (``waterline``)

Joules: operations, bytes, and static power for as long as it took; what is left is what the model does not know.
Losses below zero (a kernel beats its roofline, operators timed apart take longer than together) stay below zero.

Source: ours, after A. Lavin (arXiv 2404.03617) for the factors, J. Choi et al., IPDPS 2013, for the joules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.waterline import Waterline, waterline
from energybench.cost import OperatorCost
from energybench.cost.fusion import epilogues_fused
from energybench.machine import Machine, operator_energy_j


@dataclass(frozen=True)
class TimeBudget:
    """Seconds of one iteration, by cause; None where a cause was not measured.

    Attributes:
        arithmetic_s: all arithmetic at peak.
        memory_s: what memory adds to operators with multiply-accumulates.
        apart_s: attainable seconds of operators without.
        kernels_s: measured operators over their attainable seconds; with ``between_s`` unknown, all of the rest.
        between_s: wall time in which no operator ran; None where operators were not timed.
        wall_s: measured seconds.
        fused_s: attainable seconds if everything that only passes over a result were fused into what made it.
        line: the waterline it is read from.
    """

    arithmetic_s: float
    memory_s: float
    apart_s: float
    kernels_s: float | None
    between_s: float | None
    wall_s: float | None
    fused_s: float
    line: Waterline

    @property
    def attainable_s(self) -> float:
        """Every operator on its own roofline, one after another."""
        return self.arithmetic_s + self.memory_s + self.apart_s


@dataclass(frozen=True)
class EnergyBudget:
    """Joules of one iteration, by cause.

    Attributes:
        operations_j: all arithmetic.
        bytes_j: compulsory bytes of operators with multiply-accumulates.
        apart_j: compulsory bytes of operators without.
        static_j: static power over the measured time, over the attainable time where nothing was measured.
        measured_j: what was measured, None where nothing was.
    """

    operations_j: float
    bytes_j: float
    apart_j: float
    static_j: float
    measured_j: float | None

    @property
    def modelled_j(self) -> float:
        """All causes together."""
        return self.operations_j + self.bytes_j + self.apart_j + self.static_j

    @property
    def rest_j(self) -> float | None:
        """Measured joules the causes do not explain; below zero where the model is too dear."""
        return None if self.measured_j is None else self.measured_j - self.modelled_j


def time_budget(
    operators: Sequence[OperatorCost],
    machine: Machine,
    measured_s: Sequence[float | None] | None = None,
    *,
    wall_s: float | None = None,
) -> TimeBudget:
    """The seconds of a sequence; arguments as of ``waterline``.

    Raises:
        MachineError: the sheet has no peak for an operator's data type.
        ValueError: ``measured_s`` is not as long as ``operators``.
    """
    line = waterline(operators, machine, measured_s, wall_s=wall_s)
    kernels_s = between_s = None
    if line.measured_s is not None:
        kernels_s = line.measured_s - line.attainable_s
        between_s = None if wall_s is None else wall_s - line.measured_s
    elif wall_s is not None:
        kernels_s = wall_s - line.attainable_s
    return TimeBudget(
        arithmetic_s=line.tau_s,
        memory_s=line.attainable_s - line.apart_s - line.tau_s,
        apart_s=line.apart_s,
        kernels_s=kernels_s,
        between_s=between_s,
        wall_s=wall_s,
        fused_s=waterline(epilogues_fused(operators), machine).attainable_s,
        line=line,
    )


def energy_budget(
    operators: Sequence[OperatorCost], machine: Machine, *, wall_s: float | None = None, measured_j: float | None = None
) -> EnergyBudget:
    """The joules of a sequence.

    Args:
        operators: in execution order.
        machine: what it runs on.
        wall_s: measured seconds of the whole sequence.
        measured_j: measured joules of it.

    Raises:
        MachineError: the sheet has no unit energy for an operator's data type.
    """
    latency_s = waterline(operators, machine).attainable_s if wall_s is None else wall_s
    parts = [(op, operator_energy_j(op, machine, 0.0)) for op in operators]
    return EnergyBudget(
        operations_j=sum(energy.operations_j for _, energy in parts),
        bytes_j=sum(energy.bytes_j for op, energy in parts if op.macs),
        apart_j=sum(energy.bytes_j for op, energy in parts if not op.macs),
        static_j=machine.static_w * latency_s,
        measured_j=measured_j,
    )
