"""How close is an operator to what the machine could do? The roofline in time, and its twin in joules.

In time, arithmetic and memory overlap and the slower one decides, unless both together want more than the board's power
limit. In energy they add, so the twin has no corner: its balance point is where half of the joules above static power
are spent on bytes.

Source: S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009; J. Choi, D. Bedard, R. Fowler, R. Vuduc,
"A Roofline Model of Energy", IPDPS 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from energybench.cost import OperatorCost
from energybench.machine import (
    Machine,
    arithmetic_latency_s,
    attainable_latency_s,
    memory_latency_s,
    peak_for,
    rate_dtype,
)

BOOST = 1.15
"""Efficiency that a clock above the one a peak is quoted at explains: H100 tensor peaks are quoted at 1830 of 1980 MHz
(8 %), consumer boards pass their rated boost by as much again. Ours."""

INTEGERS = ("int8", "uint8")

WINOGRAD = 4.0
"""Factor by which F(4x4, 3x3) saves multiplications, 144 / 36. Source: A. Lavin, S. Gray, CVPR 2016."""


@dataclass(frozen=True)
class EnergyRoof:
    """Joules per FLOP along intensities, by cause: three layers to stack.

    Attributes:
        intensity: FLOP/byte.
        operations_j_per_flop: constant.
        bytes_j_per_flop: falls as 1 / intensity.
        static_j_per_flop: static power over the attainable rate.
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
    """Attainable FLOP/s at each intensity (FLOP/byte of device memory, above zero)."""
    return np.minimum(classic_roof(machine, dtype, intensity), power_roof(machine, dtype, intensity))


def classic_roof(machine: Machine, dtype: str, intensity: ArrayLike) -> NDArray[np.float64]:
    """The same as far as arithmetic and memory alone decide."""
    return np.minimum(peak_for(machine, dtype), np.asarray(intensity, dtype=float) * machine.bandwidth_bytes_per_s)


def power_roof(machine: Machine, dtype: str, intensity: ArrayLike) -> NDArray[np.float64]:
    """FLOP/s at which operations and bytes draw the board's power limit; inf where energies are unknown."""
    points = np.asarray(intensity, dtype=float)
    if not machine.has_energy:
        return np.full_like(points, math.inf)
    moving_j_per_flop = machine.j_per_flop[rate_dtype(machine, dtype)] + machine.j_per_byte / points
    return np.asarray((machine.tdp_w - machine.static_w) / moving_j_per_flop)


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


def likely_causes(
    operators: Sequence[OperatorCost], machine: Machine, measured_s: float, *, sm_clock_hz: float | None = None
) -> tuple[str, ...]:
    """Why operators ran faster than the roofline allows, likeliest first; empty where they did not.

    Beating the roof is never an error of the run: one of the constants or counts does not hold for it.

    Args:
        operators: that ran one after another.
        machine: whose roof was beaten.
        measured_s: what they took.
        sm_clock_hz: clock they ran at, None where nobody read it.
    """
    if measured_s >= sum(attainable_latency_s(op, machine) for op in operators):
        return ()
    arithmetic_s = sum(arithmetic_latency_s(op, machine) for op in operators)
    causes = []
    if measured_s < arithmetic_s:
        causes += _arithmetic_causes(operators, machine, measured_s, sm_clock_hz)
    if measured_s < sum(memory_latency_s(op, machine) for op in operators):
        causes += _memory_causes(operators, machine)
    if measured_s >= sum(max(arithmetic_latency_s(op, machine), memory_latency_s(op, machine)) for op in operators):
        causes.append(
            "power limit: the sheet's unit energies are too high, or the board may draw more than its sheet says"
        )
    elif not causes or len(operators) > 1:
        causes.append("overlap or fusion: the operators did not run one after another, each with its own traffic")
    return tuple(causes)


def _arithmetic_causes(
    operators: Sequence[OperatorCost], machine: Machine, measured_s: float, sm_clock_hz: float | None
) -> list[str]:
    arithmetic_s = sum(arithmetic_latency_s(op, machine) for op in operators)
    winograd_s = sum(arithmetic_latency_s(op, machine) for op in operators if _may_be_winograd(op))
    attention_s = sum(arithmetic_latency_s(op, machine) for op in operators if "attention" in op.name)
    causes = []
    if winograd_s and measured_s >= arithmetic_s - (1 - 1 / WINOGRAD) * winograd_s:
        causes.append("Winograd: a dense 3x3 convolution can be computed with up to 4 times fewer multiplications")
    if attention_s and measured_s >= arithmetic_s - attention_s / 2:
        causes.append("causal attention: a mask is not discounted, and a kernel may skip the half that it hides")
    if arithmetic_s / measured_s <= BOOST:
        ran = f"at {sm_clock_hz / 1e9:.2f} GHz, which may be " if sm_clock_hz else ""
        causes.append(f"boosted clock: the device ran {ran}above the clock its peak is quoted at")
    dtypes = {op.dtype for op in operators if op.flops}
    if "float32" in dtypes and peak_for(machine, "tf32") > peak_for(machine, "float32"):
        causes.append("wrong peak: TF32 may have been used where float32 was asked for")
    elif measured_s >= _float16_accumulate_s(operators, machine):
        causes.append("wrong peak: sums may have been kept in float16, for which the sheet has a higher one")
    else:
        causes.append("wrong peak: the sheet's peak is too low, or for another accumulate type")
    return causes


def _float16_accumulate_s(operators: Sequence[OperatorCost], machine: Machine) -> float:
    """Seconds of arithmetic if sums are kept in float16; inf where that is no faster than in float32."""
    peaks = machine.float16_accumulate_peak_flops_per_s
    slower_s = [arithmetic_latency_s(op, machine) for op in operators]
    faster_s = [
        min(there_s, op.flops / peaks[op.dtype]) if op.dtype in peaks else there_s
        for op, there_s in zip(operators, slower_s, strict=True)
    ]
    return sum(faster_s) if faster_s != slower_s else math.inf


def _may_be_winograd(op: OperatorCost) -> bool:
    return op.family == "conv_dense" and op.kernel_size == 3 and op.stride <= 1 and op.dtype not in INTEGERS


def _memory_causes(operators: Sequence[OperatorCost], machine: Machine) -> list[str]:
    largest = max(op.bytes for op in operators)
    sizes = f"{_mebibytes(largest)} and {_mebibytes(machine.l2_bytes)} of cache" if machine.l2_bytes else ""
    if machine.l2_bytes and largest <= machine.l2_bytes:
        return [f"L2-resident: {_mebibytes(largest)} fit into the {_mebibytes(machine.l2_bytes)} cache"]
    return [f"partly L2-resident{f' ({sizes})' if sizes else ''}, or the sheet's bandwidth is too low"]


def _mebibytes(count: float) -> str:
    return f"{count / 2**20:.3g} MiB"
