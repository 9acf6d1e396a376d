"""What if a counter's ticks are not regular? Our estimator on ticks that come early and late, in virtual time.

Nobody has shown how regular a real board's ticks are; this says what it is worth. A tick may come early or late, each
by itself or with a clock that wanders, and show the joules of its own moment; or it is on time, but shown late.
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
OFF_S = (0.0, 3e-5, 1e-4, 3e-4, 1e-3)
WANDERS_S = (1e-5, 1e-4)
LENGTHS_S = (0.5, 2.0)
BOARDS, WINDOWS = 6, 25
SENSOR = SensorProfile("irregular", "counter of 100 ms", (), Counter(0.1), "this module")


class Board:
    """A counter whose tick k comes at phase + k period.

    Args:
        seed: of everything random.
        period_s: between two ticks.
        jitter_s: early or late by a normal error of this standard deviation; the joules are those of that moment.
        wander_s: by a random walk with steps of this standard deviation besides; the same.
        shown_late_s: shown this much later on average (exponential); the joules are those of the tick.
        lost: share of the ticks that never show.
        length_s: how long it ticks.
    """

    def __init__(
        self,
        seed: int,
        *,
        period_s: float = 0.1,
        jitter_s: float = 0.0,
        wander_s: float = 0.0,
        shown_late_s: float = 0.0,
        lost: float = 0.0,
        length_s: float = 130.0,
    ) -> None:
        self.random = np.random.default_rng(seed)
        count = int(length_s / period_s)
        regular_s = period_s * (self.random.random() + np.arange(count))
        true_s = regular_s + self.random.normal(0, jitter_s, count)
        if wander_s:
            true_s += self.random.normal(0, wander_s, count).cumsum()
        true_s = np.sort(true_s)
        shown_s = true_s
        if shown_late_s:
            shown_s = np.sort(true_s + self.random.exponential(shown_late_s, count))
        kept = self.random.random(count) >= lost
        self.joules, self.times_s = LOAD_W * true_s[kept], shown_s[kept]

    def seen(self, start_s: float, stop_s: float) -> tuple[list[Tick], np.ndarray]:
        """Ticks of a window, sharp at both ends and coarse in between; and when they truly were."""
        inside = np.flatnonzero((self.times_s > start_s) & (self.times_s < stop_s))
        ticks = []
        for k in inside:
            width_s = POLL_S if k in (inside[0], inside[-1]) else COARSE_S
            width_s *= 4 if self.random.random() < LATE else 1
            before_s = float(self.times_s[k] - self.random.random() * width_s)
            ticks.append(Tick(before_s, before_s + width_s, float(self.joules[k])))
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
            readings.append(Reading(time_s, ENERGY, float(self.joules[shown])))
            step_s = COARSE_S if edges_s[0] < time_s < edges_s[1] - COARSE_S else POLL_S
            time_s += step_s * (4 if self.random.random() < LATE else self.random.uniform(0.95, 1.1))
        return readings


def errors(
    jitter_s: float, length_s: float, boards: int = BOARDS, *, wander_s: float = 0.0, shown_late_s: float = 0.0
) -> tuple[float, float]:
    """Typical size (median) of the error of windows timed by the polls alone, and as energybench times them."""
    polled, said = [], []
    for seed in range(boards):
        board = Board(seed, jitter_s=jitter_s, wander_s=wander_s, shown_late_s=shown_late_s)
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
    """A table in Markdown, a line a jitter or lateness."""
    yield "| ticks off by | " + " | ".join(f"{s:g} s, polls alone | {s:g} s, as shown" for s in LENGTHS_S) + " |"
    yield "|---:|" + "---:|---:|" * len(LENGTHS_S)
    for off_s in OFF_S:
        yield _line(f"{1e3 * off_s:g} ms", [errors(off_s, length_s) for length_s in LENGTHS_S])
    for off_s in WANDERS_S:
        found = [errors(0.0, length_s, wander_s=off_s) for length_s in LENGTHS_S]
        yield _line(f"wandering, by {1e3 * off_s:g} ms a tick", found)
    for off_s in OFF_S[1:]:
        found = [errors(0.0, length_s, shown_late_s=off_s) for length_s in LENGTHS_S]
        yield _line(f"on time, but shown {1e3 * off_s:g} ms late on average", found)


def _line(off: str, found: list[tuple[float, float]]) -> str:
    cells = [f"{100 * error:.4f} %" for pair in found for error in pair]
    return f"| {off} | " + " | ".join(cells) + " |"
