"""Which is faster, which needs less, and can we tell? Two runs case by case, or the variants of one run.

Two runs share no block, so their ratio is unpaired (`energybench.analysis.welch`); variants of one run were measured
interleaved, and their ratios come from mirrored pairs, as the run's own tables have them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from energybench.analysis.comparison import Change, ComparedRow, Comparison, Quantity, change_of
from energybench.analysis.matching import (
    Gain,
    Unmatched,
    differences,
    gain_of,
    matched_cases,
    refuse_unlike,
    same_windows,
    scopes,
)
from energybench.analysis.ratios import Ratio
from energybench.analysis.statistics import Contrast, Interval
from energybench.analysis.summary import Summary
from energybench.analysis.welch import Logs, Windows, logs_of, unpaired_ratio
from energybench.errors import RunFolderError
from energybench.journal import CaseRecord, RunRecord

MARGIN = 0.01
"""Ratios this close to 1 are called the same, if the whole interval is."""


def compare_runs(a: Summary, b: Summary, *, margin: float = MARGIN, same_board: bool | None = None) -> Comparison:
    """Every case and total of ``b`` over the same one of ``a``.

    Args:
        a: the run that is compared with: the old driver, the other machine.
        b: the run that is judged.
        margin: ratios whose whole interval is within 1 +- margin are the same.
        same_board: says whether both ran on one board, where UUIDs do not.

    Raises:
        RunFolderError: the runs are of different kinds, are one run, or have no comparable case in common.
    """
    refuse_unlike(a, b)
    matched, unmatched = matched_cases(a, b)
    meters = scopes(a, b)
    alike = not all(meters) or meters[0] == meters[1]
    gain = gain_of(a, b, same_board=same_board)
    pair = _Pair(_Opened.of(a), _Opened.of(b), gain, margin, joules=alike)
    rows = [pair.row("case", old.id, old.comparison, [(old, new)]) for old, new in matched]
    totals, lacking = _totals(a.run.record, b.run.record, matched, {u.name: u for u in unmatched})
    rows += [pair.row("total", name, place, members) for name, place, members in totals]
    caveats = list(_caveats(a, b))
    if not alike:
        caveats.append(f"the meters cover different things ({'; '.join(meters)}): joules are not compared")
    return Comparison(
        kind="runs",
        runs=(a.run.folder.name, b.run.folder.name),
        devices=tuple(_device(s.run.record) for s in (a, b)),
        margin=margin,
        rows=tuple(rows),
        unmatched=(*unmatched, *lacking),
        differences=differences(a, b),
        gain=gain if any(row.energy for row in rows) else None,
        caveats=tuple(caveats),
    )


def compare_variants(summary: Summary, *, margin: float = MARGIN) -> Comparison:
    """Every variant of one run over its partner at matched MACs, and over the baseline.

    Raises:
        RunFolderError: no two variants of the run were measured at one point.
    """
    distinct: dict[tuple[str, ...], ComparedRow] = {}  # a partner that is the baseline too is one row
    for pair in summary.pairs.to_dict("records"):
        row = _variant_row(pair, margin)
        distinct.setdefault((row.scope, row.place, row.variant, row.against), row)
    ordered = sorted(distinct.values(), key=lambda row: row.scope)
    if not any(row.latency or row.energy for row in ordered):
        raise RunFolderError(
            "no two variants were measured at one point of the axes, so there is nothing to compare",
            where=str(summary.run.folder),
            remedy="give two runs, or run a suite with two variants",
        )
    return Comparison(
        kind="variants",
        runs=(summary.run.folder.name,),
        devices=(_device(summary.run.record),),
        margin=margin,
        rows=tuple(ordered),
        unmatched=tuple(
            Unmatched(str(r.case), f"{r.status} {r.reason}".strip(), lost=str(r.status) != "skipped")
            for r in summary.cases[summary.cases["status"] != "ok"].fillna("").itertuples()
        ),
        gain=Gain(0.0, "one board and one sensor: its gain cancels in every ratio") if summary.has_energy else None,
        caveats=tuple(_state([summary], ["this run"])),
    )


@dataclass(frozen=True)
class _Opened:
    """A run as far as it is needed here.

    Attributes:
        record: its record.
        windows: (seconds, joules) per iteration of every window, by measurement; joules NaN where there are none.
        reasons: cases without joules that can be trusted, and why.
    """

    record: RunRecord
    windows: Mapping[tuple[str, str], Sequence[tuple[float, float]]]
    reasons: Mapping[str, str]

    @classmethod
    def of(cls, summary: Summary) -> _Opened:
        windows: dict[tuple[str, str], list[tuple[float, float]]] = {}
        values = summary.windows[["loop_latency_s", "energy_per_iteration_j"]].astype(float).to_numpy().tolist()
        places = zip(summary.windows["comparison"], summary.windows["work"], strict=True)
        for (comparison, work), (seconds, joules) in zip(places, values, strict=True):
            windows.setdefault((str(comparison), str(work)), []).append((seconds, joules))
        lacking = summary.cases[summary.cases["energy_per_inference_j"].isna()].fillna({"reason": ""})
        reasons = {str(case.case): str(case.reason) or "no joules" for case in lacking.itertuples()}
        return cls(summary.run.record, windows, reasons)

    def term(self, case: CaseRecord, *, joules: bool) -> Windows:
        """The windows of ``case``; with ``joules`` only those that have them."""
        key = self.record.measured_as.get(case.comparison, case.comparison), case.work
        values = [(t, e) for t, e in self.windows[key] if not joules or not math.isnan(e)]
        seconds, energies = zip(*values, strict=True)
        return Windows(" ".join(key), case.repeat, seconds, energies if joules else ())


@dataclass(frozen=True)
class _Pair:
    """Two opened runs, the second judged by the first."""

    a: _Opened
    b: _Opened
    gain: Gain
    margin: float
    joules: bool

    def row(
        self, scope: Literal["case", "total"], name: str, place: str, members: Sequence[tuple[CaseRecord, CaseRecord]]
    ) -> ComparedRow:
        notes = list(dict.fromkeys(self._notes(members)))
        joules = self.joules and not any(old.id in self.a.reasons or new.id in self.b.reasons for old, new in members)
        old, new = (self._logs(run, [pair[i] for pair in members], joules) for i, run in enumerate((self.a, self.b)))
        macs = [sum(pair[i].macs * pair[i].repeat for pair in members) for i in (0, 1)]
        return ComparedRow(
            scope=scope,
            name=name,
            place=place,
            variant=members[0][0].variant,
            against="",
            macs_ratio=macs[1] / macs[0] if macs[0] else math.nan,
            latency=self._change(new.latency, old.latency, "latency"),
            energy=self._change(new.energy, old.energy, "energy"),
            power=self._change(new.power, old.power, "power"),
            note="; ".join(notes),
        )

    @staticmethod
    def _logs(run: _Opened, cases: Sequence[CaseRecord], joules: bool) -> Logs:
        return logs_of([run.term(case, joules=joules) for case in cases])

    def _change(self, new: Contrast | None, old: Contrast | None, quantity: Quantity) -> Change | None:
        if new is None or old is None:
            return None
        return change_of(
            unpaired_ratio(new, old), quantity, self.margin, 0.0 if quantity == "latency" else self.gain.log_halfwidth
        )

    def _notes(self, members: Sequence[tuple[CaseRecord, CaseRecord]]) -> Iterator[str]:
        for old, new in members:
            if old.macs != new.macs:
                yield f"not the same work: MACs x {new.macs / old.macs:.3g}" if old.macs else "not the same work"
            was, now = self.a.reasons.get(old.id, ""), self.b.reasons.get(new.id, "")
            if was and was == now:
                yield f"A and B: {was}"
                continue
            yield from (f"{side}: {reason}" for side, reason in (("A", was), ("B", now)) if reason)


def _variant_row(row: Mapping[Any, Any], margin: float) -> ComparedRow:
    total = row["scope"] == "total"
    place = _total_place(row) if total else str(row["comparison"])
    has_energy = pd.notna(row["energy_ratio"])
    return ComparedRow(
        scope="total" if total else "case",
        name=f"{row['variant']} against {row['against']} | {place}",
        place=place,
        variant=str(row["variant"]),
        against=str(row["against"]),
        macs_ratio=float(row["macs_ratio"]) if pd.notna(row["macs_ratio"]) else math.nan,
        latency=_variant_change(row, "latency", margin, has_smallest=not has_energy),
        energy=_variant_change(row, "energy", margin, has_smallest=True),
        power=None,
        matched=row["kind"] == "matched",
    )


def _variant_change(row: Mapping[Any, Any], quantity: Quantity, margin: float, *, has_smallest: bool) -> Change | None:
    estimate = row[f"{quantity}_ratio"]
    if pd.isna(estimate):
        return None
    low, high = (row[f"{quantity}_ratio_{end}"] for end in ("low", "high"))
    interval = Interval(float(estimate), 0.0, math.inf, 0)
    if pd.notna(low) and pd.notna(high):
        interval = Interval(float(estimate), float(low), float(high), math.nan)
    smallest = float(row["smallest_difference"]) if has_smallest and pd.notna(row["smallest_difference"]) else math.nan
    return change_of(Ratio(interval, smallest), quantity, margin)


def _total_place(row: Mapping[Any, Any]) -> str:
    parts = [str(row["network"] or ""), f"batch={row['batch']}", f"dtype={row['dtype']}"]
    return f"total {row['comparison'] or ' '.join(part for part in parts if part)}"


Members = list[tuple[CaseRecord, CaseRecord]]


def _totals(
    a: RunRecord, b: RunRecord, matched: Members, unmatched: Mapping[str, Unmatched]
) -> tuple[list[tuple[str, str, Members]], list[Unmatched]]:
    """Totals whose every stage is compared, as (name, place, members); those compared in part, with the reason."""
    partners = {old.id: new for old, new in matched}
    stages_a, stages_b = _stages(a), _stages(b)
    totals, lacking = [], []
    for (variant, place), cases in stages_a.items():
        name = f"total {variant} | {place}"
        missing = [c.id for c in cases if c.id not in partners]
        others = {c.id: c.repeat for c in stages_b.get((variant, place), [])}
        if len(missing) == len(cases):
            continue  # each of them is named on its own
        if missing:
            lost = any(unmatched[i].lost for i in missing if i in unmatched)
            lacking.append(Unmatched(name, f"{len(missing)} of its {len(cases)} stages are not compared", lost))
        elif others != {c.id: c.repeat for c in cases}:
            lacking.append(Unmatched(name, "the runs sum other stages, or other numbers of them", lost=True))
        else:
            totals.append((name, f"total {place}", [(c, partners[c.id]) for c in cases]))
    return totals, lacking


def _stages(record: RunRecord) -> dict[tuple[str, str], list[CaseRecord]]:
    """The cases of every total, by (variant, place); none where no axis is summed."""
    found: dict[tuple[str, str], list[CaseRecord]] = {}
    for case in record.cases if record.summed_axis else []:
        kept = (f"{k}={v}" for k, v in case.point.items() if k not in record.summed_axis or isinstance(v, str))
        found.setdefault((case.variant, " ".join(kept)), []).append(case)
    return found


def _caveats(a: Summary, b: Summary) -> Iterator[str]:
    if same_windows(a.run, b.run):
        yield "both runs hold the very same windows (one simulation, repeated with its seed): nothing is tested"
    if a.run.record.suite_text != b.run.record.suite_text:
        yield "the suites differ; only cases of the same id and the same job are compared"
    yield from _state([a, b], ["A", "B"])


def _state(summaries: Sequence[Summary], names: Sequence[str]) -> Iterator[str]:
    """What is true of some runs and must be said; ``names`` are what to call them."""
    quick = [bool(s.run.record.options.get("quick")) for s in summaries]
    mixed = "quick and the other is not: its windows are shorter and fewer"
    conditions = {
        "simulated: nothing was measured": [s.run.simulated for s in summaries],
        "quick: good for a look, not for print" if all(quick) else mixed: quick,
        "not finished": [not s.run.record.complete for s in summaries],
    }
    for words, present in conditions.items():
        who = " and ".join(name for name, true in zip(names, present, strict=True) if true)
        if who:
            yield f"{who} {'are' if ' and ' in who else 'is'} {words}"


def _device(record: RunRecord) -> str:
    return str(record.device.get("title") or record.device.get("name") or "unknown device")
