"""How far does the optimum group size move? The knee of every machine and data type, and what moves the optima."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from energybench.analysis.group_sensitivity import KneeCell, Moved
from energybench.report.panels import grid, legend_below, rows_of_variants
from energybench.report.style import GRID, INK, MUTED, WATER, Palette, plain, styled, title

AXES = {
    "channels": "channels C (log₂)",
    "batch": "batch (log₂)",
    "dtype": "data type",
    "power_cap_w": "power cap (W)",
}
"""Axis of ``Moved`` and what its panel is called."""

ROW_IN = 0.235


@styled
def knee_map_figure(cells: Sequence[KneeCell], *, kernel_size: int = 3) -> Figure:
    """One row a machine, one mark a data type, at the group size where arithmetic and memory take equally long.

    Args:
        cells: of ``knee_map``.
        kernel_size: side of the filter, for the title.

    Raises:
        ValueError: there is none.
    """
    if not cells:
        raise ValueError("no machine has a peak for any of the data types")
    rows: dict[str, list[KneeCell]] = {}
    for cell in cells:
        rows.setdefault(cell.machine, []).append(cell)
    ordered = sorted(rows.items(), key=lambda row: (max(c.knee for c in row[1]), row[0]), reverse=True)
    dtypes = list(dict.fromkeys(cell.dtype for cell in cells))
    palette = Palette.of(dtypes)
    figure, (ax,) = grid(1, 1, height_in=1.55 + ROW_IN * len(ordered))
    for place, (_, members) in enumerate(ordered):
        knees = [cell.knee for cell in members]
        ax.plot([min(knees), max(knees)], [place, place], color=GRID, linewidth=2.2, zorder=1)
        for cell in members:
            own = cell.native == cell.dtype
            ax.plot(
                cell.knee, place, palette.marker(cell.dtype), color=palette.color(cell.dtype), markersize=6.5,
                markerfacecolor=palette.color(cell.dtype) if own else "none", zorder=3,
            )  # fmt: skip
    rows_of_variants(ax, [name for name, _ in ordered], [INK] * len(ordered))
    _power_of_two(ax, "x", [cell.knee for cell in cells])
    ax.set_xlabel("knee G (log₂): up to it arithmetic hides behind memory (large batch, stride 1)")
    handles = [
        Line2D([], [], color=palette.color(d), marker=palette.marker(d), linestyle="", label=d) for d in dtypes
    ]
    if any(cell.native != cell.dtype for cell in cells):
        hollow = "hollow: runs at another type's rate"
        handles.append(Line2D([], [], color=MUTED, marker="o", markerfacecolor="none", linestyle="", label=hollow))
    legend_below(figure, handles)
    title(
        figure, f"Roofline knee of {kernel_size}x{kernel_size} grouped convolutions",
        subtitle="bytes per element x peak / bandwidth / K² · from the machine sheets, not measured",
    )  # fmt: skip
    return figure


@styled
def sensitivity_figure(moved: Sequence[Moved], *, subtitle: str = "") -> Figure:
    """Knee, thesis and least joules against channels, batch, data type and power cap, one panel each.

    Args:
        moved: of ``sensitivity``.
        subtitle: layer, machine and setting it started from.

    Raises:
        ValueError: there is none.
    """
    by_axis = {axis: [m for m in moved if m.axis == axis] for axis in AXES}
    drawn = [axis for axis, points in by_axis.items() if points]
    if not drawn:
        raise ValueError("nothing was moved")
    figure, axes = grid(1, len(drawn), height_in=3.5, sharey=True)
    values = [v for m in moved for v in (m.knee, m.thesis, m.physical) if v and math.isfinite(v)]
    for ax, axis in zip(axes, drawn, strict=True):
        _sensitivity_panel(ax, axis, by_axis[axis])
    _power_of_two(axes[0], "y", values)
    low, high = axes[0].get_ylim()
    for ax, axis in zip(axes, drawn, strict=True):
        _beyond(ax, by_axis[axis], low, high)
    axes[0].set_ylabel("group size G (log₂)")
    handles = [
        Line2D([], [], color=INK, marker="o", markersize=4, label="knee of this layer"),
        Line2D([], [], color=MUTED, linestyle="--", label="thesis"),
    ]
    if any(m.physical for m in moved):
        handles.append(Line2D([], [], color=WATER, marker="s", markersize=4, label="least joules (physical)"))
    handles += [
        Line2D([], [], color=INK, marker="^", linestyle="", markersize=5, label="no knee: bound by memory throughout"),
        Line2D([], [], color=INK, marker="v", linestyle="", markersize=5, label="no knee: bytes alone need all power"),
    ]
    legend_below(figure, handles)
    title(figure, "What moves the optimum group size", subtitle=f"{plain(subtitle, 90)} · modelled, not measured")
    return figure


def _sensitivity_panel(ax: Axes, axis: str, points: Sequence[Moved]) -> None:
    places = [float(i) if axis == "dtype" else float(m.value) for i, m in enumerate(points)]
    line = "" if axis == "dtype" else "-"
    for name, style, color, size in (("thesis", "--", MUTED, 0), ("knee", "o", INK, 4), ("physical", "s", WATER, 4)):
        found = [getattr(m, name) for m in points]
        shown = [v if v and math.isfinite(v) else math.nan for v in found]
        ax.plot(places, shown, style if name == "thesis" else style + line, color=color, markersize=size, zorder=3)
    if axis == "dtype":
        ax.set_xticks(places, [str(m.value) for m in points], rotation=30, ha="right")
        ax.set_xlim(-0.5, len(places) - 0.5)
    elif axis in ("channels", "batch"):
        _power_of_two(ax, "x", places)
    ax.set_xlabel(AXES[axis])


def _beyond(ax: Axes, points: Sequence[Moved], low: float, high: float) -> None:
    """Marks at the edge for values without a knee, so that they are seen and not taken for missing."""
    for i, m in enumerate(points):
        place = float(i) if m.axis == "dtype" else float(m.value)
        if math.isinf(m.knee):
            ax.plot(place, high / 1.1, "^", color=INK, markersize=5, zorder=4)
        elif m.knee == 0:
            ax.plot(place, low * 1.1, "v", color=INK, markersize=5, zorder=4)


def _power_of_two(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """A log2 axis over ``values``, ticks at powers of two, written plainly."""
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    which = ax.xaxis if axis == "x" else ax.yaxis
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log", base=2)
    step = max(1, math.ceil((high - low) / 8)) if axis == "y" or (high - low) > 7 else 1
    which.set_major_locator(FixedLocator([2.0**i for i in range(low, high + 1, step)]))
    which.set_minor_locator(NullLocator())
    which.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    (ax.set_xlim if axis == "x" else ax.set_ylim)(min(values) / 1.25, max(values) * 1.25)
