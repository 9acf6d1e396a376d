"""Which group size needs the least? Joules and latency against it, the measured optimum and those of the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from energybench.report.figures.panels import grid, label, legend_below, log_axis, wrapped
from energybench.report.operators import group_size_by_case
from energybench.report.places import point_label, spread_over
from energybench.report.quantities import estimate
from energybench.report.style import FOAM, INK, MUTED, WATER, Palette, family_of, plain, styled, title, whiskers
from energybench.report.svg import mark

SHAPES_AT_MOST = 4
MODELS: Mapping[str, tuple[str, str, str]] = {
    "thesis_optimum": ("thesis", "--", MUTED),
    "physical_optimum": ("physical", "-.", WATER),
    "knee": ("knee", ":", INK),
}
"""Short name, line style and colour of each analytic optimum, by column of ``columns.GROUP_SIZE``."""


@dataclass(frozen=True)
class Measure:
    """A quantity against group size: its column, the ends of its interval, the model's column, its unit."""

    name: str
    value: str
    low: str
    high: str
    predicted: str
    unit: str
    per_iteration: bool


ENERGY = Measure(
    "energy per inference", "energy_per_inference_j", "energy_per_inference_low_j", "energy_per_inference_high_j",
    "predicted_energy_per_inference_j", "J", per_iteration=False,
)  # fmt: skip
LATENCY = Measure(
    "latency per inference", "loop_latency_s", "loop_latency_low_s", "loop_latency_high_s",
    "predicted_latency_s", "s", per_iteration=True,
)  # fmt: skip


@styled
def group_size_figure(
    cases: pd.DataFrame,
    operators: pd.DataFrame,
    optima: pd.DataFrame,
    palette: Palette,
    *,
    stages: Sequence[str] = ("channels", "size"),
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Energy (where there is any) and latency against group size, one column of panels a shape.

    Args:
        cases: the cases of one setting, columns of ``columns.RESULTS``; shapes are told apart by ``comparison``.
        operators: columns of ``columns.OPERATORS``, for the group size of each case.
        optima: columns of ``columns.GROUP_SIZE``; only the comparisons it names are drawn.
        palette: the run's palette.
        stages: columns that name a shape.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no shape was measured at two group sizes.
    """
    sizes = group_size_by_case(operators)
    known = cases.assign(group_size=cases["case"].map(sizes))
    is_layer = known["comparison"].isin(optima["comparison"])  # a whole network has no group size of its own
    known = known[is_layer & known["group_size"].notna() & known["loop_latency_s"].notna()]
    shapes = [
        (name, rows) for name, rows in known.groupby("comparison", sort=False) if rows["group_size"].nunique() > 1
    ]
    if not shapes:
        raise ValueError("no shape was measured at two group sizes")
    shapes = spread_over(shapes, SHAPES_AT_MOST)
    used = [s for s in stages if s in known and known[s].nunique() > 1]
    measures = [m for m in (ENERGY, LATENCY) if known[m.value].notna().any()]
    figure, axes = grid(len(measures), len(shapes), height_in=1.5 + 2.35 * len(measures))
    for row, measure in enumerate(measures):
        for column, (comparison, rows) in enumerate(shapes):
            ax = axes[row * len(shapes) + column]
            found = optima[optima["comparison"] == comparison]
            optimum = found.iloc[0].to_dict() if len(found) else {}
            _panel(ax, rows, measure, optimum, palette)
            if row == 0:
                name = point_label(used, [rows.iloc[0][s] for s in used])
                ax.set_title(wrapped(name, 84 // len(shapes)), pad=22 if optimum else 6, size=9)
                _name_models(ax, optimum)
            if column == 0:
                ax.set_ylabel(f"{measure.name} (log)")
            if row == len(measures) - 1:
                ax.set_xlabel("group size G (log₂)")
    _legend(figure, known, palette, with_energy=ENERGY in measures)
    title(figure, f"{measures[0].name.capitalize()} against group size", subtitle=subtitle, origin=origin)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, measure: Measure, optimum: Mapping[Any, Any], palette: Palette) -> None:
    rows = rows[rows[measure.value].notna()].sort_values("group_size", kind="stable")
    per = rows["batch"] if measure.per_iteration else 1
    values, low, high = (rows[c] / per for c in (measure.value, measure.low, measure.high))
    predicted = rows[measure.predicted] / per if measure.predicted in rows else pd.Series(dtype=float)
    curve = values.groupby(rows["group_size"]).first()
    ax.plot(curve.index, curve, color=MUTED, linewidth=1.0, alpha=0.6, zorder=2)
    if predicted.notna().any():
        modelled = predicted.groupby(rows["group_size"]).first()
        ax.plot(modelled.index, modelled, color=WATER, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    members = rows.assign(value=values, low_end=low, high_end=high)
    for index, row in zip(members.index, members.to_dict("records"), strict=True):
        color = palette.color(row["variant"])
        ends = row["low_end"], row["high_end"]
        tip = (
            f"{row['variant']}: G = {row['group_size']:g}\n{measure.name} {estimate(row['value'], *ends, measure.unit)}"
        )
        whiskers(ax, row["group_size"], row["value"], low=ends[0], high=ends[1], color=color, horizontal=False,
                 gid=mark(f"case-{index}"))  # fmt: skip
        ax.plot(row["group_size"], row["value"], palette.marker(row["variant"]), color=color, markersize=5.5, zorder=4,
                gid=mark(f"case-{index}", tip))  # fmt: skip
    _size_axis(ax, curve.index.to_numpy())
    ax.margins(y=0.2)
    log_axis(ax, measure.unit, axis="y", ticks=4)
    _mark_models(ax, optimum)
    if measure is ENERGY:
        _mark_least(ax, curve, optimum)


def _size_axis(ax: Axes, sizes: Any) -> None:
    ax.set_xscale("log", base=2)
    low, high = math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes)))
    step = max(1, math.ceil((high - low) / 4.5))
    ax.xaxis.set_major_locator(FixedLocator([2.0**i for i in range(low, high + 1, step)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)


def _mark_least(ax: Axes, curve: pd.Series, optimum: Mapping[Any, Any]) -> None:
    """A ring around the least joules, a band over the group sizes that may be as good."""
    found = (optimum.get(column) for column in ("measured_optimum", "predicted_optimum"))
    best = next((size for size in found if size is not None and not pd.isna(size)), None)
    if best is None or int(best) not in curve.index:
        return
    alike = [int(g) for g in str(optimum.get("measured_set") or "").split()] or [int(best)]
    ax.axvspan(min(alike) / 1.19, max(alike) * 1.19, color=FOAM, alpha=0.8, linewidth=0, zorder=0)
    ax.plot(
        best, curve[int(best)], "o", color=INK, markersize=11, markerfacecolor="none", markeredgewidth=1.6, zorder=5
    )
    align = "left" if best == curve.index.min() else "right" if best == curve.index.max() else "center"
    text = f"least: G = {int(best)}"
    label(ax, float(best), float(curve[int(best)]), text, ha=align, va="top", weight="bold", transform=_below(ax))


def _below(ax: Axes) -> Transform:
    """Data coordinates, moved down by the ring's radius and a little more."""
    return ax.transData + ScaledTranslation(0, -9 / 72, ax.figure.dpi_scale_trans)


def _mark_models(ax: Axes, optimum: Mapping[Any, Any]) -> None:
    for column, (_, style, color) in MODELS.items():
        at = optimum.get(column)
        if at is not None and not pd.isna(at):
            ax.axvline(float(at), color=color, linestyle=style, linewidth=1.3, zorder=1.5)


def _name_models(ax: Axes, optimum: Mapping[Any, Any]) -> None:
    """The models' names above their lines; models that agree share one name."""
    at: dict[float, list[str]] = {}
    for column, (name, _, _) in MODELS.items():
        value = optimum.get(column)
        if value is not None and not pd.isna(value):
            at.setdefault(float(value), []).append(name)
    for place, (value, names) in enumerate(sorted(at.items())):
        ax.annotate(
            "+".join(names), (value, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 9 * (place % 2)), textcoords="offset points",
            ha="center", va="bottom", size=7.5, color=MUTED,
        )  # fmt: skip


def _legend(figure: Figure, known: pd.DataFrame, palette: Palette, *, with_energy: bool) -> None:
    """Markers of the families; the models' lines are named where they stand."""
    handles = []
    for family, names in known.groupby(known["variant"].map(family_of), sort=False)["variant"]:
        first = names.iloc[0]
        name = plain(str(first).split()[0] if names.nunique() > 1 else first, 22) or str(family)
        handles.append(
            Line2D([], [], color=palette.color(first), marker=palette.marker(first), linestyle="", label=name)
        )
    handles.append(Line2D([], [], color=WATER, linestyle=(0, (4, 2)), linewidth=1.0, label="predicted (machine sheet)"))
    if with_energy:
        ring = Line2D([], [], color=INK, marker="o", markerfacecolor="none", markersize=8, linestyle="")
        ring.set_label("least joules (band: may be as good)")
        handles.append(ring)
    legend_below(figure, handles)
