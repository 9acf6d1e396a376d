"""Where do the seconds of a sequence of operators go? Waterlines (form B): bars whose areas are time.

Width is arithmetic time at peak, the level 1 is the waterline: what a bar shows above it is time lost to memory, and
what the operator took beyond that is time lost in the kernel. All panels have one height and one unit; a bar that is
taller is cut, and says how tall it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from energybench.analysis.waterline import Waterline
from energybench.analysis.waterline_shapes import BarShape, condensed, form_b
from energybench.report.figures.bar_names import name_bars, operator_tip
from energybench.report.figures.panels import grid, legend_below
from energybench.report.quantities import Scale, digits, quantity, scale_for
from energybench.report.style import APART, GRID, INK, MUTED, PAPER, WATER, Palette, plain, styled, title
from energybench.report.svg import mark

PANELS_AT_MOST = 10
WIDE_AT_MOST = 3
"""So many panels are as wide as the page; more stand two beside each other."""
CALM_SHARE = 0.8
"""Share of every panel's attainable time that stands in it uncut."""
LOWEST_TOP, HIGHEST_TOP = 4.0, 12.0
"""Heights between which the panels end: a memory-bound bar far beyond would press all others flat."""
PALE = 0.42
SAME_REACH = 4.0
"""Panels share their reach to the right where the widest is at most so many times the narrowest."""
GAP = 0.03
"""Of a panel's reach, before the operators without multiply-accumulates."""


@dataclass(frozen=True)
class Frame:
    """What every panel shows: heights up to ``top``, seconds in ``scale``, and how far each reaches to the right."""

    top: float
    scale: Scale
    reach_s: tuple[float, ...]

    @property
    def shared(self) -> bool:
        """Whether widths of different panels can be compared."""
        return len(set(self.reach_s)) == 1


@styled
def waterline_figure(
    lines: Mapping[str, Waterline], palette: Palette, *, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """One waterline a variant.

    Args:
        lines: waterline by variant, from ``sequences.sequence_waterlines``.
        palette: the run's palette.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no variant has an operator.
    """
    shown = [(name, condensed(line)) for name, line in lines.items() if line.attainable_s][:PANELS_AT_MOST]
    if not shown:
        raise ValueError("no variant has an operator whose time could be drawn")
    across = 1 if len(shown) <= WIDE_AT_MOST else 2
    down = math.ceil(len(shown) / across)
    figure, axes = grid(down, across, height_in=1.25 + 1.95 * down)
    frame = frame_of([line for _, line in shown])
    for number, (ax, (name, line)) in enumerate(zip(axes, shown, strict=False)):
        _panel(ax, line, name, palette, frame, number, origin)
        if number % across == 0:
            ax.set_ylabel("time / arithmetic time", size=8)
        if number >= len(shown) - across:
            ax.set_xlabel(f"arithmetic time at peak ({frame.scale.unit})" + ("" if frame.shared else ", own reach"))
    for ax in axes[len(shown) :]:
        ax.remove()
    limited = any(line.power_limited for line in lines.values())
    legend_below(figure, _handles([line for _, line in shown], origin, limited=limited), most=3)
    title(figure, "Waterline: arithmetic, memory, kernel", subtitle=subtitle, origin=origin)
    return figure


def frame_of(lines: Sequence[Waterline]) -> Frame:
    """One height and one unit for all panels, and one reach unless the narrowest would be a sliver of the widest."""
    reach_s = [(line.tau_s + line.apart_s) * (1 + (GAP if line.bars and line.apart else 0)) for line in lines]
    if max(reach_s) <= SAME_REACH * min(reach_s):
        reach_s = [max(reach_s)] * len(reach_s)
    top = min(HIGHEST_TOP, max(LOWEST_TOP, 1.2 * max(map(_calm_height, lines))))
    return Frame(top, scale_for(reach_s, "s"), tuple(reach_s))


def _calm_height(line: Waterline) -> float:
    """The height under which most of the attainable time of the operators with multiply-accumulates lies."""
    wanted_s = CALM_SHARE * sum(bar.attainable_s for bar in line.bars)
    for bar in sorted(line.bars, key=lambda bar: bar.attainable_s / bar.tau_s):
        height = bar.attainable_s / bar.tau_s
        if sum(min(height * other.tau_s, other.attainable_s) for other in line.bars) >= wanted_s:
            return height
    return 1.0


def _panel(ax: Axes, line: Waterline, name: str, palette: Palette, frame: Frame, number: int, origin: str) -> None:
    scale, reach_s = frame.scale, frame.reach_s[number]
    ax.set_xlim(0, 1.01 * reach_s * scale.factor)
    ax.set_ylim(0, frame.top)
    drawn: list[tuple[BarShape, float, float]] = []
    for shape in form_b(line):
        apart = not shape.bar.flops
        left = (shape.left + (GAP * reach_s if apart and line.bars else 0.0)) * scale.factor
        width = shape.width * scale.factor
        _bar(ax, shape, left, width, APART if apart else palette.color(name), origin)
        drawn.append((shape, left, width))
    ax.axhline(1, color=WATER, linewidth=1.6, zorder=5)
    ax.grid(visible=False)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    name_bars(ax, drawn)
    ax.set_title(plain(name, 30), color=palette.text(name), pad=25)
    measured_s = line.wall_s or line.measured_s
    if measured_s:
        ax.set_title(f"{origin} {quantity(measured_s, 's')}", loc="right", color=MUTED, size=8, weight="normal", pad=25)
    ax.text(0.0, 1.03, "\n".join(efficiencies(line)), transform=ax.transAxes, va="bottom", size=7.5, color=MUTED)


def _bar(ax: Axes, shape: BarShape, left: float, width: float, color: str, origin: str) -> None:
    """Arithmetic up to the waterline, memory above it, the kernel's own loss above both, as far as the panel goes."""
    top = ax.get_ylim()[1]
    attainable, measured = shape.bar.attainable_s / (shape.width or 1.0), shape.measured_height
    thin = width < 0.006 * ax.get_xlim()[1]
    layers = [
        (0.0, 1.0, color, 1.0),
        (1.0, attainable, color, PALE),
        (max(attainable, 1.0), measured or 0.0, GRID, 1.0),
    ]
    for bottom, reach, fill, alpha in layers:
        height = min(reach, top) - bottom
        if height > 0:
            ax.add_patch(
                Rectangle((left, bottom), width, height, facecolor=fill, alpha=alpha, edgecolor=PAPER,
                          linewidth=0.0 if thin else 0.5, gid=mark("", operator_tip(shape, origin)))
            )  # fmt: skip
    if measured is not None and measured <= top:
        ax.plot([left, left + width], [measured] * 2, color=INK, linewidth=1.2, zorder=4)
    if attainable > top:
        _cut(ax, left, width)


def _cut(ax: Axes, left: float, width: float) -> None:
    """Two strokes across a bar that is taller than the panel."""
    top, half = ax.get_ylim()[1], max(width, 0.008 * ax.get_xlim()[1]) / 2
    middle = left + width / 2
    for at in (0.86, 0.90):
        ax.plot([middle - half, middle + half], [(at - 0.015) * top, (at + 0.015) * top], color=PAPER, linewidth=1.6,
                zorder=4, solid_capstyle="butt")  # fmt: skip


def efficiencies(line: Waterline) -> tuple[str, str]:
    """Two lines over a panel: what could be attained, and what the reached efficiency is made of."""
    balances = [bar.balance for bar in line.bars if bar.balance is not None]
    low, high = (min(balances), max(balances)) if balances else (math.nan, math.nan)
    rho = digits(low) if low == high else f"{digits(low)} to {digits(high)}"
    attainable = " · ".join((
        f"attainable {quantity(line.attainable_s, 's')}", f"ETA {digits(line.eta, 2)}",
        f"ETA_roof {digits(line.eta_roof, 2)}", f"ρ {rho} FLOP/byte",
    ))  # fmt: skip
    if line.efficiency is None:
        return attainable, "nothing was measured"
    head = f"C {digits(line.efficiency, 2)} = attainable {digits(line.eta, 2)}"
    if line.quality is None or line.busy is None:
        rest = line.efficiency / line.eta if line.eta else 0.0
        return attainable, f"{head} × rest {digits(rest, 2)}; operators were not timed (--operators times them)"
    return attainable, f"{head} × kernels {digits(line.quality, 2)} × busy {digits(line.busy, 2)}"


def _handles(lines: Sequence[Waterline], origin: str, *, limited: bool) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=INK, alpha=0.75, label="arithmetic at peak"),
        Patch(facecolor=INK, alpha=0.75 * PALE, label="lost to memory" + (" or the power limit" if limited else "")),
    ]
    if any(bar.measured_s is not None for line in lines for bar in line.bars):
        handles += [
            Patch(facecolor=GRID, edgecolor=MUTED, label="lost in the kernel"),
            Line2D([], [], color=INK, linewidth=1.2, label=f"{origin}, where it is inside"),
        ]
    if any(line.apart for line in lines):
        handles.append(Patch(facecolor=APART, label="operators without MACs: memory time"))
    return [*handles, Line2D([], [], color=WATER, linewidth=1.6, label="waterline: intensity = ρ")]
