"""Who wins at matched MACs? Every pair's ratio with its interval around 1: the figure of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from energybench.report import quantities
from energybench.report.figures.panels import WIDTH_IN
from energybench.report.outcomes import Outcome, against_what, outcomes_of, relevant_pairs
from energybench.report.style import FOAM, INK, MUTED, PAPER, Palette, plain, styled, title, whiskers
from energybench.report.svg import mark

ROWS_AT_MOST = 48
TICKS = (
    (0.97, 0.98, 0.99, 1, 1.01, 1.02, 1.03),
    (0.94, 0.96, 0.98, 1, 1.02, 1.04, 1.06),
    (0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15),
    (0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4),
    (0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.6, 2, 2.5),
    (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5),
    (0.1, 0.2, 0.5, 1, 2, 5, 10),
    (0.001, 0.01, 0.1, 1, 10, 100, 1000),
)
"""Ratios to mark, for axes that reach about as far as the first and the last of them."""
ROW_IN = 0.27
EMPTY_SIDE = 0.35
"""Share of the other side's reach that a side without any ratio keeps: 1 must not be mistaken for the edge."""
DIVIDER = "over 10 % apart in MACs: to be read per MAC"
PAIR_ROW_IN = 0.42
"""Of a row that is named by its pair, on two lines: where every pair has one outcome at the same place."""


@styled
def pair_figure(
    pairs: pd.DataFrame,
    palette: Palette | None = None,
    *,
    places: Mapping[str, str] | None = None,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Ratio of each declared pair (else of each variant to the baseline), with its 95 % interval.

    Pairs whose MACs are apart stand below the others, in grey.

    Args:
        pairs: columns of ``columns.PAIRS``; energy ratios are drawn, latency ratios where there are no joules.
        palette: colours and markers by variant; default: those of the variants in ``pairs``.
        places: short names of comparisons, for pairs of cases.
        subtitle: device and meter, for the second line.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: nothing was compared.
    """
    palette = palette or Palette.of(pairs["variant"])
    rows, matched = relevant_pairs(pairs)
    by_energy = bool(rows["energy_ratio"].notna().any())
    column = "energy_ratio" if by_energy else "latency_ratio"
    found = outcomes_of(rows, column, places, origin=origin)
    if not found:
        raise ValueError("no two variants were compared")
    outcomes = sorted(found, key=lambda o: matched and o.apart)[:ROWS_AT_MOST]
    groups = _groups(outcomes, matched=matched)
    divided = len({apart for (*_, apart), _ in groups}) == 2
    single = all(len(mine) == 1 for _, mine in groups) and len({o.place for o in outcomes}) == 1
    lines = len(outcomes) + (0 if single else len(groups)) + divided
    figure = Figure(figsize=(WIDTH_IN, 1.45 + (PAIR_ROW_IN if single else ROW_IN) * lines), layout="constrained")
    ax = figure.subplots()
    _ratio_axis(ax, outcomes)
    line = 0
    ticks: list[tuple[int, str]] = []
    below = False
    for (variant, against, apart), mine in groups:
        if divided and apart and not below:
            _divide(ax, line)
            below, line = True, line + 1
        if not single:
            _heading(ax, line, variant, against, mine, MUTED if apart else palette.text(variant))
            line += 1
        for outcome in mine:
            _draw(ax, line, outcome, palette, grey=apart)
            name = f"{plain(variant, 26)}\nagainst {plain(against, 26)}, MACs × {outcome.macs_ratio:.3g}"
            ticks.append((line, name if single else outcome.place))
            line += 1
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    ax.set_ylim(lines - 0.4, -0.9)
    what = "energy per inference" if by_energy else "latency"
    ax.set_xlabel(f"{what} over the partner's (dimensionless, log scale; 95 % interval)")
    heading = f"{what[0].upper()}{what[1:]} {against_what(outcomes, matched=matched)}"
    title(figure, heading, subtitle=subtitle, origin=origin)
    return figure


def _groups(outcomes: Sequence[Outcome], *, matched: bool) -> list[tuple[tuple[str, str, bool], list[Outcome]]]:
    """The outcomes by pair, and by whether they are of a declared pair whose MACs are apart."""
    found: dict[tuple[str, str, bool], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.variant, outcome.against, matched and outcome.apart), []).append(outcome)
    return list(found.items())


def _ratio_axis(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """A log axis through 1, wide enough for every estimate; an interval far beyond it is cut at the edge."""
    ends = [end for o in outcomes for end in ((o.low, o.high) if quantities.has_interval(o.low, o.high) else ())]
    logs = [math.log(o.ratio) for o in outcomes]
    reach = max(*map(abs, logs), math.log(1.01))
    below, above = (
        min(1.12 * max([side * math.log(end) for end in ends] + [side * x for x in logs]), 1.12 * reach + math.log(1.5))
        for side in (-1, 1)
    )
    low, high = math.exp(-max(below, EMPTY_SIDE * reach)), math.exp(max(above, EMPTY_SIDE * reach))
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    span = max(1 / low, high)
    ticks = next((t for t in TICKS if span < 1.08 * t[-1]), TICKS[-1])
    ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.axvspan(low, 1, color=FOAM, alpha=0.45, linewidth=0, zorder=0)
    ax.axvline(1, color=INK, linewidth=1.2, zorder=2)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.text(0.005, 1.0, "← needs less than its partner", transform=ax.transAxes, size=8.5, color=MUTED, va="bottom")
    ax.text(0.995, 1.0, "needs more →", transform=ax.transAxes, size=8.5, color=MUTED, va="bottom", ha="right")
    ax.text(1.012, 1.0, "ratio [95 % interval]", transform=ax.transAxes, size=8.5, color=MUTED, va="bottom")


def _heading(ax: Axes, line: int, variant: str, against: str, outcomes: Sequence[Outcome], color: str) -> None:
    low, high = min(o.macs_ratio for o in outcomes), max(o.macs_ratio for o in outcomes)
    macs = f"{low:.3g}" if high / low < 1.0005 else f"{low:.3g} to {high:.3g}"
    ax.annotate(
        f"{plain(variant, 24)} against {plain(against, 24)}",
        (0, line), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
        va="center", weight="bold", color=color,
    )  # fmt: skip
    ax.text(1.012, line, f"MACs × {macs}", transform=ax.get_yaxis_transform(), va="center", size=8, color=MUTED)


def _draw(ax: Axes, line: int, outcome: Outcome, palette: Palette, *, grey: bool) -> None:
    color, told = MUTED if grey else palette.color(outcome.variant), outcome.verdict in ("less", "more")
    shown = quantities.ratio(outcome.ratio, outcome.low, outcome.high)
    tip = f"{outcome.variant} over {outcome.against}\n{outcome.place}\n{shown}, MACs × {outcome.macs_ratio:.3g}"
    tip += f"\n{quantities.signed_percent(outcome.per_mac)} per MAC" if grey else ""
    if quantities.has_interval(outcome.low, outcome.high):
        whiskers(ax, outcome.ratio, line, low=outcome.low, high=outcome.high, color=color, gid=mark(outcome.row_id))
    ax.plot(
        outcome.ratio, line, palette.marker(outcome.variant), color=color, markersize=6,
        markerfacecolor=color if told else PAPER, zorder=4, gid=mark(outcome.row_id, tip),
    )  # fmt: skip
    ax.text(
        1.012, line, shown, transform=ax.get_yaxis_transform(), va="center", size=8.5,
        color=INK if told and not grey else MUTED, gid=mark(outcome.row_id),
    )  # fmt: skip


def _divide(ax: Axes, line: int) -> None:
    """Say below a rule what all rows from here on are."""
    ax.axhline(line - 0.5, color=MUTED, linewidth=0.8)
    ax.annotate(
        DIVIDER, (0, line), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
        va="center", size=8.5, color=MUTED,
    )  # fmt: skip
