"""When was the load on? The times of a square wave, exactly as it was driven, and means of it over any span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Wave:
    """A load that is either on or off, off at first.

    Attributes:
        starts_s: [E] when it went on, ascending.
        stops_s: [E] when it went off again, each after its start and before the next.
    """

    starts_s: np.ndarray
    stops_s: np.ndarray

    @classmethod
    def of(cls, bursts: Iterable[Sequence[float]]) -> Wave:
        """From (start, stop) pairs.

        Raises:
            ValueError: they are not in order.
        """
        pairs = np.array([tuple(burst) for burst in bursts], dtype=float).reshape(-1, 2)
        if np.any(np.diff(pairs.ravel()) < 0):
            raise ValueError("the bursts of a square wave must follow each other")
        return cls(pairs[:, 0], pairs[:, 1])

    def on_s(self, times_s: np.ndarray | float) -> np.ndarray:
        """Seconds the load had been on by each time."""
        if not len(self.starts_s):
            return np.zeros_like(np.asarray(times_s, dtype=float))
        knots = np.column_stack([self.starts_s, self.stops_s]).ravel()
        done = np.cumsum(self.stops_s - self.starts_s)
        totals = np.column_stack([np.concatenate(([0.0], done[:-1])), done]).ravel()
        return np.interp(times_s, knots, totals)

    def share(self, start_s: np.ndarray | float, stop_s: np.ndarray | float) -> np.ndarray:
        """Share of the time between two times that the load was on."""
        mean: np.ndarray = (self.on_s(stop_s) - self.on_s(start_s)) / (np.asarray(stop_s) - np.asarray(start_s))
        return mean

    def between(self, start_s: float, stop_s: float) -> Wave:
        """The bursts that lie wholly between two times."""
        inside = (self.starts_s >= start_s) & (self.stops_s <= stop_s)
        return Wave(self.starts_s[inside], self.stops_s[inside])

    def steps(self, least_s: float) -> list[tuple[float, float, float]]:
        """Long bursts after long pauses: (end of the burst before, start, stop); the first has no burst before it."""
        before = np.concatenate(([-np.inf], self.stops_s[:-1]))
        long = (self.stops_s - self.starts_s >= least_s) & (self.starts_s - before >= least_s)
        return [(float(b), float(a), float(z)) for b, a, z in zip(before[long], self.starts_s[long], self.stops_s[long], strict=True)]
