"""When will the energy counter tick next? Predicted from ticks that were seen, so that polls can be dense just then.

A tick is timed as sharply as the polls around it are close, and nobody may poll a driver densely all the time. But a
counter ticks at a steady pace: once a tick was seen, the next one is awaited within a few milliseconds, and polled for
ten times as densely as a search could be, with fewer calls. What is predicted decides only when to poll; every tick is
still timed by the polls that saw it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

LEAST_PERIOD_S = 0.005
"""Ticks closer than this are found by searching as soon as by waiting."""
LEAD_S = 0.002
"""How far before a predicted tick dense polling begins, and how far after it is given up, at least."""
WIDEST = 0.2
"""Of the period: predictions that need a wider lead, and more than two of the least, are worth nothing: the search
begins anew."""
KNOWN_TO = 0.02
"""A period that was never followed is known to this share of itself."""
DENSE_POLL_S = 1e-4


class Expected(NamedTuple):
    """A predicted tick: when it comes, and how far before and after that it is worth waiting for."""

    time_s: float
    lead_s: float


@dataclass
class Pace:
    """A counter's next ticks, as far as those that were seen tell.

    Attributes:
        period_s: its period; followed as ticks are seen.
        seen_s: when the last tick was seen; None before the first.
        within_s: how sharply that one was timed: half the time between the polls around it.
        first_s: when the first tick of the unbroken chain was seen.
        first_within_s: how sharply that one was timed.
        ticks: how many periods the chain is long.
        off_s: how wrong the period may be: as sharply as both ends of the chain were timed, shared among its periods.
        misses: predictions that did not come true since the last tick; each doubles the lead.
    """

    period_s: float
    seen_s: float | None = None
    within_s: float = 0.0
    first_s: float = 0.0
    first_within_s: float = 0.0
    ticks: int = 0
    off_s: float = 0.0
    misses: int = 0

    def next_tick(self, now_s: float) -> Expected | None:
        """The next tick that can still be polled for densely; None where it has to be searched."""
        if self.seen_s is None or self.period_s < LEAST_PERIOD_S:
            return None
        periods = max(1, math.ceil((now_s - self.seen_s) / self.period_s))
        while True:
            expected = Expected(self.seen_s + periods * self.period_s, 2**self.misses * self._unsure_s(periods))
            if expected.lead_s > max(2 * LEAD_S, WIDEST * self.period_s):
                return None
            if expected.time_s - expected.lead_s >= now_s:
                return expected
            periods += 1

    def saw(self, time_s: float, within_s: float) -> None:
        """A tick was timed, to ``within_s``; the period follows from the first and the last tick of a chain."""
        since_s = math.inf if self.seen_s is None else time_s - self.seen_s
        passed = 0 if self.seen_s is None else round(since_s / self.period_s)
        if passed < 1 or abs(since_s - passed * self.period_s) > self._unsure_s(passed) + within_s:
            self.first_s, self.first_within_s = time_s, within_s
            self.ticks, self.off_s = 0, KNOWN_TO * self.period_s
        else:
            self.ticks += passed
            self.period_s = (time_s - self.first_s) / self.ticks
            self.off_s = (self.first_within_s + within_s) / self.ticks
        self.seen_s, self.within_s = time_s, within_s
        self.misses = 0

    def missed(self) -> None:
        """No tick came where one was predicted."""
        self.misses += 1

    def _unsure_s(self, periods: int) -> float:
        """How far a prediction so many periods ahead may be off."""
        return LEAD_S + self.within_s + periods * self.off_s
