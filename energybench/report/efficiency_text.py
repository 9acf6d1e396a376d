"""What is each network's efficiency made of, and where was a roofline beaten? Lines for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from energybench.report.quantities import digits
from energybench.report.style import plain

LINES_AT_MOST = 12


def efficiency_lines(cases: pd.DataFrame, *, most: int = LINES_AT_MOST) -> Iterator[str]:
    """The product that each efficiency is made of, of the cases whose operators were timed."""
    timed = cases[cases[["efficiency", "kernel_quality", "busy_fraction"]].notna().all(axis=1)]
    several = timed["variant"].duplicated().any()
    for row in timed.head(most).to_dict("records"):
        yield (
            f"{plain(row['case'] if several else row['variant'], 60)}: {digits(row['efficiency'], 2)} = attainable "
            f"{digits(row['attainable_efficiency'], 2)} × kernels {digits(row['kernel_quality'], 2)} × busy "
            f"{digits(row['busy_fraction'], 2)}"
        )
    if len(timed) > most:
        yield f"{len(timed) - most} more in results.csv"


def beaten_lines(cases: pd.DataFrame, *, most: int = LINES_AT_MOST) -> Iterator[str]:
    """Cases that are faster than their roofline, or have operators that are, with the likely cause."""
    beaten = cases[cases["above_roof"].notna()]
    for row in beaten.head(most).to_dict("records"):
        yield f"{plain(row['case'], 70)} {plain(row['above_roof'], 240)}"
    if len(beaten) > most:
        yield f"{len(beaten) - most} more above their roofline, each with its cause in results.csv (above_roof)"
