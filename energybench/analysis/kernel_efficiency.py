"""How long does a library's kernel take, if not as long as the roofline says? A few fractions a kernel family.

    T = launch + groups x group_s + macs / outputs x step_s + (arithmetic^p + memory^p)^(1/p)
    arithmetic = flops / (a x peak)          memory = bytes / (b x bandwidth)

``a`` and ``b`` are what a large kernel of the family reaches of the sheet's peak and bandwidth. ``step_s`` is what one
step of the sum behind every output takes (a small kernel waits for that chain, not for throughput: the saturating
part). p says how arithmetic and memory overlap: 1 not at all, large perfectly. FLOPs are those of full tiles: channels
that a narrow layer lacks are multiplied all the same. Kernels of one family and one kind of arithmetic share their
numbers; convolutions also need the same stride (one or more: Winograd wants one) and a filter of about the same side.

Source: ours. Constants and where they come from: ``efficiency/*.yaml``. A fraction above 1 is possible and says that
fewer operations or bytes than counted were moved (Winograd; an L2 that holds the data).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from energybench.analysis.group_energy import quantised, tensor_lanes
from energybench.cost import DTYPE_BYTES, Family, OperatorCost
from energybench.errors import MachineError
from energybench.machine import Machine, peak_for, rate_dtype

FILTERS = {"_1x1": 1, "": 3, "_5x5": 5}
"""Part of a class's name -> longest filter side it holds; longer ones are ``_large``. Ours: what libraries have tuned
kernels for."""

STRIDED = "_strided"
CONVOLUTIONS = frozenset[Family](["conv_dense", "conv_grouped", "conv_depthwise", "conv_pointwise"])
TILED = frozenset[Family](["conv_dense", "conv_pointwise"])

TILES: Mapping[str, tuple[int, int]] = {"float32": (1, 32), "float16": (16, 64), "int8": (4, 32)}
"""Kind of arithmetic -> input and output channels that a dense convolution's tile is filled up to. A warp has 32
threads, DP4A takes four channels at once, tensor cores 16; the 64 was chosen on the data (docs/prediction.md)."""

DEFAULT = "libraries"
FOLDER = "efficiency"
ARITHMETIC: Mapping[str, str] = {"float64": "float32", "tf32": "float16", "bfloat16": "float16", "float8": "int8"}
"""Formats that behave as another: what runs on the same units, tensor cores (``float16``) or lanes (``float32``)."""

NEAREST: Mapping[str, str] = {
    "sparse": "gemm",
    "pooling": "elementwise",
    "reduction": "normalisation",
    "copy": "elementwise",
    "other": "elementwise",
}
"""The family that stands in for one without numbers of its own."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quality(_Checked):
    """What kernels of one class reach.

    Attributes:
        arithmetic: fraction of the peak of their data type.
        bandwidth: fraction of the bandwidth of device memory.
        step_s: seconds per step of the sum behind one output, on the boards it was fitted on: sheets hold no clocks to
            scale it by.
        operations: factor on the sheet's joules per FLOP.
        latency_error: mean relative error of latencies held out of the fit, None where nothing was held out.
        source: what it was fitted on, or that it is assumed.
    """

    arithmetic: Positive
    bandwidth: Positive
    step_s: NotNegative = 0.0
    operations: Positive = 1.0
    latency_error: NotNegative | None = None
    source: Annotated[str, Field(min_length=1)]


class Efficiency(_Checked):
    """What the kernels of one library reach, by class and kind of arithmetic.

    Attributes:
        name: short name.
        about: one sentence.
        overlap: p, how arithmetic and memory overlap.
        group_s: seconds per group of a grouped convolution.
        launch_s: seconds per kernel; None: the machine sheet's.
        energy_error: mean relative error of joules held out, None where nothing was held out.
        kernels: class -> ``float32``, ``float16`` (tensor cores) or ``int8`` -> what its kernels reach.
    """

    name: str
    about: str
    overlap: Annotated[float, Field(ge=1)]
    group_s: NotNegative = 0.0
    launch_s: NotNegative | None = None
    energy_error: NotNegative | None = None
    kernels: dict[str, dict[str, Quality]]


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
    return f"{op.family}{filter_part}{STRIDED if op.stride > 1 else ''}"


def stand_ins(name: str) -> Iterator[str]:
    """The class itself, then those that stand in for it, nearest first: stride one, smaller filters, other families."""
    yield name
    if name.endswith(STRIDED):
        yield from stand_ins(name.removesuffix(STRIDED))
    elif name.endswith("_large"):
        yield from stand_ins(name.removesuffix("_large") + "_5x5")
    elif name.endswith(("_5x5", "_1x1")):
        yield name.removesuffix("_5x5").removesuffix("_1x1")
    elif name in NEAREST:
        yield NEAREST[name]


def family_of_class(name: str) -> str:
    """The kernel family a class belongs to."""
    return next((family for family in CONVOLUTIONS if name.startswith(family)), name)


def kernel_demand(op: OperatorCost, machine: Machine) -> KernelDemand:
    """What ``op`` asks of ``machine``.

    Raises:
        MachineError: the machine has no peak for the operator's data type.
    """
    arithmetic_s, steps, kind = 0.0, 0.0, op.dtype
    if op.macs:
        kind = rate_dtype(machine, op.dtype)
        arithmetic_s = _fill(op, machine) * op.flops / peak_for(machine, op.dtype)
        outputs = op.write_bytes / DTYPE_BYTES[op.dtype]
        steps = op.macs / outputs if outputs else 0.0
    return KernelDemand(
        kernel_class=kernel_class(op),
        arithmetic_kind=_arithmetic_kind(kind),
        arithmetic_s=arithmetic_s,
        memory_s=op.bytes / machine.bandwidth_bytes_per_s,
        steps=steps,
        groups=op.groups if op.family == "conv_grouped" else 0,
    )


def quality_of(efficiency: Efficiency, demand: KernelDemand) -> Quality:
    """The numbers of a class, or of what stands in for it: another class (``stand_ins``), another arithmetic.

    Raises:
        MachineError: neither it nor what stands in for it is in the table.
    """
    for name in stand_ins(demand.kernel_class):
        by_kind = efficiency.kernels.get(name)
        if by_kind:
            return by_kind.get(demand.arithmetic_kind) or next(iter(by_kind.values()))
    raise MachineError(
        f"no kernel efficiency for {demand.kernel_class}",
        where=f"efficiency {efficiency.name}",
        why="its latency cannot be predicted",
        remedy=f"add it, or use the shipped {DEFAULT!r}",
    )


def kernel_latency_s(op: OperatorCost, machine: Machine, efficiency: Efficiency) -> float:
    """Seconds of one kernel on ``machine``, its launch included; 0 where it does nothing.

    Raises:
        MachineError: the machine has no peak for its data type, or the table no numbers for its class.
    """
    if not op.bytes:
        return 0.0
    demand = kernel_demand(op, machine)
    quality = quality_of(efficiency, demand)
    launch_s = machine.launch_s if efficiency.launch_s is None else efficiency.launch_s
    arithmetic_s, memory_s = demand.arithmetic_s / quality.arithmetic, demand.memory_s / quality.bandwidth
    longest_s = max(arithmetic_s, memory_s)
    power = efficiency.overlap
    both_s = longest_s * ((arithmetic_s / longest_s) ** power + (memory_s / longest_s) ** power) ** (1 / power)
    return float(launch_s + demand.groups * efficiency.group_s + demand.steps * quality.step_s + both_s)


def load_efficiency(name_or_path: str | Path = DEFAULT) -> Efficiency:
    """A shipped table of kernel efficiencies, or one from a file.

    Raises:
        MachineError: there is none, or it is wrong; the message names file and field.
    """
    text = str(name_or_path)
    if "/" in text or text.endswith((".yaml", ".yml")):
        try:
            return efficiency_from_yaml(Path(text).read_text(encoding="utf-8"), origin=Path(text).name)
        except (OSError, UnicodeDecodeError) as error:
            raise MachineError(f"the kernel efficiencies cannot be read: {error}", where=text) from error
    return _shipped(text)


def efficiency_from_yaml(text: str, *, origin: str) -> Efficiency:
    """The table written in ``text``.

    Raises:
        MachineError: the YAML or the table is wrong.
    """
    try:
        return Efficiency.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        what = error.errors()[0] if isinstance(error, ValidationError) else None
        field = ".".join(map(str, what["loc"])) if what else ""
        message = what["msg"] if what else f"not valid YAML: {error}"
        raise MachineError(message, where=f"{origin}, field {field}" if field else origin) from error


def efficiency_to_yaml(efficiency: Efficiency) -> str:
    """The table as YAML; ``efficiency_from_yaml`` reads it back equal."""
    return yaml.safe_dump(efficiency.model_dump(exclude_none=True), sort_keys=False, width=118, allow_unicode=True)


def _fill(op: OperatorCost, machine: Machine) -> float:
    """Multiplications done over those wanted: a tile is worked through whether its channels exist or not."""
    if op.family == "conv_grouped" and op.group_size:
        return quantised(op.group_size, tensor_lanes(machine, op.dtype)) / op.group_size
    if op.family not in TILED:
        return 1.0
    channels, filters = TILES[_arithmetic_kind(rate_dtype(machine, op.dtype))]
    wanted = max(op.group_size, 1) * max(op.out_channels, 1)
    return quantised(max(op.group_size, 1), channels) * quantised(max(op.out_channels, 1), filters) / wanted


def _arithmetic_kind(dtype: str) -> str:
    kind = ARITHMETIC.get(dtype, dtype)
    return kind if kind in TILES else "float32"


@cache
def _shipped(name: str) -> Efficiency:
    folder = resources.files("energybench") / FOLDER
    entry = folder / f"{name}.yaml"
    if not entry.is_file():
        known = sorted(e.name.removesuffix(".yaml") for e in folder.iterdir() if e.name.endswith(".yaml"))
        raise MachineError(
            f"no kernel efficiencies are called {name!r}",
            remedy=f"use one of {', '.join(known)}, or a path ending in .yaml",
        )
    return efficiency_from_yaml(entry.read_text(encoding="utf-8"), origin=f"{name}.yaml")
