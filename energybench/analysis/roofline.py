"""How close is an operator to what the machine could do? The roofline in time, and its twin in joules.

In time, arithmetic and memory overlap and the slower one decides. In energy they add, so the twin has no corner: its
balance point is where half of the joules above static power are spent on bytes.

Source: S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009; J. Choi, D. Bedard, R. Fowler, R. Vuduc,
"A Roofline Model of Energy", IPDPS 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from energybench.cost import OperatorCost
from energybench.machine import (
    EnergySplit,
    Machine,
    arithmetic_latency_s,
    attainable_latency_s,
    memory_latency_s,
    operator_energy_j,
    peak_for,
    rate_dtype,
)

Bound = Literal["arithmetic", "memory"]

BOOST = 1.15
"""Efficiency that a clock above the one a peak is quoted at explains: H100 tensor peaks are quoted at 1830 of 1980 MHz
(8 %), consumer boards pass their rated boost by as much again. Ours."""

WINOGRAD = 4.0
"""Factor by which F(4x4, 3x3) saves multiplications, 144 / 36. Source: A. Lavin, S. Gray, CVPR 2016."""


@dataclass(frozen=True)
class RooflinePoint:
    """One operator, or the operators of one case together, under the roof.

    Attributes:
        label: module path, operator or case.
        flops: per iteration.
        bytes: compulsory bytes per iteration.
        intensity: operational intensity in FLOP/byte; inf where nothing is moved.
        bound: the resource that takes longer, by totals.
        ideal_s: FLOPs at peak.
        attainable_s: on the roofline; of several operators, one after another.
        measured_s: measured seconds per iteration, None where not measured.
        causes: why the measurement beats the roof, likeliest first; empty where it does not.
    """

    label: str
    flops: int
    bytes: int
    intensity: float
    bound: Bound
    ideal_s: float
    attainable_s: float
    measured_s: float | None
    causes: tuple[str, ...]

    @property
    def attainable_flops_per_s(self) -> float:
        """FLOP/s on the roofline; 0 without multiply-accumulates."""
        return self.flops / self.attainable_s if self.attainable_s else 0.0

    @property
    def achieved_flops_per_s(self) -> float | None:
        """FLOP/s that were measured."""
        return self.flops / self.measured_s if self.measured_s else None

    @property
    def efficiency(self) -> float | None:
        """Computational efficiency: ideal over measured time; None without a measurement or without FLOPs."""
        return self.ideal_s / self.measured_s if self.measured_s and self.flops else None

    @property
    def roof_share(self) -> float | None:
        """Attainable over measured time: 1 on the roof, above 1 flagged by ``causes``."""
        return self.attainable_s / self.measured_s if self.measured_s else None


@dataclass(frozen=True)
class EnergyPoint:
    """One operator, or the operators of one case together, against the energy roofline.

    Attributes:
        label: module path, operator or case.
        flops: per iteration.
        intensity: operational intensity in FLOP/byte.
        modelled: joules per iteration on the roofline, by cause.
        measured_j: measured joules per iteration, None where not measured.
    """

    label: str
    flops: int
    intensity: float
    modelled: EnergySplit
    measured_j: float | None

    @property
    def efficiency(self) -> float | None:
        """Modelled over measured joules; None without a measurement."""
        return self.modelled.total_j / self.measured_j if self.measured_j else None


@dataclass(frozen=True)
class EnergyRoof:
    """Joules per FLOP along intensities, by cause: three layers to stack.

    Attributes:
        intensity: FLOP/byte.
        operations_j_per_flop: constant.
        bytes_j_per_flop: falls as 1 / intensity.
        static_j_per_flop: static power over the attainable rate; flat from the time balance on.
    """

    intensity: NDArray[np.float64]
    operations_j_per_flop: NDArray[np.float64]
    bytes_j_per_flop: NDArray[np.float64]
    static_j_per_flop: NDArray[np.float64]

    @property
    def total_j_per_flop(self) -> NDArray[np.float64]:
        """The stack's height."""
        return self.operations_j_per_flop + self.bytes_j_per_flop + self.static_j_per_flop

    @property
    def flops_per_j(self) -> NDArray[np.float64]:
        """The energy roofline as it is usually drawn."""
        return 1.0 / self.total_j_per_flop


def roofline_point(op: OperatorCost, machine: Machine, measured_s: float | None = None) -> RooflinePoint:
    """The operator under the machine's roof.

    Raises:
        MachineError: the sheet has no peak for the operator's data type.
    """
    return case_roofline([op], machine, measured_s, label=op.path or op.name)


def case_roofline(
    operators: Sequence[OperatorCost], machine: Machine, measured_s: float | None = None, *, label: str
) -> RooflinePoint:
    """All operators of one iteration as one point, with the attainable time of running them one after another.

    Its ``attainable_s`` is therefore at or above the roof drawn at its intensity (see ``waterline``).

    Raises:
        MachineError: the sheet has no peak for an operator's data type.
    """
    flops, traffic = sum(op.flops for op in operators), sum(op.bytes for op in operators)
    ideal_s = sum(arithmetic_latency_s(op, machine) for op in operators)
    return RooflinePoint(
        label=label,
        flops=flops,
        bytes=traffic,
        intensity=_intensity(flops, traffic),
        bound="arithmetic" if ideal_s >= sum(memory_latency_s(op, machine) for op in operators) else "memory",
        ideal_s=ideal_s,
        attainable_s=sum(attainable_latency_s(op, machine) for op in operators),
        measured_s=measured_s,
        causes=likely_causes(operators, machine, measured_s) if measured_s else (),
    )


def energy_point(
    operators: Sequence[OperatorCost], machine: Machine, measured_j: float | None = None, *, label: str
) -> EnergyPoint:
    """The joules the operators would take at their attainable latencies, beside what they took.

    Raises:
        MachineError: the sheet has no unit energy for an operator's data type.
    """
    parts = (operator_energy_j(op, machine, attainable_latency_s(op, machine)) for op in operators)
    flops = sum(op.flops for op in operators)
    return EnergyPoint(
        label=label,
        flops=flops,
        intensity=_intensity(flops, sum(op.bytes for op in operators)),
        modelled=sum(parts, start=EnergySplit(0.0, 0.0, 0.0)),
        measured_j=measured_j,
    )


def time_balance(machine: Machine, dtype: str) -> float:
    """Machine balance in FLOP/byte: the intensity at which arithmetic and memory take equally long.

    Raises:
        MachineError: the sheet has no peak for ``dtype``.
    """
    return peak_for(machine, dtype) / machine.bandwidth_bytes_per_s


def energy_balance(machine: Machine, dtype: str) -> float:
    """Intensity in FLOP/byte at which operations and bytes cost equal joules; inf where operations are free.

    Raises:
        MachineError: the sheet has no unit energy for ``dtype``.
    """
    j_per_flop = machine.j_per_flop[rate_dtype(machine, dtype)]
    return machine.j_per_byte / j_per_flop if j_per_flop else math.inf


def time_roof(machine: Machine, dtype: str, intensity: ArrayLike) -> NDArray[np.float64]:
    """Attainable FLOP/s at each intensity (FLOP/byte of device memory)."""
    return np.minimum(peak_for(machine, dtype), np.asarray(intensity, dtype=float) * machine.bandwidth_bytes_per_s)


def l2_roof(machine: Machine, dtype: str, intensity: ArrayLike) -> NDArray[np.float64] | None:
    """Attainable FLOP/s where all bytes come from the last-level cache; None where its bandwidth is unknown."""
    if machine.l2_bandwidth_bytes_per_s is None:
        return None
    return np.minimum(peak_for(machine, dtype), np.asarray(intensity, dtype=float) * machine.l2_bandwidth_bytes_per_s)


def energy_roof(machine: Machine, dtype: str, intensity: ArrayLike) -> EnergyRoof:
    """Joules per FLOP at each intensity (FLOP/byte, above zero), at the attainable rate."""
    points = np.asarray(intensity, dtype=float)
    return EnergyRoof(
        intensity=points,
        operations_j_per_flop=np.full_like(points, machine.j_per_flop[rate_dtype(machine, dtype)]),
        bytes_j_per_flop=machine.j_per_byte / points,
        static_j_per_flop=machine.static_w / time_roof(machine, dtype, points),
    )


def likely_causes(operators: Sequence[OperatorCost], machine: Machine, measured_s: float) -> tuple[str, ...]:
    """Why operators ran faster than the roofline allows; empty where they did not.

    Beating the roof is never an error of the run: one of the constants or counts does not hold for it.
    """
    if measured_s >= sum(attainable_latency_s(op, machine) for op in operators):
        return ()
    arithmetic_s = sum(arithmetic_latency_s(op, machine) for op in operators)
    causes = []
    if measured_s < arithmetic_s:
        causes += _arithmetic_causes(operators, machine, arithmetic_s / measured_s)
    if measured_s < sum(memory_latency_s(op, machine) for op in operators):
        causes += _memory_causes(operators, machine)
    if not causes or len(operators) > 1:
        causes.append("overlap or fusion: the operators did not run one after another, each with its own traffic")
    return tuple(causes)


def _arithmetic_causes(operators: Sequence[OperatorCost], machine: Machine, efficiency: float) -> list[str]:
    causes = []
    if efficiency <= WINOGRAD and any(op.family == "conv_dense" and op.kernel_size == 3 for op in operators):
        causes.append("Winograd: a dense 3x3 convolution can be computed with up to 4 times fewer multiplications")
    if efficiency <= BOOST:
        causes.append("boosted clock: the device ran above the clock its peak is quoted at")
    dtypes = {op.dtype for op in operators if op.flops}
    if "float32" in dtypes and peak_for(machine, "tf32") > peak_for(machine, "float32"):
        causes.append("wrong peak: TF32 may have been used where float32 was asked for")
    else:
        causes.append("wrong peak: the sheet's peak is too low, or for another accumulate type")
    return causes


def _memory_causes(operators: Sequence[OperatorCost], machine: Machine) -> list[str]:
    largest = max(op.bytes for op in operators)
    if machine.l2_bytes is not None and largest <= machine.l2_bytes:
        return [f"L2-resident: {largest / 2**20:.3g} MiB fit into the {machine.l2_bytes / 2**20:.3g} MiB cache"]
    return ["partly L2-resident, or the sheet's bandwidth is too low"]


def _intensity(flops: int, traffic: int) -> float:
    return flops / traffic if traffic else math.inf
