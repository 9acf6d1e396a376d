"""How long and how often must we measure? Window length and number from the wanted precision and the sensor.

    L >= max( 0.776 x edge interval / e,  tau x T x (1.96 c / e)^2,  10 x T with a counter, 50 x T without )

with e the wanted relative half-width, T the sensor's refresh, c its relative noise an update, tau the correlation
factor (1 + phi) / (1 - phi). The edge interval is the polling interval, because windows are cut at the counter's own
ticks; without a counter it is T. Source: `measurement.md` 3.3 and 3.8.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from energybench.analysis.stretches import MIN_READINGS, TRIANGULAR_95, skip_s
from energybench.sensor import SensorProfile
from energybench.suite import Method

EDGE_POLL_S = 1e-3
COUNTER_WINDOW_S = 1.0
READINGS_WINDOW_S = 5.0
READINGS_A_WINDOW = 50
LATENCY_WINDOW_S = 0.3
QUICK_PRECISION = 0.05
QUICK_WINDOWS = 4
QUICK_COUNTER_WINDOW_S = 0.3
QUICK_LATENCY_WINDOW_S = 0.1
MIN_ITERATIONS = 10
DRAIN_S = 0.06
"""What is still queued when a loop is told to end."""
LEAST_WINDOWS = 4
REPEATS, QUICK_REPEATS = 3, 1
GROWTH = 4
"""Blocks go on up to this multiple of the planned windows when the precision is not reached."""


@dataclass(frozen=True)
class Plan:
    """How every window of a run is measured.

    Attributes:
        precision: wanted relative half-width of the 95 % interval.
        window_s: least interior of a window.
        windows: windows of each work; even, so that blocks pair up.
        max_windows: where it stops even if the precision is not reached.
        skip_s: time after the loop's start that the sensor needs to forget what was before.
        align_s: longest wait for a counter tick at each end; 0 without a counter.
        edge_poll_s: polling interval while waiting for a tick.
        poll_s: polling interval in between.
        latency_s: length of the latency pass of each work.
        settle_s: (least, most) time of settling before the first comparison.
        resettle_s: settling before every further comparison.
        idle_s: length of an idle measurement.
        budget_s: stop after this time; None for no limit.
        rule: the term that ruled the window's length, in words.
        observes: whether the effect of polling is measured.
        repeats: how often a window that drifted is measured again at most.
    """

    precision: float
    window_s: float
    windows: int
    max_windows: int
    skip_s: float
    align_s: float
    edge_poll_s: float
    poll_s: float
    latency_s: float
    settle_s: tuple[float, float]
    resettle_s: float
    idle_s: float
    budget_s: float | None
    rule: str
    observes: bool
    repeats: int

    @property
    def loop_s(self) -> float:
        """Expected length of one window's loop, ends included: a tick comes after half a period on average."""
        return self.skip_s + self.align_s / 2 + self.window_s + DRAIN_S

    def as_record(self) -> dict[str, Any]:
        """The plan as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    duration_s: float
    energy_j: float | None


def plan_measurement(
    method: Method, sensor: SensorProfile | None, *, quick: bool = False, precision: float | None = None
) -> Plan:
    """The plan for a suite's method on a sensor; ``sensor`` None means that only latency is measured.

    Args:
        method: the suite's wishes.
        sensor: what is known of the sensor.
        quick: short windows and few, marked as such in the run.
        precision: overrides the method's.
    """
    wanted = precision or (QUICK_PRECISION if quick else method.precision)
    windows = QUICK_WINDOWS if quick else method.windows
    windows += windows % 2
    length_s, rule = _window_s(method, sensor, wanted, quick=quick)
    counter = sensor.counter if sensor else None
    refresh_s = min((s.refresh_s for s in sensor.streams), default=0.1) if sensor else 0.1
    return Plan(
        precision=wanted,
        window_s=length_s,
        windows=windows,
        max_windows=windows if quick else windows * GROWTH,
        skip_s=skip_s(sensor) if sensor else 0.0,
        align_s=counter.tick_s if counter else 0.0,
        edge_poll_s=EDGE_POLL_S,
        poll_s=min(max(refresh_s / 2, 0.01 if refresh_s <= 0.05 else 0.05), 0.25),
        latency_s=0.1 if quick else 0.2,
        settle_s=((0.5, 2.0) if quick else (5.0, 120.0)) if sensor else (0.2, 0.2),
        resettle_s=0.2 if quick or not sensor else 1.0,
        idle_s=2.0 if quick else 5.0,
        budget_s=method.budget_s,
        rule=rule,
        observes=sensor is not None and not quick,
        repeats=QUICK_REPEATS if quick else REPEATS,
    )


def estimate(plan: Plan, works: int, comparisons: int, power_w: float | None) -> Estimate:
    """Duration and joules of measuring ``works`` pieces of work in ``comparisons`` comparisons at ``power_w``."""
    setup_s = 0.15
    busy_s = works * (plan.windows * (plan.loop_s + 0.01) + plan.latency_s + setup_s) + plan.settle_s[0]
    busy_s += max(comparisons - 1, 0) * plan.resettle_s
    duration_s = busy_s + 2 * plan.idle_s
    if plan.budget_s is not None:
        duration_s = min(duration_s, plan.budget_s)
    return Estimate(duration_s, None if power_w is None else power_w * duration_s)


def within_budget(plan: Plan, works: int, comparisons: int) -> Plan:
    """The plan with as many windows as its budget has room for, so that every comparison gets its share.

    Never fewer than ``LEAST_WINDOWS``: what a budget cannot hold even so is cut off at its end, and says so.
    """
    if plan.budget_s is None:
        return plan
    unlimited = replace(plan, budget_s=None)
    windows = plan.windows
    while windows > LEAST_WINDOWS:
        tried = estimate(replace(unlimited, windows=windows), works, comparisons, None)
        if tried.duration_s <= plan.budget_s:
            break
        windows -= 2
    return replace(plan, windows=windows)


def _window_s(method: Method, sensor: SensorProfile | None, precision: float, *, quick: bool) -> tuple[float, str]:
    if method.window_s is not None and not quick:
        return _at_least_the_floor(method.window_s, sensor)
    if sensor is None:
        return (QUICK_LATENCY_WINDOW_S if quick else LATENCY_WINDOW_S), "latency only: no meter"
    noise = max((_noise_s(s.refresh_s, s.noise, s.correlation, precision) for s in sensor.streams), default=0.0)
    if sensor.counter is not None:
        tick_s = sensor.counter.tick_s
        least_s = QUICK_COUNTER_WINDOW_S if quick else COUNTER_WINDOW_S
        terms = {
            "least window with a counter": least_s,
            "counter ticks at both ends": TRIANGULAR_95 * EDGE_POLL_S / precision,
            "three ticks of the counter": 3 * tick_s,
        }
    else:
        refresh_s = min(s.refresh_s for s in sensor.streams)
        least = MIN_READINGS + 3 if quick else READINGS_A_WINDOW
        terms = {
            f"{least} refreshes without a counter": least * refresh_s,
            "edges of the readings": TRIANGULAR_95 * refresh_s / precision,
            "noise of the readings": noise,
        }
        if not quick:
            terms["least window without a counter"] = READINGS_WINDOW_S
    rule = max(terms, key=lambda term: terms[term])
    return terms[rule], rule


def _at_least_the_floor(window_s: float, sensor: SensorProfile | None) -> tuple[float, str]:
    """The suite's window length, lengthened where the sensor could not resolve it."""
    if sensor is None:
        return min(window_s, LATENCY_WINDOW_S), "the suite's window_s; latency only"
    if sensor.counter is not None:
        floor_s, why = 3 * sensor.counter.tick_s, "three ticks of the counter"
    else:
        refresh_s = min(s.refresh_s for s in sensor.streams)
        floor_s, why = READINGS_A_WINDOW * refresh_s, f"{READINGS_A_WINDOW} refreshes without a counter"
    return (window_s, "the suite's window_s") if window_s >= floor_s else (floor_s, why)


def _noise_s(refresh_s: float, noise: float, correlation: float, precision: float) -> float:
    tau = (1 + correlation) / (1 - correlation) if correlation < 1 else math.inf
    return tau * refresh_s * (1.96 * noise / precision) ** 2
