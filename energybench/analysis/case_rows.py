"""What is the row of one case? Counted, modelled and measured columns, its status and its flags."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from energybench.analysis.book import Book, Row
from energybench.analysis.gap import ideal_latency_s
from energybench.analysis.guards import alias_bound, host_bound_share
from energybench.analysis.measured import Measured
from energybench.analysis.ratios import Ratio, ratio_of
from energybench.analysis.row_flags import row_flags
from energybench.analysis.sequence_columns import sequence_columns
from energybench.analysis.statistics import LEAST_REPLICATES, Interval, log_interval
from energybench.journal import CaseRecord
from energybench.machine import attainable_latency_s, missing_rate, predicted_energy_j, predicted_latency_s

GAIN_UNCERTAINTY = 0.05
"""Gain of a board's sensor without a calibration against a meter: +-5 % of reading (`docs/derivations.md` 1)."""

LOAD_OVER_IDLE = 1.2
"""Below this many times idle the part above idle is mostly error (requirement 17)."""


def case_row(book: Book, case: CaseRecord) -> Row:
    """Everything that is known of one case, by column name."""
    measured = book.of(case)
    latency = _interval(list(measured.latency_by_block.values()))
    energy = measured.energy_interval
    row = _identity(case) | counted(book, case) | modelled(book, case)
    row |= _latency_columns(measured, latency)
    row |= energy_columns(book, case, energy, latency)
    row |= _against_baseline(book, case)
    row |= {
        "windows": len(measured.energy_by_block) if energy is not None else len(measured.windows),
        "temperature_start_c": measured.median_of(lambda w: w.before.temperature_c if w.before else None),
        "temperature_c": measured.median_of(lambda w: w.after.temperature_c if w.after else None),
        "sm_clock_hz": measured.median_of(lambda w: w.after.sm_clock_hz if w.after else None),
        "memory_clock_hz": measured.median_of(lambda w: w.after.memory_clock_hz if w.after else None),
        "throttle_share": measured.throttle_share(),
        "power_cap_share": measured.share("throttle_power_s"),
        "counter_vs_integral": measured.counter_vs_integral(),
        "drift": measured.drift(),
        "repeated_windows": len(measured.repeated),
        "repeat_shift": measured.repeat_shift(),
        "excluded_windows": len(measured.excluded),
        "excluded_shift": measured.excluded_shift(),
        "event_vs_host": measured.clocks_differ(),
        "recompilations": sum(w.record.recompilations for w in measured.windows),
        "host_bound_share": host_bound_share(measured.latency) if measured.latency else None,
        "edge_halfwidth": measured.edge_halfwidth(),
        "unaligned_error": measured.unaligned_error(),
        "stale_share": measured.stale_share(),
        "impossible_share": measured.impossible_share(),
        "alias_bound": _alias_bound(book, measured, energy, latency),
        "observer_effect": book.observer.ratio.estimate - 1 if book.observer else None,
        "model_error": book.record.modelled.get(case.work, {}).get("energy_error"),
        "stopped": book.record.stopped.get(book.key(case)[0], ""),
        "provenance": book.provenance,
    }
    if latency and row.get("ideal_latency_s"):
        row["efficiency"] = row["ideal_latency_s"] / latency.estimate
    row |= sequence_columns(book, case, row.get("loop_latency_s"), sm_clock_hz=row["sm_clock_hz"])
    row["status"], row["reason"] = _status(book, measured, energy, row["stopped"])
    row["flags"] = " ".join(name for name, present in row_flags(book, case, measured, row).items() if present)
    return row


def _identity(case: CaseRecord) -> Row:
    return case.point | {
        "row": "case",
        "case": case.id,
        "variant": case.variant,
        "layer": case.layer,
        "comparison": case.comparison,
        "work": case.work,
        "batch": case.batch,
        "dtype": case.dtype,
        "repeat": case.repeat,
    }


def counted(book: Book, case: CaseRecord) -> Row:
    """MACs, bytes, parameters and memory of one iteration."""
    measured = book.of(case)
    memory = measured.latency.peak_memory_bytes if measured.latency else None
    return {
        "macs": case.macs,
        "flops": 2 * case.macs,
        "compulsory_bytes": case.compulsory_bytes,
        "eager_bytes": case.eager_bytes,
        "params": case.params,
        "peak_memory_bytes": memory if memory is not None else case.peak_memory_bytes,
    }


def modelled(book: Book, case: CaseRecord) -> Row:
    """What the machine sheet says of one iteration; nothing without a sheet or its rates, or with uncounted work."""
    operators = book.operators.get(case.work, [])
    uncounted = not operators or case.unknown_operators
    if book.machine is None or uncounted or missing_rate(operators, book.machine):
        return {}
    machine = book.machine
    return {
        "ideal_latency_s": ideal_latency_s(operators, machine),
        "attainable_latency_s": sum(attainable_latency_s(o, machine) for o in operators),
        "predicted_latency_s": predicted_latency_s(operators, machine),
        "predicted_energy_per_inference_j": finite(predicted_energy_j(operators, machine).total_j / case.batch),
    }


def energy_columns(book: Book, case: CaseRecord, energy: Interval | None, latency: Interval | None) -> Row:
    """Joules, power and what follows from them; nothing where there is no trusted energy."""
    if energy is None or latency is None:
        return {}
    per_iteration = energy.estimate
    row: Row = {
        "energy_per_iteration_j": per_iteration,
        "energy_per_inference_j": per_iteration / case.batch,
        "energy_gain_uncertainty": GAIN_UNCERTAINTY if book.run.origin == "measured" else 0.0,
        "power_w": per_iteration / latency.estimate,
        "energy_per_mac_j": per_iteration / case.macs if case.macs and not case.unknown_operators else None,
        "inferences_per_j": case.batch / per_iteration,
        "relative_halfwidth": finite(energy.relative_halfwidth),
    }
    if math.isfinite(energy.high):
        row["energy_per_inference_low_j"] = energy.low / case.batch
        row["energy_per_inference_high_j"] = energy.high / case.batch
    if book.idle is not None:
        row["idle_w"] = book.idle.power_w
        if not book.smoothed and row["power_w"] > LOAD_OVER_IDLE * book.idle.power_w:
            above_idle_j = per_iteration - book.idle.power_w * latency.estimate
            row["dynamic_energy_per_inference_j"] = above_idle_j / case.batch
    return row


def _against_baseline(book: Book, case: CaseRecord) -> Row:
    baseline = book.baseline(case)
    if baseline is None:
        return {}
    row: Row = {}
    mine, theirs = book.of(case), book.of(baseline)
    latency = ratio_of(mine.latency_by_block, theirs.latency_by_block)
    if latency is not None:
        row |= ratio_columns("latency_ratio", latency)
        row["smallest_difference"] = finite(latency.smallest_difference)
    energy = ratio_of(mine.energy_by_block, theirs.energy_by_block, each=(mine.each, theirs.each))
    if energy is not None:
        row |= ratio_columns("energy_ratio", energy)
        row["smallest_difference"] = finite(energy.smallest_difference)
    return row


def _status(book: Book, measured: Measured, energy: Interval | None, stopped: str) -> tuple[str, str]:
    if not measured.windows:
        if measured.error:
            return "skipped" if measured.skipped else "failed", measured.error
        if stopped == "budget":
            return (
                "missing",
                "the budget ended before its first window; give a larger one, or go on with the same command",
            )
        return "missing", "not measured yet; run the same command again to go on"
    few = few_windows(len(measured.energy_by_block) or len(measured.windows), book.provenance)
    if energy is not None:
        return "ok", few
    reasons = {w.joules.reason for w in measured.windows if w.joules.reason}
    why = measured.distrust or book.record.energy_reason or "; ".join(sorted(reasons))
    return "ok", "; ".join(filter(None, (f"no joules: {why}", few)))


def _alias_bound(book: Book, measured: Measured, energy: Interval | None, latency: Interval | None) -> float | None:
    """How wrong joules may be because the sensor sees only part of the time; None where there are none.

    Windows at different phases balance each other in their arithmetic mean; by how much the printed, geometric one
    differs from it is part of the bound.
    """
    if energy is None or latency is None or book.sensor is None or book.idle is None:
        return None
    kind = measured.energy_kind
    phases = [w.phases for w in measured.windows]
    power_w = energy.estimate / latency.estimate
    bound = alias_bound(power_w, book.idle.power_w, latency.estimate, book.sensor, kind, phases)
    powers_w = [w.joules.power_w for w in measured.windows if w.joules.power_w is not None]
    return bound + (float(np.mean(powers_w)) / log_interval(powers_w).estimate - 1 if bound else 0.0)


def _latency_columns(measured: Measured, latency: Interval | None) -> Row:
    row: Row = latency_interval(latency) if latency else {}
    passed = measured.latency
    if passed is not None and passed.samples_s:
        low, middle, high = np.percentile(passed.samples_s, [5, 50, 95])
        row |= {
            "latency_s": middle,
            "latency_iterations_per_sample": passed.iterations_per_sample,
            "compile_s": passed.compile_s,
        }
        if passed.iterations_per_sample == 1:
            row |= {"latency_p5_s": low, "latency_p95_s": high}
    return row


def latency_interval(latency: Interval) -> Row:
    """Loop latency with its interval, where it has one."""
    row: Row = {"loop_latency_s": latency.estimate}
    if math.isfinite(latency.high):
        row |= {"loop_latency_low_s": latency.low, "loop_latency_high_s": latency.high}
    return row


def ratio_columns(name: str, ratio: Ratio) -> Row:
    """A ratio and its interval under ``name``."""
    interval = ratio.interval
    row: Row = {name: interval.estimate}
    if math.isfinite(interval.high):
        row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def _interval(values: Sequence[float]) -> Interval | None:
    return log_interval(values) if values else None


def few_windows(count: int, provenance: str) -> str:
    """Why a mean of so many windows has no interval; empty where it has one, or was not measured at all."""
    if count >= LEAST_REPLICATES or provenance == "modelled":
        return ""
    return f"no interval: {count} of at least {LEAST_REPLICATES} windows; run the same command again"


def finite(value: float) -> float | None:
    """``value``, or None where it is infinite or no number: what cannot be known is not printed."""
    return value if math.isfinite(value) else None
