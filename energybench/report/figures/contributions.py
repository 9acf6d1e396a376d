"""Which stages make the difference? Each stage's share in a pair's ratio of totals; the shares add up to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from energybench.report.figures.panels import grid
from energybench.report.places import point_label
from energybench.report.quantities import has_interval
from energybench.report.style import INK, MUTED, Palette, plain, styled, title, whiskers
from energybench.report.svg import mark

PAIRS_AT_MOST = 3


@dataclass(frozen=True)
class Contribution:
    """One stage of one pair: change of the total in per cent of the partner's total, with its 95 % interval."""

    stage: str
    percent: float
    low: float
    high: float


@styled
def contribution_figure(
    cases: pd.DataFrame,
    pairs: pd.DataFrame,
    palette: Palette,
    *,
    stages: Sequence[str] = ("channels", "size"),
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """What each stage adds to the difference of two totals at matched MACs.

    Args:
        cases: the cases of one setting, columns of ``columns.RESULTS``.
        pairs: columns of ``columns.PAIRS``; matched ones of scope ``case`` are used.
        palette: the run's palette.
        stages: columns that name a stage.
        subtitle: setting, device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: no matched pair was measured at two stages or more.
    """
    stages = [s for s in stages if s in cases and cases[s].nunique() > 1]
    by_energy = bool(cases["energy_per_inference_j"].notna().any())
    found = _contributions(cases, pairs, stages, by_energy=by_energy)[:PAIRS_AT_MOST]
    if not found:
        raise ValueError("no matched pair was measured at two stages")
    rows = max(len(parts) for _, parts in found)
    figure, axes = grid(1, len(found), height_in=1.65 + 0.27 * rows)
    ends = [abs(end) for _, parts in found for c in parts for end in (c.percent, c.low, c.high)]
    reach = max((end for end in ends if math.isfinite(end)), default=1.0) or 1.0
    for number, (ax, ((variant, against), parts)) in enumerate(zip(axes, found, strict=True)):
        _panel(ax, parts, palette.color(variant), reach, f"{variant} against {against}")
        ax.set_title(f"{plain(variant, 26)}\nagainst {plain(against, 26)}", color=palette.text(variant), size=9)
        if number:
            ax.tick_params(labelleft=False)
    what = "joules" if by_energy else "latency"
    for ax in axes:
        ax.set_xlabel(f"change (% of total {what})")
    title(figure, f"Which stages make the difference in {what}", subtitle=subtitle, origin=origin)
    return figure


def _contributions(
    cases: pd.DataFrame, pairs: pd.DataFrame, stages: Sequence[str], *, by_energy: bool
) -> list[tuple[tuple[str, str], list[Contribution]]]:
    value, ratio = ("energy_per_inference_j", "energy_ratio") if by_energy else ("loop_latency_s", "latency_ratio")
    at = cases.set_index(["comparison", "variant"])
    rows = pairs[(pairs["scope"] == "case") & (pairs["kind"] == "matched") & pairs[ratio].notna()]
    found = []
    for pair, every in rows.groupby(["variant", "against"], sort=False):
        variant, against = (str(name) for name in pair)
        mine = every[[(c, against) in at.index for c in every["comparison"]]]
        partners = [at.loc[(c, against)] for c in mine["comparison"]]
        total = sum(float(p["repeat"] * p[value]) for p in partners)
        parts = []
        for row, partner in zip(mine.to_dict("records"), partners, strict=True):
            share = 100 * float(partner["repeat"] * partner[value]) / total
            low, high = row[f"{ratio}_low"], row[f"{ratio}_high"]
            ends = (share * (low - 1), share * (high - 1)) if has_interval(low, high) else (math.nan, math.nan)
            repeat = int(partner["repeat"])
            name = point_label(stages, [partner.get(s) for s in stages]) + (f" ×{repeat}" if repeat > 1 else "")
            parts.append(Contribution(name, share * (row[ratio] - 1), *ends))
        total_row = _total(pairs, variant, against, ratio)
        rows_of_pair = [*parts, total_row] if total_row else parts
        if len(parts) > 1:
            found.append(((variant, against), rows_of_pair))
    return found


def _total(pairs: pd.DataFrame, variant: str, against: str, ratio: str) -> Contribution | None:
    """The pair's change of the total itself, with the interval that the mirrored pairs gave it."""
    rows = pairs[(pairs["scope"] == "total") & (pairs["variant"] == variant) & (pairs["against"] == against)]
    rows = rows[rows[ratio].notna()]
    if len(rows) == 0:
        return None
    row = rows.iloc[0]
    ends = [100 * (float(row[f"{ratio}_{end}"]) - 1) for end in ("low", "high")]
    return Contribution("total", 100 * (float(row[ratio]) - 1), *ends)


def _panel(ax: Axes, rows: Sequence[Contribution], color: str, reach: float, pair: str) -> None:
    for place, c in enumerate(rows):
        is_total = c.stage == "total"
        (bar,) = ax.barh(place, c.percent, height=0.62, color=INK if is_total else color, zorder=2)
        ends = f" [{c.low:+.2f}, {c.high:+.2f}] (95 %)" if math.isfinite(c.high) else ""
        bar.set_gid(mark("", f"{pair}\n{c.stage}: {c.percent:+.2f}{ends} % of the partner's total"))
        whiskers(ax, c.percent, place, low=c.low, high=c.high, color=MUTED if is_total else INK)
        beyond = c.percent >= 0
        size = f"{abs(c.percent):.{0 if abs(c.percent) >= 10 else 1}f}"
        text = "0" if float(size) == 0 else f"{'+' if beyond else '−'}{size} %"
        ax.annotate(
            text, (max(c.percent, c.high) if beyond else min(c.percent, c.low), place)
            if math.isfinite(c.high) else (c.percent, place),
            xytext=(4 if beyond else -4, 0), textcoords="offset points", va="center",
            ha="left" if beyond else "right", size=7.5, weight="bold" if is_total else "normal",
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), [c.stage for c in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.axhline(len(rows) - 1.5, color=MUTED, linewidth=0.7)
    ax.axvline(0, color=INK, linewidth=1.0, zorder=3)
    ax.set_xlim(-1.65 * reach, 1.65 * reach)
    ax.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{'+' if v > 0 else '−' if v < 0 else ''}{abs(v):g}"))
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
