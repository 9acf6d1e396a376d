"""How are the judged predictions shown? One Markdown page with the table, and one figure of every network."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"convolution": "#0072B2", "depthwise": "#D55E00", "transformer": "#009E73"}


def write_page(
    folder: Path, frame: pd.DataFrame, networks: pd.DataFrame, transferred: pd.Series, sheet: pd.Series
) -> None:
    """Write ``prediction.md``, ``prediction.svg`` and ``prediction.png`` into ``folder``."""
    _figure(folder, networks, transferred, sheet)
    text = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")
    text = text.replace("<!-- missed -->", missed_convolutions(frame)).replace("<!-- table -->", _table(frame))
    folder.joinpath("prediction.md").write_text(text, encoding="utf-8")


def missed_convolutions(frame: pd.DataFrame) -> str:
    """How many rows of single convolutions miss their target, in words."""
    asked = frame[frame.target.notna() & ~frame.family.str.startswith("networks")]
    return f"{(asked.mape > asked.target).sum()} of {len(asked)} rows"


def _table(frame: pd.DataFrame) -> str:
    lines = [
        "| data | family | predicted from | judged on | rows | MAPE | median | Spearman | roofline MAPE | target |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in frame.itertuples():
        target = "" if pd.isna(row.target) else f"{row.target:.1%}{' missed' if row.mape > row.target else ' met'}"
        lines.append(
            f"| {row.data} | {row.family} | {row.predicted_from} | {row.judged_on} | {row.rows} | {row.mape:.1%} "
            f"| {row.median_error:.1%} | {row.spearman:.3f} | {_share(row.roofline_mape)} | {target} |"
        )
    return "\n".join(lines)


def _share(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.0%}"


def _figure(folder: Path, networks: pd.DataFrame, transferred: pd.Series, sheet: pd.Series) -> None:
    with mpl.rc_context(
        {"font.size": 9, "svg.hashsalt": "prediction", "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        _panel(left, networks, transferred, "from its latency on an RTX 3090")
        _panel(right, networks, sheet, "from MACs, activations, data sheet")
        left.set_ylabel("predicted on an RTX 4090 [s per image]")
        figure.supxlabel("measured on an RTX 4090 [s per image]", fontsize=9)
        right.legend(frameon=False, markerscale=2, loc="upper left")
        figure.savefig(folder / "prediction.svg", metadata={"Date": None})
        figure.savefig(folder / "prediction.png", dpi=200, metadata={"Software": None})


def _panel(axes: Axes, networks: pd.DataFrame, predicted_s: pd.Series, title: str) -> None:
    for kind, colour in COLOURS.items():
        mine = networks.kind == kind
        axes.scatter(networks.s_4090[mine], predicted_s[mine], s=6, color=colour, alpha=0.6, linewidths=0, label=kind)
    ends = [networks.s_4090.min(), networks.s_4090.max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", title=title)
    axes.title.set_fontsize(9)
