"""Which words bear on the quality of a row? Every flag of the dictionary, and whether it holds for a case."""

from __future__ import annotations

from energybench.analysis.book import Book, Row
from energybench.analysis.guards import CLOCKS_AGREE, THROTTLE_WARNS
from energybench.analysis.measured import COUNTER_FLAGS, Measured, MeasuredWindow
from energybench.analysis.statistics import LEAST_REPLICATES
from energybench.cost.fusion import is_fused
from energybench.flags import FLAGS
from energybench.journal import CaseRecord

BURST = 0.02
CAPPED = 0.5
DRIFTING_SHARE = 0.25
IDLE_RAISED = 0.10
"""Active idle this far above the calibration's. Source: `docs/trust.md`, requirement 20 (a baseline check)."""


def row_flags(book: Book, case: CaseRecord, measured: Measured, row: Row) -> dict[str, bool]:
    """Whether each flag of the dictionary holds for a case, in the dictionary's order.

    Args:
        book: the run.
        case: which case.
        measured: its windows.
        row: its columns as far as they are known; a flag never says what no column shows.
    """
    holds = _of_the_run(book) | _of_the_windows(book, measured) | _of_the_numbers(book, case, row)
    order = list(FLAGS)
    return dict(sorted(holds.items(), key=lambda flag: order.index(flag[0])))


def _of_the_run(book: Book) -> dict[str, bool]:
    quick = bool(book.record.options.get("quick"))
    return {
        "modelled": book.run.origin == "modelled",
        "simulated": book.run.simulated,
        "quick": quick,
        "forced-resume": bool(book.record.forced),
        "observer": book.observer is not None and book.observer.significant,
        **{flag: flag in book.foreign for flag in FLAGS if flag.startswith("foreign-")},
        "foreign-device": bool(book.record.meter.get("foreign_device")),
        "whole-module": book.record.meter.get("scope") == "module",
        "power-smoothing": book.smoothed,
        "idle-once": book.idle is not None and book.idle.measurements < 2,
        "idle-raised": _over(book.idle_over_calibrated, IDLE_RAISED),
        "idle-unsettled": book.idle is not None and book.idle.unsettled,
        "unsettled": not quick and book.unsettled,
    }


def _of_the_windows(book: Book, measured: Measured) -> dict[str, bool]:
    counts, total = measured.flag_counts(), len(measured.windows)
    drifting = max(counts["latency-drift"], counts["power-drift"])
    on_cuda = str(book.record.device.get("name", "")).startswith("cuda")
    return {
        "few-windows": 0 < _counting(measured) < int(book.record.plan.get("windows", 0)),
        "no-interval": 0 < _counting(measured) < LEAST_REPLICATES and book.run.origin != "modelled",
        "meter-lost": counts["meter-lost"] > 0,
        "not-cold": counts["not-cold"] > 0,
        "gap": counts["gap"] > 0,
        "drift": total > 0 and drifting > DRIFTING_SHARE * total,
        "repeated": len(measured.repeated) > DRIFTING_SHARE * total,
        "counter-stale": counts["counter-stale"] > 0,
        "counter-jump": bool(measured.jumped),
        "meter-faults": bool(measured.jumped) or any(map(_faulty, measured.windows)),
        "below-floor": any("floor" in w.joules.reason for w in measured.windows),
        "eager": on_cuda and any(w.record.launch == "eager" for w in measured.windows),
    }


def _of_the_numbers(book: Book, case: CaseRecord, row: Row) -> dict[str, bool]:
    precision = book.record.plan.get("precision")
    compiled = case.compile and book.run.origin != "measured"
    epilogues = any(is_fused(op) for op in book.operators.get(case.work, ()))
    return {
        "wide": _over(_width(row), precision),
        "throttled": _over(row.get("throttle_share"), THROTTLE_WARNS),
        "power-capped": _over(row.get("power_cap_share"), CAPPED),
        "counter-disagrees": _over(abs(row.get("counter_vs_integral") or 0.0), COUNTER_FLAGS),
        "clocks-differ": _over(abs(row.get("event_vs_host") or 0.0), CLOCKS_AGREE),
        "recompiled": _over(row.get("recompilations"), 0),
        "alias": _over(row.get("alias_bound"), precision),
        "burst": _burst(row),
        "unknown-operators": bool(case.unknown_operators),
        "compile-epilogues": compiled and epilogues,
        "compile-uncounted": compiled and not epilogues,
        "above-roof": bool(row.get("above_roof")),
    }


def _faulty(window: MeasuredWindow) -> bool:
    return sum(window.record.faults.values()) > 0 or (window.health is not None and window.health.reversed_stamps > 0)


def _counting(measured: Measured) -> int:
    """Windows behind the printed number: those with joules where there are any."""
    return len(measured.energy_by_block) or len(measured.windows)


def _width(row: Row) -> float | None:
    """Relative half-width of the row's joules; of its loop latency where it has none."""
    if row.get("energy_per_inference_j") is not None:
        return row.get("relative_halfwidth")
    low, high = row.get("loop_latency_low_s"), row.get("loop_latency_high_s")
    return None if low is None or high is None else (high - low) / (2 * row["loop_latency_s"])


def _over(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _burst(row: Row) -> bool:
    single, loop = row.get("latency_s"), row.get("loop_latency_s")
    return bool(single and loop and abs(loop / single - 1) > BURST)
