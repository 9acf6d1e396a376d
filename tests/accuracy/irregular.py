"""What if a counter's ticks are not regular? Our estimator on ticks that come early and late, in virtual time.

The fake library's ticks are exactly regular, which nobody has shown of real boards; this says what that is worth.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from energybench.analysis.joules import window_joules
from energybench.analysis.rhythm import Tick, fit_rhythm
from energybench.analysis.stretches import ticks_of
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, Reading
from energybench.sensor import Counter, SensorProfile

POLL_S, COARSE_S = 1.1e-3, 0.05
LATE = 0.05
"""Share of the polls that come four intervals late."""
LOAD_W = 250.0
JITTERS_S = (0.0, 3e-5, 1e-4, 3e-4, 1e-3)
LENGTHS_S = (0.5, 2.0)
BOARDS, WINDOWS = 6, 25
SENSOR = SensorProfile("irregular", "counter of 100 ms", (), Counter(0.1), "this module")


class Board:
    """A counter whose tick k comes at phase + k period, early or late by ``jitter_s`` (standard deviation)."""

    def __init__(
        self, seed: int, *, period_s: float = 0.1, jitter_s: float = 0.0, lost: float = 0.0, length_s: float = 130.0
    ) -> None:
        self.random = np.random.default_rng(seed)
        count = int(length_s / period_s)
        regular_s = period_s * (self.random.random() + np.arange(count))
        # A tick that comes late shows the joules of its own moment: the total was summed until then.
        self.times_s = np.sort(regular_s + self.random.normal(0, jitter_s, count))
        self.times_s = self.times_s[self.random.random(count) >= lost]

    def seen(self, start_s: float, stop_s: float) -> tuple[list[Tick], np.ndarray]:
        """Ticks of a window, sharp at both ends and coarse in between; and when they truly were."""
        inside = np.flatnonzero((self.times_s > start_s) & (self.times_s < stop_s))
        ticks = []
        for k in inside:
            width_s = POLL_S if k in (inside[0], inside[-1]) else COARSE_S
            width_s *= 4 if self.random.random() < LATE else 1
            before_s = float(self.times_s[k] - self.random.random() * width_s)
            ticks.append(Tick(before_s, before_s + width_s, LOAD_W * float(self.times_s[k])))
        return ticks, self.times_s[inside]

    def windows(self, count: int = WINDOWS, length_s: float = 0.45) -> list[tuple[list[Tick], np.ndarray]]:
        """Ticks of several windows at any phase, a second or so apart."""
        starts = (length_s + 0.85) * np.arange(count) + self.random.random(count)
        return [self.seen(start_s, start_s + length_s) for start_s in np.sort(starts)]

    def readings(self, start_s: float, stop_s: float) -> list[Reading]:
        """Polls of a steady load: every millisecond or so near both ends, and coarsely in between."""
        edges_s = (start_s + 0.12, stop_s - 0.12)
        readings = []
        time_s = start_s
        while time_s < stop_s:
            shown = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
            readings.append(Reading(time_s, ENERGY, LOAD_W * float(self.times_s[shown])))
            step_s = COARSE_S if edges_s[0] < time_s < edges_s[1] - COARSE_S else POLL_S
            time_s += step_s * (4 if self.random.random() < LATE else self.random.uniform(0.95, 1.1))
        return readings


def errors(jitter_s: float, length_s: float, boards: int = BOARDS) -> tuple[float, float]:
    """Typical size (median) of the error of windows timed by the polls alone, and as energybench times them."""
    polled, said = [], []
    for seed in range(boards):
        board = Board(seed, jitter_s=jitter_s)
        starts = (length_s + 0.85) * np.arange(WINDOWS) + 1.0 + board.random.random(WINDOWS)
        loops = [(float(s), board.readings(float(s), float(s) + length_s)) for s in np.sort(starts)]
        rhythm = fit_rhythm([ticks_of(readings) for _, readings in loops])
        for start_s, readings in loops:
            stamps = [(start_s, 0), (start_s + length_s, 1000)]
            window = WindowRecord(number=0, kind="window", start_s=start_s, stop_s=stamps[-1][0], stamps=stamps)
            for found, known in ((polled, None), (said, rhythm)):
                power_w = window_joules(window, readings, SENSOR, known).power_w
                if power_w is not None:
                    found.append(abs(power_w / LOAD_W - 1))
    return float(np.median(polled)), float(np.median(said))


def lines() -> Iterator[str]:
    """A table in Markdown, a line a jitter."""
    yield "| ticks off by | " + " | ".join(f"{s:g} s, polls alone | {s:g} s, as shown" for s in LENGTHS_S) + " |"
    yield "|---:|" + "---:|---:|" * len(LENGTHS_S)
    for jitter_s in JITTERS_S:
        cells = [f"{100 * error:.4f} %" for length_s in LENGTHS_S for error in errors(jitter_s, length_s)]
        yield f"| {1e3 * jitter_s:g} ms | " + " | ".join(cells) + " |"
