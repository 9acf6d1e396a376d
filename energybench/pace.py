"""When will the energy counter tick next? Predicted from ticks that were seen, so that polls can be dense just then.

A tick is timed as sharply as the polls around it are close, and nobody may poll a driver densely all the time. But a
counter ticks at a steady pace: once a tick was seen, the next one is awaited within a few milliseconds, and polled for
ten times as densely as a search could be, with fewer calls. What is predicted decides only when to poll; every tick is
still timed by the polls that saw it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_PERIOD_S = 0.005
"""Ticks closer than this are found by searching as soon as by waiting."""
LEAD_S = 0.002
"""How far before a predicted tick dense polling begins, and how far after it is given up."""
WIDEST = 0.2
"""Of the period: predictions that would need a wider lead are worth nothing, and the search begins anew."""
KNOWN_TO = 0.02
"""A period that was never followed is known to this share of itself."""
DENSE_POLL_S = 1e-4


@dataclass
class Pace:
    """A counter's next ticks, as far as those that were seen tell.

    Attributes:
        period_s: its period; followed as ticks are seen.
        seen_s: when the last tick was seen; None where the next one has to be searched.
        lead_s: how far a prediction is trusted: doubled by every miss, narrowed again by every hit.
    """

    period_s: float
    seen_s: float | None = None
    lead_s: float = LEAD_S
    first_s: float = 0.0
    ticks: int = 0

    def next_s(self, now_s: float) -> float | None:
        """The next tick that can still be polled for densely; None where it has to be searched."""
        if self.seen_s is None or self.period_s < LEAST_PERIOD_S:
            return None
        return self.seen_s + math.ceil((now_s + self.lead_s - self.seen_s) / self.period_s) * self.period_s

    def saw(self, time_s: float) -> None:
        """A tick was timed sharply; the period follows from the first and the last tick of a chain."""
        passed = 0 if self.seen_s is None else round((time_s - self.seen_s) / self.period_s)
        unsure_s = self.lead_s + (0.0 if self.ticks else KNOWN_TO * passed * self.period_s)
        if self.seen_s is None or passed < 1 or abs(time_s - self.seen_s - passed * self.period_s) > unsure_s:
            self.first_s, self.ticks = time_s, 0
        else:
            self.ticks += passed
            self.period_s = (time_s - self.first_s) / self.ticks
            self.lead_s = max(LEAD_S, 0.5 * self.lead_s)
        self.seen_s = time_s

    def missed(self) -> None:
        """No tick came where one was predicted."""
        self.lead_s *= 2
        if self.lead_s > WIDEST * self.period_s:
            self.seen_s, self.lead_s = None, LEAD_S
