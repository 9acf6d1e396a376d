"""Does energybench keep what it promises? Every target with what was measured, board by board where it is missed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from accuracy.boards import hardware
from accuracy.noise import least_typical_percent
from accuracy.table import BOARDS, COUNTED, UNCOUNTED, US, best_peer, cell

TIMES_CLOSER = 10.0


def lines(table: pd.DataFrame) -> Iterator[str]:
    """A row of Markdown a target."""
    yield "| target | kept on | typical errors | missed on |\n|---|---:|---|---|"
    yield _limit(table, "within 0.1 % at 2 s where there is a counter", 2.0, 0.1, COUNTED)
    yield _limit(table, "within 0.05 % at 5 s where there is a counter", 5.0, 0.05, COUNTED)
    yield _limit(table, "within 0.5 % at 5 s where there is only power", 5.0, 0.5, UNCOUNTED)
    for loop_s in (0.1, 0.5, 2.0):
        yield _ratio(table, loop_s, COUNTED, "where there is a counter and it gives a number")
    for loop_s in (0.5, 2.0):
        yield _ratio(table, loop_s, UNCOUNTED, "where there is only power and it gives a number")
    yield _silence(table)


def _limit(table: pd.DataFrame, target: str, loop_s: float, limit: float, boards: tuple[str, ...]) -> str:
    kept, sizes, missed = 0, [], []
    for name in boards:
        row = cell(table, US, name, loop_s)
        if row is None or not row["answers"]:
            missed.append(f"{name} (no number)")
            continue
        size = row["typical_error_percent"]
        sizes.append(size)
        kept += size <= limit
        if size > limit:
            missed.append(f"{name} ({size:.3f} %)")
    spread = f"{min(sizes):.4f} to {max(sizes):.4f} %" if sizes else "none"
    return f"| {target} | {kept} of {len(boards)} boards | {spread} | {', '.join(missed) or 'none'} |"


def _ratio(table: pd.DataFrame, loop_s: float, boards: tuple[str, ...], where: str) -> str:
    """How many times closer than the best peer, where energybench gives a number and a peer does."""
    kept, ratios, missed = 0, [], []
    for name in boards:
        ours, peer = cell(table, US, name, loop_s), best_peer(table, name, loop_s)
        if ours is None or not ours["answers"] or peer is None:
            continue
        times = peer["typical_error_percent"] / max(ours["typical_error_percent"], 1e-9)
        ratios.append(times)
        kept += times >= TIMES_CLOSER
        if times < TIMES_CLOSER:
            missed.append(f"{name} ({times:.1f} times, {peer['tool']}{_at_best(name, loop_s, peer)})")
    spread = f"{min(ratios):.1f} to {max(ratios):.0f} times closer" if ratios else "none"
    target = f"ten times closer than the best peer at {loop_s:g} s, {where}"
    return f"| {target} | {kept} of {len(ratios)} boards | {spread} | {', '.join(missed) or 'none'} |"


def _at_best(name: str, loop_s: float, peer: pd.Series) -> str:
    """How many times closer than a peer the noise would let any estimate be, where there is only power."""
    if name not in UNCOUNTED:
        return ""
    times = peer["typical_error_percent"] / least_typical_percent(name, loop_s)
    return f"; its noise allows {times:.1f}"


def _silence(table: pd.DataFrame) -> str:
    """At 0.02 s a sensor that refreshes every 100 ms or slower cannot know."""
    slow = [name for name in BOARDS if min(s.refresh_s for s in hardware(name).streams) >= 0.1]
    rows = [(name, cell(table, US, name, 0.02)) for name in slow]
    loud = [name for name, row in rows if row is not None and row["answers"]]
    target = "no number at 0.02 s from a sensor of 100 ms or slower"
    return f"| {target} | {len(slow) - len(loud)} of {len(slow)} boards | | {', '.join(loud) or 'none'} |"
