"""What are the bars of a panel called? Names where they fit: in wide bars, and beside the costliest of the others."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from energybench.analysis.waterline_shapes import BarShape
from energybench.report.figures.panels import label
from energybench.report.quantities import digits, quantity
from energybench.report.style import plain

CHARACTER_IN = 0.056
"""Mean width of a character of ``SIZE`` points."""
SIZE = 6.5
BESIDE_AT_MOST = 3
COSTLY = 0.03
"""Share of the attainable time that a bar must lose to be named beside."""

Drawn = tuple[BarShape, float, float]
"""A bar, its left edge and its width as drawn."""


def operator_tip(shape: BarShape, origin: str) -> str:
    """What pointing at a bar says: its operator, what it could take and what it took (``origin`` says how known)."""
    bar = shape.bar
    parts = [f"attainable {quantity(bar.attainable_s, 's')}"]
    if bar.flops:
        parts.insert(0, f"arithmetic {quantity(bar.tau_s, 's')}")
    if bar.measured_s is not None:
        parts.append(f"{origin} {quantity(bar.measured_s, 's')}")
        if bar.tau_s:
            parts.append(f"{digits(bar.measured_s / bar.tau_s)} times its arithmetic")
    return f"{short(bar.label) or bar.family}\n{', '.join(parts)}"


def name_bars(ax: Axes, drawn: Sequence[Drawn]) -> None:
    """Name the bars of form B that are wide enough, and beside them those that are cut or lose most to memory.

    Args:
        ax: the panel, its limits set and its width that of its column.
        drawn: its bars.
    """
    per_in = ax.get_xlim()[1] / _width_in(ax)
    named = [shape for shape, left, width in drawn if name_inside(ax, shape.bar.label, left, width, 1.04)]
    total_s = sum(shape.bar.attainable_s for shape, *_ in drawn)
    top = ax.get_ylim()[1]
    costly = [
        one
        for one in drawn
        if one[0].bar.tau_s
        and one[0] not in named
        and (_lost_s(one) > COSTLY * total_s or one[0].bar.attainable_s > top * one[0].bar.tau_s)
    ]
    costly.sort(key=_lost_s, reverse=True)
    taken: list[tuple[float, float]] = []
    for shape, left, width in costly:
        taken = _beside(ax, shape, left, width, per_in, taken) if len(taken) < BESIDE_AT_MOST else taken


def name_inside(ax: Axes, name: str, left: float, width: float, bottom: float) -> bool:
    """Name a bar above ``bottom`` where its name is not wider than it is; returns whether it was."""
    text, per_in = short(name), ax.get_xlim()[1] / _width_in(ax)
    if not text or len(text) * CHARACTER_IN * per_in >= width:
        return False
    label(ax, left + width / 2, bottom, text, ha="center", va="bottom", size=SIZE)
    return True


def short(name: str, limit: int = 34) -> str:
    """The end of a long module path, which is what tells operators apart."""
    text = plain(name)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def _beside(
    ax: Axes, shape: BarShape, left: float, width: float, per_in: float, taken: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Name a bar at its top, with its height where it is cut; not over another name. Returns what is taken now."""
    top, height = ax.get_ylim()[1], shape.bar.attainable_s / shape.width
    cut = height > top
    text = f" {short(shape.bar.label, 24)} {digits(height, 2)}× "
    room = len(text) * CHARACTER_IN * per_in
    right = left + width + room < ax.get_xlim()[1]
    start = left + width if right else left - room
    if any(start < end and begin < start + room for begin, end in taken):
        return taken
    label(ax, start if right else left, 0.98 * top if cut else height, text, ha="left" if right else "right", va="top",
          size=SIZE)  # fmt: skip
    return [*taken, (start, start + room)]


def _lost_s(one: Drawn) -> float:
    return one[0].bar.attainable_s - one[0].bar.tau_s


def _width_in(ax: Axes) -> float:
    """Inches of the panel, near enough before the layout is done."""
    spec = ax.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec is not None else 1
    return 0.88 * float(ax.figure.get_figure(root=True).get_size_inches()[0]) / columns
