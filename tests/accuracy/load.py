"""What do all tools measure? A step of true power, from idle to load and back, and its exact joules.

Runs inside each tool's own process and environment, so it needs nothing but the standard library and the fake.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fakenvml.inside import Fake

IDLE_W, LOAD_W = 60.0, 300.0
KERNEL_S = 1e-4
"""One iteration of the load: far below every sensor's refresh, as most layers are."""
REST_S = (1.0, 1.5)
"""Idle between two loads: longer than any sensor remembers, and of random length so that phases spread."""
LATE_S, LATE_SHARE = 2e-3, 5e-3
"""A load that drew its power for longer than was asked, by more than this and this share of it, was itself kept waiting
by the machine: it is thrown away and run again, whatever the tool says of it."""
TRIES = 4
"""So often at most; then the last one counts as it is."""
WARM_UP_S = 3.0
"""On the fake's clock: then a counter that freezes has frozen, and a mean over a second has filled."""


@dataclass(frozen=True)
class Estimate:
    """What a tool says: joules of the load, or why it does not say.

    Attributes:
        joules: of the whole load; None where the tool gives no number.
        reason: its own words for that.
        truth_j: what it should have said.
    """

    truth_j: float
    joules: float | None
    reason: str = ""


class Load:
    """A board that draws power when told to; its truth is exact. Comes up idle and warm."""

    def __init__(self) -> None:
        self.fake = Fake(start=True)
        self._start_s = self.now_s()
        self.idle()
        self.drew_s = 0.0
        time.sleep(max(0.0, WARM_UP_S - self.now_s()))

    def now_s(self) -> float:
        """The fake's time, which is the host's monotonic clock less an origin."""
        return self.fake.now_s()

    def begin(self) -> float:
        """Draw the load's power from now on; returns a time just before."""
        self._start_s = self.now_s()
        self.fake.draw_w(LOAD_W)
        return self._start_s

    def idle(self) -> float:
        """Draw idle power from now on; returns a time just after."""
        self.fake.draw_w(IDLE_W)
        stop_s = self.now_s()
        self.drew_s = stop_s - self._start_s
        return stop_s

    def run(self, loop_s: float) -> tuple[float, float]:
        """Draw the load's power for ``loop_s``, as a call of a blocking kernel does; returns its start and stop."""
        start_s = self.begin()
        time.sleep(max(0.0, start_s + loop_s - self.now_s()))
        return start_s, self.idle()

    def late(self, loop_s: float) -> bool:
        """Whether the last load drew its power for well over ``loop_s``."""
        return self.drew_s - loop_s > LATE_S + LATE_SHARE * loop_s

    def truth_j(self, start_s: float, stop_s: float) -> float:
        """Exact joules between two times."""
        return self.fake.truth_j(start_s, stop_s)


Later = Callable[[], Estimate]
Measure = Callable[[float], Mapping[str, Estimate | Later]]
"""Runs a load of so many seconds and returns what each of a process's tools says of it, or will say at the end."""


def watch(load: Load, measure: Measure, version: str) -> None:
    """Measure the loads that the command line asks for, in random order, and print a line of JSON for each estimate.

    Args:
        load: what is measured.
        measure: see :data:`Measure`.
        version: of the tool.
    """
    asked = json.loads(sys.argv[1])
    chance = random.Random(asked["seed"])
    loops = [loop_s for loop_s, repeats in asked["loops"] for _ in range(repeats)]
    chance.shuffle(loops)
    waiting: list[tuple[str, float, int, Later]] = []
    for loop_s in loops:
        said, repeated = _punctual(load, measure, loop_s, chance)
        for tool, found in said.items():
            if isinstance(found, Estimate):
                _say(tool, version, loop_s, repeated, found)
            else:
                waiting.append((tool, loop_s, repeated, found))
    for tool, loop_s, repeated, later in waiting:
        _say(tool, version, loop_s, repeated, later())


def _punctual(
    load: Load, measure: Measure, loop_s: float, chance: random.Random
) -> tuple[Mapping[str, Estimate | Later], int]:
    """What is said of a load that was not late, and how many before it were; after ``TRIES``, of the last."""
    said: Mapping[str, Estimate | Later] = {}
    for late in range(TRIES):
        time.sleep(chance.uniform(*REST_S))
        said = measure(loop_s)
        if not load.late(loop_s):
            return said, late
    return said, TRIES


def _say(tool: str, version: str, loop_s: float, repeated: int, found: Estimate) -> None:
    line = {"tool": tool, "version": version, "loop_s": loop_s, "repeated": repeated, "truth_j": found.truth_j}
    print(json.dumps({**line, "joules": found.joules, "reason": found.reason}), flush=True)  # noqa: T201


def tried(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a tool's call returns, or None and its exception as one line: what its user would see."""
    try:
        return call(), ""
    except Exception as error:  # noqa: BLE001  (a tool may fail in any way, and that is its answer)
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
