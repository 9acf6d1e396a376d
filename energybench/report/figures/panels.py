"""What do panels have in common? Their grid, axes, labels and legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from energybench.report.quantities import quantity
from energybench.report.style import PAPER, plain, text_width_pt

WIDTH_IN = 9.0
LEGEND_PT = 8
LEGEND_COLUMN_EM = 4.8
"""What a column of a legend takes beside its words: handle 2, the gap after it 0.8, the gap to the next column 2."""


def grid(
    rows: int, columns: int, *, height_in: float, width_in: float = WIDTH_IN, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of ``rows`` x ``columns`` axes under constrained layout, and its axes row by row."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(axes.ravel())


def log_axis(ax: Axes, unit: str, *, axis: str = "x", ticks: int = 6) -> None:
    """A logarithmic axis whose ticks are written with a prefix: ``1 µs``, ``10 µs``; plainly without a unit."""
    which = ax.xaxis if axis == "x" else ax.yaxis
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
    low, high = sorted(ax.get_xlim() if axis == "x" else ax.get_ylim())
    decades = math.log10(high / low) if low > 0 else 1.0
    subs = (1.0,) if decades >= 2.2 else (1.0, 3.0) if decades >= 1.2 else (1.0, 2.0, 5.0)
    which.set_major_locator(LogLocator(base=10, subs=subs, numticks=ticks + 2))
    if decades < 0.5:
        which.set_major_locator(FixedLocator(_round_steps(low, high)))
    significant = 1 if decades >= 0.5 else 2
    which.set_major_formatter(
        FuncFormatter(lambda value, _: quantity(value, unit, significant) if unit else f"{value:,.4g}")
    )
    which.set_minor_locator(NullLocator())
    which.set_minor_formatter(NullFormatter())


def _round_steps(low: float, high: float) -> list[float]:
    """Round numbers between ``low`` and ``high``, about four."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next((s * power for s in (1, 2, 5, 10) if s * power >= rough), rough)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1) if i > 0]


def wrapped(text: str, width: int) -> str:
    """``text`` on lines of at most ``width`` characters, broken after its commas where that suffices."""
    lines: list[str] = []
    for part in text.split(", "):
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return ",\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines)


def label(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Text at a data point on a patch of paper, so that it reads across lines (a halo would turn text into paths)."""
    paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    ax.text(x, y, text, **{"size": 8, "zorder": 6, "bbox": paper, **options})


def legend_below(figure: Figure, handles: Sequence[Any], *, most: int = 6) -> None:
    """A legend below all panels, in as many columns as fit side by side (a legend is filled column by column)."""
    widths_pt = [text_width_pt(str(handle.get_label()), LEGEND_PT) + LEGEND_COLUMN_EM * LEGEND_PT for handle in handles]
    room_pt = 72 * float(figure.get_size_inches()[0]) - 2 * LEGEND_PT
    for columns in range(min(most, len(handles)), 0, -1):
        # matplotlib fills columns as evenly as possible, the longer ones first
        rows, longer = divmod(len(handles), columns)
        ends = [rows * (c + 1) + min(c + 1, longer) for c in range(columns)]
        width_pt = sum(max(widths_pt[start:end]) for start, end in zip([0, *ends], ends, strict=False))
        if width_pt <= room_pt or columns == 1:
            figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=LEGEND_PT)
            return


def rows_of_variants(ax: Axes, names: Sequence[str], colors: Sequence[str], *, limit: int = 26) -> None:
    """One row a variant, the first on top, its name in its own colour."""
    ax.set_yticks(range(len(names)), [plain(name, limit) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.75)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    for text, color in zip(ax.get_yticklabels(), colors, strict=True):
        text.set_color(color)
