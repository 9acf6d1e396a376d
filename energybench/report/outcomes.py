"""What did each comparison show? A variant against its partner, with what the words and figures need of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from energybench.analysis.statistics import Interval, verdict
from energybench.report.style import plain

MATCHED_WITHIN = 0.10
"""Declared pairs whose MACs differ by more than this are not called matched without saying so."""


@dataclass(frozen=True)
class Outcome:
    """One variant against its partner at one point of the axes; ratios of energy, or of latency without joules.

    ``row_id`` is the variant's row of the page's table, empty where the pairs do not say it; ``predicted`` a ratio
    without replicates, of which only the value can be told.
    """

    variant: str
    against: str
    place: str
    ratio: float
    low: float
    high: float
    macs_ratio: float
    smallest_difference: float
    row_id: str = ""
    predicted: bool = False

    @property
    def per_mac(self) -> float:
        """The same ratio per multiply-accumulate."""
        return self.ratio / self.macs_ratio if self.macs_ratio else float("nan")

    @property
    def apart(self) -> bool:
        """Whether the MACs are too far apart for the ratio alone to answer."""
        return abs(self.macs_ratio - 1) > MATCHED_WITHIN

    @property
    def verdict(self) -> str:
        """``less``, ``more``, ``same`` (within 1 %) or ``cannot tell``; of a prediction, what its value says."""
        low, high = (self.ratio, self.ratio) if self.predicted else (self.low, self.high)
        return verdict(Interval(self.ratio, low, high, 0.0))


def relevant_pairs(pairs: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The rows the answer rests on, and whether they are matched: matched before baseline, totals before cases.

    Rows with an interval come before those without: a run that was cut short has totals of a window or two.
    """
    for kind in ("matched", "baseline"):
        for scope, surely in (("total", True), ("case", True), ("total", False), ("case", False)):
            rows = pairs[(pairs["kind"] == kind) & (pairs["scope"] == scope)]
            if any(_known(rows, name, surely=surely) for name in ("energy_ratio", "latency_ratio")):
                order = rows["network"].fillna("").map({name: i for i, name in enumerate(rows["network"].unique())})
                return rows.loc[order.sort_values(kind="stable").index], kind == "matched"
    return pairs.iloc[:0], False


def _known(rows: pd.DataFrame, name: str, *, surely: bool) -> bool:
    """Whether any row has a ratio, ``surely`` with an interval; that of the same work against itself is a point."""
    low, high = rows[f"{name}_low"].astype(float), rows[f"{name}_high"].astype(float)
    return bool(((low < high) & (high < math.inf)).any() if surely else rows[name].notna().any())


def outcomes_of(
    rows: pd.DataFrame, column: str, places: Mapping[str, str] | None = None, *, origin: str = "measured"
) -> tuple[Outcome, ...]:
    """The rows whose ``column`` is known, as outcomes, in the order of the run.

    Args:
        rows: columns of ``columns.PAIRS``.
        column: ``energy_ratio`` or ``latency_ratio``.
        places: short names of comparisons, for pairs of cases.
        origin: ``measured``, ``simulated`` or ``modelled``.
    """
    rows = rows[rows[column].notna()]
    found = [
        Outcome(
            variant=plain(row["variant"]),
            against=plain(row["against"]),
            place=place,
            ratio=float(row[column]),
            low=float(row[f"{column}_low"]),
            high=float(row[f"{column}_high"]),
            macs_ratio=float(row["macs_ratio"]),
            smallest_difference=float(row["smallest_difference"]),
            row_id=str(row.get("row_id", "")),
            predicted=origin == "modelled",
        )
        for row, place in zip(rows.to_dict("records"), _places(rows, places or {}), strict=True)
    ]
    return tuple(found)


def against_what(outcomes: Sequence[Outcome], *, matched: bool) -> str:
    """What the variants stand against, for a title that claims no more than its rows hold.

    Args:
        outcomes: what is shown.
        matched: whether they are declared pairs, from ``relevant_pairs``.
    """
    if not matched:
        return "against the baseline (MACs differ)"
    apart = [outcome.apart for outcome in outcomes]
    if not any(apart):
        return "at matched MACs"
    return "of declared pairs, MACs apart" if all(apart) else "of declared pairs, matched MACs first"


def _places(rows: pd.DataFrame, known: Mapping[str, str]) -> list[str]:
    """Where each row was measured, in the fewest words that tell the rows of one pair apart."""
    fields = [f for f in ("network", "batch", "dtype") if rows[f].nunique(dropna=False) > 1 or len(rows) == 1]
    records = rows.to_dict("records")
    words = [known[row["comparison"]] if row["comparison"] in known else _place(row, fields) for row in records]
    keys = list(zip(rows["variant"], rows["against"], words, strict=True))
    if len(set(keys)) == len(keys):
        return words
    return _what_differs([plain(row["comparison"] or word) for row, word in zip(records, words, strict=True)])


def _what_differs(comparisons: Sequence[str]) -> list[str]:
    """Points of the axes without what all have in common: ``batch 1, contiguous``."""
    split = [comparison.split() for comparison in comparisons]
    common = set.intersection(*(set(words) for words in split))
    short = [", ".join(_said(word) for word in words if word not in common) for words in split]
    return short if len(set(short)) == len(set(comparisons)) else list(comparisons)


def _said(word: str) -> str:
    """Text values speak for themselves, numbers need the name of their field."""
    field, equals, value = word.partition("=")
    if not equals:
        return word
    return f"{field} {value}" if value[:1].isdigit() else value


def _place(row: dict[Any, Any], fields: Sequence[str]) -> str:
    parts = []
    for field in fields:
        value = row.get(field)
        if value is None or value == "" or pd.isna(value):
            continue
        parts.append(f"batch {int(value)}" if field == "batch" else plain(value))
    return ", ".join(parts)
