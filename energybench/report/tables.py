"""Are the tables of a summary fit to be shown? Numbers as numbers, rows counted from 0, and pairs that know theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from energybench.analysis.summary import Summary
from energybench.report.settings import settings_of


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

    A run that was cut short has totals without a number long before it has one with a number, and where it was cut it
    has those of a variant or two, which answer nothing.
    """
    totals = _through(summary)
    return totals if len(totals) else measured_points(summary.cases)


def totalled(summary: Summary) -> pd.DataFrame:
    """The cases that have a latency and whose setting has a total in ``telling``."""
    cases, totals = summary.cases[summary.cases["loop_latency_s"].notna()], _through(summary)
    fields = _fields(summary)
    return cases[_at(cases, fields).isin(_at(totals, fields))] if len(totals) else cases.iloc[:0]


def _through(summary: Summary) -> pd.DataFrame:
    """Totals of measured points; of a run that was cut short only where no case is still to come."""
    totals, fields = measured_points(summary.totals), _fields(summary)
    if summary.run.record.complete or totals.empty:
        return totals
    coming = summary.cases[(summary.cases["status"] == "missing") & summary.cases["variant"].notna()]
    return totals[~_at(totals, fields).isin(_at(coming, fields))]


def _fields(summary: Summary) -> list[str]:
    return [name for name in settings_of(summary.run.record).all if name in summary.totals]


def _at(rows: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """Where each row is, as one word: its values of ``fields``."""
    return pd.Series(["\n".join(map(str, values)) for values in rows[list(fields)].to_numpy().tolist()], rows.index)


def measured_points(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` of comparisons that have a latency, with their variants that failed or were skipped."""
    known = rows.loc[rows["loop_latency_s"].notna(), "comparison"] if len(rows) else ()
    return rows[rows["comparison"].isin(known)] if len(rows) else rows


def whole_points(cases: pd.DataFrame, *, complete: bool) -> pd.DataFrame:
    """``cases`` of one setting whose sums over its stages can be compared: every variant at the same stages.

    Of a run that is not ``complete`` the comparisons that lack variants which others have are left out, as not there
    yet; then the variants that lack a stage, as their totals are.
    """
    known = cases[cases["loop_latency_s"].notna()]
    if not complete:
        known = _fullest(known, "comparison", "variant")
    return _fullest(known, "variant", "comparison")


def _fullest(rows: pd.DataFrame, by: str, counted: str) -> pd.DataFrame:
    """The rows of those ``by`` that have most distinct ``counted``."""
    counts = rows.groupby(by)[counted].transform("nunique")
    fullest: pd.DataFrame = rows[counts == counts.max()]
    return fullest


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
