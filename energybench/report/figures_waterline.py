"""Where do the seconds of a sequence of operators go? Waterlines (form B): bars whose areas are time.

Width is arithmetic time at peak, the level 1 is the waterline: what a bar shows above it is time lost to memory, and
what the measurement adds on top is time lost in the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from energybench.analysis.waterline import BarShape, Waterline, form_b, waterline
from energybench.cost import OperatorCost
from energybench.machine import Machine
from energybench.report.operators import repeated, workflows
from energybench.report.panels import grid, label, legend_below
from energybench.report.quantities import Scale, digits, scale_for
from energybench.report.style import APART, GRID, INK, MUTED, PAPER, WATER, Palette, plain, styled, title

PANELS_AT_MOST = 9
CALM_SHARE = 0.92
MANY_CALM_SHARE = 0.65
"""Share of the time a panel's height must show, and the same with many thin bars; the few beyond it are cut."""
MANY = 25
PALE = 0.42
LABEL_SHARE = 0.45
"""Share of a panel's width that the words over operators without MACs take."""
SAME_ARITHMETIC = 0.01
"""Variants whose arithmetic differs by less than this are drawn to one scale."""


@styled
def waterline_figure(
    lines: dict[str, Waterline], palette: Palette, *, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """One waterline a variant.

    Args:
        lines: waterline by variant, from ``sequence_waterlines``.
        palette: the run's palette.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no variant has an operator.
    """
    shown = {name: line for name, line in lines.items() if line.bars or line.apart}
    if not shown:
        raise ValueError("no variant has an operator whose time could be drawn")
    names = list(shown)[:PANELS_AT_MOST]
    across = 1 if len(names) == 1 else 2 if len(names) in (2, 4) else 3
    down = math.ceil(len(names) / across)
    figure, axes = grid(down, across, height_in=0.95 + max(2.2 * down, 3.0))
    frames = _frames([shown[name] for name in names])
    for number, (ax, name, frame) in enumerate(zip(axes, names, frames, strict=False)):
        _panel(ax, shown[name], name, palette, frame)
        if number % across == 0:
            ax.set_ylabel("time / arithmetic time")
    for ax in axes[len(names) :]:
        ax.remove()
    _legend(figure, [shown[name] for name in names])
    title(figure, "Waterline: arithmetic, memory, kernel", subtitle=subtitle, origin=origin)
    return figure


def sequence_waterlines(
    cases: pd.DataFrame, operators: pd.DataFrame, machine: Machine, *, stages: Sequence[str] = ()
) -> dict[str, Waterline]:
    """The waterline of every variant of one setting: its one network, or its layers as the network repeats them.

    Args:
        cases: the cases of one setting (one network, batch and dtype), columns of ``columns.RESULTS``.
        operators: columns of ``columns.OPERATORS``.
        machine: whose peaks and bandwidth are meant.
        stages: columns that name a layer among those of its variant.
    """
    found: dict[str, Waterline] = {}
    for variant, work in workflows(cases, operators, stages).items():
        bars = list(recurring(work.operators, work.measured_s))
        together, measured = [repeated(op, runs) for op, runs, _ in bars], [seconds for *_, seconds in bars]
        found[variant] = waterline(together, machine, measured, wall_s=work.wall_s)
    return found


def recurring(
    operators: Sequence[OperatorCost], measured_s: Sequence[float | None]
) -> Iterator[tuple[OperatorCost, int, float | None]]:
    """Each operator once, with how often it runs and the seconds of all its runs; in the order of their first runs.

    A network that is run on one image after another has the same bars for every image; together they are the same
    areas, and can be seen.
    """
    runs: dict[OperatorCost, list[float | None]] = {}
    for op, seconds in zip(operators, measured_s, strict=True):
        runs.setdefault(op, []).append(seconds)
    for op, times in runs.items():
        known = [time for time in times if time is not None]
        yield op, len(times), sum(known) if len(known) == len(times) else None


class _Frame(NamedTuple):
    """What a panel shows: seconds to the right, and heights up to ``top``."""

    width_s: float
    top: float


def _frames(lines: Sequence[Waterline]) -> list[_Frame]:
    """A frame a panel; one for all where all do the same arithmetic, so that their areas can be compared."""
    shapes = [form_b(line) for line in lines]
    frames = [_Frame(sum(s.width for s in one), _height(one)) for one in shapes]
    least_s, most_s = min(line.tau_s for line in lines), max(line.tau_s for line in lines)
    if least_s < (1 - SAME_ARITHMETIC) * most_s:
        return frames
    widest = _Frame(max(f.width_s for f in frames), max(f.top for f in frames))
    return [widest] * len(frames)


def _panel(ax: Axes, line: Waterline, name: str, palette: Palette, frame: _Frame) -> None:
    shapes = form_b(line)
    scale = scale_for([frame.width_s], "s")
    top = frame.top
    thin = len(shapes) > MANY
    gap = 0.03 * frame.width_s if line.bars and line.apart else 0.0
    ax.set_xlim(0, frame.width_s * 1.05 * scale.factor)
    ax.set_ylim(0, top)
    for shape in shapes:
        apart = not shape.bar.flops
        left = (shape.left + (gap if apart else 0.0)) * scale.factor
        _bar(ax, shape, left, shape.width * scale.factor, top, APART if apart else palette.color(name), thin=thin)
    ax.axhline(1, color=WATER, linewidth=1.6, zorder=5)
    ax.grid(visible=False, axis="x")
    ax.set_title(plain(name, 30), color=palette.text(name), pad=15)
    ax.set_xlabel(f"arithmetic time at peak ({scale.unit})")
    ax.text(0.0, 1.02, _efficiencies(line), transform=ax.transAxes, va="bottom", size=7.5, color=MUTED)
    if line.apart:
        _mark_apart(ax, line, gap, scale, top)


def _bar(ax: Axes, shape: BarShape, left: float, width: float, top: float, color: str, *, thin: bool) -> None:
    """Arithmetic up to the waterline, memory above it, the kernel's own loss above both."""
    border = 0.0 if thin else 0.5
    attainable, measured = max(shape.height, 1.0), shape.measured_height
    layers = [(0.0, 1.0, color, 1.0), (1.0, shape.height, color, PALE), (attainable, measured or 0.0, GRID, 1.0)]
    for bottom, reach, fill, alpha in layers:
        height = min(reach, top) - bottom
        if height > 0:
            ax.add_patch(
                Rectangle((left, bottom), width, height, facecolor=fill, alpha=alpha, edgecolor=PAPER, linewidth=border)
            )
    if measured is not None:
        ax.plot([left, left + width], [min(measured, top)] * 2, color=INK, linewidth=1.0, zorder=4)
    highest = max(shape.height, measured or 0.0)
    if highest > top and width > 0.04 * ax.get_xlim()[1]:
        label(ax, left + width / 2, top * 0.97, f"↑{digits(highest, 2)}", ha="center", va="top", size=7)


def _height(shapes: Sequence[BarShape]) -> float:
    """Height in which most of the time of the operators with MACs fits, a little above the waterline at least."""
    working = [s for s in shapes if s.bar.flops] or list(shapes)
    share = MANY_CALM_SHARE if len(working) > MANY else CALM_SHARE
    tops = sorted((max(s.height, s.measured_height or 0.0, 1.0), s.width) for s in working)
    total = sum(height * width for height, width in tops)
    below = 0.0
    for height, width in tops:
        below += height * width
        if below >= share * total:
            return max(1.6, 1.12 * height)
    return 1.6


def _efficiencies(line: Waterline) -> str:
    parts = [f"ETA {digits(line.eta, 2)}", f"ETA_roof {digits(line.eta_roof, 2)}"]
    if line.efficiency is not None:
        parts.append(f"C {digits(line.efficiency, 2)}")
    return " · ".join(parts)


def _mark_apart(ax: Axes, line: Waterline, gap: float, scale: Scale, top: float) -> None:
    left = (line.tau_s + gap) * scale.factor
    width = sum(bar.mu_s for bar in line.apart) * scale.factor
    room = ax.get_xlim()[1] - left
    at, side = (left, "left") if width < LABEL_SHARE * ax.get_xlim()[1] < room else (left + width / 2, "center")
    ax.text(at, min(1.05, top), "no MACs: memory time", ha=side, va="bottom", size=7, color=MUTED)


def _legend(figure: Figure, lines: Sequence[Waterline]) -> None:
    handles = [
        Patch(facecolor=INK, alpha=0.75, label="full colour: arithmetic at peak"),
        Patch(facecolor=INK, alpha=0.75 * PALE, label="pale: lost to memory, above the waterline at 1"),
    ]
    if any(bar.measured_s is not None for line in lines for bar in line.bars):
        handles.append(Patch(facecolor=GRID, edgecolor=INK, label="grey: lost in the kernel, up to the measured line"))
    legend_below(figure, handles)
