"""How far from the truth was each tool? From single loads to one row a tool, board and length of the load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from accuracy.boards import ARCHITECTURES, has_counter
from accuracy.grid import WATCHERS

US, IN_RUN, UNCALIBRATED = "energybench", "energybench as in a run", "energybench uncalibrated"
"""Each load by its own readings; the same loads with the counter's rhythm from the whole process; not calibrated."""
PEERS = ("Zeus window", "Zeus power", "Kernel Tuner", "CodeCarbon")
TOOLS = (US, IN_RUN, UNCALIBRATED, *PEERS)
SAME_LOADS = (IN_RUN, PEERS[1])
"""Second answers of loads that another row has as well."""
BOARDS = tuple(ARCHITECTURES)
COLUMNS = (
    "tool",
    "version",
    "profile",
    "loop_s",
    "repeats",
    "answers",
    "thrown_away",
    "median_error_percent",
    "typical_error_percent",
    "worst_error_percent",
    "reason",
)
"""``thrown_away``: loads that were late themselves, and run again; ``median`` is signed;
``typical`` is the median of the sizes; ``worst`` is the signed error of the largest size."""


def summarise(loads: pd.DataFrame) -> pd.DataFrame:
    """One row a tool, board and length, in the order of the page.

    Args:
        loads: columns of :data:`accuracy.grid.ROW`, a row a load; ``joules`` is NaN where the tool gave no number.
    """
    loads = _by_tool(loads)
    loads["error"] = 100 * (loads["joules"] / loads["truth_j"].where(loads["truth_j"] > 0) - 1)
    groups = loads.groupby(["profile", "tool", "loop_s"], sort=False)
    rows = [_row(*key, group) for key, group in groups]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {"profile": {name: i for i, name in enumerate(BOARDS)}, "tool": {name: i for i, name in enumerate(TOOLS)}}
    return table.sort_values(
        ["profile", "tool", "loop_s"], key=lambda column: column.map(order.get(column.name, lambda value: value))
    ).reset_index(drop=True)


def _by_tool(loads: pd.DataFrame) -> pd.DataFrame:
    """A watcher that never came up speaks for all of its tools."""
    watchers = {watcher.name for watcher in WATCHERS} - set(TOOLS)
    parts = {"Zeus": ("Zeus window", "Zeus power")}
    silent = loads[loads["tool"].isin(watchers)]
    copies = [silent[silent["tool"] == name].assign(tool=tool) for name, tools in parts.items() for tool in tools]
    return pd.concat([loads[~loads["tool"].isin(watchers)], *copies], ignore_index=True)


def _row(profile: str, tool: str, loop_s: float, group: pd.DataFrame) -> tuple[object, ...]:
    errors = group["error"].dropna().to_numpy()
    thrown_away = int(group["repeated"].sum())
    reasons = [str(reason) for reason in group["reason"].dropna() if reason]
    reason = max(set(reasons), key=reasons.count) if reasons else ""
    version = next((str(v) for v in group["version"].dropna() if v), "")
    if not len(errors):
        return tool, version, profile, loop_s, len(group), 0, thrown_away, np.nan, np.nan, np.nan, reason
    worst = errors[np.argmax(np.abs(errors))]
    spread = (float(np.median(errors)), float(np.median(np.abs(errors))), float(worst))
    return tool, version, profile, loop_s, len(group), len(errors), thrown_away, *spread, reason


def cell(table: pd.DataFrame, tool: str, profile: str, loop_s: float) -> pd.Series | None:
    """The row of one tool, board and length; None where it was not measured."""
    found = table[(table["tool"] == tool) & (table["profile"] == profile) & (table["loop_s"] == loop_s)]
    return found.iloc[0] if len(found) else None


def over_boards(table: pd.DataFrame, tool: str, loop_s: float, boards: Sequence[str]) -> pd.DataFrame:
    """The rows of one tool and length on some boards that gave a number at least once."""
    mine = table[(table["tool"] == tool) & (table["loop_s"] == loop_s) & table["profile"].isin(boards)]
    return mine[mine["answers"] > 0]


def best_peer(table: pd.DataFrame, profile: str, loop_s: float) -> pd.Series | None:
    """The peer with the smallest typical error there; None where none gave a number."""
    peers = table[(table["profile"] == profile) & (table["loop_s"] == loop_s) & table["tool"].isin(PEERS)]
    peers = peers[peers["answers"] > 0]
    return peers.loc[peers["typical_error_percent"].idxmin()] if len(peers) else None


COUNTED = tuple(name for name in BOARDS if has_counter(name))
UNCOUNTED = tuple(name for name in BOARDS if not has_counter(name))


def read_loads(path: Path) -> pd.DataFrame:
    """The rows that :mod:`accuracy.grid` appended."""
    return pd.read_csv(path, dtype={"version": str, "reason": str})
