"""How long and how often must we measure? Window length and number from the wanted precision and the sensor.

A window must be long enough for the sensor to see it at all (the floors), and for its ends and the noise of the
readings to leave no more open than is wanted, their variances added (`analysis/window_error.py`). By default a single
window is already as precise as is wanted, which leaves room for what windows differ by; where a suite wishes for
shorter ones (``window_s``), all of them together are. Source: `docs/derivations.md` 3 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from energybench.analysis.statistics import LEAST_REPLICATES
from energybench.analysis.stretches import MIN_READINGS, skip_s
from energybench.analysis.window_error import (
    WindowError,
    correlation_s,
    gain_of,
    read_stream,
    window_error,
    windows_for,
)
from energybench.sensor import SensorProfile
from energybench.suite import Method

EDGE_POLL_S = 1e-3
COUNTER_WINDOW_S = 1.0
READINGS_WINDOW_S = 5.0
LONGEST_WINDOW_S = 60.0
"""Precision that takes longer windows is sought with more of them: within a minute boards warm up and clocks move."""
READINGS_A_WINDOW = 50
CORRELATION_TIMES = 10
"""Windows this many correlation times long are close to independent (`docs/derivations.md` 6)."""
LATENCY_WINDOW_S = 0.3
QUICK_PRECISION = 0.05
QUICK_COUNTER_WINDOW_S = 0.2
QUICK_LATENCY_WINDOW_S = 0.1
MIN_ITERATIONS = 10
DRAIN_S = 0.06
"""What is still queued when a loop is told to end."""
TICKS_A_WINDOW, QUICK_TICKS = 3, 2
EDGES, NOISE, TOGETHER = "ends of the window", "noise of the readings", "ends and noise together"
"""Terms of the wanted precision."""
WISH, BUDGET = "the suite's window_s", "the budget"
LEAST_WINDOWS = LEAST_REPLICATES + LEAST_REPLICATES % 2
"""Windows of each work at the least, even, so that blocks pair up; a quick run takes no more."""
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
        terms: how long each term asks a window to be, in seconds.
        floor_s: shortest window that the sensor can see at all.
        iterations_s: time of the fewest iterations of the longest case, as modelled; that case's windows are at least
            as long. None where no model knows it.
        error: what the sensor leaves open of a window; None without one.
        remarks: a precision or a budget that is out of reach, and what would do; a budget that does not hold.
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
    terms: Mapping[str, float] = field(default_factory=dict)
    floor_s: float = 0.0
    iterations_s: float | None = None
    error: WindowError | None = None
    remarks: tuple[str, ...] = ()

    @property
    def loop_s(self) -> float:
        """Expected length of one window's loop, ends included: a tick comes after half a period on average."""
        return self.skip_s + self.align_s / 2 + self.window_s + DRAIN_S

    @property
    def least_s(self) -> float:
        """Length of a window that need not be as precise as is wanted."""
        others = (length_s for term, length_s in self.terms.items() if term not in (EDGES, NOISE, TOGETHER))
        return min(self.window_s, max(others, default=0.0))

    @property
    def window_halfwidth(self) -> float | None:
        """Relative 95 % half-width expected of one window, from the sensor alone; None without one."""
        return self.error.halfwidth(self.window_s) if self.error else None

    @property
    def halfwidth(self) -> float | None:
        """The same of all planned windows of a work."""
        return self.error.halfwidth_of(self.windows, self.window_s) if self.error else None

    @property
    def reaches_precision(self) -> bool:
        """Whether the sensor alone leaves no more open than is wanted."""
        return self.halfwidth is None or self.halfwidth <= self.precision * (1 + 1e-6)

    @property
    def told(self) -> tuple[str, ...]:
        """Where the plan is not what was asked for, in words."""
        wish_s = self.terms.get(WISH, self.window_s)
        if wish_s >= self.window_s:
            return self.remarks
        why = "as far as the budget allows" if self.rule == BUDGET else self.rule
        return f"{WISH} of {wish_s:.3g} s is lengthened to {self.window_s:.3g} s: {why}", *self.remarks

    def as_record(self) -> dict[str, Any]:
        """The plan as JSON-able data, with the precision that is expected of it."""
        expected = {"window_halfwidth": self.window_halfwidth, "halfwidth": self.halfwidth}
        return asdict(self) | expected | {"remarks": list(self.told)}


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    duration_s: float
    energy_j: float | None


def plan_measurement(
    method: Method,
    sensor: SensorProfile | None,
    *,
    quick: bool = False,
    precision: float | None = None,
    iteration_s: float | None = None,
) -> Plan:
    """The plan for a suite's method on a sensor; ``sensor`` None means that only latency is measured.

    Args:
        method: the suite's wishes.
        sensor: what is known of the sensor.
        quick: short windows and few, marked as such in the run.
        precision: overrides the method's.
        iteration_s: longest iteration of any case, where a model knows it.
    """
    wanted = precision or (QUICK_PRECISION if quick else method.precision)
    windows = LEAST_WINDOWS if quick else method.windows
    windows += windows % 2
    counter = sensor.counter if sensor else None
    refresh_s = min((s.refresh_s for s in sensor.streams), default=0.1) if sensor else 0.1
    floors = _floors(sensor, quick=quick) if sensor else {}
    error = window_error(sensor, EDGE_POLL_S) if sensor else None
    wish_s = None if quick else method.window_s
    terms = floors | _lengths(wish_s, error, counter is not None, wanted / _share(wish_s, windows), quick=quick)
    rule = max(terms, key=lambda term: terms[term])
    cap_s = max(LONGEST_WINDOW_S, wish_s or 0.0, *floors.values())
    floor_s = max(_floors(sensor, quick=True).values()) if sensor else terms[rule]
    plan = Plan(
        precision=wanted,
        window_s=min(terms[rule], cap_s),
        windows=windows,
        max_windows=windows if quick else windows * GROWTH,
        skip_s=skip_s(sensor) if sensor else 0.0,
        align_s=counter.tick_s if counter else 0.0,
        edge_poll_s=EDGE_POLL_S,
        poll_s=min(max(refresh_s / 2, 0.01 if refresh_s <= 0.05 else 0.05), 0.25),
        latency_s=0.1 if quick else 0.2,
        settle_s=((0.5, 2.0) if quick else (min(max(5.0, sensor.settling_s), 120.0), 120.0)) if sensor else (0.2, 0.2),
        resettle_s=0.2 if quick or not sensor else 1.0,
        idle_s=2.0 if quick else 5.0,
        budget_s=method.budget_s,
        rule=rule if terms[rule] <= cap_s else "the longest window",
        observes=sensor is not None and not quick,
        repeats=QUICK_REPEATS if quick else REPEATS,
        terms=terms,
        floor_s=floor_s,
        iterations_s=None if iteration_s is None else MIN_ITERATIONS * iteration_s,
        error=error,
    )
    return _enough_windows(plan)


def estimate(plan: Plan, works: int, comparisons: int, power_w: float | None) -> Estimate:
    """Duration and joules of measuring ``works`` pieces of work in ``comparisons`` comparisons at ``power_w``."""
    setup_s = 0.15
    busy_s = works * (plan.windows * (plan.loop_s + 0.01) + plan.latency_s + setup_s) + plan.settle_s[0]
    busy_s += max(comparisons - 1, 0) * plan.resettle_s
    duration_s = busy_s + 2 * plan.idle_s
    if plan.budget_s is not None:
        duration_s = min(duration_s, plan.budget_s)
    return Estimate(duration_s, None if power_w is None else power_w * duration_s)


def _enough_windows(plan: Plan) -> Plan:
    """The plan with more windows where the longest ones do not reach the precision, as far as they may grow."""
    error, window_s = plan.error, plan.window_s
    if error is None or plan.reaches_precision:
        return plan
    for windows in range(plan.windows, plan.max_windows + 1, 2):
        more = replace(plan, windows=windows)
        if more.reaches_precision:
            return more
    most = replace(plan, windows=plan.max_windows)
    need = max(windows_for(error.halfwidth(window_s) / plan.precision), most.windows + 2)
    need_s = error.length_s(plan.precision / gain_of(most.windows))
    said = (
        f"a precision of {percent(plan.precision)} is out of reach: the sensor may leave "
        f"+-{percent(most.halfwidth or 0.0)} of {most.windows} windows of {window_s:.3g} s; {need} of them "
        f"(windows: in the suite's method) or {most.windows} of {need_s:.3g} s (window_s:) would do"
    )
    return replace(most, remarks=(*most.remarks, said))


def _share(wish_s: float | None, windows: int) -> float:
    """By how much a window may be less precise than is wanted of the result: all of them together make it up."""
    return 1.0 if wish_s is None else gain_of(windows)


def _lengths(
    wish_s: float | None, error: WindowError | None, counts: bool, halfwidth: float, *, quick: bool
) -> dict[str, float]:
    """What asks for a window's length beside the sensor's floors: precision, and the suite's wish or our least."""
    if error is None:
        latency_s = QUICK_LATENCY_WINDOW_S if quick else LATENCY_WINDOW_S
        if wish_s is not None:
            return {"the suite's window_s; latency only": min(wish_s, latency_s)}
        return {"latency only: no meter": latency_s}
    terms = {
        EDGES: error.edges_s(halfwidth),
        NOISE: error.noise_s(halfwidth),
        TOGETHER: error.length_s(halfwidth),
    }
    if wish_s is not None:
        return terms | {WISH: wish_s}
    if counts:
        return terms | {"least window with a counter": QUICK_COUNTER_WINDOW_S if quick else COUNTER_WINDOW_S}
    return terms if quick else terms | {"least window without a counter": READINGS_WINDOW_S}


def _floors(sensor: SensorProfile, *, quick: bool) -> dict[str, float]:
    """How long a window must be for a sensor to see it at all."""
    floors = {"settling, span and delay": skip_s(sensor)}
    if sensor.counter is not None:
        ticks = QUICK_TICKS if quick else TICKS_A_WINDOW
        return floors | {f"{ticks} ticks of the counter": ticks * sensor.counter.tick_s}
    stream, fewest = read_stream(sensor), MIN_READINGS + 3 if quick else READINGS_A_WINDOW
    return floors | {
        f"{fewest} refreshes of the readings": fewest * stream.refresh_s,
        f"{CORRELATION_TIMES} correlation times": CORRELATION_TIMES * correlation_s(stream),
    }


def percent(share: float) -> str:
    """A precision as it is written in a suite: 0.012 as ``1.2%``."""
    return f"{100 * share:.2g}%"
