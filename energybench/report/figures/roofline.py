"""What bounds each case, arithmetic or memory, and how far below the roof is it? In time and in joules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from energybench.analysis.roofline import (
    classic_roof,
    energy_balance,
    energy_roof,
    l2_roof,
    power_roof,
    time_balance,
    time_roof,
)
from energybench.machine import Machine
from energybench.report.figures.panels import grid, label, legend_below, log_axis
from energybench.report.figures.roof_points import RoofPoint, case_points, operator_points, shared_work
from energybench.report.quantities import digits, estimate, quantity
from energybench.report.style import INK, MUTED, PAPER, WARN, Palette, plain, styled, title
from energybench.report.svg import mark

PANELS_AT_MOST = 3
VARIANTS_NAMED = 30
NAME_AT_MOST = 20
SHARED_NAMED = 6
"""Points that are several variants at once and are named, at most; names of more would cover them."""
CACHE_NAME = 0.2
"""Of a panel's width, for the name of the cache's roof."""
TOUCHING = 0.05
"""A power limit that takes less than this off the roof is not drawn."""
VISIBLE = 1.04
"""An interval narrower than this factor lies inside its marker."""


@styled
def roofline_figure(
    cases: pd.DataFrame,
    operators: pd.DataFrame,
    machine: Machine,
    palette: Palette,
    *,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Sustained FLOP/s of every case against its operational intensity, under the machine's roofs.

    Args:
        cases: columns of ``columns.RESULTS``.
        operators: columns of ``columns.OPERATORS``.
        machine: whose roofs are drawn.
        palette: the run's palette.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no case has both FLOPs and a latency.
    """
    points = case_points(cases, operators, "loop_latency", "_s", "loop_latency_s")
    dots = operator_points(cases, operators)
    figure, panels = _figure(points, palette, dots=bool(dots))
    for ax, dtype, mine in panels:
        small = [dot for dot in dots if dot.dtype == dtype]
        grid_x = _intensities([*mine, *small], time_balance(machine, dtype))
        _limits(ax, [*mine, *small], classic_roof(machine, dtype, grid_x), grid_x)
        _dots(ax, small, palette)
        ax.plot(grid_x, time_roof(machine, dtype, grid_x), color=INK, linewidth=1.6, zorder=2)
        _name_roof(ax, grid_x, classic_roof(machine, dtype, grid_x), f"{plain(machine.name)} {dtype}", "FLOP/s")
        _cache_roof(ax, grid_x, machine, dtype)
        _power_limit(ax, grid_x, time_roof(machine, dtype, grid_x), classic_roof(machine, dtype, grid_x))
        _balance(ax, time_balance(machine, dtype), "balance")
        _axes(ax, mine, palette, "FLOP/s", narrow=len(panels) > 2)
        ax.set_ylabel("sustained arithmetic rate (FLOP/s)" if ax is panels[0][0] else "")
    title(figure, "Roofline", subtitle=subtitle, origin=origin)
    return figure


@styled
def energy_roofline_figure(
    cases: pd.DataFrame,
    operators: pd.DataFrame,
    machine: Machine,
    palette: Palette,
    *,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """FLOP per joule of every case against its operational intensity, under the machine's energy roof.

    Energies add, so this roof has no corner; its balance is where operations and bytes cost the same.

    Args:
        cases: columns of ``columns.RESULTS``.
        operators: columns of ``columns.OPERATORS``.
        machine: whose roofs are drawn.
        palette: the run's palette.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no case has both FLOPs and joules.
    """
    per_iteration = cases.assign(
        iteration_low_j=cases["energy_per_inference_low_j"] * cases["batch"],
        iteration_high_j=cases["energy_per_inference_high_j"] * cases["batch"],
    )
    points = case_points(per_iteration, operators, "iteration", "_j", "energy_per_iteration_j")
    figure, panels = _figure(points, palette)
    for ax, dtype, mine in panels:
        grid_x = _intensities(mine, energy_balance(machine, dtype), time_balance(machine, dtype))
        roof = energy_roof(machine, dtype, grid_x).flops_per_j
        _limits(ax, mine, roof, grid_x)
        ax.plot(grid_x, roof, color=INK, linewidth=1.6, zorder=2)
        _name_roof(ax, grid_x, roof, f"{plain(machine.name)} {dtype}, modelled", "FLOP/J")
        limited = power_roof(machine, dtype, grid_x) < (1 - TOUCHING) * classic_roof(machine, dtype, grid_x)
        _limited(ax, grid_x, np.where(limited, roof, math.nan))
        _balance(ax, time_balance(machine, dtype), "time balance")
        _balance(ax, energy_balance(machine, dtype), "energy balance", row=1)
        _axes(ax, mine, palette, "FLOP/J", narrow=len(panels) > 2)
        ax.set_ylabel("arithmetic per joule (FLOP/J)" if ax is panels[0][0] else "")
    title(figure, "Energy roofline", subtitle=subtitle, origin=origin)
    return figure


def _figure(
    points: Sequence[RoofPoint], palette: Palette, *, dots: bool = False
) -> tuple[Figure, list[tuple[Axes, str, list[RoofPoint]]]]:
    dtypes = list(dict.fromkeys(p.dtype for p in points))[:PANELS_AT_MOST]
    variants = list(dict.fromkeys(p.variant for p in points))
    figure, axes = grid(1, len(dtypes), height_in=5.0 + 0.04 * len(variants), sharey=len(dtypes) > 1)
    handles = [
        Line2D([], [], color=palette.color(v), marker=palette.marker(v), linestyle="", label=plain(v, NAME_AT_MOST))
        for v in variants[:VARIANTS_NAMED]
    ]
    batches = sorted({p.batch for p in points})
    if len(batches) > 1:
        hollow, solid = f"hollow: batch {batches[0]}", f"solid: batch {batches[-1]}"
        handles += [
            Line2D([], [], color=INK, marker="o", markerfacecolor=PAPER, linestyle="", label=hollow),
            Line2D([], [], color=INK, marker="o", linestyle="", label=solid),
        ]
    if dots:
        handles.append(Line2D([], [], color=INK, marker="o", markersize=2.6, alpha=0.55, linestyle="",
                              label="small: operators above 1 % of a network's FLOPs"))  # fmt: skip
    legend_below(figure, handles)
    return figure, [(ax, d, [p for p in points if p.dtype == d]) for ax, d in zip(axes, dtypes, strict=True)]


def _intensities(points: Sequence[RoofPoint], *balances: float) -> NDArray[np.float64]:
    found = [p.intensity for p in points] + [balance for balance in balances if math.isfinite(balance)]
    return np.geomspace(min(found) / 2, max(found) * 3, 120)


def _limits(ax: Axes, points: Sequence[RoofPoint], roof: NDArray[np.float64], grid_x: NDArray[np.float64]) -> None:
    top = max(float(roof.max()), *(p.height for p in points))
    bottom = min(float(roof.min()), *(p.height for p in points))
    shared = ax.get_ylim() if ax.get_autoscaley_on() is False else (bottom / 1.6, top * 2.2)
    ax.set_ylim(min(shared[0], bottom / 1.6), max(shared[1], top * 2.2))
    ax.set_xlim(float(grid_x[0]), float(grid_x[-1]))


def _dots(ax: Axes, dots: Sequence[RoofPoint], palette: Palette) -> None:
    """The operators of networks, small and pale behind the networks themselves."""
    for dot in dots:
        ax.plot(
            dot.intensity, dot.height, palette.marker(dot.variant), color=palette.color(dot.variant), markersize=2.6,
            markeredgewidth=0, alpha=0.55, zorder=3, gid=mark(dot.row_id, _tip(dot, "FLOP/s")),
        )  # fmt: skip


def _name_roof(ax: Axes, grid_x: NDArray[np.float64], roof: NDArray[np.float64], name: str, unit: str) -> None:
    label(ax, float(grid_x[-1]) * 0.96, float(roof[-1]) * 1.1, f"{name}: {quantity(float(roof[-1]), unit)}",
          ha="right", va="bottom", color=INK)  # fmt: skip


def _cache_roof(ax: Axes, grid_x: NDArray[np.float64], machine: Machine, dtype: str) -> None:
    """The roof of bytes that the last-level cache gives, named where it bends: left of there if there is room."""
    roof = l2_roof(machine, dtype, grid_x)
    if roof is None or machine.l2_bandwidth_bytes_per_s is None:
        return
    ax.plot(grid_x, roof, color=MUTED, linewidth=1.0, linestyle=":", zorder=1)
    bend = int(np.argmax(roof >= roof[-1]))
    room = bend > CACHE_NAME * len(grid_x)
    label(ax, float(grid_x[bend]), float(roof[-1]) * (1.1 if room else 1.5),
          f"from L2: {quantity(machine.l2_bandwidth_bytes_per_s, 'B/s')}",
          ha="right" if room else "left", va="bottom", color=MUTED)  # fmt: skip


def _power_limit(
    ax: Axes, grid_x: NDArray[np.float64], roof: NDArray[np.float64], classic: NDArray[np.float64]
) -> None:
    """The stretch of the roof that the board's power limit decides, and what it would be without one."""
    limited = roof < classic * (1 - TOUCHING)
    if limited.any():
        ax.plot(grid_x, classic, color=MUTED, linewidth=0.8, linestyle="--", zorder=1)
        _limited(ax, grid_x, np.where(limited, roof, math.nan))


def _limited(ax: Axes, grid_x: NDArray[np.float64], roof: NDArray[np.float64]) -> None:
    """Mark and name the part of a roof that is not NaN as that of the power limit."""
    known = np.flatnonzero(np.isfinite(roof))
    if len(known):
        ax.plot(grid_x, roof, color=WARN, linewidth=2.2, zorder=3, solid_capstyle="butt")
        middle = known[len(known) // 3]
        x, y = float(grid_x[middle]) / 1.3, float(roof[middle]) * 1.3  # above it, as points lie below
        label(ax, x, y, "power limit", color=WARN, ha="right", va="bottom")


def _balance(ax: Axes, intensity: float, name: str, *, row: int = 0) -> None:
    if not math.isfinite(intensity):
        return
    ax.axvline(intensity, color=MUTED, linewidth=0.9, linestyle="--", zorder=1)
    low, high = ax.get_ylim()
    at = low * (high / low) ** (0.02 + 0.06 * row)
    label(ax, intensity, at, f" {name} {intensity:.3g}", color=MUTED, va="bottom")


def _axes(ax: Axes, points: Sequence[RoofPoint], palette: Palette, unit: str, *, narrow: bool) -> None:
    smallest = min(p.batch for p in points)
    several = len({p.batch for p in points}) > 1
    size = 5.5 if len(points) < 60 else 4.0
    shared = shared_work(points)
    for p in points:
        color = palette.color(p.variant)
        if p.high > VISIBLE * p.low:
            ax.plot([p.intensity, p.intensity], [p.low, p.high], color=color, linewidth=1.0, zorder=3)
        ax.plot(
            p.intensity, p.height, palette.marker(p.variant), color=color, markersize=size, markeredgewidth=0.9,
            markerfacecolor=PAPER if several and p.batch == smallest else color, zorder=4, clip_on=False,
            gid=mark(p.row_id, _tip(p, unit, shared.get(p.work, ()))),
        )  # fmt: skip
    _name_shared(ax, points)
    log_axis(ax, "")
    log_axis(ax, unit, axis="y", ticks=7)
    ax.set_xlabel(f"{'' if narrow else 'operational '}intensity (FLOP/byte, log scale)")
    ax.set_title(points[0].dtype)


def _tip(point: RoofPoint, unit: str, alike: Sequence[RoofPoint] = ()) -> str:
    names = " = ".join(dict.fromkeys(p.variant for p in alike)) or point.variant
    name = f"{point.variant}: {point.operator}" if point.operator else names
    return f"{name}\n{estimate(point.height, point.low, point.high, unit)} at {digits(point.intensity)} FLOP/byte"


def _name_shared(ax: Axes, points: Sequence[RoofPoint]) -> None:
    """Name the points that are several variants at once: of those that cover each other only one can be seen.

    Where they are many, none is named here, as names would cover the points; tips name all.
    """
    shared = shared_work(points)
    for alike in shared.values() if len(shared) <= SHARED_NAMED else ():
        names = " = ".join(dict.fromkeys(plain(p.variant, NAME_AT_MOST) for p in alike))
        ax.annotate(
            names, (alike[0].intensity, alike[0].height), xytext=(4, -5), textcoords="offset points", ha="left",
            va="top", rotation=-65, rotation_mode="anchor", size=6.5, color=MUTED, zorder=2.5,
        )  # fmt: skip
