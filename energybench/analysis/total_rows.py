"""What are the rows of totals and of pairs? Variants summed over a network's stages, and judged against another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from energybench.analysis.book import Book, Row
from energybench.analysis.case_rows import energy_columns, finite, latency_interval, ratio_columns
from energybench.analysis.measured import Measured
from energybench.analysis.ratios import Ratio, ratio_of, ratio_of_totals, total_of
from energybench.analysis.stages import kept_fields, kept_text, partial_totals, total_id, totals
from energybench.analysis.statistics import verdict
from energybench.flags import FLAGS
from energybench.journal import CaseRecord

ADDITIVE = (
    "macs",
    "flops",
    "compulsory_bytes",
    "eager_bytes",
    "params",
    "ideal_latency_s",
    "attainable_latency_s",
    "predicted_latency_s",
    "predicted_energy_per_inference_j",
)
"""Columns of a total that are sums over its stages, weighted by ``repeat``."""

RATIOS = (
    "energy_ratio",
    "energy_ratio_low",
    "energy_ratio_high",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
    "smallest_difference",
)
"""Columns of a row that come from its pair with the baseline."""


def total_rows(book: Book, rows: Mapping[str, Row]) -> list[Row]:
    """One row a variant and network: its stages summed, weighted by how often the network has them.

    Args:
        book: the run.
        rows: the row of every case, by its id.
    """
    whole = [_total_row(book, cases, [rows[c.id] for c in cases]) for cases in totals(book.record).values()]
    return whole + [_partial_row(book, cases, stages) for cases, stages in partial_totals(book.record)]


def pair_rows(book: Book) -> list[Row]:
    """One row a variant and partner, for every point of the axes and for every total."""
    rows = []
    for case in book.record.cases:
        for against, kind in book.partners(case):
            rows.append(_pair_row(book, [case], [against], kind, "case"))
    whole = totals(book.record)
    for (variant, *place), cases in whole.items():
        for against, kind in book.partners(cases[0]):
            others = whole.get((against.variant, *place))
            if others and against.variant != variant:
                rows.append(_pair_row(book, cases, others, kind, "total"))
    return rows


def _partial_row(book: Book, cases: Sequence[CaseRecord], stages: int) -> Row:
    reason = f"skipped at {stages - len(cases)} of the {stages} stages"
    return _total_head(book, cases) | {"status": "missing", "reason": reason, "flags": ""}


def _total_row(book: Book, cases: Sequence[CaseRecord], rows: Sequence[Row]) -> Row:
    row = _total_head(book, cases)
    for name in ADDITIVE:
        if all(name in r for r in rows):
            row[name] = sum(r[name] * r["repeat"] for r in rows)
    return row | _total_measured(book, cases, rows, row)


def _total_head(book: Book, cases: Sequence[CaseRecord]) -> Row:
    first = cases[0]
    return kept_fields(book.record, first) | {
        "row": "total",
        "case": total_id(book.record, first),
        "variant": first.variant,
        "layer": first.layer,
        "comparison": f"total {kept_text(book.record, first)}",
        "batch": first.batch,
        "dtype": first.dtype,
        "repeat": sum(c.repeat for c in cases),
        "provenance": book.provenance,
    }


def _total_measured(book: Book, cases: Sequence[CaseRecord], rows: Sequence[Row], row: Row) -> Row:
    lacking = [c.id for c in cases if not book.of(c).windows]
    if lacking:
        return {"status": "missing", "reason": f"{len(lacking)} of its stages have no measurement", "flags": ""}
    found: Row = {"status": "ok", "reason": ""}
    latency = total_of([book.stage(c, book.of(c).latency_by_block) for c in cases])
    found |= latency_interval(latency)
    if all(r.get("energy_per_inference_j") is not None for r in rows):
        energy = total_of([book.stage(c, book.of(c).energy_by_block, book.of(c).each) for c in cases])
        total = CaseRecord.model_validate(cases[0].model_dump() | {"macs": row["macs"]})
        found |= energy_columns(book, total, energy, latency)
    else:
        found["reason"] = next(r["reason"] for r in rows if r.get("energy_per_inference_j") is None)
    baselines = [b for c in cases if (b := book.baseline(c)) is not None]
    if len(baselines) == len(cases):
        pair = _pair_row(book, cases, baselines, "baseline", "total")
        found |= {name: pair.get(name) for name in RATIOS}
    if row.get("ideal_latency_s"):
        found["efficiency"] = row["ideal_latency_s"] / latency.estimate
        found["attainable_efficiency"] = row["ideal_latency_s"] / row["attainable_latency_s"]
    found["windows"] = min(r["windows"] for r in rows)
    present = {flag for r in rows for flag in r["flags"].split()}
    found["flags"] = " ".join(name for name in FLAGS if name in present)
    return found


def _pair_row(book: Book, cases: Sequence[CaseRecord], others: Sequence[CaseRecord], kind: str, scope: str) -> Row:
    first = cases[0]
    macs, other_macs = (sum(c.macs * c.repeat for c in cs) for cs in (cases, others))
    row: Row = {
        "scope": scope,
        "network": book.network(first),
        "comparison": first.comparison if scope == "case" else kept_text(book.record, first),
        "variant": first.variant,
        "against": others[0].variant,
        "kind": kind,
        "batch": first.batch,
        "dtype": first.dtype,
        "macs_ratio": macs / other_macs if other_macs else None,
        "verdict": "cannot tell",
    }
    latency = _ratio(book, cases, others, lambda m: m.latency_by_block)
    energy = _ratio(book, cases, others, lambda m: m.energy_by_block, lambda m: m.each)
    if latency is not None:
        row |= ratio_columns("latency_ratio", latency)
    if energy is not None:
        row |= ratio_columns("energy_ratio", energy)
        row["energy_per_mac_ratio"] = energy.interval.estimate / row["macs_ratio"] if row["macs_ratio"] else None
    decisive = energy or latency
    if decisive is not None:
        row["smallest_difference"] = finite(decisive.smallest_difference)
        ratio = decisive.interval
        # a model repeats exactly: its ratio is the whole interval
        exact = replace(ratio, low=ratio.estimate, high=ratio.estimate)
        row["verdict"] = verdict(exact if book.provenance == "modelled" else ratio)
    return row


def _ratio(
    book: Book,
    cases: Sequence[CaseRecord],
    others: Sequence[CaseRecord],
    by_block: Callable[[Measured], dict[int, float]],
    each: Callable[[Measured], float] = lambda _: 0.0,
) -> Ratio | None:
    mine = [by_block(book.of(c)) for c in cases]
    theirs = [by_block(book.of(c)) for c in others]
    if not all(mine) or not all(theirs):
        return None
    if len(cases) == 1:
        return ratio_of(mine[0], theirs[0], each=(each(book.of(cases[0])), each(book.of(others[0]))))
    return ratio_of_totals(
        [book.stage(c, values, each(book.of(c))) for c, values in zip(cases, mine, strict=True)],
        [book.stage(c, values, each(book.of(c))) for c, values in zip(others, theirs, strict=True)],
    )
