"""How is a machine told? Plain lines: every number with its source, or, where it was measured, with its interval.

What is not measured is named, and nothing is assumed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from energybench.analysis.measured_machine import MeasuredMachine, SheetNumber, sheet_number
from energybench.machine import Machine, machine_to_dict
from energybench.report.quantities import quantity

UNITS = {
    "peak_flops_per_s": "FLOP/s",
    "float16_accumulate_peak_flops_per_s": "FLOP/s",
    "bandwidth_bytes_per_s": "B/s",
    "l2_bytes": "B",
    "l2_bandwidth_bytes_per_s": "B/s",
    "tdp_w": "W",
    "idle_w": "W",
    "static_w": "W",
    "j_per_flop": "J/FLOP",
    "j_per_byte": "J/B",
    "launch_s": "s",
}


def machine_sheet_lines(machine: Machine, width: int = 80) -> Iterator[str]:
    """Every number of a sheet with its source, and the balances that follow; wrapped to ``width``."""
    yield f"{machine.title} ({machine.name}, {machine.provenance})"
    sheet = machine_to_dict(machine)
    for field in (name for name in UNITS if name in sheet):
        named = sheet[field].items() if "value" not in sheet[field] else [("", sheet[field])]
        for dtype, number in named:
            yield ""
            yield f"{field}{'.' if dtype else ''}{dtype}  {quantity(number['value'], UNITS[field], 4)}"
            indent = "  "
            yield from textwrap.wrap(number["source"], width, initial_indent=indent, subsequent_indent=indent)
    yield ""
    yield "balance: FLOPs a byte at which arithmetic and memory take equally long, and equally many joules"
    for dtype, peak in machine.peak_flops_per_s.items():
        in_time = f"{peak / machine.bandwidth_bytes_per_s:.4g}"
        in_joules = f"{machine.j_per_byte / machine.j_per_flop[dtype]:.4g}" if machine.has_energy else "-"
        yield f"  {dtype:10} {in_time:>8} {in_joules:>8}"


def measured_machine_lines(measured: MeasuredMachine) -> Iterator[str]:
    """What was found, what was not and why, and how it compares with the device's shipped sheet."""
    yield f"{measured.machine.title} ({measured.machine.name})"
    beside = f"over {measured.base.name}" if measured.base else ""
    yield f"  {'':28} {'value':>14}   {'95 % interval':32} {beside}".rstrip()
    for number in measured.numbers:
        if number.measured:
            cells = (_told(number, number.value), _interval(number), _ratio(measured, number))
            yield f"  {number.field:28} {cells[0]:>14}   {cells[1]:32} {cells[2]}".rstrip()
    missing = [number for number in measured.numbers if not number.measured]
    if measured.energy is not None:
        yield f"unit energies from {measured.energy.works} loops, left over {measured.energy.relative_error:.2%}"
    else:
        yield f"no unit energies: {measured.energy_reason}"
    if not measured.machine.has_energy:
        yield "the sheet has no powers and no unit energies: rooflines, efficiencies and latencies, but no joules"
    if missing:
        yield "not measured; taken from the shipped sheet, each with its source:"
        yield f"  {', '.join(number.field for number in missing)}"
    yield from (f"note: {note}" for note in measured.notes)


def _ratio(measured: MeasuredMachine, number: SheetNumber) -> str:
    """The number over that of the device's shipped sheet."""
    known = sheet_number(measured.base, number.field) if measured.base else None
    return f"{number.value / known[0]:.3f}" if known and known[0] else ""


def _interval(number: SheetNumber) -> str:
    if number.low == number.high:
        return ""
    return f"{_told(number, number.low)} to {_told(number, number.high)}"


def _told(number: SheetNumber, value: float) -> str:
    return quantity(value, UNITS[number.field.partition(".")[0]], 4)
