"""Are the numbers of a summary numbers? Columns with nothing but missing values arrive as objects."""

from __future__ import annotations

import dataclasses

import pandas as pd

from energybench.analysis.summary import Summary


def tidy(summary: Summary) -> Summary:
    """``summary`` with numeric columns where every known value is a number, and rows counted from 0."""
    return dataclasses.replace(
        summary,
        cases=_numeric(summary.cases),
        totals=_numeric(summary.totals),
        pairs=_numeric(summary.pairs),
        operators=_numeric(summary.operators),
        group_size=_numeric(summary.group_size),
        windows=_numeric(summary.windows),
    )


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    found = frame.reset_index(drop=True)
    for name in found.columns:
        known = found[name].dropna()
        if found[name].dtype == object and all(isinstance(v, (int, float)) for v in known):
            found[name] = pd.to_numeric(found[name])
    return found
