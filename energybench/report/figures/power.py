"""What did the meter show while one case ran? Raw readings, the windows that count, and the counter's mean."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from energybench.report.figures.panels import WIDTH_IN, label, legend_below
from energybench.report.figures.power_trace import COUNTER
from energybench.report.style import FOAM, INK, MUTED, Palette, plain, styled, title
from energybench.report.svg import mark

POINTS_AT_MOST = 1500
PREFERRED: tuple[tuple[str, str, str], ...] = (
    ("power_instant_w", "power readings, fast field", "o"),
    ("power_average_w", "power readings, averaged by the driver", "x"),
    ("power_w", "power readings", "o"),
)
"""Kinds of reading worth showing, best first; two at most, and the plain one only where there is no better."""


@styled
def power_figure(
    trace: pd.DataFrame, palette: Palette, *, variant: str, place: str, subtitle: str = "", origin: str = "measured"
) -> Figure:
    """Power over time of one case.

    Args:
        trace: as ``power_trace`` returns it.
        palette: the run's palette.
        variant: whose colour the counter's means take.
        place: where on the axes it ran, in words.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: the trace holds no reading.
    """
    known = trace[trace["power_w"].notna()]
    if known.empty:
        raise ValueError(f"no reading was taken while {variant!r} ran at {place!r}")
    figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
    ax = figure.subplots()
    origin_s = float(known["time_s"].min())
    handles = []
    present = [entry for entry in PREFERRED if (known["kind"] == entry[0]).any()][:2]
    for kind, name, marker in present:
        rows = known[known["kind"] == kind]
        filled = marker == "o"
        for own, part in rows.groupby("own"):
            shown = thinned(part, POINTS_AT_MOST)
            size = (3.4 if own else 2.4) if filled else (3.6 if own else 2.6)
            ax.plot(
                shown["time_s"] - origin_s, shown["power_w"], marker, markersize=size, color=INK if filled else MUTED,
                alpha=1.0 if own else 0.3, markeredgewidth=0 if filled else 0.9, zorder=3,
            )  # fmt: skip
        color = INK if filled else MUTED
        handles.append(Line2D([], [], color=color, marker=marker, markersize=3.5, linestyle="", label=name))
    if not known["own"].all():
        handles.append(
            Line2D(
                [], [], color=MUTED, alpha=0.5, marker="o", markersize=3, linestyle="", label="paler: other variants"
            )
        )
    legend_below(figure, handles)
    _windows(ax, known, origin_s, palette.text(variant))
    top = float(known["power_w"].max())
    ax.set_ylim(0, 1.22 * top)
    ax.set_xlim(left=-0.01 * float(known["time_s"].max() - origin_s))
    ax.margins(x=0.02)
    ax.set_xlabel("time since the first reading shown (s)")
    ax.set_ylabel("board power (W)")
    below = " · ".join(part for part in (plain(place, 70), subtitle) if part)
    title(figure, f"Power over time: {plain(variant, 40)}", subtitle=below, origin=origin)
    return figure


def thinned(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Every n-th row, so that at most ``most`` remain; the first and last always do."""
    if len(rows) <= most:
        return rows
    step = -(-len(rows) // (most - 1))
    return pd.concat([rows.iloc[::step], rows.iloc[[-1]]]).drop_duplicates()


def _windows(ax: Axes, trace: pd.DataFrame, origin_s: float, color: str) -> None:
    """Shade what counts, and draw the counter's mean through it."""
    inside = trace[trace["in_window"].astype(bool)]
    counter = inside[inside["kind"] == COUNTER]
    spans = inside.groupby("window")["time_s"].agg(["min", "max"])
    apart_s = 0.09 * float(trace["time_s"].max() - trace["time_s"].min())
    named_s = -apart_s
    for place, (window, span) in enumerate(spans.iterrows()):
        start_s, stop_s = float(span["min"]) - origin_s, float(span["max"]) - origin_s
        ax.axvspan(start_s, stop_s, color=FOAM, alpha=0.6, linewidth=0, zorder=0)
        mean = counter[counter["window"] == window]
        source = mean if len(mean) else inside[inside["window"] == window]
        mean_w = float(source["power_w"].mean())
        what = "the counter's mean" if len(mean) else "mean of the readings"
        tip = f"window {window}: {mean_w:.1f} W, {what}\n{start_s:.2f} to {stop_s:.2f} s"
        ax.plot([start_s, stop_s], [mean_w, mean_w], color=color, linewidth=2.2, zorder=4, gid=mark("", tip))
        text = f"{mean_w:.0f} W"
        if place == 0:
            text += " counter mean" if len(mean) else " mean of readings"
        if start_s >= named_s + apart_s:
            named_s = start_s
            label(ax, 0.5 * (start_s + stop_s), mean_w * 1.07, text, color=color, ha="center", va="bottom")
