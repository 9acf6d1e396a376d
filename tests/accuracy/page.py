"""What does the page say? docs/accuracy.md with its tables, accuracy.csv and the figure, from the rows of the grid.

Every number on it is computed from the rows; where a target is missed, or a peer is closer, it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from accuracy import irregular, targets, traces
from accuracy.boards import JITTER_S
from accuracy.figure import save
from accuracy.noise import least_typical_percent
from accuracy.table import (
    BOARDS,
    COUNTED,
    PEERS,
    SAME_LOADS,
    TOOLS,
    UNCOUNTED,
    US,
    cell,
    over_boards,
    read_loads,
    summarise,
)
from energybench.sensor import PROFILES

TEXT = Path(__file__).parent / "page.md"
DASH = "—"


def write(rows: Path, docs: Path) -> None:
    """Write the page, the table and the figure into ``docs``."""
    docs.mkdir(parents=True, exist_ok=True)
    table = summarise(read_loads(rows))
    table.round({name: 4 for name in table.columns if name.endswith("percent")}).to_csv(
        docs / "accuracy.csv", index=False
    )
    save(table, docs)
    real = docs / "accuracy_traces.csv"
    if traces.folder().exists():
        traces.table().round(5).to_csv(real, index=False)
    recorded = pd.read_csv(real) if real.exists() else None
    (docs / "accuracy.md").write_text(page(table, recorded, "\n".join(irregular.lines())))


def page(table: pd.DataFrame, real: pd.DataFrame | None = None, uneven: str = "") -> str:
    """The whole page as Markdown.

    Args:
        table: from :func:`accuracy.table.summarise`.
        real: from :func:`accuracy.traces.table`; None where the recordings are not there.
        uneven: from :func:`accuracy.irregular.lines`.
    """
    parts = {
        "versions": _versions(table),
        "repeats": _repeats(table),
        "late": _late(table),
        "summary": "\n".join(_summary(table)),
        "targets": "\n".join(targets.lines(table)),
        "jitter": f"{1e3 * JITTER_S:g} ms",
        "noise": "\n".join(_noise(table)),
        "irregular": uneven,
        "closer": "\n".join(_closer_peers(table)),
        "traces": "\n".join(_real(real)),
        "boards": "\n\n".join("\n".join(_board(table, name)) for name in BOARDS),
    }
    text = TEXT.read_text()
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def _versions(table: pd.DataFrame) -> str:
    known = table[table["version"] != ""].drop_duplicates("tool").set_index("tool")["version"]
    peers = {tool.split()[0] if tool.startswith("Zeus") else tool: known.get(tool, "?") for tool in PEERS}
    return ", ".join([f"energybench {known.get(US, '?')}", *(f"{tool} {version}" for tool, version in peers.items())])


def _repeats(table: pd.DataFrame) -> str:
    counts = table.groupby("loop_s")["repeats"].max()
    return ", ".join(f"{count} of {loop_s:g} s" for loop_s, count in counts.items())


def _late(table: pd.DataFrame) -> str:
    """How many loads were themselves late and run again; two tools answer twice, of the same loads."""
    own = table[~table["tool"].isin(SAME_LOADS)]
    by_tool = own.groupby("tool")["thrown_away"].sum()
    shares = ", ".join(f"{by_tool[tool]} of {tool}" for tool in TOOLS if by_tool.get(tool, 0))
    thrown_away, kept = int(by_tool.sum()), int(own["repeats"].sum())
    return f"{thrown_away} of {thrown_away + kept} loads were thrown away" + (f" ({shares})" if shares else "")


def _lengths(table: pd.DataFrame) -> list[float]:
    return sorted(float(loop_s) for loop_s in table["loop_s"].unique())


def _head(first: str, lengths: Sequence[float]) -> Iterator[str]:
    yield "| " + " | ".join([first, *(f"{loop_s:g} s" for loop_s in lengths)]) + " |"
    yield "|---" + "|---:" * len(lengths) + "|"


def _summary(table: pd.DataFrame) -> Iterator[str]:
    """Median over the boards that have a working counter, and the worst load on any of them."""
    lengths = _lengths(table)
    yield from _head("tool", lengths)
    for tool in TOOLS:
        cells = []
        for loop_s in lengths:
            rows = over_boards(table, tool, loop_s, COUNTED)
            if rows.empty:
                cells.append("no number")
                continue
            silent = len(COUNTED) - len(rows)
            worst = rows["worst_error_percent"].abs().max()
            text = f"{percent(rows['typical_error_percent'].median())} ({percent(worst)})"
            cells.append(text + (f", {silent} of {len(COUNTED)} boards: no number" if silent else ""))
        yield f"| {tool} | " + " | ".join(cells) + " |"


def _board(table: pd.DataFrame, name: str) -> Iterator[str]:
    """One board: a line a tool; what it says where it gives no number goes below."""
    lengths = _lengths(table)
    yield f"### {PROFILES[name].title}\n\nProfile `{name}`.\n"
    yield from _head("tool", lengths)
    notes = []
    for tool in TOOLS:
        cells = []
        for loop_s in lengths:
            row = cell(table, tool, name, loop_s)
            if row is not None and row["answers"] < row["repeats"] and row["reason"]:
                share = f"{row['repeats'] - row['answers']} of {row['repeats']}"
                notes.append(f"{tool}, {loop_s:g} s ({share}): {row['reason']}")
            cells.append(_cell(row))
        yield f"| {tool} | " + " | ".join(cells) + " |"
    if name in UNCOUNTED:
        least = (percent(least_typical_percent(name, loop_s)) for loop_s in lengths)
        yield "| *least typical error that its noise allows* | " + " | ".join(least) + " |"
    if notes:
        yield "\n<details><summary>No number, in the tool's own words</summary>\n"
        yield from (f"- {note}" for note in notes)
        yield "\n</details>"


def _cell(row: pd.Series | None) -> str:
    if row is None:
        return "not run"
    if not row["answers"]:
        return DASH
    text = f"{signed(row['median_error_percent'])} ({signed(row['worst_error_percent'])})"
    missing = row["repeats"] - row["answers"]
    return text + (f" {DASH}×{missing}" if missing else "")


def _noise(table: pd.DataFrame) -> Iterator[str]:
    """The bound of each board that has only power, by length."""
    lengths = _lengths(table)
    yield from _head("least typical error", lengths)
    for name in UNCOUNTED:
        yield f"| {name} | " + " | ".join(percent(least_typical_percent(name, loop_s)) for loop_s in lengths) + " |"


def _closer_peers(table: pd.DataFrame) -> Iterator[str]:
    """Where a peer was closer than energybench, or gave a number within a percent where energybench gave none."""
    found = list(_closer(table))
    if found:
        yield "| board | load | energybench | peer |\n|---|---:|---:|---|"
        yield from found
    else:
        yield "Nowhere in this table."


def _closer(table: pd.DataFrame) -> Iterator[str]:
    for name in BOARDS:
        for loop_s in _lengths(table):
            ours = cell(table, US, name, loop_s)
            for tool in PEERS:
                theirs = cell(table, tool, name, loop_s)
                if ours is None or theirs is None or not theirs["answers"]:
                    continue
                error = theirs["typical_error_percent"]
                closer = error < ours["typical_error_percent"] if ours["answers"] else error <= 1.0
                if closer:
                    mine = percent(ours["typical_error_percent"]) if ours["answers"] else "no number"
                    worst = percent(abs(theirs["worst_error_percent"]))
                    yield f"| {name} | {loop_s:g} s | {mine} | {tool}: {percent(error)} (worst {worst}) |"


def _real(table: pd.DataFrame | None) -> Iterator[str]:
    """Recorded boards beside an external meter."""
    if table is None:
        yield "The recordings were not there when this page was made."
        return
    yield "| recording | readings | meter | shown | with its gain | gain apart | trapezoid over all polls, gain apart |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in table.itertuples():
        errors = (row.raw_error, row.error, row.corrected_naive_error)
        cells = " | ".join(signed(100 * error) for error in errors)
        yield f"| {row.run} | {row.readings} | {row.true_w:.1f} W | {row.shown_w:.1f} W | {cells} |"


def percent(value: float) -> str:
    """A size in percent with two significant digits, at most four decimals."""
    if not np.isfinite(value):
        return DASH
    decimals = 0 if value >= 9.95 else 1 if value >= 0.995 else 2 if value >= 0.0995 else 3 if value >= 0.00995 else 4
    return f"{value:.{decimals}f} %"


def signed(value: float) -> str:
    """The same with its sign."""
    return ("−" if value < 0 else "+") + percent(abs(value))
