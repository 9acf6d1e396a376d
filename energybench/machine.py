"""What can a machine do? Its peaks, bandwidths and unit energies, and what an operator takes on it at least.

A machine sheet is a YAML file in which every number carries the place it comes from. Time is a roofline: arithmetic and
memory overlap, so an operator takes the longer of the two, or as long as its joules take at the power limit. Energy is
not: joules of operations, of bytes and of static power for as long as it takes all add up.

Source: S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009, for the time; J. Choi, D. Bedard,
R. Fowler, R. Vuduc, "A Roofline Model of Energy", IPDPS 2013, for the three-term energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from energybench.cost import OperatorCost
from energybench.errors import MachineError
from energybench.machine_sheet import NUMBER_FIELDS, Number, Sheet, sheet_from_dict, sheet_from_yaml
from energybench.spelling import did_you_mean

FALLBACKS: Mapping[str, str] = {
    "tf32": "float32",  # without TF32 units the same call runs in strict float32
    "float16": "float32",  # without tensor cores halves are widened: cuDNN accumulates convolutions in float32
    "bfloat16": "float32",  # emulated by widening before Ampere
    "uint8": "int8",
}
"""The rate a data type runs at where a sheet has none for it: always said, never guessed beyond this table."""


ENERGY = ("tdp_w", "idle_w", "static_w", "j_per_byte")
"""Fields that are NaN on a machine whose energies nobody knows; ``j_per_flop`` is the fifth."""


@dataclass(frozen=True)
class Machine:
    """What one device can do; every number has an entry in ``sources`` under its field name.

    Powers and unit energies that nobody measured are NaN, all of them or none (``has_energy``), so that no joule can
    come of them.

    Attributes:
        name: short name, as on the command line: ``h200``.
        title: full name for people.
        peak_flops_per_s: dense peak by data type, with float32 accumulation; only the types the device has.
        bandwidth_bytes_per_s: of device memory.
        l2_bytes: size of the last-level cache before device memory, None where unknown: a GPU's L2, mostly a CPU's L3.
        l2_bandwidth_bytes_per_s: of reads that this cache holds, None where unknown.
        tdp_w: power limit of the board as delivered.
        idle_w: active idle: context open, clocks up, nothing running.
        static_w: paid as long as the device is busy, whatever it does.
        j_per_flop: board-level joules per FLOP above ``static_w``, by data type (same keys as the peaks).
        j_per_byte: board-level joules per byte of device memory traffic above ``static_w``.
        launch_s: time per kernel that neither arithmetic nor memory explains.
        sources: where each number comes from; mappings have keys like ``j_per_flop.float16``.
        provenance: ``data sheet``, ``fitted`` or ``measured``.
        match: device names as drivers report them.
        float16_accumulate_peak_flops_per_s: dense peak by data type where products are summed in float16, of the types
            for which it is known. PyTorch sums float16 products in float32 unless it is told not to
            (``torch.backends.cuda.matmul.allow_fp16_accumulation``), so nothing is predicted with it.
        compute_capability: NVIDIA's number of the generation, None where it has none: cards of one generation run the
            same kernels.
    """

    name: str
    title: str
    peak_flops_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float
    l2_bytes: float | None
    l2_bandwidth_bytes_per_s: float | None
    tdp_w: float
    idle_w: float
    static_w: float
    j_per_flop: Mapping[str, float]
    j_per_byte: float
    launch_s: float
    sources: Mapping[str, str]
    provenance: str
    match: tuple[str, ...]
    compute_capability: float | None = None
    float16_accumulate_peak_flops_per_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def has_energy(self) -> bool:
        """Whether its unit energies and powers are known."""
        return not math.isnan(self.static_w)


@dataclass(frozen=True)
class EnergySplit:
    """Modelled joules by cause. They add, they do not overlap."""

    operations_j: float
    bytes_j: float
    static_j: float

    @property
    def total_j(self) -> float:
        """All three together."""
        return self.operations_j + self.bytes_j + self.static_j

    def scaled(self, factor: float) -> EnergySplit:
        """Each part times ``factor``."""
        return EnergySplit(factor * self.operations_j, factor * self.bytes_j, factor * self.static_j)

    def __add__(self, other: EnergySplit) -> EnergySplit:
        return EnergySplit(
            self.operations_j + other.operations_j, self.bytes_j + other.bytes_j, self.static_j + other.static_j
        )


def load_machine(name_or_path: str | Path) -> Machine:
    """The machine a shipped sheet or a sheet file describes.

    Args:
        name_or_path: a name from ``list_machines`` in any case, or a path (anything with a separator or a YAML suffix).

    Raises:
        MachineError: no such sheet, or the sheet is wrong; the message names file and field.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        try:
            return _machine(sheet_from_yaml(path.read_text(encoding="utf-8"), origin=path.name))
        except (OSError, UnicodeDecodeError) as error:
            raise MachineError(f"the machine sheet cannot be read: {error}", where=text) from error
    if text.lower() not in list_machines():
        raise MachineError(
            f"no machine is called {text!r}{did_you_mean(text.lower(), list_machines())}",
            remedy="`energybench machines` lists the shipped sheets; a file is given by its path, ending in .yaml",
        )
    return _shipped(text.lower())


def list_machines() -> list[str]:
    """Names of the shipped sheets, sorted."""
    folder = resources.files("energybench") / "machines"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def machine_table() -> list[Machine]:
    """Every shipped machine, sorted by name: the rows of ``energybench machines``."""
    return [_shipped(name) for name in list_machines()]


def machine_for_device(device_name: str) -> Machine | None:
    """The shipped machine of a device, by the name its driver reports; None where there is no sheet.

    The whole name must agree (an A10 is no A10G, a 3090 no 3090 Ti, a MIG slice no board), but for case and a leading
    ``NVIDIA``, which drivers before 470 leave out.
    """
    wanted = _plain_name(device_name)
    return next((m for m in machine_table() if wanted in map(_plain_name, m.match)), None)


def machine_to_dict(machine: Machine) -> dict[str, Any]:
    """The machine as JSON-able data in the layout of a sheet; ``machine_from_dict`` reads it back equal."""

    def number(key: str, value: float) -> dict[str, Any]:
        return {"value": value, "source": machine.sources[key]}

    data: dict[str, Any] = {
        "name": machine.name,
        "title": machine.title,
        "provenance": machine.provenance,
        "match": list(machine.match),
    }
    if machine.compute_capability is not None:
        data["compute_capability"] = machine.compute_capability
    for name in NUMBER_FIELDS:
        value = getattr(machine, name)
        if isinstance(value, Mapping):
            if value and machine.has_energy | (name != "j_per_flop"):
                data[name] = {key: number(f"{name}.{key}", entry) for key, entry in value.items()}
        elif value is not None and not math.isnan(value):
            data[name] = number(name, value)
    return data


def machine_from_dict(data: Mapping[str, Any], *, origin: str = "machine") -> Machine:
    """The machine that data in the layout of a sheet describes.

    Args:
        data: what ``machine_to_dict`` gave, or a parsed sheet.
        origin: file it came from, for the message.

    Raises:
        MachineError: a number is missing, not finite or negative, a key is unknown, or numbers contradict each other.
    """
    return _machine(sheet_from_dict(data, origin=origin))


def peak_for(machine: Machine, dtype: str) -> float:
    """Dense peak in FLOP/s for a data type, by ``FALLBACKS`` where the sheet has none for it.

    Raises:
        MachineError: neither the data type nor its fallback is on the sheet.
    """
    return machine.peak_flops_per_s[rate_dtype(machine, dtype)]


def need_energy(machine: Machine) -> None:
    """Stop where joules are wanted of a machine whose energies nobody knows.

    Raises:
        MachineError: the sheet has no powers and no unit energies.
    """
    if not machine.has_energy:
        raise MachineError(
            f"the sheet of {machine.name} has no powers and no unit energies",
            where=f"machine {machine.name}",
            why="no joules can be modelled or simulated with it",
            remedy="measure it where the device has a meter: energybench machines measure",
        )


def missing_rate(operators: Iterable[OperatorCost], machine: Machine) -> str:
    """Why a machine cannot run some of the operators: it has no rate for their number format. Empty where it can."""
    for dtype in dict.fromkeys(op.dtype for op in operators if op.macs):
        try:
            rate_dtype(machine, dtype)
        except MachineError as error:
            return error.what
    return ""


def rate_dtype(machine: Machine, dtype: str) -> str:
    """The data type whose rate and unit energy ``dtype`` has on this machine; differs from it where it falls back.

    Raises:
        MachineError: neither the data type nor its fallback is on the sheet.
    """
    for candidate in (dtype, FALLBACKS.get(dtype, dtype)):
        if candidate in machine.peak_flops_per_s:
            return candidate
    raise MachineError(
        f"{machine.name} has no peak for {dtype}",
        where=f"machine {machine.name}, peak_flops_per_s",
        why="without a peak there is no ideal latency and no energy of operations",
        remedy=f"use one of {', '.join(machine.peak_flops_per_s)}, or add {dtype} with its source to the sheet",
    )


def arithmetic_latency_s(op: OperatorCost, machine: Machine) -> float:
    """Seconds for the operator's FLOPs at peak; 0 where it has no multiply-accumulates."""
    return op.flops / peak_for(machine, op.dtype) if op.flops else 0.0


def memory_latency_s(op: OperatorCost, machine: Machine) -> float:
    """Seconds for the operator's compulsory bytes at full bandwidth of device memory."""
    return op.bytes / machine.bandwidth_bytes_per_s


def power_latency_s(op: OperatorCost, machine: Machine) -> float:
    """Seconds for the operator's joules above static power at the board's power limit; 0 where energies are unknown.

    Near the machine balance arithmetic and memory together want more than a board may draw, and it slows down.
    """
    if not machine.has_energy:
        return 0.0
    return operator_energy_j(op, machine, 0.0).total_j / (machine.tdp_w - machine.static_w)


def attainable_latency_s(op: OperatorCost, machine: Machine) -> float:
    """Seconds of the operator on the roofline: the longest of arithmetic, memory and power limit; no launch."""
    return max(arithmetic_latency_s(op, machine), memory_latency_s(op, machine), power_latency_s(op, machine))


def operator_energy_j(op: OperatorCost, machine: Machine, latency_s: float) -> EnergySplit:
    """Joules of the operator if it takes ``latency_s`` seconds."""
    operations_j = op.flops * machine.j_per_flop[rate_dtype(machine, op.dtype)] if op.flops else 0.0
    return EnergySplit(operations_j, op.bytes * machine.j_per_byte, machine.static_w * latency_s)


def predicted_latency_s(operators: Iterable[OperatorCost], machine: Machine) -> float:
    """Seconds of the operators one after another, each on the roofline plus one launch."""
    return sum(attainable_latency_s(op, machine) + machine.launch_s for op in operators)


def predicted_energy_j(operators: Iterable[OperatorCost], machine: Machine) -> EnergySplit:
    """Joules of the operators one after another at their predicted latencies; mean power is never above ``tdp_w``."""
    parts = (operator_energy_j(op, machine, attainable_latency_s(op, machine) + machine.launch_s) for op in operators)
    return sum(parts, start=EnergySplit(0.0, 0.0, 0.0))


@cache
def _shipped(name: str) -> Machine:
    entry = resources.files("energybench") / "machines" / f"{name}.yaml"
    return _machine(sheet_from_yaml(entry.read_text(encoding="utf-8"), origin=f"{name}.yaml"))


def _machine(sheet: Sheet) -> Machine:
    sources: dict[str, str] = {}

    def take(key: str, number: Number) -> float:
        sources[key] = f"{number.source} (doubt: {number.doubt})" if number.doubt else number.source
        return number.value

    numbers: dict[str, Any] = {}
    for name in NUMBER_FIELDS:
        entry = getattr(sheet, name)
        if isinstance(entry, dict):
            numbers[name] = {key: take(f"{name}.{key}", number) for key, number in entry.items()}
        else:
            numbers[name] = take(name, entry) if entry is not None else math.nan if name in ENERGY else None
    numbers["j_per_flop"] = numbers["j_per_flop"] or dict.fromkeys(numbers["peak_flops_per_s"], math.nan)
    return Machine(
        name=sheet.name,
        title=sheet.title,
        provenance=sheet.provenance,
        match=sheet.match,
        compute_capability=sheet.compute_capability,
        sources=sources,
        **numbers,
    )


def _plain_name(device_name: str) -> str:
    return " ".join(device_name.casefold().split()).removeprefix("nvidia ")
