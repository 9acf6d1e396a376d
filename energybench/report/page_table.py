"""What does the page's table hold? Rows and cells for people, with the numbers a script can sort by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from energybench import columns
from energybench.analysis.summary import Summary
from energybench.flags import marks
from energybench.report import quantities
from energybench.report.quantities import Scale, scale_for
from energybench.report.settings import settings_of
from energybench.report.strips import Strip, strips
from energybench.report.style import plain

ROWS_AT_MOST = 500
MEANINGS: Mapping[str, str] = {column.name: column.meaning for column in columns.RESULTS}


@dataclass(frozen=True)
class Head:
    """A column's heading.

    Attributes:
        name: its words.
        unit: of its numbers; empty where they have none.
        meaning: that of its column in results.csv.
        numeric: whether its cells are numbers.
        identity: whether it says which row this is.
        more: whether a page leaves it to the opened row.
    """

    name: str
    unit: str
    meaning: str
    numeric: bool
    identity: bool = False
    more: bool = False


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it sorts by where that is not the number it begins with."""

    text: str
    sort: str = ""


@dataclass(frozen=True)
class Row:
    """One row: its link to the figures' points, its case and place, cells, why numbers are missing, power over time."""

    row_id: str
    case: str
    place: str
    is_total: bool
    status: str
    provenance: str
    cells: tuple[Cell, ...]
    reason: str
    strip: Strip | None


@dataclass(frozen=True)
class Table:
    """The table of the page, how many cases were left to the CSV, and the watts at the top of every strip."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    left_out: int
    top_w: float

    @property
    def has_strips(self) -> bool:
        """Whether any row shows its power over time."""
        return any(row.strip for row in self.rows)


@dataclass(frozen=True)
class _Column:
    head: Head
    cell: Callable[[Mapping[Any, Any]], Cell]


def results_table(summary: Summary) -> Table:
    """Totals first, then cases, ``ROWS_AT_MOST`` cases at most; of an unfinished run only what was measured."""
    cases, totals, settings = _named(summary.cases), summary.totals, settings_of(summary.run.record)
    if not summary.run.record.complete:
        totals = totals[totals["loop_latency_s"].notna()] if len(totals) else totals
    fields = (*settings.texts, *settings.stages, *settings.others)
    planned = summary.run.record.cases
    baseline = planned[0].baseline if planned else ""
    both = pd.concat([frame for frame in (totals, cases) if len(frame)], ignore_index=True)
    made = [*_identity_columns(both, fields), *_quantity_columns(both, baseline)]
    done = cases if summary.run.record.complete else cases[cases["status"] != "missing"]
    shown = done.iloc[:ROWS_AT_MOST]
    small, top_w = strips(summary.run) if len(shown) else ({}, 0.0)
    rows = [*_rows(totals, made, {}, is_total=True), *_rows(shown, made, small, is_total=False)]
    return Table(tuple(column.head for column in made), tuple(rows), len(done) - len(shown), top_w)


def _named(cases: pd.DataFrame) -> pd.DataFrame:
    """``cases``, those that the suite skips with the variant and fields that their id says."""
    nameless = cases.index[cases["variant"].isna() & cases["case"].str.contains(" | ", regex=False)]
    found = cases.astype({"variant": object})
    for index in nameless:
        variant, _, point = str(cases.at[index, "case"]).partition(" | ")
        found.at[index, "variant"] = variant
        for field, equals, value in (word.partition("=") for word in point.split()):
            if equals and field in found and not pd.api.types.is_numeric_dtype(found[field]):
                found.at[index, field] = value
            elif equals and field in found:
                found.at[index, field] = pd.to_numeric(value, errors="coerce")
    return found


def _rows(frame: pd.DataFrame, made: Sequence[_Column], small: Mapping[str, Strip], *, is_total: bool) -> Iterator[Row]:
    places = [place for place, column in enumerate(made) if column.head.identity][1:]
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        status = plain(_text(row.get("status")) or "ok")
        cells = tuple(column.cell(row) for column in made)
        fields = [(made[n].head, cells[n].text) for n in places if cells[n].text]
        yield Row(
            row_id=f"{'total' if is_total else 'case'}-{index}",
            case=plain(_text(row.get("case")), 160),
            place=", ".join(f"{head.name} {text}" if head.numeric else text for head, text in fields),
            is_total=is_total,
            status=status,
            provenance=plain(_text(row.get("provenance"))),
            cells=cells,
            reason=plain(_text(row.get("reason")), 240),
            strip=small.get(_text(row.get("case"))),
        )


def _identity_columns(both: pd.DataFrame, fields: Sequence[str]) -> Iterator[_Column]:
    yield _Column(
        Head("variant", "", MEANINGS["variant"], numeric=False, identity=True),
        lambda row: Cell(plain(_text(row.get("variant")) or _text(row.get("case")), 60)),
    )
    for field in fields:
        if field in both and both[field].nunique() > 1:
            numeric = bool(pd.api.types.is_numeric_dtype(both[field]))
            head = Head(plain(field, 24), "", MEANINGS.get(field, "field of the suite's axes"), numeric, identity=True)
            yield _Column(head, _field_cell(field))


def _field_cell(field: str) -> Callable[[Mapping[Any, Any]], Cell]:
    def cell(row: Mapping[Any, Any]) -> Cell:
        value = row.get(field)
        if isinstance(value, str):
            return Cell(plain(value, 40))
        if value is None or pd.isna(value):
            return Cell("")
        return Cell(f"{value:g}")

    return cell


def _quantity_columns(both: pd.DataFrame, baseline: str) -> Iterator[_Column]:
    """What a reader came for, then how far it can be trusted, then what an opened row adds."""
    has_energy = both["energy_per_inference_j"].notna().any()
    if has_energy:
        yield _interval_column(both, "energy_per_inference_j", "energy per inference", "J", "energy_per_inference")
        yield _ratio_column("energy", baseline)
    yield _latency_column(both)
    if not has_energy:
        yield _ratio_column("latency", baseline)
    yield _quality_column()
    yield from (replace(column, head=replace(column.head, more=True)) for column in _more_columns(both, baseline))


def _more_columns(both: pd.DataFrame, baseline: str) -> Iterator[_Column]:
    has_energy = both["energy_per_inference_j"].notna().any()
    if has_energy:
        yield _ratio_column("latency", baseline)
        yield _plain_column(both, "power_w", "power", "W", prefix=False)
        yield _plain_column(both, "energy_per_mac_j", "energy per MAC", "J")
    yield _plain_column(both, "macs", "MACs", "/iteration")
    if both["efficiency"].notna().any():
        yield _percent_column("efficiency", "of peak")
    if has_energy and both["predicted_energy_per_inference_j"].notna().any():
        yield _plain_column(both, "predicted_energy_per_inference_j", "predicted energy per inference", "J")


def _interval_column(both: pd.DataFrame, column: str, name: str, unit: str, stem: str) -> _Column:
    scale = scale_for(both[column], unit)
    low, high = f"{stem}_low_{column.rsplit('_', 1)[1]}", f"{stem}_high_{column.rsplit('_', 1)[1]}"

    def cell(row: Mapping[Any, Any]) -> Cell:
        value, ends = _number(row, column), (_number(row, low), _number(row, high))
        return Cell(quantities.with_interval(value * scale.factor, ends[0] * scale.factor, ends[1] * scale.factor))

    return _Column(Head(name, scale.unit, MEANINGS[column], numeric=True), cell)


def _latency_column(both: pd.DataFrame) -> _Column:
    """Sustained latency per inference: the one that goes with the joules, in the same unit of work."""
    scale = scale_for(both["loop_latency_s"] / both["batch"], "s")

    def cell(row: Mapping[Any, Any]) -> Cell:
        factor = scale.factor / _number(row, "batch")
        value, low, high = (_number(row, f"loop_latency{end}_s") for end in ("", "_low", "_high"))
        return Cell(quantities.with_interval(value * factor, low * factor, high * factor))

    meaning = "sustained latency over the windows, divided by the batch; the one that goes with the joules"
    return _Column(Head("latency per inference", scale.unit, meaning, numeric=True), cell)


def _ratio_column(quantity: str, baseline: str) -> _Column:
    """The ratio to the baseline of ``quantity``, ``energy`` or ``latency``, with its interval."""

    def cell(row: Mapping[Any, Any]) -> Cell:
        value, low, high = (_number(row, f"{quantity}_ratio{end}") for end in ("", "_low", "_high"))
        if row.get("variant") == baseline:
            return Cell("baseline", "1")
        if low == high == 1:
            return Cell("1 (same work)")
        return Cell(quantities.ratio(value, low, high))

    return _Column(Head(f"{quantity} ratio", "to baseline", MEANINGS[f"{quantity}_ratio"], numeric=True), cell)


def _plain_column(both: pd.DataFrame, column: str, name: str, unit: str, *, prefix: bool = True) -> _Column:
    scale = scale_for(both[column], unit) if prefix else Scale(1.0, unit)

    def cell(row: Mapping[Any, Any]) -> Cell:
        return Cell(quantities.digits(_number(row, column) * scale.factor, 3))

    return _Column(Head(name, scale.unit, MEANINGS[column], numeric=True), cell)


def _percent_column(column: str, name: str) -> _Column:
    def cell(row: Mapping[Any, Any]) -> Cell:
        return Cell(quantities.digits(100 * _number(row, column), 2))

    return _Column(Head(name, "%", MEANINGS[column], numeric=True), cell)


def _quality_column() -> _Column:
    def flags(row: Mapping[Any, Any]) -> Cell:
        status, words = _text(row.get("status")) or "ok", _text(row.get("flags"))
        if status != "ok":
            return Cell(plain(status))
        return Cell(marks(words) or ("" if words else "ok"))

    return _Column(Head("quality", "", "ok, or the marks of its flags, explained under Quality", numeric=False), flags)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(row: Mapping[Any, Any], column: str) -> float:
    value = row.get(column)
    return math.nan if value is None or pd.isna(value) else float(value)
