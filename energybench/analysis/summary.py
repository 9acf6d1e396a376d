"""What did a run find? One row a case, one a total, one a pair: every table that is shown, derived from the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from energybench import columns
from energybench.analysis.book import Book, Row, machine_of
from energybench.analysis.case_rows import case_row
from energybench.analysis.guards import call_percentiles
from energybench.analysis.measured import Idle
from energybench.analysis.measured_group_size import NetworkOptimum, network_optima
from energybench.analysis.optimum import group_size_rows
from energybench.analysis.total_rows import pair_rows, total_rows
from energybench.journal import OperatorRecord, Run, load
from energybench.machine import Machine


@dataclass(frozen=True)
class Summary:
    """Every table of a run. Columns: see `energybench.columns`; ``cases`` and ``totals`` also have the axes' fields.

    Attributes:
        run: the folder it was derived from.
        cases: one row a case.
        totals: per variant, summed over the stages of a network.
        pairs: each variant against its matched partner and against the baseline.
        operators: one row an operator of a case.
        group_size: measured and analytic optimum group size, one row a shape.
        windows: one row a measured window.
        idle: active idle, None without a meter.
        network_optima: of a group-size study, one a network, batch and data type.
        calls: kind of reading -> median and 99th percentile of the seconds that one call to its source took.
    """

    run: Run
    cases: pd.DataFrame
    totals: pd.DataFrame
    pairs: pd.DataFrame
    operators: pd.DataFrame
    group_size: pd.DataFrame
    windows: pd.DataFrame
    idle: Idle | None
    network_optima: tuple[NetworkOptimum, ...] = ()
    calls: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line, for notebooks."""
        return f"<Summary of {self.run!r}: {len(self.cases)} cases, {len(self.totals)} totals>"

    @property
    def machine(self) -> Machine | None:
        """The machine sheet of the run."""
        return machine_of(self.run)

    @property
    def has_energy(self) -> bool:
        """Whether any case has joules."""
        return bool(self.cases["energy_per_inference_j"].notna().any())

    @property
    def results(self) -> pd.DataFrame:
        """Cases and totals together: what results.csv holds."""
        return pd.concat([f for f in (self.cases, self.totals) if len(f)], ignore_index=True)


def summarize(run: Run | Path | str) -> Summary:
    """Derive every table of ``run``, or of the run in a folder; of unfinished ones too (what is missing has a reason).

    Raises:
        RunFolderError: the folder holds no run that can be read.
    """
    run = run if isinstance(run, Run) else load(run)
    book = Book(run)
    rows = {case.id: case_row(book, case) for case in run.record.cases}
    cases = pd.DataFrame([*rows.values(), *_skipped_rows(book)])
    totals = pd.DataFrame(total_rows(book, rows))
    frame = _ordered(cases, columns.RESULTS)
    return Summary(
        run=run,
        cases=frame,
        totals=_ordered(totals, columns.RESULTS),
        pairs=_ordered(pd.DataFrame(pair_rows(book)), columns.PAIRS),
        operators=_ordered(pd.DataFrame(_operator_rows(book)), columns.OPERATORS),
        group_size=_ordered(
            pd.DataFrame(group_size_rows(run, frame, book.operators, book.machine)), columns.GROUP_SIZE
        ),
        windows=_ordered(pd.DataFrame(_window_rows(book)), columns.WINDOWS),
        idle=book.idle,
        network_optima=network_optima(book),
        calls=call_percentiles(w.health for m in book.measured.values() for w in m.windows if w.health is not None),
    )


def _skipped_rows(book: Book) -> list[Row]:
    return [
        {"row": "case", "case": s.case, "status": "skipped", "reason": s.because, "provenance": book.provenance}
        for s in book.record.skipped
    ]


def _operator_rows(book: Book) -> list[Row]:
    by_work: dict[str, list[OperatorRecord]] = {}
    for operator in sorted(book.run.operators, key=lambda o: o.index):
        by_work.setdefault(operator.work, []).append(operator)
    return [
        {
            "case": case.id,
            "variant": case.variant,
            "index": o.index,
            "path": o.path,
            "name": o.name,
            "family": o.family,
            "macs": o.macs,
            "flops": 2 * o.macs,
            "bytes": o.read_bytes + o.write_bytes,
            "read_bytes": o.read_bytes,
            "write_bytes": o.write_bytes,
            "weight_bytes": o.weight_bytes,
            "groups": o.groups,
            "group_size": o.group_size,
            "kernel_size": o.kernel_size,
            "out_channels": o.out_channels,
            "stride": o.stride,
            "input_side": o.input_side,
            "known": o.known,
            "dtype": o.dtype,
            "measured_s": o.measured_s,
            "kernel": o.kernel,
        }
        for case in book.record.cases
        for o in by_work.get(case.work, [])
    ]


def _window_rows(book: Book) -> list[Row]:
    return [
        {
            "window": w.record.number,
            "work": w.record.work,
            "comparison": w.record.comparison,
            "block": w.record.block,
            "start_s": w.record.start_s,
            "stop_s": w.record.stop_s,
            "iterations": w.record.stamps[-1][1],
            "power_w": w.joules.power_w,
            "loop_latency_s": w.joules.loop_latency_s,
            "energy_per_iteration_j": w.joules.energy_per_iteration_j,
            "interior_s": w.joules.interior_s,
            "edge_halfwidth": w.joules.edge_halfwidth if w.joules.power_w is not None else None,
            "unaligned_power_w": w.joules.unaligned_w,
            "estimator": w.joules.estimator,
            "temperature_c": w.record.after.temperature_c if w.record.after else None,
            "sm_clock_hz": w.record.after.sm_clock_hz if w.record.after else None,
            "flags": " ".join(sorted({*w.record.flags, *w.joules.flags, *measured.jump_flags(w)})),
            "reason": w.joules.reason or measured.jumped.get(w.record.number, ""),
        }
        for measured in book.measured.values()
        for w in measured.windows
    ]


def _ordered(frame: pd.DataFrame, dictionary: tuple[columns.Column, ...]) -> pd.DataFrame:
    """The dictionary's columns in its order (missing ones empty), then the rest: the axes' fields."""
    names = columns.names(dictionary)
    extra = [name for name in frame.columns if name not in names]
    ordered = frame.reindex(columns=names + extra)
    unknown = [name for name in ordered.columns if ordered[name].isna().all()]
    return ordered.astype(dict.fromkeys(unknown, float))
