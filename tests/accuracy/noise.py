"""How close could any tool come where there is only power? What the readings' noise leaves open.

By generalised least squares, for N readings whose relative errors (standard deviation c) correlate by r from one to the
next: no unbiased estimate of their mean has a smaller standard deviation than

    c sqrt( (1 + r) / (N - (N - 2) r) )

that is c over the root of the sum of all elements of the inverse of r^|i - j|. page.md derives it in words.
"""

from __future__ import annotations

import math
from dataclasses import replace

from accuracy.boards import hardware
from energybench.sensor import Stream

HALF = 0.6745
"""The size that a normal error exceeds half of the time, in standard deviations."""


def least_typical_percent(name: str, loop_s: float) -> float:
    """The bound on the typical error of a load of ``loop_s`` on a board's power readings, in percent."""
    streams = {replace(stream, kind="power_w") for stream in hardware(name).streams}
    information = sum(deviation(stream, loop_s) ** -2 for stream in streams)
    return 100 * HALF / math.sqrt(information)


def deviation(stream: Stream, loop_s: float) -> float:
    """Least relative standard deviation of the mean of the readings that speak of a load."""
    count = max(1.0, (loop_s + stream.span_s) / stream.refresh_s)
    r = stream.correlation
    return stream.noise * math.sqrt((1 + r) / (count - (count - 2) * r))
