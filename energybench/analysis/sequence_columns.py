"""What do a case's operators say of its efficiency? The factors of it, and why its roofline was beaten where it was."""

from __future__ import annotations

from energybench.analysis.book import Book, Row
from energybench.analysis.roofline import likely_causes
from energybench.analysis.waterline import Waterline, waterline
from energybench.journal import CaseRecord
from energybench.machine import missing_rate

ROUNDING = 1e-9
"""Relative error that sums of floating-point seconds may have."""


def sequence_columns(
    book: Book, case: CaseRecord, loop_latency_s: float | None, *, sm_clock_hz: float | None = None
) -> Row:
    """Attainable and roofline efficiency of a case; where its operators were timed, kernel quality and busy fraction.

    Args:
        book: the run.
        case: which case.
        loop_latency_s: what an iteration took, None where it was not measured.
        sm_clock_hz: the clock it ran at, None where nobody read it.
    """
    machine, operators = book.machine, book.operators.get(case.work, [])
    if machine is None or not operators or missing_rate(operators, machine):
        return {}
    line = waterline(operators, machine, book.operator_times[case.work], wall_s=loop_latency_s)
    fault = broken_invariant(line)
    if fault:
        return {"above_roof": fault}
    beaten = list(line.beaten)
    causes = likely_causes(operators, machine, loop_latency_s, sm_clock_hz=sm_clock_hz) if loop_latency_s else ()
    if causes and loop_latency_s:
        beaten.insert(0, f"beats its roofline ({line.attainable_s / loop_latency_s:.2f} x): {causes[0]}")
    return factors(line) | {"above_roof": "; ".join(beaten) or None}


def factors(line: Waterline) -> Row:
    """The factors of the computational efficiency, as far as they are known, and what one roofline would promise."""
    if not line.tau_s:
        return {}
    return {
        "attainable_efficiency": line.eta,
        "roofline_efficiency": line.eta_roof,
        "kernel_quality": line.quality,
        "busy_fraction": line.busy,
    }


def broken_invariant(line: Waterline) -> str:
    """The fault that makes a waterline's efficiencies worthless: ETA above ETA_roof, or that above 1; else empty."""
    if line.eta <= line.eta_roof * (1 + ROUNDING) <= (1 + ROUNDING) ** 2:
        return ""
    return (
        f"fault: attainable efficiency {line.eta:.3g} and the roofline's {line.eta_roof:.3g} contradict each other; "
        "operators or machine sheet of this run are damaged, so no factor is printed"
    )
