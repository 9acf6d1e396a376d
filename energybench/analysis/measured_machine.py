"""What did the loops of `machines measure` say of the machine? A sheet, every number with its interval or its reason.

Rates are those of the best loop: bandwidth of the fastest copy, peak of the fastest matrix product of each data type.
The last-level cache's bandwidth is that of the fastest loop of reads that it holds, and stated only where that loop is
distinctly faster than both the same loop beyond the cache and the copies: else it was not the cache that was measured.
Unit energies come from all loops together by non-negative least squares (``fit_energy``): copies tell joules per byte,
matrix products joules per FLOP, loops of next to nothing the static power. What was not measured keeps the number of
the device's shipped sheet; where it has none, the sheet has no powers and no unit energies, and no joules come of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from energybench.analysis.book import Book
from energybench.analysis.case_rows import GAIN_UNCERTAINTY
from energybench.analysis.fit_energy import BYTE, FLOP, STATIC, EnergyFit, EnergyPoint, fit_energy
from energybench.analysis.statistics import Interval, log_interval
from energybench.cost import OperatorCost
from energybench.errors import MachineError
from energybench.journal import CaseRecord, Run
from energybench.machine import ENERGY, Machine

CACHE_BANDWIDTH = "l2_bandwidth_bytes_per_s"

READS = ("cached", "uncached")
"""Loops of reads: they tell of the cache, and nothing of joules per byte of device memory."""
JUDGED = (*READS, "copy")

FEWEST = 3
"""Loops with joules below which no unit energy is fitted."""

DISTINCT = 1.2
"""A loop that the cache holds must be so many times as fast as device memory to tell of the cache. Ours."""

CAPPED = 0.98
"""A loop above this share of the power limit ran as fast as the limit let it."""


@dataclass(frozen=True)
class SheetNumber:
    """One number of the sheet.

    Attributes:
        field: its key on the sheet: ``bandwidth_bytes_per_s``, ``j_per_flop.float16``.
        value: in base units.
        low: lower end of its 95 % interval; NaN where it was not measured.
        high: upper end.
        source: where it comes from.
        measured: whether it was measured here.
    """

    field: str
    value: float
    low: float
    high: float
    source: str
    measured: bool


@dataclass(frozen=True)
class MeasuredMachine:
    """What the loops found.

    Attributes:
        machine: the sheet.
        numbers: the sheet's numbers in order, each with interval and source.
        energy: the fit of the unit energies; None without joules.
        energy_reason: why there are none; empty where there are.
        notes: what bears on the numbers, in words.
        base: the device's shipped sheet; None where there is none.
    """

    machine: Machine
    numbers: tuple[SheetNumber, ...]
    energy: EnergyFit | None
    energy_reason: str
    notes: tuple[str, ...]
    base: Machine | None


@dataclass(frozen=True)
class _Loop:
    """One loop that was measured, means of its windows."""

    case: CaseRecord
    operators: tuple[OperatorCost, ...]
    latency: Interval
    energy_j: float | None

    @property
    def rate(self) -> Interval:
        """FLOP/s of a matrix product, bytes/s of a copy or of reads; the interval is the latency's, turned over."""
        amount = sum(op.flops for op in self.operators) or sum(op.bytes + op.reread_bytes for op in self.operators)
        found = self.latency
        high = amount / found.low if found.low > 0 else float("inf")
        return Interval(amount / found.estimate, amount / found.high, high, found.degrees)

    @property
    def held_bytes(self) -> int:
        """Distinct bytes it reads."""
        return sum(op.read_bytes for op in self.operators)

    @property
    def power_w(self) -> float | None:
        return None if self.energy_j is None else self.energy_j / self.latency.estimate


def measured_machine(run: Run) -> MeasuredMachine:
    """The machine sheet that a run of ``measure_machine.machine_suite`` comes to.

    Raises:
        MachineError: no copy or no matrix product was measured, so there is no sheet.
    """
    book = Book(run)
    loops = [loop for case in run.record.cases if (loop := _loop(book, case)) is not None]
    origin = f"{'simulated' if run.simulated else 'measured'} here, {run.folder.name}"
    numbers = [*_rates(loops, origin, run)]
    cache = _cache(loops, origin)
    energy, reason = _fitted(loops, run)
    notes = [f"{case.id} is left out: {book.of(case).error}" for case in run.record.cases if book.of(case).error]
    if isinstance(cache, SheetNumber):
        numbers.append(cache)
    else:
        notes.append(f"{CACHE_BANDWIDTH} is not stated: {cache}")
    limit = _limit(loops, book, run, energy is not None)
    if limit is not None:
        numbers += _complete([limit, *_energies(numbers, energy, reason, book, origin)], numbers)
    for loop in loops:
        if limit and loop.power_w is not None and loop.power_w > CAPPED * limit.value and limit.measured:
            notes.append(f"{loop.case.id} ran at the power limit: its rate is what the limit leaves")
    machine = _machine(numbers, run, book.machine)
    return MeasuredMachine(machine, tuple(numbers), energy, reason, tuple(notes), book.machine)


def _loop(book: Book, case: CaseRecord) -> _Loop | None:
    measured = book.of(case)
    if not measured.windows:
        return None
    joules = list(measured.energy_by_block.values())
    return _Loop(
        case,
        tuple(book.operators[case.work]),
        log_interval(list(measured.latency_by_block.values())),
        log_interval(joules).estimate if joules else None,
    )


def _rates(loops: Sequence[_Loop], origin: str, run: Run) -> list[SheetNumber]:
    """Peaks, bandwidth and launch: the best loop of each."""
    by_kernel: dict[tuple[str, str], list[_Loop]] = {}
    for loop in loops:
        kernel = str(loop.case.point["kernel"])
        if kernel in READS:
            continue
        by_kernel.setdefault((kernel, loop.case.dtype if kernel == "gemm" else ""), []).append(loop)
    missing = [name for name in ("copy", "gemm", "nothing") if not any(kernel == name for kernel, _ in by_kernel)]
    if missing:
        raise MachineError(
            f"no loop of {' and '.join(missing)} was measured",
            where=str(run.folder),
            why="a sheet without peak, bandwidth or launch predicts nothing",
            remedy="look at the failed cases of this run",
        )
    found = []
    for (kernel, dtype), members in by_kernel.items():
        best = max(members, key=lambda loop: loop.rate.estimate)
        shape = f"{best.case.point['rows']} x {best.case.point['columns']}"
        if kernel == "gemm":
            found.append(_number(f"peak_flops_per_s.{dtype}", best.rate, f"{origin}: best matrix product, {shape}"))
        elif kernel == "copy":
            found.append(_number("bandwidth_bytes_per_s", best.rate, f"{origin}: best copy, {shape} float32"))
        else:
            least = min(members, key=lambda loop: loop.latency.estimate)
            found.append(_number("launch_s", least.latency, f"{origin}: loop of copies of next to nothing"))
    return found


def _cache(loops: Sequence[_Loop], origin: str) -> SheetNumber | str:
    """Bandwidth of the last-level cache, or why none is stated."""
    cached, beyond, copies = ([loop for loop in loops if loop.case.point["kernel"] == kernel] for kernel in JUDGED)
    if not cached:
        return "no loop was run that it holds, as its size is not known or the loop failed"
    if not beyond:
        return "the same loop beyond it was not measured, so nothing says that it was the cache"
    best = max(cached, key=lambda loop: loop.rate.estimate)
    memory = max((*beyond, *copies), key=lambda loop: loop.rate.high)
    held = f"{best.held_bytes / 2**20:.3g} MiB"
    if best.rate.low < DISTINCT * memory.rate.high:
        return (
            f"reads of {held} that it should hold ran at {best.rate.estimate:.3g} B/s, device memory gave "
            f"{memory.rate.estimate:.3g} B/s, and less than {DISTINCT:g} times that may be device memory's own"
        )
    times = best.rate.estimate / memory.rate.estimate
    return _number(
        CACHE_BANDWIDTH, best.rate, f"{origin}: best reads of {held} that it holds, {times:.3g} x device memory"
    )


def _number(field: str, interval: Interval, source: str) -> SheetNumber:
    return SheetNumber(field, interval.estimate, interval.low, interval.high, source, measured=True)


def _given(field: str, value: float, source: str) -> SheetNumber:
    return SheetNumber(field, value, float("nan"), float("nan"), source, measured=False)


def _fitted(loops: Sequence[_Loop], run: Run) -> tuple[EnergyFit | None, str]:
    points = [
        EnergyPoint(loop.operators, loop.latency.estimate, loop.energy_j)
        for loop in loops
        if loop.energy_j is not None and loop.case.point["kernel"] not in READS
    ]
    if len(points) >= FEWEST:
        return fit_energy(points), ""
    return None, run.record.energy_reason or f"{len(points)} loops have joules, {FEWEST} are needed"


def _complete(numbers: Sequence[SheetNumber], rates: Sequence[SheetNumber]) -> list[SheetNumber]:
    """The numbers, if there are all that joules need; else none of them: three terms without the fourth mislead."""
    needed = {"tdp_w", STATIC, BYTE, *(f"{FLOP}.{dtype}" for dtype in _by_dtype(rates, "peak_flops_per_s"))}
    return list(numbers) if needed <= {number.field for number in numbers} else []


def _limit(loops: Sequence[_Loop], book: Book, run: Run, metered: bool) -> SheetNumber | None:
    """The power limit: the driver's, the shipped sheet's, or the highest power seen; None where nothing was."""
    field = "tdp_w"
    told = run.record.meter.get("power_limit_default_w") or run.record.meter.get("power_limit_w")
    if isinstance(told, int | float):
        told_w = float(told)
        return SheetNumber(field, told_w, told_w, told_w, "power limit the driver reports", measured=True)
    if book.machine is not None:
        return _given(field, book.machine.tdp_w, f"not measured; {book.machine.sources[field]}")
    if metered:
        most_w = max(loop.power_w for loop in loops if loop.power_w is not None)
        return _given(field, most_w, "highest mean power of any loop here; the limit itself is not known")
    return None


def _energies(
    rates: Sequence[SheetNumber],
    energy: EnergyFit | None,
    reason: str,
    book: Book,
    origin: str,
) -> list[SheetNumber]:
    """Idle and static power and unit energies: fitted, else the shipped sheet's, else left out."""
    found = {c.name: c for c in energy.constants} if energy else {}
    names = {STATIC: STATIC, BYTE: BYTE}
    names |= {f"{FLOP}.{dtype}": f"{FLOP}.{dtype}.gemm" for dtype in _by_dtype(rates, "peak_flops_per_s")}
    numbers = [_idle(book, reason, origin)]
    for field, name in names.items():
        constant = found.get(name)
        why = constant.reason if constant else reason
        if constant is not None and constant.value is not None:
            source = f"{origin}: fitted on the joules of all loops{_gain(book)}"
            numbers.append(SheetNumber(field, constant.value, constant.low, constant.high, source, measured=True))
        elif book.machine is not None and sheet_number(book.machine, field) is not None:
            value, source = sheet_number(book.machine, field) or (0.0, "")
            numbers.append(_given(field, value, f"not measured ({why}); {source}"))
    return [number for number in numbers if number is not None]


def _idle(book: Book, reason: str, origin: str) -> SheetNumber | None:
    idle = book.idle
    if idle is not None:
        low, high = idle.power_w - idle.halfwidth_w, idle.power_w + idle.halfwidth_w
        source = f"{origin}: active idle, before and after{_gain(book)}"
        return SheetNumber("idle_w", idle.power_w, low, high, source, measured=True)
    if book.machine is not None:
        return _given("idle_w", book.machine.idle_w, f"not measured ({reason}); {book.machine.sources['idle_w']}")
    return None


def _gain(book: Book) -> str:
    """What every joule of a real sensor shares; a simulated board's joules are exact."""
    return "" if book.run.simulated else f"; the sensor's gain, +-{GAIN_UNCERTAINTY:.0%}, is not in the interval"


def sheet_number(machine: Machine, field: str) -> tuple[float, str] | None:
    """A number of the shipped sheet and its source; None where it has none."""
    name, _, dtype = field.partition(".")
    value = getattr(machine, name)
    if dtype:
        value = value.get(dtype)
    return None if value is None else (float(value), machine.sources[field])


def _machine(numbers: Sequence[SheetNumber], run: Run, base: Machine | None) -> Machine:
    """The sheet; cache sizes are the device's own words, the bandwidth of its cache the shipped sheet's."""
    plain: dict[str, Any] = {n.field: n.value for n in numbers if "." not in n.field}
    sources = {n.field: n.source for n in numbers}
    title = str(run.record.device.get("title") or run.record.device["name"])
    unknown: dict[str, Any] = {field: math.nan for field in ENERGY if field not in plain}
    peaks = _by_dtype(numbers, "peak_flops_per_s")
    caches: dict[str, Any] = {}
    for field in {"l2_bytes", CACHE_BANDWIDTH} - plain.keys():
        told = run.record.device.get(field)
        known = (float(told), "the device's own word") if told else sheet_number(base, field) if base else None
        caches[field] = known[0] if known else None
        sources |= {field: known[1]} if known else {}
    return Machine(
        name=_name(str(run.record.device.get("name")), title, base),
        title=title if run.simulated else f"{title}, measured",
        provenance="measured",
        match=() if run.simulated else (title,),
        sources=sources,
        peak_flops_per_s=peaks,
        j_per_flop=_by_dtype(numbers, FLOP) or dict.fromkeys(peaks, math.nan),
        **caches,
        **plain,
        **unknown,
    )


def _by_dtype(numbers: Sequence[SheetNumber], field: str) -> dict[str, float]:
    return {n.field.partition(".")[2]: n.value for n in numbers if n.field.startswith(f"{field}.")}


def _name(device: str, title: str, base: Machine | None) -> str:
    """``h200-measured``, ``sim-h200-measured``, or the device's title where it has no sheet."""
    stem = f"sim-{base.name}" if base and device.startswith("sim") else base.name if base else title
    return f"{re.sub(r'[^a-z0-9]+', '-', stem.lower()).strip('-')}-measured"
