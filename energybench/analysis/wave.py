"""What was the load? A square wave exactly as it was driven, or the trace of an external meter; means over any span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np


class Load(Protocol):
    """A load that is known at all times."""

    def share(self, start_s: np.ndarray, stop_s: np.ndarray) -> np.ndarray:
        """Its mean between two times: a share of the time for a wave, watts for a trace."""


@dataclass(frozen=True)
class Trace:
    """Power as an external meter saw it.

    Attributes:
        times_s: [N] ascending.
        power_w: [N] from each time on, until the next.
    """

    times_s: np.ndarray
    power_w: np.ndarray

    def share(self, start_s: np.ndarray, stop_s: np.ndarray) -> np.ndarray:
        """Mean watts between two times; beyond its ends the trace goes on as it began and ended."""
        mean: np.ndarray = (self.energy_j(stop_s) - self.energy_j(start_s)) / (np.asarray(stop_s) - np.asarray(start_s))
        return mean

    def energy_j(self, times_s: np.ndarray) -> np.ndarray:
        """Joules from the first time to each time."""
        joules = np.concatenate(([0.0], np.cumsum(self.power_w[:-1] * np.diff(self.times_s))))
        beyond_s = np.asarray(times_s) - np.clip(times_s, self.times_s[0], self.times_s[-1])
        ends_w = np.where(beyond_s < 0, self.power_w[0], self.power_w[-1])
        total: np.ndarray = np.interp(times_s, self.times_s, joules) + beyond_s * ends_w
        return total


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

    @cached_property
    def _totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Times of all edges, and the seconds the load had been on by each."""
        done = np.cumsum(self.stops_s - self.starts_s)
        before = np.concatenate(([0.0], done[:-1])) if len(done) else done
        return np.column_stack([self.starts_s, self.stops_s]).ravel(), np.column_stack([before, done]).ravel()

    def on_s(self, times_s: np.ndarray | float) -> np.ndarray:
        """Seconds the load had been on by each time."""
        edges_s, totals_s = self._totals
        if not len(edges_s):
            return np.zeros_like(np.asarray(times_s, dtype=float))
        on_s: np.ndarray = np.interp(times_s, edges_s, totals_s)
        return on_s

    def share(self, start_s: np.ndarray | float, stop_s: np.ndarray | float) -> np.ndarray:
        """Share of the time between two times that the load was on."""
        mean: np.ndarray = (self.on_s(stop_s) - self.on_s(start_s)) / (np.asarray(stop_s) - np.asarray(start_s))
        return mean

    def steps(self, least_s: float) -> list[tuple[float, float, float]]:
        """Long bursts after long pauses: (stop of the burst before, start, stop); before the first, minus infinity."""
        before = np.concatenate(([-np.inf], self.stops_s[:-1]))
        long = (self.stops_s - self.starts_s >= least_s) & (self.starts_s - before >= least_s)
        columns = (before[long], self.starts_s[long], self.stops_s[long])
        return [(float(b), float(start), float(stop)) for b, start, stop in zip(*columns, strict=True)]
