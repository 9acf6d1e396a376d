"""How are the judged predictions shown? One Markdown page with a folded table, and one figure of every network."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from networks import Networks

COLOURS = {"convolution": "#0072B2", "depthwise": "#D55E00", "transformer": "#009E73"}


def write_page(
    folder: Path, frame: pd.DataFrame, judge: Networks, transferred: tuple[pd.DataFrame, pd.Series], sheet: pd.Series
) -> None:
    """Write ``prediction.md``, ``prediction.svg`` and ``prediction.png`` into ``folder``.

    Args:
        folder: where.
        frame: the table.
        judge: networks that both panels of the figure are judged by.
        transferred: those that another card's latencies predict, and the predicted seconds.
        sheet: seconds of all of them from the data sheet.
    """
    _figure(folder, judge, transferred, sheet)
    text = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")
    text = text.replace("<!-- missed -->", missed_convolutions(frame)).replace("<!-- table -->", _table(frame))
    folder.joinpath("prediction.md").write_text(text, encoding="utf-8")


def missed_convolutions(frame: pd.DataFrame) -> str:
    """How many rows of single convolutions miss their target, in words."""
    asked = frame[frame.target.notna() & ~frame.family.str.startswith("networks")]
    return f"{(asked.mape > asked.target).sum()} of {len(asked)} rows"


def _table(frame: pd.DataFrame) -> str:
    """Cards that are judged alike share a line: from the best of them to the worst."""
    lines = [
        "| data | family | predicted from | judged on | rows | MAPE | median | Spearman | roofline MAPE | target |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    known = frame.apply(_known, axis=1)
    for (data, family, predicted_from), rows in frame.groupby([frame.data, frame.family, known], sort=False):
        judged_on = rows.judged_on.iloc[0] if len(rows) == 1 else f"{len(rows)} cards"
        if str(family).startswith("networks"):
            judged_on = ", ".join(rows.judged_on)
        lines.append(
            f"| {data} | {family} | {predicted_from} | {judged_on} | {rows.rows.sum()} | {_span(rows.mape)} "
            f"| {_span(rows.median_error)} | {rows.spearman.min():.3f} | {_span(rows.roofline_mape, 0)} "
            f"| {_target(rows)} |"
        )
    return "\n".join(lines)


def _known(row: pd.Series) -> str:
    """What the prediction knows, whichever card it is of."""
    if not row.predicted_from.startswith("latencies on"):
        return str(row.predicted_from)
    layouts = (text.split()[-1] for text in (row.predicted_from, row.judged_on))
    return "another card" if len(set(layouts)) == 1 else "another card and layout"


def _span(shares: pd.Series, decimals: int = 1) -> str:
    if shares.isna().all():
        return ""
    low, high = (f"{100 * share:.{decimals}f}" for share in (shares.min(), shares.max()))
    return f"{low}%" if low == high else f"{low}-{high}%"


def _target(rows: pd.DataFrame) -> str:
    asked = rows[rows.target.notna()]
    if asked.empty:
        return ""
    missed = asked[asked.mape > asked.target]
    words = f"missed by {len(missed)} of {len(asked)}" if len(asked) > 1 else "missed"
    return f"{asked.target.iloc[0]:.1%} {words if len(missed) else 'met'}"


def _figure(folder: Path, judge: Networks, transferred: tuple[pd.DataFrame, pd.Series], sheet: pd.Series) -> None:
    both, predicted = transferred
    with mpl.rc_context(
        {"font.size": 9, "svg.hashsalt": "prediction", "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        _panel(left, both.kind, both.latency_s_target, predicted, "from its latency on an RTX 3090")
        _panel(right, judge.kind, judge.latency_s, sheet, "from MACs, activations, data sheet")
        left.set_ylabel("predicted on an RTX 4090 [s per image]")
        figure.supxlabel("measured on an RTX 4090 [s per image]", fontsize=9)
        right.legend(frameon=False, markerscale=2, loc="upper left")
        figure.savefig(folder / "prediction.svg", metadata={"Date": None})
        figure.savefig(folder / "prediction.png", dpi=200, metadata={"Software": None})


def _panel(axes: Axes, kinds: pd.Series, measured_s: pd.Series, predicted_s: pd.Series, title: str) -> None:
    for kind, colour in COLOURS.items():
        mine = kinds == kind
        axes.scatter(measured_s[mine], predicted_s[mine], s=6, color=colour, alpha=0.6, linewidths=0, label=kind)
    ends = [measured_s.min(), measured_s.max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", title=title)
    axes.title.set_fontsize(9)
