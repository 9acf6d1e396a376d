"""What does a simulated board really do? The hidden truth that a simulated run has to find again.

It is deliberately not the analytic model: every kernel family reaches its own fraction of the peaks and pays its own
joules per operation, grouped convolutions fill vector lanes and pay for every group, launches cost more than a sheet
says, what is read again comes faster and cheaper from a cache that holds it, and a board at its power limit slows down.
The numbers are ours, chosen to be plausible and different from any
sheet; nobody measured them. They are exported with a simulated run, so that every estimate can be judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from energybench.cost import OperatorCost
from energybench.machine import Machine, peak_for


@dataclass(frozen=True)
class Quality:
    """What a kernel family reaches: fractions of peak and bandwidth, and its factor on the sheet's joules per FLOP."""

    arithmetic: float
    bandwidth: float
    operations: float


QUALITY: Mapping[str, Quality] = {
    "conv_dense": Quality(0.61, 0.78, 1.08),
    "conv_pointwise": Quality(0.54, 0.83, 1.15),
    "conv_grouped": Quality(0.23, 0.66, 1.52),
    "conv_depthwise": Quality(0.031, 0.71, 5.6),
    "gemm": Quality(0.72, 0.85, 1.0),
    "sparse": Quality(0.058, 0.57, 2.9),
    "normalisation": Quality(0.5, 0.80, 1.0),
    "elementwise": Quality(0.5, 0.87, 1.0),
    "pooling": Quality(0.5, 0.62, 1.0),
    "reduction": Quality(0.5, 0.70, 1.0),
    "copy": Quality(0.5, 0.90, 1.0),
    "other": Quality(0.3, 0.60, 1.3),
}
LANES = {"float16": 8, "bfloat16": 8, "int8": 16, "tf32": 4}
GROUP_S = 9e-9
LAUNCH_FACTOR = 1.2
STATIC_FACTOR = 0.93
BYTE_FACTOR = 1.11
L2_FACTOR = 2.2
"""Bandwidth of the last-level cache over that of the sheet's device memory."""
L2_BYTE_FACTOR = 0.3
"""Joules of a byte from that cache over those of a byte of device memory."""


@dataclass(frozen=True)
class WorkTruth:
    """True latency and power of one iteration in a steady loop, and the causes of its joules."""

    latency_s: float
    power_w: float
    operations_j: float
    bytes_j: float
    static_j: float

    @property
    def energy_per_iteration_j(self) -> float:
        """power_w x latency_s."""
        return self.power_w * self.latency_s


def work_truth(operators: Iterable[OperatorCost], machine: Machine) -> WorkTruth:
    """The truth of a sequence of operators on ``machine``, kernels one after another."""
    latency_s = operations_j = bytes_j = 0.0
    for op in operators:
        latency_s += operator_latency_s(op, machine)
        operations_j += (
            op.flops * machine.j_per_flop.get(op.dtype, max(machine.j_per_flop.values())) * _family(op).operations
        )
        byte_factor = BYTE_FACTOR * (L2_BYTE_FACTOR if _held(op, machine) else 1.0)
        bytes_j += (op.bytes + op.reread_bytes) * machine.j_per_byte * byte_factor
    static_w = machine.static_w * STATIC_FACTOR
    moving_j = operations_j + bytes_j
    if moving_j / latency_s + static_w > machine.tdp_w:
        latency_s = moving_j / (machine.tdp_w - static_w)
    static_j = static_w * latency_s
    return WorkTruth(latency_s, (moving_j + static_j) / latency_s, operations_j, bytes_j, static_j)


def operator_latency_s(op: OperatorCost, machine: Machine) -> float:
    """True time of one operator: the slower of arithmetic and memory at its family's quality, launch and groups."""
    quality = _family(op)
    flops = op.flops * _lane_factor(op)
    arithmetic_s = flops / (quality.arithmetic * peak_for(machine, op.dtype)) if flops else 0.0
    bandwidth = L2_FACTOR if _held(op, machine) else quality.bandwidth
    memory_s = (op.bytes + op.reread_bytes) / (bandwidth * machine.bandwidth_bytes_per_s)
    launch_s = machine.launch_s * LAUNCH_FACTOR if op.bytes else 0.0
    groups_s = op.groups * GROUP_S if op.family == "conv_grouped" else 0.0
    return max(arithmetic_s, memory_s) + launch_s + groups_s


def constants(machine: Machine) -> dict[str, float]:
    """The board's hidden constants, for the record: what ``fit`` should find."""
    hidden = {
        "static_w": machine.static_w * STATIC_FACTOR,
        "j_per_byte": machine.j_per_byte * BYTE_FACTOR,
        "launch_s": machine.launch_s * LAUNCH_FACTOR,
        "group_s": GROUP_S,
    }
    if machine.l2_bytes is not None:
        hidden["l2_bandwidth_bytes_per_s"] = L2_FACTOR * machine.bandwidth_bytes_per_s
    for dtype, j_per_flop in machine.j_per_flop.items():
        hidden |= {f"j_per_flop.{dtype}.{name}": j_per_flop * q.operations for name, q in QUALITY.items()}
    return hidden


def _family(op: OperatorCost) -> Quality:
    return QUALITY.get(op.family, QUALITY["other"])


def _held(op: OperatorCost, machine: Machine) -> bool:
    """Whether the last-level cache holds what an operator reads again and again, and so from iteration to iteration."""
    return op.reread_bytes > 0 and machine.l2_bytes is not None and op.read_bytes <= machine.l2_bytes


def _lane_factor(op: OperatorCost) -> float:
    lanes = LANES.get(op.dtype, 1)
    if op.family != "conv_grouped" or op.group_size == 0:
        return 1.0
    return lanes * math.ceil(op.group_size / lanes) / op.group_size
