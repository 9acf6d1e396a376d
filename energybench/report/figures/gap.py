"""How far is each variant from its arithmetic? Ideal (hollow) against actual (solid), and the energy twin.

On the log axis equal distance is equal efficiency, so the length of a segment is the gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from energybench.analysis.gap import EnergyGap, LatencyGap, ideal_energy_j
from energybench.machine import Machine
from energybench.report.figures.panels import grid, label, log_axis, rows_of_variants
from energybench.report.operators import operators_by_case
from energybench.report.places import split, spread_over
from energybench.report.quantities import digits, estimate, quantity
from energybench.report.style import MUTED, PAPER, Palette, plain, styled, title, whiskers
from energybench.report.svg import mark

PANELS_AT_MOST = 4
ROWS_AT_MOST = 24
USED = frozenset({
    "row", "variant", "batch", "ideal_latency_s", "loop_latency_s", "loop_latency_low_s", "loop_latency_high_s",
    "ideal_energy_per_inference_j", "energy_per_inference_j", "energy_per_inference_low_j",
    "energy_per_inference_high_j",
})  # fmt: skip
ROW_IN = 0.31


@dataclass(frozen=True)
class GapRow:
    """One variant in one panel; base units per inference. ``height`` is its accuracy where that is the y axis."""

    variant: str
    ideal: float
    actual: float
    low: float
    high: float
    factor: float | None
    row_id: str
    height: float | None = None


@styled
def latency_gap_figure(
    results: pd.DataFrame,
    palette: Palette,
    *,
    settings: Sequence[str] = ("network", "batch", "dtype"),
    accuracy: Mapping[str, float] | None = None,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Ideal and sustained latency per inference of every variant.

    Args:
        results: columns of ``columns.RESULTS``; one row a variant and setting (totals, or cases).
        palette: the run's palette.
        settings: columns whose distinct values are panels.
        accuracy: top-1 accuracy in percent by variant; two or more known ones become the y axis.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no row has both an ideal and an actual latency.
    """
    figure = _figure(results, palette, settings, _latency_row, unit="s", accuracy=accuracy or {})
    for ax in figure.axes[-2:]:
        ax.set_xlabel("latency per inference (log scale)")
    title(figure, "Efficiency gap: latency", subtitle=subtitle, origin=origin)
    return figure


@styled
def energy_gap_figure(
    results: pd.DataFrame,
    palette: Palette,
    *,
    settings: Sequence[str] = ("network", "batch", "dtype"),
    accuracy: Mapping[str, float] | None = None,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Energy of the arithmetic alone, at peak rate, and measured energy per inference of every variant.

    Args:
        results: as for ``latency_gap_figure``, with a column ``ideal_energy_per_inference_j`` (``with_ideal_energy``).
        palette: the run's palette.
        settings: columns whose distinct values are panels.
        accuracy: top-1 accuracy in percent by variant; two or more known ones become the y axis.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no row has both energies.
    """
    figure = _figure(results, palette, settings, _energy_row, unit="J", accuracy=accuracy or {})
    for ax in figure.axes[-2:]:
        ax.set_xlabel("energy per inference (log scale)")
    title(figure, "Efficiency gap: energy", subtitle=subtitle, origin=origin)
    return figure


def with_ideal_energy(
    results: pd.DataFrame, cases: pd.DataFrame, operators: pd.DataFrame, machine: Machine, settings: Sequence[str]
) -> pd.DataFrame:
    """``results`` with ``ideal_energy_per_inference_j``: the operators' arithmetic at peak rate, stages by ``repeat``.

    Args:
        results: totals, or the cases themselves.
        cases: every case of the run.
        operators: columns of ``columns.OPERATORS``, of every case.
        machine: the sheet whose joules per FLOP are meant.
        settings: columns that tell totals of one variant apart.
    """
    costs = operators_by_case(operators)
    ideal_j = {case: ideal_energy_j(found, machine) for case, found in costs.items()}
    known = cases.assign(ideal_j=cases["case"].map(ideal_j))
    if "row" in results and (results["row"] == "total").any():
        keys = [c for c in ("variant", *settings) if c in results and c in known]
        known["ideal_j"] *= known["repeat"]
        sums = known.groupby(keys, dropna=False)["ideal_j"].sum(min_count=1)
        at = pd.MultiIndex.from_frame(results[keys]) if len(keys) > 1 else pd.Index(results[keys[0]])
        values = sums.reindex(at).to_numpy()
    else:
        values = results["case"].map(known.set_index("case")["ideal_j"]).to_numpy()
    return results.assign(ideal_energy_per_inference_j=values / results["batch"].to_numpy())


def _latency_row(row: Mapping[Any, Any]) -> tuple[float, float, float, float, float | None]:
    batch = row["batch"]
    gap = LatencyGap(row["ideal_latency_s"] / batch, row["loop_latency_s"] / batch)
    low, high = (row[f"loop_latency_{end}_s"] / batch for end in ("low", "high"))
    return gap.ideal_s, gap.actual_s, low, high, gap.factor


def _energy_row(row: Mapping[Any, Any]) -> tuple[float, float, float, float, float | None]:
    gap = EnergyGap(row["ideal_energy_per_inference_j"], row["energy_per_inference_j"])
    low, high = (row[f"energy_per_inference_{end}_j"] for end in ("low", "high"))
    return gap.ideal_j, gap.actual_j, low, high, gap.factor


def _figure(
    results: pd.DataFrame,
    palette: Palette,
    settings: Sequence[str],
    measure: Callable[[Mapping[Any, Any]], tuple[float, float, float, float, float | None]],
    *,
    unit: str,
    accuracy: Mapping[str, float],
) -> Figure:
    used = results[[name for name in results if name in USED or name in settings]]  # rows of all columns are slow
    parts = [(name, _gap_rows(part, measure, accuracy)) for name, part in split(used, settings)]
    parts = spread_over([(name, rows) for name, rows in parts if rows], PANELS_AT_MOST)
    if not parts:
        raise ValueError("no row has both an ideal and an actual value")
    across = 1 if len(parts) == 1 else 2
    down = math.ceil(len(parts) / across)
    most = max(len(rows) for _, rows in parts)
    height_in = 0.8 + down * max(2.0 if accuracy else 1.4, 0.62 + ROW_IN * most)
    figure, axes = grid(down, across, height_in=height_in)
    for number, (ax, (name, rows)) in enumerate(zip(axes, parts, strict=False)):
        _panel(ax, rows, palette, unit)
        ax.set_title(name)
        if number % across and _same_variants(parts) and rows[0].height is None:
            ax.tick_params(labelleft=False)
    for ax in axes[len(parts) :]:
        ax.remove()
    return figure


def _gap_rows(
    part: pd.DataFrame,
    measure: Callable[[Mapping[Any, Any]], tuple[float, float, float, float, float | None]],
    accuracy: Mapping[str, float],
) -> list[GapRow]:
    rows = []
    for index, row in zip(part.index, part.to_dict("records"), strict=True):
        ideal, actual, low, high, factor = measure(row)
        if not (math.isfinite(actual) and actual > 0):
            continue
        row_id = f"{row.get('row', 'case')}-{index}"
        rows.append(GapRow(row["variant"], ideal, actual, low, high, factor, row_id, accuracy.get(row["variant"])))
    if accuracy and sum(row.height is not None for row in rows) >= 2:
        return [row for row in rows if row.height is not None]
    return [GapRow(**{**vars(row), "height": None}) for row in rows][:ROWS_AT_MOST]


def _same_variants(parts: Sequence[tuple[str, Sequence[GapRow]]]) -> bool:
    return len({tuple(row.variant for row in rows) for _, rows in parts}) == 1


def _panel(ax: Axes, rows: Sequence[GapRow], palette: Palette, unit: str) -> None:
    values = [v for row in rows for v in (row.ideal, row.actual) if v > 0]
    ax.set_xlim(min(values) / 1.6, max(values) * 1.6)
    by_accuracy = rows[0].height is not None
    for place, row in enumerate(rows):
        height = row.height if row.height is not None else float(place)
        _draw(ax, row, height, palette, unit)
        if by_accuracy:
            label(ax, row.actual, height, f"  {plain(row.variant, 26)}", color=palette.text(row.variant), va="center")
    if by_accuracy:
        ax.set_ylabel("top-1 accuracy (%)")
        ax.margins(y=0.15)
    else:
        rows_of_variants(ax, [r.variant for r in rows], [palette.text(r.variant) for r in rows])
    log_axis(ax, unit, ticks=5)
    first = rows[0]
    if first.ideal > 0 and not by_accuracy:
        for x, text, align in ((first.ideal, "ideal", "right"), (first.actual, "actual", "left")):
            ax.annotate(text, (x, 0), xytext=(-7 if align == "right" else 7, 0), textcoords="offset points",
                        size=8, color=MUTED, ha=align, va="center")  # fmt: skip


def _draw(ax: Axes, row: GapRow, height: float, palette: Palette, unit: str) -> None:
    color, marker = palette.color(row.variant), palette.marker(row.variant)
    ideal = f"ideal {quantity(row.ideal, unit)}, a factor of {digits(row.factor)}\n" if row.factor is not None else ""
    tip = f"{row.variant}\nactual {estimate(row.actual, row.low, row.high, unit)}\n{ideal}per inference"
    if row.ideal > 0:
        ax.plot([row.ideal, row.actual], [height, height], color=color, linewidth=1.1, alpha=0.7, zorder=2)
        ax.plot(row.ideal, height, marker, color=color, markerfacecolor=PAPER, markersize=5.5, zorder=4,
                gid=mark(row.row_id))  # fmt: skip
    whiskers(ax, row.actual, height, low=row.low, high=row.high, color=color, gid=mark(row.row_id))
    ax.plot(row.actual, height, marker, color=color, markersize=5.5, zorder=4, gid=mark(row.row_id, tip))
    if row.factor is not None:
        ax.annotate(
            f"×{digits(row.factor, 3)}", (math.sqrt(row.ideal * row.actual), height), xytext=(0, 2.2),
            textcoords="offset points", size=7.5, ha="center", va="bottom", color=MUTED, gid=mark(row.row_id),
        )  # fmt: skip
