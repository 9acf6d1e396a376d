"""Which operators of a sequence are bound by memory? Waterlines (form A): intensity against the machine balance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from energybench.analysis.waterline import Waterline
from energybench.analysis.waterline_shapes import BarShape, condensed, form_a
from energybench.report.figures.bar_names import name_inside, operator_tip
from energybench.report.figures.panels import grid, legend_below, log_axis
from energybench.report.figures.waterline import PALE, PANELS_AT_MOST, WIDE_AT_MOST, efficiencies
from energybench.report.quantities import digits
from energybench.report.style import INK, MUTED, PAPER, WATER, Palette, plain, styled, title
from energybench.report.svg import mark

DEEPEST = 0.004
"""Share of the balance below which a bar or mark is cut: thin operators of nanoseconds would set the axis."""


@styled
def intensity_figure(
    lines: Mapping[str, Waterline], palette: Palette, *, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """Operational intensity of every operator, as wide as its share of the arithmetic; one panel a variant.

    Args:
        lines: waterline by variant, from ``sequences.sequence_waterlines``.
        palette: the run's palette.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no variant has an operator with multiply-accumulates.
    """
    shown = [(name, condensed(line)) for name, line in lines.items() if line.bars][:PANELS_AT_MOST]
    if not shown:
        raise ValueError("no variant has an operator with multiply-accumulates")
    across = 1 if len(shown) <= WIDE_AT_MOST else 2
    down = math.ceil(len(shown) / across)
    figure, axes = grid(down, across, height_in=1.25 + 1.95 * down)
    low, high = _reach([line for _, line in shown])
    for number, (ax, (name, line)) in enumerate(zip(axes, shown, strict=False)):
        ax.set_xlim(0, 100)
        ax.set_ylim(low, high)
        _panel(ax, line, name, palette, origin)
        log_axis(ax, "", axis="y", ticks=4)
        ax.grid(visible=False, axis="x")
        if number % across == 0:
            ax.set_ylabel("FLOP/byte (log)", size=8)
        if number >= len(shown) - across:
            ax.set_xlabel("share of the arithmetic, in order of execution (%)")
    for ax in axes[len(shown) :]:
        ax.remove()
    legend_below(figure, _handles(origin), most=4)
    title(figure, "Waterline: intensity against the machine balance", subtitle=subtitle, origin=origin)
    return figure


def _reach(lines: Sequence[Waterline]) -> tuple[float, float]:
    """Intensities that hold every balance and, down to ``DEEPEST`` of the least, every bar and every measured mark."""
    shapes = [shape for line in lines for shape in form_a(line)]
    heights = [h for s in shapes for h in (s.height, s.level, s.measured_height) if h and math.isfinite(h)]
    return max(min(heights) / 2, DEEPEST * min(s.level for s in shapes)), max(heights) * 1.6


def _panel(ax: Axes, line: Waterline, name: str, palette: Palette, origin: str) -> None:
    low, high = ax.get_ylim()
    for shape in form_a(line):
        of_it = f"{digits(shape.height)} FLOP/byte of the {digits(shape.level)} at which memory stops being the bound"
        tip = f"{operator_tip(shape, origin)}\n{of_it}"
        left, width = 100 * shape.left, 100 * shape.width
        height = max(low, min(shape.height, high))
        ax.add_patch(
            Rectangle((left, low), width, height - low, facecolor=palette.color(name),
                      alpha=1.0 if shape.height >= shape.level else PALE, edgecolor=PAPER,
                      linewidth=0.5 if width > 0.6 else 0.0, gid=mark("", tip))
        )  # fmt: skip
        ax.plot([left, left + width], [shape.level] * 2, color=WATER, linewidth=1.6, zorder=5)
        if shape.measured_height is not None and shape.measured_height > low:
            ax.plot([left, left + width], [shape.measured_height] * 2, color=INK, linewidth=1.2, zorder=4)
        _name(ax, shape, left, width)
    ax.set_title(plain(name, 30), color=palette.text(name), pad=25)
    ax.text(0.0, 1.03, "\n".join(efficiencies(line)), transform=ax.transAxes, va="bottom", size=7.5, color=MUTED)


def _name(ax: Axes, shape: BarShape, left: float, width: float) -> None:
    low, high = ax.get_ylim()
    name_inside(ax, shape.bar.label, left, width, low * (high / low) ** 0.03)


def _handles(origin: str) -> list[Patch | Line2D]:
    return [
        Patch(facecolor=INK, alpha=0.75, label="bound by arithmetic"),
        Patch(facecolor=INK, alpha=0.75 * PALE, label="under water: bound by memory"),
        Line2D([], [], color=WATER, linewidth=1.6, label="waterline: machine balance ρ"),
        Line2D([], [], color=INK, linewidth=1.2, label=f"{origin} rate on the same axis (efficiency × ρ)"),
    ]
