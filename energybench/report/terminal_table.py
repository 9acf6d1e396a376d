"""What stands in the terminal's table of one setting? As much as its width holds, numbers under each other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from energybench.flags import marks
from energybench.report import quantities
from energybench.report.quantities import scale_for
from energybench.report.style import plain

GAP = 2
POINT = re.compile(r"(\d+)(\.\d+)?(.*)")
Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Layout:
    """What a table holds beside variant, main quantity, ratio, latency and quality."""

    name_width: int = 30
    words: bool = True
    all_intervals: bool = True
    latency_ratio: bool = True
    per_mac: bool = True
    power: bool = True
    interval: bool = True
    ratio_interval: bool = True


def layouts() -> Iterator[Layout]:
    """The richest layout first; what tells least of who won goes first."""
    layout = Layout()
    yield layout
    for change in (
        {"latency_ratio": False},
        {"per_mac": False},
        {"words": False},
        {"power": False},
        {"all_intervals": False, "power": True, "per_mac": True},
        {"per_mac": False},
        {"name_width": 22},
        {"interval": False},
        {"name_width": 16},
        {"power": False},
        {"ratio_interval": False},
        {"name_width": 11},
        {"name_width": 8},
    ):
        layout = replace(layout, **change)
        yield layout


@dataclass(frozen=True)
class _Column:
    head: str
    cells: tuple[str, ...]
    numeric: bool = True

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.head, *self.cells)))

    @property
    def lines(self) -> list[str]:
        """Head and cells, all as long as the longest."""
        put = str.rjust if self.numeric else str.ljust
        return [put(text, self.width) for text in (self.head, *self.cells)]


def setting_tables(parts: Sequence[pd.DataFrame], *, baseline: str, width: int) -> list[Table]:
    """A table for the variants of each setting, the least marked, all in the richest layout that fits ``width``.

    Args:
        parts: for each setting, rows of cases or of totals with the columns of ``columns.RESULTS``.
        baseline: the variant the ratios are to.
        width: characters a line.
    """
    for layout in layouts():
        drawn = [_columns(part, layout, baseline=baseline) for part in parts]
        if all(sum(c.width for c in columns) + GAP * (len(columns) - 1) < width for columns in drawn):
            break
    return [_table(columns, _is_least(part)) for part, columns in zip(parts, drawn, strict=True)]


def _table(columns: Sequence[_Column], best: Sequence[bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(Text(column.lines[0]), no_wrap=True)
    for is_best, *cells in zip(best, *(column.lines[1:] for column in columns), strict=True):
        table.add_row(*map(Text, cells), style="green" if is_best else "")
    return table


def _has_energy(part: pd.DataFrame) -> bool:
    return bool(part["energy_per_inference_j"].notna().any())


def _is_least(part: pd.DataFrame) -> list[bool]:
    """Which rows need the least energy, or time where there is no energy."""
    values = part["energy_per_inference_j" if _has_energy(part) else "loop_latency_s"]
    return [bool(value == values.min()) for value in values]


def _columns(part: pd.DataFrame, layout: Layout, *, baseline: str) -> list[_Column]:
    rows, energy = part.to_dict("records"), _has_energy(part)

    def column(head: str, cell: Callable[[Row], str]) -> _Column:
        return _Column(head, under_each_other([cell(row) for row in rows]))

    def said(quantity: str, unit: str) -> str:
        return f"{quantity} {unit}" if layout.words else unit

    names = [
        plain(row["variant"], layout.name_width - 2) + " *" if least else plain(row["variant"], layout.name_width)
        for row, least in zip(rows, _is_least(part), strict=True)
    ]
    found = [_Column("variant", tuple(names), numeric=False)]
    seconds = scale_for(part["loop_latency_s"] / part["batch"], "s")
    if energy:
        joules = scale_for(part["energy_per_inference_j"], "J")
        found.append(
            column(
                said("energy", joules.unit),
                lambda row: _interval(row, "energy_per_inference", "j", joules.factor, layout.interval),
            )
        )
    main = "energy_ratio" if energy else "latency_ratio"
    ratios = bool(part[f"{main}_low"].gt(0).any()) and layout.ratio_interval
    found.append(column("ratio [95 %]" if ratios else "ratio", lambda row: _ratio(row, main, baseline, ratios)))
    shown = layout.interval if not energy else layout.all_intervals
    found.append(
        column(
            said("latency", seconds.unit),
            lambda row: _interval(row, "loop_latency", "s", seconds.factor / _number(row, "batch"), shown),
        )
    )
    if energy and layout.latency_ratio:
        found.append(column("latency ratio", lambda row: _ratio(row, "latency_ratio", baseline, ratios)))
    if energy and layout.power:
        found.append(column("W", lambda row: quantities.digits(_number(row, "power_w"), 3)))
    if energy and layout.per_mac:
        found.append(column("pJ/MAC", lambda row: quantities.digits(_number(row, "energy_per_mac_j") * 1e12, 3)))
    return [*found, _Column("flags" if layout.ratio_interval else "q", tuple(map(_quality, rows)), numeric=False)]


def under_each_other(texts: Sequence[str]) -> tuple[str, ...]:
    """``texts`` as long as each other, their first decimal points under each other, what is no number flush right."""
    found = [POINT.match(text) for text in texts]
    fractions = max((len(m[2] or "") for m in found if m), default=0)
    rests = max((cell_len(m[3]) for m in found if m), default=0)
    padded = [
        f"{m[1]}{(m[2] or '').ljust(fractions)}{m[3].ljust(rests)}" if m else text
        for m, text in zip(found, texts, strict=True)
    ]
    return tuple(text.rjust(max(map(cell_len, padded))) for text in padded)


def _interval(row: Row, stem: str, unit: str, factor: float, whole: bool) -> str:
    value, low, high = (_number(row, f"{stem}{end}_{unit}") * factor for end in ("", "_low", "_high"))
    return quantities.with_interval(value, low, high) if whole else quantities.digits(value, 3)


def _ratio(row: Row, column: str, baseline: str, whole: bool) -> str:
    if row["variant"] == baseline:
        return "baseline"
    ends = (_number(row, f"{column}{end}") for end in (("", "_low", "_high") if whole else ("",)))
    return quantities.ratio(*ends)


def _quality(row: Row) -> str:
    return marks(str(row["flags"] or "")) if row["status"] == "ok" else str(row["status"])


def _number(row: Row, column: str) -> float:
    value = row.get(column)
    return math.nan if value is None or pd.isna(value) else float(value)
