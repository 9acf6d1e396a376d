"""What does an operator ask of a machine, and which class of kernels answers? Seconds at full rates, steps of its sums.

FLOPs are those of full tiles: channels that a narrow layer lacks are multiplied all the same. Sums of a matrix product
with few outputs are split over the lanes that would idle, so its outputs wait for fewer steps.

Source: ours. Judged, with what reaches these rates (``kernel_efficiency``), in docs/prediction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from energybench.analysis.group_energy import quantised, tensor_lanes
from energybench.cost import DTYPE_BYTES, Family, OperatorCost
from energybench.machine import Machine, peak_for, rate_dtype

FILTERS = {"_1x1": 1, "": 3, "_5x5": 5}
"""Part of a class's name -> longest filter side it holds; longer ones are ``_large``. Ours: what libraries have tuned
kernels for."""

STRIDED = "_strided"
WIDE = "_wide"
WIDE_FROM = 64
"""Side of the input from which a depthwise 1x1 filter that strides is a class of its own in float16: TensorRT runs
those at another rate. Found on the latencies of one card (docs/prediction.md): no other kernel is told apart by it."""

CONVOLUTIONS = frozenset[Family](["conv_dense", "conv_grouped", "conv_depthwise", "conv_pointwise"])
TILED = frozenset[Family](["conv_dense", "conv_pointwise"])

SPLIT = "_weight_gradient"
"""End of the names of operators whose sum (over the batch and all pixels) libraries always split over the idle cores,
so that no output waits for a chain. Ours."""

CLOCK_HZ = 1.5e9
"""What a float32 peak is divided by to count lanes, which sheets do not hold. Assumed: ten years' boards boost to
1.1-2.5 GHz."""

LANE_OUTPUTS = 64
"""Outputs of a matrix product that one lane works on, 8 x 8 in its registers, in the products of vendor libraries. With
fewer outputs lanes would idle, and libraries split the sums over them (split-K)."""

TILES: Mapping[str, tuple[int, int]] = {"float32": (1, 32), "float16": (16, 64), "int8": (4, 32)}
"""Kind of arithmetic -> input and output channels that a dense convolution's tile is filled up to. A warp has 32
threads, DP4A takes four channels at once, tensor cores 16; the 64 was chosen on the data (docs/prediction.md)."""

ARITHMETIC: Mapping[str, str] = {"float64": "float32", "tf32": "float16", "bfloat16": "float16", "float8": "int8"}
"""Formats that behave as another: what runs on the same units, tensor cores (``float16``) or lanes (``float32``)."""


@dataclass(frozen=True)
class KernelDemand:
    """What one operator asks of one machine, at the machine's full rates.

    Attributes:
        kernel_class: whose numbers apply.
        arithmetic_kind: ``float32``, ``float16`` (tensor cores) or ``int8``.
        arithmetic_s: seconds at peak, lanes filled up.
        memory_s: seconds at full bandwidth.
        steps: length of the sum behind one output.
        groups: of a grouped convolution, else 0.
    """

    kernel_class: str
    arithmetic_kind: str
    arithmetic_s: float
    memory_s: float
    steps: float
    groups: int


def kernel_class(op: OperatorCost) -> str:
    """The class whose numbers apply: the family; of convolutions also the filter's side and whether it is strided."""
    if op.family not in CONVOLUTIONS:
        return op.family
    fitting = (part for part, side in FILTERS.items() if op.kernel_size <= side)
    filter_part = "" if op.family == "conv_pointwise" else next(fitting, "_large")
    name = f"{op.family}{filter_part}{STRIDED if op.stride > 1 else ''}"
    of_wide = f"conv_depthwise_1x1{STRIDED}", "float16"
    wide = (name, ARITHMETIC.get(op.dtype, op.dtype)) == of_wide and op.input_side >= WIDE_FROM
    return f"{name}{WIDE}" if wide else name


def kernel_demand(op: OperatorCost, machine: Machine) -> KernelDemand:
    """What ``op`` asks of ``machine``.

    Raises:
        MachineError: the machine has no peak for the operator's data type.
    """
    arithmetic_s, steps, kind = 0.0, 0.0, op.dtype
    if op.macs:
        kind = rate_dtype(machine, op.dtype)
        arithmetic_s = _fill(op, machine) * op.flops / peak_for(machine, op.dtype)
        steps = _steps(op, machine)
    return KernelDemand(
        kernel_class=kernel_class(op),
        arithmetic_kind=_arithmetic_kind(kind),
        arithmetic_s=arithmetic_s,
        memory_s=op.bytes / machine.bandwidth_bytes_per_s,
        steps=steps,
        groups=op.groups if op.family == "conv_grouped" else 0,
    )


def _fill(op: OperatorCost, machine: Machine) -> float:
    """Multiplications done over those wanted: a tile is worked through whether its channels exist or not."""
    if op.family == "conv_grouped" and op.group_size:
        return quantised(op.group_size, tensor_lanes(machine, op.dtype)) / op.group_size
    if op.family not in TILED:
        return 1.0
    channels, filters = TILES[_arithmetic_kind(rate_dtype(machine, op.dtype))]
    wanted = max(op.group_size, 1) * max(op.out_channels, 1)
    return quantised(max(op.group_size, 1), channels) * quantised(max(op.out_channels, 1), filters) / wanted


def _steps(op: OperatorCost, machine: Machine) -> float:
    """Steps of a sum that one output waits for."""
    outputs = op.write_bytes / DTYPE_BYTES[op.dtype]
    if not outputs or op.name.endswith(SPLIT):
        return 0.0
    busy = 1.0
    if op.family == "gemm" and "float32" in machine.peak_flops_per_s:
        lanes = machine.peak_flops_per_s["float32"] / (2 * CLOCK_HZ)
        busy = min(1.0, outputs / (LANE_OUTPUTS * lanes))
    return busy * op.macs / outputs


def _arithmetic_kind(dtype: str) -> str:
    kind = ARITHMETIC.get(dtype, dtype)
    return kind if kind in TILES else "float32"
