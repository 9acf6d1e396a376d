"""Where do the seconds and joules of every variant go? One stacked bar a variant, from arithmetic to the whole.

Unlike a waterline it has room for networks of hundreds of operators, and for kernels that take a thousand times their
arithmetic: lengths are seconds and joules, and variants share one scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from energybench.analysis.budget import EnergyBudget, TimeBudget, energy_budget, time_budget
from energybench.machine import Machine
from energybench.report.figures.panels import grid, legend_below, rows_of_variants
from energybench.report.operators import Workflow
from energybench.report.quantities import Scale, digits, quantity, scale_for
from energybench.report.style import APART, FOAM, GRID, INK, MUTED, PAPER, WATER, Palette, styled, title
from energybench.report.svg import mark

PALE = 0.42
BAR = 0.66
Part = tuple[str, float, str, float]
"""What it is, length, colour, opacity."""


@styled
def budget_figure(
    works: Mapping[str, Workflow], machine: Machine, palette: Palette, *, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """Seconds on the left, joules on the right where there are any; one row a variant.

    Args:
        works: what every variant runs, from ``workflows``.
        machine: whose peaks, bandwidth and unit energies are meant.
        palette: the run's palette.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no variant has an operator.
    """
    shown = {name: work for name, work in works.items() if work.operators}
    if not shown:
        raise ValueError("no variant has an operator whose time could be drawn")
    times = [time_budget(w.operators, machine, w.measured_s, wall_s=w.wall_s) for w in shown.values()]
    joules = [
        energy_budget(w.operators, machine, wall_s=w.wall_s, measured_j=w.energy_j)
        for w in shown.values()
        if w.energy_j is not None and machine.has_energy
    ]
    both = len(joules) == len(times)
    figure, axes = grid(1, 2 if both else 1, height_in=1.9 + 0.42 * len(shown))
    names = list(shown)
    colors = [palette.text(name) for name in names]
    _times(axes[0], times, [palette.color(name) for name in names])
    rows_of_variants(axes[0], names, colors)
    if both:
        _joules(axes[1], joules, [palette.color(name) for name in names])
        rows_of_variants(axes[1], names, colors)
        axes[1].tick_params(labelleft=False)
    legend_below(figure, _handles(times, origin if both else ""), most=4)
    title(figure, "Where the time and the joules go" if both else "Where the time goes", subtitle=subtitle,
          origin=origin)  # fmt: skip
    return figure


def _times(ax: Axes, budgets: Sequence[TimeBudget], colors: Sequence[str]) -> None:
    scale = scale_for([max(b.wall_s or b.attainable_s for b in budgets)], "s")
    longest = 0.0
    for row, (budget, color) in enumerate(zip(budgets, colors, strict=True)):
        parts = [
            ("arithmetic", budget.arithmetic_s, color, 1.0),
            ("memory", budget.memory_s, color, PALE),
            ("operators without MACs", budget.apart_s, APART, 1.0),
            ("lost in kernels", budget.kernels_s or 0.0, GRID, 1.0),
            ("between kernels", budget.between_s or 0.0, PAPER, 1.0),
        ]
        end = _stack(ax, row, parts, scale, "s")
        ax.plot([budget.fused_s * scale.factor] * 2, [row - BAR / 2, row + BAR / 2], color=WATER, linewidth=2.0)
        ax.annotate(_factors(budget), (end, row), xytext=(4, 0), textcoords="offset points", va="center", size=7.5,
                    color=MUTED)  # fmt: skip
        longest = max(longest, end)
    ax.set_xlim(0, 1.62 * longest)
    ax.set_xlabel(f"time of an iteration ({scale.unit})")
    ax.set_title("attainable × kernels × busy = efficiency", loc="right", size=7.5, color=MUTED)


def _joules(ax: Axes, budgets: Sequence[EnergyBudget], colors: Sequence[str]) -> None:
    scale = scale_for([max(b.measured_j or b.modelled_j for b in budgets)], "J")
    longest = 0.0
    for row, (budget, color) in enumerate(zip(budgets, colors, strict=True)):
        parts = [
            ("operations", budget.operations_j, color, 1.0),
            ("bytes", budget.bytes_j, color, PALE),
            ("operators without MACs", budget.apart_j, APART, 1.0),
            ("static power × time", budget.static_j, FOAM, 1.0),
            ("not in the model", budget.rest_j or 0.0, GRID, 1.0),
        ]
        end = _stack(ax, row, parts, scale, "J")
        if budget.measured_j is not None:
            measured = budget.measured_j * scale.factor
            ax.plot([measured] * 2, [row - BAR / 2, row + BAR / 2], color=INK, linewidth=1.2)
            ax.annotate(
                f"model {100 * budget.modelled_j / budget.measured_j:.0f} %", (max(end, measured), row),
                xytext=(4, 0), textcoords="offset points", va="center", size=7.5, color=MUTED,
            )  # fmt: skip
            longest = max(longest, measured)
        longest = max(longest, end)
    ax.set_xlim(0, 1.3 * longest)
    ax.set_xlabel(f"joules of an iteration ({scale.unit})")


def _stack(ax: Axes, row: int, parts: Sequence[Part], scale: Scale, unit: str) -> float:
    """The parts one behind the other; what is not above zero has no length. Returns where the bar ends."""
    left = 0.0
    for what, length, color, alpha in parts:
        if length > 0:
            width = length * scale.factor
            edge = MUTED if color == PAPER else PAPER
            ax.barh(row, width, BAR, left, color=color, alpha=alpha, edgecolor=edge, linewidth=0.4, zorder=2,
                    gid=mark("", f"{what}: {quantity(length, unit)} of an iteration"))  # fmt: skip
            left += width
    return left


def _factors(budget: TimeBudget) -> str:
    """The three factors and their product; fewer where operators were not timed."""
    line = budget.line
    if line.efficiency is None:
        return f"attainable {digits(line.eta, 2)}"
    if line.quality is None or line.busy is None:
        rest = line.efficiency / line.eta if line.eta else 0.0
        return f"{digits(line.eta, 2)} × {digits(rest, 2)} = {digits(line.efficiency, 2)}"
    factors = " × ".join(digits(factor, 2) for factor in (line.eta, line.quality, line.busy))
    return f"{factors} = {digits(line.efficiency, 2)}"


def _handles(times: Sequence[TimeBudget], joules: str) -> list[Patch | Line2D]:
    """The legend; ``joules`` is how the joules beside the times are known, empty without any."""
    both = bool(joules)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=INK, alpha=0.75, label="arithmetic" + (" / operations" if both else " at peak")),
        Patch(facecolor=INK, alpha=0.75 * PALE, label="memory" + (" / bytes" if both else "")),
    ]
    if any(b.apart_s for b in times):
        handles.append(Patch(facecolor=APART, label="operators without MACs"))
    if any(b.kernels_s is not None for b in times):
        what = "lost in kernels" if any(b.between_s is not None for b in times) else "lost in kernels and between"
        handles.append(Patch(facecolor=GRID, edgecolor=MUTED, label=what + (" / not in the model" if both else "")))
    if any((b.between_s or 0) > 0 for b in times):
        handles.append(Patch(facecolor=PAPER, edgecolor=MUTED, label="between kernels"))
    if both:
        handles.append(Patch(facecolor=FOAM, label="static power"))
        handles.append(Line2D([], [], color=INK, linewidth=1.2, label=f"{joules} joules"))
    handles.append(Line2D([], [], color=WATER, linewidth=2.0, label="attainable if fused"))
    return handles
