"""How does it look? A panel a board: error against the length of the load, a line a tool, whiskers up to the worst."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accuracy.table import BOARDS, TOOLS, cell
from energybench.report.style import MUTED, Palette, styled, title

LOW, HIGH = 1e-4, 200.0
"""Errors in percent outside of this are drawn at the border."""
NO_NUMBER = 1.35 * LOW


@styled
def figure(table: pd.DataFrame) -> Figure:
    """Twelve panels that share their axes."""
    palette = Palette.of(TOOLS)
    drawn, panels = plt.subplots(4, 3, figsize=(10, 11.5), sharex=True, sharey=True, layout="constrained")
    for name, ax in zip(BOARDS, panels.flat, strict=True):
        _panel(ax, table, name, palette)
    for ax in panels[-1]:
        ax.set_xlabel("length of the load (s)")
    for ax in panels[:, 0]:
        ax.set_ylabel("error against truth (%)")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3)
    title(
        drawn,
        "Joules of a load, by tool and sensor",
        subtitle="median size of the error, whisker to the worst; ×: no number given; dashes: 1 %",
    )
    return drawn


def _panel(ax: Axes, table: pd.DataFrame, name: str, palette: Palette) -> None:
    lengths = sorted(table["loop_s"].unique())
    for place, tool in enumerate(TOOLS):
        at = np.array(lengths) * 1.06 ** (place - 0.5 * (len(TOOLS) - 1))
        rows = [cell(table, tool, name, loop_s) for loop_s in lengths]
        typical = np.array([np.nan if row is None else row["typical_error_percent"] for row in rows])
        worst = np.array([np.nan if row is None else abs(row["worst_error_percent"]) for row in rows])
        silent = np.array([row is not None and row["answers"] == 0 for row in rows])
        color = palette.color(tool)
        ax.plot(at, np.clip(typical, LOW, HIGH), color=color, marker=palette.marker(tool), markersize=4, label=tool)
        said = np.isfinite(typical)
        ax.vlines(
            at[said], np.clip(typical[said], LOW, HIGH), np.clip(worst[said], LOW, HIGH), color=color, linewidth=1
        )
        ax.plot(at[silent], np.full(silent.sum(), NO_NUMBER), "x", color=color, markersize=4)
    ax.axhline(1.0, color=MUTED, linewidth=0.7, linestyle="--")
    ax.set(xscale="log", yscale="log", ylim=(LOW, HIGH), title=name)
    ax.set_xticks(lengths, [f"{length:g}" for length in lengths])
    ax.set_yticks([1e-3, 0.01, 0.1, 1, 10, 100], ["0.001", "0.01", "0.1", "1", "10", "100"])


def save(table: pd.DataFrame, folder: Path) -> None:
    """Write accuracy.svg and accuracy.png."""
    drawn = figure(table)
    drawn.savefig(folder / "accuracy.svg", metadata={"Date": None})
    drawn.savefig(folder / "accuracy.png")
    plt.close(drawn)
