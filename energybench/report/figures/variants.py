"""What does each variant cost? Joules and latency per inference of every variant, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from energybench.report.figures.panels import WIDTH_IN, log_axis, rows_of_variants
from energybench.report.places import split, spread_over
from energybench.report.quantities import estimate, quantity
from energybench.report.style import INK, Palette, styled, title, whiskers
from energybench.report.svg import mark

SETTINGS_AT_MOST = 4
ROWS_AT_MOST = 24
ROW_IN = 0.24


@dataclass(frozen=True)
class _Measure:
    name: str
    unit: str
    stem: str
    per_iteration: bool

    def column(self, end: str) -> str:
        return f"{self.stem}{end}_{self.unit.lower()}"


MEASURES = (
    _Measure("energy per inference", "J", "energy_per_inference", per_iteration=False),
    _Measure("latency per inference", "s", "loop_latency", per_iteration=True),
)


@styled
def variants_figure(
    results: pd.DataFrame,
    palette: Palette | None = None,
    *,
    settings: Sequence[str] = ("network", "batch", "dtype"),
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Energy and latency per inference of every variant, with 95 % intervals.

    Args:
        results: columns of ``columns.RESULTS``, as ``pandas.read_csv("results.csv")`` gives them. Totals are drawn
            where there are any, else cases; variants of one setting (at most 4 settings, 24 variants) share a row of
            panels.
        palette: colours and markers by variant; default: those of the variants in ``results``.
        settings: columns whose values tell the settings apart; those that are not there or do not vary are ignored.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no row has a latency.
    """
    known = results[results["loop_latency_s"].notna() & results["variant"].notna()]
    totals = known[known["row"] == "total"]
    kind, rows = ("total", totals) if len(totals) else ("case", known)
    if rows.empty:
        raise ValueError("no variant has a latency")
    palette = palette or Palette.of(rows["variant"])
    parts = spread_over(split(rows, settings), SETTINGS_AT_MOST)
    measures = [m for m in MEASURES if rows[m.column("")].notna().any()]
    heights = [min(len(part), ROWS_AT_MOST) * ROW_IN + 0.75 for _, part in parts]
    figure = Figure(figsize=(WIDTH_IN, 0.75 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(parts), len(measures), squeeze=False, height_ratios=heights)
    for (name, part), line in zip(parts, axes, strict=True):
        for place, (measure, ax) in enumerate(zip(measures, line, strict=True)):
            _panel(ax, part.iloc[:ROWS_AT_MOST], measure, palette, kind)
            if place:
                ax.tick_params(labelleft=False)
        line[0].set_title(name)
    for measure, ax in zip(measures, axes[-1], strict=True):
        ax.set_xlabel(f"{measure.name} (log scale; 95 % interval)")
    what = "Energy and latency" if len(measures) == 2 else "Latency"
    title(figure, f"{what} of every variant", subtitle=subtitle, origin=origin)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, measure: _Measure, palette: Palette, kind: str) -> None:
    per = rows["batch"] if measure.per_iteration else 1
    values, lows, highs = (rows[measure.column(end)] / per for end in ("", "_low", "_high"))
    names = [str(name) for name in rows["variant"]]
    rows_of_variants(ax, names, [palette.text(name) for name in names])
    points = zip(rows.index, names, values, lows, highs, strict=True)
    for place, (index, name, value, low, high) in enumerate(points):
        if pd.isna(value):
            continue
        color = palette.color(name)
        row_id = f"{kind}-{index}"
        tip = f"{name}\n{measure.name} {estimate(value, low, high, measure.unit)}"
        shown_low = low if low > 0 else float("nan")
        whiskers(ax, value, place, low=shown_low, high=high, color=color, gid=mark(row_id))
        ax.plot(value, place, palette.marker(name), color=color, markersize=5.5, zorder=4, gid=mark(row_id, tip))
        ax.annotate(quantity(value, measure.unit), (max(value, high if low > 0 else value), place), xytext=(6, 0),
                    textcoords="offset points", va="center", size=8, color=INK, gid=mark(row_id))  # fmt: skip
    ends = pd.concat([values, lows[lows > 0], highs[lows > 0]]).dropna()
    if len(ends):
        low, high = float(ends.min()), float(ends.max())
        ax.set_xlim(0.9 * low, 1.25 * high * (high / low) ** 0.22)  # room on the right for the last label
    log_axis(ax, measure.unit, ticks=4)
