"""How is a measured machine told? Plain lines: every number with its interval, beside the shipped sheet's.

What is not measured is named, and nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator

from energybench.analysis.measured_machine import MeasuredMachine, SheetNumber, sheet_number
from energybench.report.quantities import quantity

UNITS = {
    "peak_flops_per_s": "FLOP/s",
    "bandwidth_bytes_per_s": "B/s",
    "tdp_w": "W",
    "idle_w": "W",
    "static_w": "W",
    "j_per_flop": "J/FLOP",
    "j_per_byte": "J/B",
    "launch_s": "s",
}


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
