"""Where do the joules of a sequence of operators go? A staircase of stacked bars, and the whole below it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from energybench.analysis.energy_waterline import EnergyWaterline, condensed
from energybench.report.figures.bar_names import short
from energybench.report.figures.panels import grid, legend_below, rows_of_variants
from energybench.report.figures.waterline import PALE, PANELS_AT_MOST, SAME_REACH, WIDE_AT_MOST
from energybench.report.quantities import Scale, quantity, scale_for
from energybench.report.style import APART, FOAM, GRID, INK, MUTED, PAPER, Palette, plain, styled, title
from energybench.report.svg import mark

ROW_IN = 0.17
BAR = 0.78
CAUSES = ("operations", "bytes", "static power × time")


@styled
def energy_waterline_figure(
    lines: Mapping[str, EnergyWaterline], palette: Palette, *, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """One staircase a variant: each operator's joules begin where those before it end, for energies add.

    Args:
        lines: joules by variant, from ``sequences.sequence_energies``.
        palette: the run's palette.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no variant has an operator.
    """
    shown = [(name, condensed(line)) for name, line in lines.items() if line.bars][:PANELS_AT_MOST]
    if not shown:
        raise ValueError("no variant has an operator whose joules could be drawn")
    across = 1 if len(shown) <= WIDE_AT_MOST else 2
    down = math.ceil(len(shown) / across)
    rows = max(len(line.bars) for _, line in shown) + 1
    figure, axes = grid(down, across, height_in=1.2 + (0.75 + ROW_IN * rows) * down)
    reach_j = [max(line.energy.total_j, line.measured_j or 0.0) for _, line in shown]
    scale, same = scale_for(reach_j, "J"), max(reach_j) <= SAME_REACH * min(reach_j)
    for number, (ax, (name, line), mine_j) in enumerate(zip(axes, shown, reach_j, strict=False)):
        _panel(ax, line, name, palette, scale, origin)
        ax.set_xlim(0, 1.03 * (max(reach_j) if same else mine_j) * scale.factor)
        if number >= len(shown) - across:
            ax.set_xlabel(f"joules of an iteration ({scale.unit})" + ("" if same else ", own reach"))
    for ax in axes[len(shown) :]:
        ax.remove()
    legend_below(figure, _handles(origin), most=5)
    title(figure, "Energy waterline: operations, bytes, static power", subtitle=subtitle, origin=origin)
    return figure


def _panel(ax: Axes, line: EnergyWaterline, name: str, palette: Palette, scale: Scale, origin: str) -> None:
    names = [short(bar.label, 24) or bar.family for bar in line.bars]
    end = 0.0
    for row, bar in enumerate(line.bars):
        color = APART if bar.apart else palette.color(name)
        parts = ((bar.energy.operations_j, color, 1.0), (bar.energy.bytes_j, color, PALE),
                 (bar.energy.static_j, FOAM, 1.0))  # fmt: skip
        spent = ", ".join(f"{what} {quantity(j, 'J')}" for what, (j, *_) in zip(CAUSES, parts, strict=True) if j)
        tip = f"{names[row]}\n{spent}, together {quantity(bar.energy.total_j, 'J')}"
        for joules, fill, alpha in parts:
            width = joules * scale.factor
            ax.barh(row, width, BAR, end, color=fill, alpha=alpha, edgecolor=PAPER, linewidth=0.3,
                    gid=mark("", tip))  # fmt: skip
            end += width
    if line.measured_j is not None:
        ax.barh(len(names), line.measured_j * scale.factor, BAR, color=GRID, edgecolor=INK, linewidth=0.8)
        names.append(origin)
    rows_of_variants(ax, names, [INK] * len(names), limit=26)
    ax.tick_params(axis="y", labelsize=7)
    ax.set_title(plain(name, 30), color=palette.text(name))
    ax.set_title(_sums(line), loc="right", color=MUTED, size=7.5, weight="normal")


def _sums(line: EnergyWaterline) -> str:
    if line.quality is None or line.measured_j is None:
        return f"modelled {quantity(line.energy.total_j, 'J')}"
    return f"model {100 * line.quality:.0f} % of {quantity(line.measured_j, 'J')}"


def _handles(origin: str) -> list[Patch]:
    return [
        Patch(facecolor=INK, alpha=0.75, label="operations"),
        Patch(facecolor=INK, alpha=0.75 * PALE, label="bytes"),
        Patch(facecolor=FOAM, label="static power × time"),
        Patch(facecolor=APART, label="operators without MACs"),
        Patch(facecolor=GRID, edgecolor=INK, label=origin),
    ]
