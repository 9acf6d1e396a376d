"""How far does the optimum group size move? The knee of every machine and data type, and what moves the optima."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from energybench.analysis.group_sensitivity import KneeCell, Moved
from energybench.cost import DTYPE_BYTES
from energybench.report.figures.panels import grid, legend_below, rows_of_variants
from energybench.report.style import GRID, INK, MUTED, PAPER, WATER, plain, styled, title

AXES = {
    "channels": "channels C (log₂)",
    "batch": "batch (log₂)",
    "dtype": "data type",
    "power_cap_w": "power cap (W)",
}
"""Axis of ``Moved`` and what its panel is called."""

ROW_IN = 0.235
TICKS = 6


@styled
def knee_map_figure(cells: Sequence[KneeCell], *, kernel_size: int = 3) -> Figure:
    """One row a machine, one dot a group of data types, where arithmetic and memory take equally long.

    Data types whose knees are the same to two per cent share a dot. A type that a machine runs at another one's rate
    has a hollow dot, and none where its bytes are the same too.

    Args:
        cells: of ``knee_map``.
        kernel_size: side of the filter, for the title.

    Raises:
        ValueError: there is none.
    """
    rows: dict[str, list[KneeCell]] = {}
    for cell in cells:
        if cell.native == cell.dtype or DTYPE_BYTES[cell.native] != DTYPE_BYTES[cell.dtype]:
            rows.setdefault(cell.machine, []).append(cell)
    if not rows:
        raise ValueError("no machine has a peak for any of the data types")
    ordered = sorted(rows.items(), key=lambda row: (max(c.knee for c in row[1]), row[0]), reverse=True)
    figure, (ax,) = grid(1, 1, height_in=1.4 + ROW_IN * len(ordered))
    for place, (_, members) in enumerate(ordered):
        _knee_row(ax, place, _alike(members))
    rows_of_variants(ax, [name for name, _ in ordered], [INK] * len(ordered))
    knees = [cell.knee for _, members in ordered for cell in members]
    _power_of_two(ax, "x", knees)
    ax.set_xlim(min(knees) / 2.2, max(knees) * 2.6)
    ax.set_xlabel("knee G (log₂): up to it arithmetic hides behind memory (large batch, stride 1)")
    handles = [Line2D([], [], color=WATER, marker="o", linestyle="", label="at the type's own rate")]
    if any(cell.native != cell.dtype for _, members in ordered for cell in members):
        hollow = "at another type's rate, for want of its own"
        handles.append(Line2D([], [], color=WATER, marker="o", markerfacecolor="none", linestyle="", label=hollow))
    legend_below(figure, handles)
    title(
        figure, f"Roofline knee of {kernel_size}x{kernel_size} grouped convolutions",
        subtitle="bytes per element x peak / bandwidth / K² · from the machine sheets, not measured",
    )  # fmt: skip
    return figure


def _alike(members: Sequence[KneeCell]) -> list[list[KneeCell]]:
    """Cells in ascending order of their knees, those of the same knee and kind together."""
    found: list[list[KneeCell]] = []
    for cell in sorted(members, key=lambda c: (c.knee, c.native == c.dtype)):
        own = cell.native == cell.dtype
        same = next((g for g in found if cell.knee < 1.02 * g[0].knee and (g[0].native == g[0].dtype) == own), None)
        if same is None:
            found.append([cell])
        else:
            same.append(cell)
    return [[cell for cell in members if cell in group] for group in found]


def _knee_row(ax: Axes, place: int, groups: Sequence[Sequence[KneeCell]]) -> None:
    """The dots of one machine, the first named on its left, the others on their right."""
    ax.plot([groups[0][0].knee, groups[-1][0].knee], [place, place], color=GRID, linewidth=2.2, zorder=1)
    for number, group in enumerate(groups):
        own = group[0].native == group[0].dtype
        ax.plot(group[0].knee, place, "o", color=WATER, markersize=6, markerfacecolor=WATER if own else PAPER, zorder=3)
        left = number == 0 and len(groups) > 1
        ax.annotate(
            ", ".join(cell.dtype for cell in group), (group[0].knee, place), xytext=(-6 if left else 6, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", size=7, color=MUTED,
        )  # fmt: skip


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
    drawn = [axis for axis, points in by_axis.items() if len(points) > 1]
    if not drawn:
        raise ValueError("nothing was moved")
    figure, axes = grid(1, len(drawn), height_in=3.5, sharey=True)
    values = [v for m in moved for v in (m.knee, m.thesis, m.physical) if v is not None and 1 <= v < math.inf] or [1.0]
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
        Line2D(
            [], [], color=INK, marker="^", linestyle="", markersize=5, label="no knee: memory is the bound at every G"
        ),
        Line2D([], [], color=INK, marker="v", linestyle="", markersize=5, label="knee below 1: never free"),
    ]
    legend_below(figure, handles)
    title(figure, "What moves the optimum group size", subtitle=f"{plain(subtitle, 90)} · modelled, not measured")
    return figure


def _sensitivity_panel(ax: Axes, axis: str, points: Sequence[Moved]) -> None:
    places = [float(i) if axis == "dtype" else float(m.value) for i, m in enumerate(points)]
    line = "" if axis == "dtype" else "-"
    for name, style, color, size in (("thesis", "--", MUTED, 0), ("knee", "o", INK, 4), ("physical", "s", WATER, 4)):
        found = [getattr(m, name) for m in points]
        shown = [v if v is not None and 1 <= v < math.inf else math.nan for v in found]
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
        elif m.knee < 1:
            ax.plot(place, low * 1.1, "v", color=INK, markersize=5, zorder=4)


def _power_of_two(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """A log2 axis over ``values``, ticks at powers of two, written plainly."""
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    which = ax.xaxis if axis == "x" else ax.yaxis
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log", base=2)
    step = max(1, math.ceil((high - low) / TICKS))
    which.set_major_locator(FixedLocator([2.0**i for i in range(low, high + 1, step)]))
    which.set_minor_locator(NullLocator())
    which.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    (ax.set_xlim if axis == "x" else ax.set_ylim)(min(values) / 1.25, max(values) * 1.25)
