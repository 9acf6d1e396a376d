"""How long does a library's kernel take, if not as long as the roofline says? A few fractions a kernel family.

    T = launch + groups x group_s + macs / outputs x step_s + (arithmetic^p + memory^p)^(1/p)
    arithmetic = flops / (a x peak)          memory = bytes / (b x bandwidth)

``a`` and ``b`` are what a large kernel of the family reaches of the sheet's peak and bandwidth. ``step_s`` is what one
step of the sum behind every output takes (a small kernel waits for that chain, not for throughput: the saturating
part); the sums of a matrix product with few outputs are split over the lanes that would idle. p says how arithmetic and
memory overlap: 1 not at all, large perfectly. FLOPs are those of full tiles: channels that a narrow layer lacks are
multiplied all the same. Kernels of one family and one kind of arithmetic share their numbers; convolutions also need
the same stride (one or more: Winograd wants one) and a filter of about the same side.

Source: ours. Constants and where they come from: ``efficiency/*.yaml``. A fraction above 1 is possible and says that
fewer operations or bytes than counted were moved (Winograd; an L2 that holds the data).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from energybench.analysis.kernel_demand import CONVOLUTIONS, STRIDED, WIDE, KernelDemand, kernel_demand
from energybench.cost import OperatorCost
from energybench.errors import MachineError
from energybench.machine import Machine

Launch = Literal["graph", "standalone"]
"""How kernels follow each other: queued ahead in a graph, as energybench measures them; or each launched by the host
and waited for, as tables of single kernels are timed."""

DEFAULT = "libraries"
FOLDER = "efficiency"
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
        launch_s: seconds per kernel, launched and timed one by one, where they were timed so; None where nobody knows.
        operations: factor on the sheet's joules per FLOP.
        latency_error: mean relative error of latencies held out of the fit, None where nothing was held out.
        source: what it was fitted on, or that it is assumed.
    """

    arithmetic: Positive
    bandwidth: Positive
    step_s: NotNegative = 0.0
    launch_s: NotNegative | None = None
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


def stand_ins(name: str) -> Iterator[str]:
    """The class itself, then what stands in for it, nearest first: any side, stride one, smaller filters, families."""
    yield name
    if name.endswith(WIDE):
        yield from stand_ins(name.removesuffix(WIDE))
    elif name.endswith(STRIDED):
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


@dataclass(frozen=True)
class KernelTime:
    """One kernel on one machine.

    Attributes:
        latency_s: seconds, launch included.
        chain_s: the part of them in which an output waits for the steps of its sum.
        quality: the numbers it was worked out with.
    """

    latency_s: float
    chain_s: float
    quality: Quality


def kernel_time(op: OperatorCost, machine: Machine, efficiency: Efficiency, launch: Launch = "graph") -> KernelTime:
    """Seconds of one kernel that does something, on ``machine``.

    Args:
        op: the kernel.
        machine: where it runs.
        efficiency: what kernels reach.
        launch: how kernels follow each other. A table with a launch of its own was fitted to it: it holds for both,
            but for classes that were timed one by one.

    Raises:
        MachineError: the machine has no peak for its data type, or the table no numbers for its class.
    """
    demand = kernel_demand(op, machine)
    quality = quality_of(efficiency, demand)
    launch_s = machine.launch_s if efficiency.launch_s is None else efficiency.launch_s
    if launch == "standalone" and quality.launch_s is not None:
        launch_s = quality.launch_s
    arithmetic_s, memory_s = demand.arithmetic_s / quality.arithmetic, demand.memory_s / quality.bandwidth
    longest_s = max(arithmetic_s, memory_s)
    power = efficiency.overlap
    both_s = longest_s * ((arithmetic_s / longest_s) ** power + (memory_s / longest_s) ** power) ** (1 / power)
    chain_s = demand.steps * quality.step_s
    return KernelTime(float(launch_s + demand.groups * efficiency.group_s + chain_s + both_s), chain_s, quality)


def kernel_latency_s(op: OperatorCost, machine: Machine, efficiency: Efficiency, launch: Launch = "graph") -> float:
    """Seconds of one kernel on ``machine``, its launch included; 0 where it does nothing.

    Raises:
        MachineError: as ``kernel_time``.
    """
    return kernel_time(op, machine, efficiency, launch).latency_s if op.bytes else 0.0


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
