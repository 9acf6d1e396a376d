"""What time is it? The only module that asks, so that a simulated run can have a time of its own.

Times are seconds since the clock was made, as floats: a double resolves a nanosecond for 100 days.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can be waited on."""

    def now_s(self) -> float:
        """Seconds since the clock was made, never decreasing."""

    def sleep_until(self, time_s: float) -> None:
        """Return no earlier than ``time_s``; at once if that has passed."""


class RealClock:
    """The host's monotonic clock (not the wall clock, which NTP may step)."""

    def __init__(self) -> None:
        self._origin_ns = time.monotonic_ns()

    def now_s(self) -> float:
        """Seconds since this clock was made."""
        return (time.monotonic_ns() - self._origin_ns) * 1e-9

    def sleep_until(self, time_s: float) -> None:
        """Sleep until ``time_s``; at once if that has passed."""
        wait_s = time_s - self.now_s()
        if wait_s > 0:
            time.sleep(wait_s)


class VirtualClock:
    """A clock that moves only when told to, so that hours of measurement take seconds."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Seconds on this clock."""
        return self._now_s

    def sleep_until(self, time_s: float) -> None:
        """Move to ``time_s`` unless that has passed."""
        self._now_s = max(self._now_s, time_s)


def utc_stamp() -> str:
    """The wall-clock time in UTC as ``20261130T101500Z``: for names and records, never for durations."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
