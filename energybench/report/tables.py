"""Are the tables of a summary fit to be shown? Numbers as numbers, rows counted from 0, and pairs that know theirs."""

from __future__ import annotations

import dataclasses

import pandas as pd

from energybench.analysis.summary import Summary


def tidy(summary: Summary) -> Summary:
    """``summary`` with numeric columns where every known value is a number, and rows counted from 0.

    Pairs get a ``row_id``: the row of cases or totals that the variant judged has, as figures and page call it.
    """
    cases, totals = _numeric(summary.cases), _numeric(summary.totals)
    return dataclasses.replace(
        summary,
        cases=cases,
        totals=totals,
        pairs=_linked(_numeric(summary.pairs), cases, totals),
        operators=_numeric(summary.operators),
        group_size=_numeric(summary.group_size),
        windows=_numeric(summary.windows),
    )


def telling(summary: Summary) -> pd.DataFrame:
    """The rows that answer: totals, or cases where there are none; only of points at which anything was measured.

    A run that was cut short has totals without a number long before it has one with a number.
    """
    totals, cases = measured_points(summary.totals), measured_points(summary.cases)
    return totals if len(totals) else cases


def measured_points(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` of comparisons that have a latency, with their variants that failed or were skipped."""
    known = rows.loc[rows["loop_latency_s"].notna(), "comparison"] if len(rows) else ()
    return rows[rows["comparison"].isin(known)] if len(rows) else rows


def cut_short(summary: Summary) -> str:
    """Why a run is not whole, as what happened to it; empty for one that is."""
    if summary.run.record.complete:
        return ""
    return "stopped by its budget" if (summary.cases["stopped"] == "budget").any() else "interrupted"


def _linked(pairs: pd.DataFrame, cases: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    ids: dict[tuple[object, object], str] = {}
    for kind, frame in (("case", cases), ("total", totals)):
        ids |= {
            key: f"{kind}-{n}"
            for key, n in zip(zip(frame["comparison"], frame["variant"], strict=True), frame.index, strict=True)
        }
    places = pairs["comparison"].where(pairs["scope"] == "case", "total " + pairs["comparison"].astype(str))
    return pairs.assign(row_id=[ids.get(key, "") for key in zip(places, pairs["variant"], strict=True)])


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    found = frame.reset_index(drop=True)
    for name in found.columns:
        known = found[name].dropna()
        if found[name].dtype == object and all(isinstance(v, (int, float)) for v in known):
            found[name] = pd.to_numeric(found[name])
    return found
