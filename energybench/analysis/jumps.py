"""In which windows did the counter jump? What the ticks, the meter and the power readings say against its joules.

A window is left out with a cause, never for its value: one of its rises is out of place among its neighbours
(`rises`), the meter saw the counter go back, or counter and power readings are at odds in it as in no other.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from energybench.analysis.joules import WindowJoules
from energybench.analysis.rises import out_of_place
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, WENT_BACK

AT_ODDS = 0.05
"""Counter over power readings, against the median window's: a second of power readings says no less than this."""
SCATTERS = 8 * 1.4826
"""Nor less than eight standard deviations of that ratio, as the median deviation of the windows has them."""


def jumps(windows: Sequence[tuple[WindowRecord, WindowJoules]]) -> dict[int, str]:
    """Windows of one piece of work whose joules hold a jump of the counter: number of the window -> why, in words."""
    counted = [(record, joules) for record, joules in windows if joules.estimator == "counter"]
    odd = _at_odds([joules.counter_vs_integral for _, joules in counted])
    found = {}
    for (record, _), rise, apart in zip(counted, jump_words([joules for _, joules in counted]), odd, strict=True):
        back = record.faults.get(f"{ENERGY}: {WENT_BACK}", 0)
        why = rise or ("it went back" if back else "") or apart
        if why:
            found[record.number] = f"the energy counter jumped: {why}"
    return found


def jump_words(windows: Sequence[WindowJoules]) -> list[str]:
    """For each window of one piece of work, what its ticks say of a jump; empty where they say nothing."""
    return out_of_place([joules.rises for joules in windows])


def _at_odds(found: Sequence[float | None]) -> list[str]:
    """By how much counter and power readings differ in each window from the usual; empty where no more than chance."""
    known = [1 + value for value in found if value is not None]
    if not known:
        return [""] * len(found)
    usual = statistics.median(known)
    apart = [None if value is None else (1 + value) / usual - 1 for value in found]
    limit = max(AT_ODDS, SCATTERS * statistics.median(abs(value) for value in apart if value is not None))
    return [
        f"it differs from the power readings by {value:+.1%} more than in other windows"
        if value is not None and abs(value) > limit
        else ""
        for value in apart
    ]
