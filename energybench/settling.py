"""When may measuring begin? When power and temperature stand still; and what the board draws when idle."""

from __future__ import annotations

from energybench.analysis.joules import mean_power_w
from energybench.analysis.rest import rest_of
from energybench.bench import (
    Bench,
    Comparison,
    append,
    board_now,
    foreign_flags,
    poll_for_observer,
    poll_until,
    poll_window,
)
from energybench.devices import Prepared
from energybench.journal import WindowRecord
from energybench.readings import Reading

SETTLE_SPAN_S = 1.0
"""How often the board is looked at while it settles."""
IDLE_SPAN_S = 2.0
IDLE_STEADY = 0.01
IDLE_STEADY_W = 1.0
IDLE_CAP_S = 60.0
OBSERVER_S = 0.4
"""Each of six loops that show what polling costs: under 3 s in all."""


def settle(bench: Bench, comparison: Comparison, work: Prepared) -> None:
    """Loop the first work until power and temperature stand still; measure idle once before everything."""
    least_s, most_s = (bench.plan.resettle_s, bench.plan.resettle_s) if bench.settled else bench.plan.settle_s
    bench.progress.doing("settling")
    clock = bench.device.clock
    before = board_now(bench)
    readings: list[Reading] = []
    temperatures_c: list[tuple[float, float]] = []
    start_s = clock.now_s()
    end_s = start_s + most_s
    steady = False
    loop = bench.device.loop(work)
    try:
        while clock.now_s() < end_s and not steady:
            poll_until(bench, loop, readings, min(clock.now_s() + SETTLE_SPAN_S, end_s))
            now_s = clock.now_s()
            board = board_now(bench)
            if board is not None and board.temperature_c is not None:
                temperatures_c.append((now_s, board.temperature_c))
            if now_s - start_s >= least_s:
                rest = rest_of(readings, temperatures_c, start_s + bench.plan.skip_s, now_s, bench.plan.precision)
                steady = rest.steady or not bench.metered
    finally:
        stamps = loop.stop()
    append(
        bench,
        WindowRecord(
            number=0,
            kind="settle",
            work=work.plan.work,
            comparison=comparison.id,
            start_s=start_s,
            stop_s=stamps[-1].time_s,
            stamps=[(s.time_s, s.iterations) for s in (stamps[0], stamps[-1])],
            before=before,
            after=board_now(bench),
            flags=[] if steady or bench.settled else ["unsettled"],
        ),
        readings,
    )
    bench.settled = True
    if not bench.idle_before and bench.plan.observes:
        _observe_the_observer(bench, comparison, work)
    if not bench.idle_before:
        bench.idle_before = True
        measure_idle(bench, comparison)


def _observe_the_observer(bench: Bench, comparison: Comparison, work: Prepared) -> None:
    """Loop the same work polled as densely as ever and hardly at all: dense, sparse, sparse, dense."""
    bench.progress.doing("the effect of polling")
    for name in ("dense", "sparse", "sparse", "dense", "dense", "sparse"):
        readings: list[Reading] = []
        loop = bench.device.loop(work)
        try:
            poll_for_observer(bench, loop, readings, OBSERVER_S, dense=name == "dense")
        finally:
            stamps = loop.stop()
        append(
            bench,
            WindowRecord(
                number=0,
                kind="observer",
                work=work.plan.work,
                comparison=comparison.id,
                start_s=stamps[0].time_s,
                stop_s=stamps[-1].time_s,
                stamps=[(s.time_s, s.iterations) for s in (stamps[0], stamps[-1])],
                flags=[name],
            ),
            readings,
        )


def measure_idle(bench: Bench, comparison: Comparison) -> None:
    """Active idle: wait until power stands still, then measure it like a window, without a loop."""
    if not bench.metered:
        return
    bench.progress.doing("active idle")
    clock = bench.device.clock
    cap_s = clock.now_s() + min(IDLE_CAP_S, 12 * bench.plan.idle_s)
    steady = False
    previous_w: float | None = None
    while not steady and clock.now_s() < cap_s:
        start_s = clock.now_s()
        readings: list[Reading] = []
        poll_until(bench, None, readings, start_s + IDLE_SPAN_S)
        power_w = mean_power_w(readings, start_s, clock.now_s())
        if power_w is not None and previous_w is not None:
            steady = abs(power_w - previous_w) <= max(IDLE_STEADY * previous_w, IDLE_STEADY_W)
        previous_w = power_w
    before = board_now(bench)
    start_s = clock.now_s()
    readings = []
    poll_window(bench, None, readings, bench.plan.idle_s)
    stop_s = clock.now_s()
    append(
        bench,
        WindowRecord(
            number=0,
            kind="idle",
            comparison=comparison.id,
            start_s=start_s,
            stop_s=stop_s,
            stamps=[(start_s, 0), (stop_s, 1)],
            before=before,
            after=board_now(bench),
            flags=([] if steady else ["idle-unsettled"]) + foreign_flags(bench),
        ),
        readings,
    )
