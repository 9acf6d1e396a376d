"""What does a grouped convolution cost at each group size: MACs, bytes, seconds and joules?

    n(G)     = B S C G K^2                    MACs; W(G) = C G K^2 weights, A = 2 B S C activations
    reuse    = n / (W + A),                   1 / reuse = 1 / (B S) + 2 / (G K^2): the channels drop out
    T(G)     = max(2 n_lanes / peak, bytes / bandwidth) + launch + (C / G) x seconds per group,
               or longer: as long as the joules of operations and bytes take at the power limit
    joules   = 2 n_lanes x J/FLOP + bytes x J/B + static power x T(G)

Without a cost per group joules per inference rise with G and joules per MAC fall, so neither has an optimum inside.

Source: ours (standard counts; three-term energy as in ``machine``). The cost per group is the one real 1 / G term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from energybench.analysis.allocation import LinearPlusInverse
from energybench.cost import DTYPE_BYTES
from energybench.errors import EnergyBenchError
from energybench.machine import EnergySplit, Machine, peak_for, rate_dtype

TENSOR_LANES = 8
"""Channels a tensor-core instruction takes at a time: the 8 of m16n8k8. Source: spio README, on its group width."""


@dataclass(frozen=True)
class GroupedShape:
    """A grouped convolution but for its group size: C in and C out, stride 1, padding that keeps the size.

    Attributes:
        channels: C, input and output channels.
        size: side of input and output in pixels.
        kernel_size: K, side of the filter.
        batch: B, inferences of one iteration.
        dtype: data type of all tensors.
    """

    channels: int
    size: int
    kernel_size: int
    batch: int
    dtype: str

    @property
    def positions(self) -> int:
        """Output positions of a batch, B x S."""
        return self.batch * self.size**2

    @property
    def activations(self) -> int:
        """Elements of input and output, whatever the group size."""
        return 2 * self.channels * self.positions

    def macs(self, group_size: float) -> float:
        """Multiply-accumulates of an iteration."""
        return self.channels * group_size * self.kernel_size**2 * self.positions

    def params(self, group_size: float) -> float:
        """Weights, without bias."""
        return self.channels * group_size * self.kernel_size**2

    def bytes(self, group_size: float) -> float:
        """Compulsory bytes of an iteration: every weight and activation once."""
        return DTYPE_BYTES[self.dtype] * (self.params(group_size) + self.activations)

    def reuse(self, group_size: float) -> float:
        """Arithmetic intensity in MACs per element moved."""
        return self.macs(group_size) / (self.params(group_size) + self.activations)


@dataclass(frozen=True)
class GroupedKernel:
    """How the hardware is assumed to run it.

    Attributes:
        lanes: channels of a group the arithmetic takes at a time (1: any number without waste).
        group_overhead_s: seconds per group: loop, prologue, partial tiles.
        power_cap_w: the board's mean power is held at or below it by taking longer; None: the board's own limit. A real
            board also lowers its voltage, which this leaves out.
    """

    lanes: int = 1
    group_overhead_s: float = 0.0
    power_cap_w: float | None = None


def power_limit_w(machine: Machine, power_cap_w: float | None) -> float:
    """What the board may draw on average: its own limit, or a cap below that."""
    return machine.tdp_w if power_cap_w is None else min(power_cap_w, machine.tdp_w)


def refuse_starving(machine: Machine, power_cap_w: float | None) -> None:
    """Refuse a power cap that leaves nothing for work.

    Raises:
        EnergyBenchError: it is not above the machine's static power.
    """
    if power_cap_w is not None and power_cap_w <= machine.static_w:
        raise EnergyBenchError(
            f"a power cap of {power_cap_w:g} W is not above the static power of {machine.static_w:g} W",
            where="model group-size",
            why="no power is left for work, so nothing would ever end",
            remedy=f"a cap between {machine.static_w:g} and {machine.tdp_w:g} W",
        )


def tensor_lanes(machine: Machine, dtype: str) -> int:
    """``TENSOR_LANES`` where the data type runs on tensor cores, 1 where it runs on float32 lanes.

    Raises:
        MachineError: the sheet has no peak for ``dtype``.
    """
    return 1 if rate_dtype(machine, dtype) in {"float32", "float64"} else TENSOR_LANES


def quantised(group_size: float, lanes: int) -> float:
    """Channels computed for a group: whole multiples of ``lanes``, so flat up to the first; with 1 lane no rounding."""
    return lanes * math.ceil(group_size / lanes) if lanes > 1 else group_size


def roofline_s(shape: GroupedShape, group_size: float, machine: Machine, computed: float | None = None) -> float:
    """Seconds per iteration on the roofline: no launch, no cost per group.

    Args:
        shape: the layer.
        group_size: real, above zero.
        machine: where it runs.
        computed: channels of a group that are computed where lanes round them up; None: ``group_size``.

    Raises:
        MachineError: the sheet has no peak for the data type.
    """
    arithmetic_s = 2 * shape.macs(group_size if computed is None else computed) / peak_for(machine, shape.dtype)
    return max(arithmetic_s, shape.bytes(group_size) / machine.bandwidth_bytes_per_s)


def group_latency_s(shape: GroupedShape, group_size: float, machine: Machine, kernel: GroupedKernel) -> float:
    """Seconds per iteration: roofline, one launch and the groups' own time, or longer where the power limit decides.

    Raises:
        MachineError: the sheet has no peak for the data type.
    """
    return _latency_s(shape, group_size, quantised(group_size, kernel.lanes), machine, kernel)


def group_energy_j(shape: GroupedShape, group_size: float, machine: Machine, kernel: GroupedKernel) -> EnergySplit:
    """Joules per iteration, by cause.

    Raises:
        MachineError: the sheet has no unit energy for the data type.
    """
    return _energy_j(shape, group_size, quantised(group_size, kernel.lanes), machine, kernel)


def _work_j(shape: GroupedShape, group_size: float, computed: float, machine: Machine) -> tuple[float, float]:
    """Joules of operations and of bytes."""
    j_per_flop = machine.j_per_flop[rate_dtype(machine, shape.dtype)]
    return 2 * shape.macs(computed) * j_per_flop, shape.bytes(group_size) * machine.j_per_byte


def _latency_s(
    shape: GroupedShape, group_size: float, computed: float, machine: Machine, kernel: GroupedKernel
) -> float:
    latency_s = roofline_s(shape, group_size, machine, computed) + machine.launch_s
    latency_s += shape.channels / group_size * kernel.group_overhead_s
    spare_w = power_limit_w(machine, kernel.power_cap_w) - machine.static_w
    return max(latency_s, sum(_work_j(shape, group_size, computed, machine)) / spare_w)


def _energy_j(
    shape: GroupedShape, group_size: float, computed: float, machine: Machine, kernel: GroupedKernel
) -> EnergySplit:
    latency_s = _latency_s(shape, group_size, computed, machine, kernel)
    return EnergySplit(*_work_j(shape, group_size, computed, machine), static_j=latency_s * machine.static_w)


def arithmetic_bound_curve(shape: GroupedShape, machine: Machine, kernel: GroupedKernel) -> LinearPlusInverse:
    """Joules per iteration as c0 + a G + b / G where arithmetic is the bound and lanes are not: G* = sqrt(b / a).

    Raises:
        MachineError: the sheet has no peak for the data type.
    """
    j_per_flop = machine.j_per_flop[rate_dtype(machine, shape.dtype)] + machine.static_w / peak_for(
        machine, shape.dtype
    )
    bytes_at_zero = shape.bytes(0)
    return LinearPlusInverse(
        constant=bytes_at_zero * machine.j_per_byte + machine.static_w * machine.launch_s,
        per_group_size=2 * shape.macs(1) * j_per_flop + (shape.bytes(1) - bytes_at_zero) * machine.j_per_byte,
        per_group=shape.channels * machine.static_w * kernel.group_overhead_s,
    )


def energy_optimum(shape: GroupedShape, machine: Machine, kernel: GroupedKernel) -> float:
    """The real group size in 1 .. C with the least joules per iteration; an end of it where there is none inside.

    Lanes are relaxed to max(G, lanes). Joules are then the larger of convex functions of G, so there is one least.

    Raises:
        MachineError: the sheet has no peak for the data type.
    """
    if shape.channels == 1:
        return 1.0

    def joules(log_size: float) -> float:
        size = math.exp(log_size)
        return _energy_j(shape, size, max(size, float(kernel.lanes)), machine, kernel).total_j

    ends = (0.0, math.log(shape.channels))
    least = minimize_scalar(joules, bounds=ends, method="bounded", options={"xatol": 1e-9})
    return math.exp(min((float(least.x), *ends), key=joules))


def knee(shape: GroupedShape, machine: Machine, power_cap_w: float | None = None) -> float:
    """The group size up to which arithmetic costs no time, for large batches: b rho / K^2.

    A power cap may end that earlier: where the FLOPs' joules use up what moving bytes at full bandwidth leaves of the
    power. 0 where the bytes alone need it all. Without one no limit is counted, not even the board's own: this
    difference of two nearly equal powers is no better known than assumed joules per byte, and on most data sheets'
    boards nothing.

    Raises:
        MachineError: the sheet has no peak for the data type.
    """
    flops_per_byte = peak_for(machine, shape.dtype) / machine.bandwidth_bytes_per_s
    if power_cap_w is not None:
        spare_j = (
            power_limit_w(machine, power_cap_w) - machine.static_w
        ) / machine.bandwidth_bytes_per_s - machine.j_per_byte
        j_per_flop = machine.j_per_flop[rate_dtype(machine, shape.dtype)]
        flops_per_byte = min(flops_per_byte, max(spare_j, 0.0) / j_per_flop)
    return DTYPE_BYTES[shape.dtype] * flops_per_byte / shape.kernel_size**2


def knee_of_batch(shape: GroupedShape, machine: Machine) -> float | None:
    """The same at this size and batch, weights counted, no cap; None where memory is the bound at every group size."""
    inverse = 1 / knee(shape, machine) - shape.kernel_size**2 / (2 * shape.positions)
    return 1 / inverse if inverse > 0 else None
