"""When may measuring begin? When power and temperature stand still; and what the board draws when idle."""

from __future__ import annotations

import math
from functools import partial

from energybench.analysis.joules import mean_power_w
from energybench.analysis.rest import rest_of
from energybench.devices import Loop, Prepared
from energybench.journal import WindowRecord
from energybench.readings import Reading
from energybench.runner.bench import (
    Bench,
    Comparison,
    append,
    board_now,
    foreign_flags,
    looped,
    poll_for_observer,
    poll_until,
    poll_window,
)
from energybench.runner.deadline import left_s

SETTLE_SPAN_S = 1.0
"""How often the board is looked at while it settles."""
IDLE_SPAN_S = 2.0
IDLE_STEADY = 0.01
IDLE_STEADY_W = 1.0
IDLE_CAP_S = 60.0
OBSERVED = ("dense", "sparse", "sparse", "dense", "dense", "sparse")
"""How the loops that show what polling costs are polled, in turn, so that a drift cancels."""
OBSERVER_S = 0.4
"""Each of them: under 3 s in all."""
OBSERVER_ITERATIONS = 4
"""Iterations that each of them must hold; longer work is not looped for it."""


def settle(bench: Bench, comparison: Comparison, work: Prepared, *, keep_s: float = 0.0) -> None:
    """Loop the first work until power and temperature stand still; measure idle once before everything.

    Args:
        bench: what measuring stands on.
        comparison: what is about to be measured.
        work: its first piece of work.
        keep_s: time that is left to what follows, where a budget ends.
    """
    first = not bench.idle_before
    idle_s = idle_takes_s(bench) if first else 0.0
    _stand_still(bench, comparison, work, left_s(bench) - keep_s - idle_s)
    if first and bench.plan.observes and _can_be_observed(work, left_s(bench) - keep_s - idle_s):
        _observe_the_observer(bench, comparison, work)
    if first:
        bench.idle_before = True
        measure_idle(bench, comparison, left_s(bench) - keep_s)


def _stand_still(bench: Bench, comparison: Comparison, work: Prepared, room_s: float) -> None:
    """Loop until power and temperature stand still, or for as long as there is room; not at all without any."""
    least_s, most_s = (bench.plan.resettle_s, bench.plan.resettle_s) if bench.settled else bench.plan.settle_s
    most_s = min(most_s, room_s)
    steady = False

    def until_it_stands_still(loop: Loop, readings: list[Reading]) -> None:
        nonlocal steady
        clock = bench.device.clock
        start_s = clock.now_s()
        end_s = start_s + most_s
        temperatures_c: list[tuple[float, float]] = []
        while clock.now_s() < end_s and not steady:
            poll_until(bench, loop, readings, min(clock.now_s() + SETTLE_SPAN_S, end_s))
            now_s = clock.now_s()
            board = board_now(bench)
            if board is not None and board.temperature_c is not None:
                temperatures_c.append((now_s, board.temperature_c))
            if now_s - start_s >= least_s:
                rest = rest_of(readings, temperatures_c, start_s + bench.plan.skip_s, now_s, bench.plan.precision)
                steady = rest.steady or not bench.metered

    bench.progress.doing("settling")
    before = board_now(bench)
    now_s = bench.device.clock.now_s()
    record = WindowRecord(
        number=0, kind="settle", work=work.plan.work, comparison=comparison.id, start_s=now_s, stop_s=now_s
    )
    readings: list[Reading] = []
    if most_s >= work.iteration_s:
        loop = looped(bench, work, until_it_stands_still)
        record, readings = loop.written(record), loop.readings
    flags = [] if steady or bench.settled else ["unsettled"]
    append(bench, record.model_copy(update={"before": before, "after": board_now(bench), "flags": flags}), readings)
    bench.settled = True


def _can_be_observed(work: Prepared, room_s: float) -> bool:
    """Whether the loops that show what polling costs hold enough iterations each, and there is room for them."""
    return OBSERVER_ITERATIONS * work.iteration_s <= OBSERVER_S and len(OBSERVED) * OBSERVER_S <= room_s


def _observe_the_observer(bench: Bench, comparison: Comparison, work: Prepared) -> None:
    """Loop the same work polled as densely as ever and hardly at all, in turn."""
    bench.progress.doing("the effect of polling")
    for name in OBSERVED:
        dense = name == "dense"
        loop = looped(bench, work, partial(poll_for_observer, bench, length_s=OBSERVER_S, dense=dense))
        record = WindowRecord(number=0, kind="observer", work=work.plan.work, comparison=comparison.id, flags=[name])
        append(bench, loop.written(record), loop.readings)


def idle_takes_s(bench: Bench) -> float:
    """Time of an idle measurement on a board that comes to rest at once; 0 without a meter."""
    return bench.plan.idle_s + 2 * IDLE_SPAN_S if bench.metered else 0.0


def measure_idle(bench: Bench, comparison: Comparison, room_s: float = math.inf) -> None:
    """Active idle: wait until power stands still, then measure it like a window, without a loop.

    Not at all where ``room_s`` does not hold the measurement.
    """
    if not bench.metered or room_s < bench.plan.idle_s:
        return
    bench.progress.doing("active idle")
    clock = bench.device.clock
    cap_s = clock.now_s() + min(IDLE_CAP_S, 12 * bench.plan.idle_s, room_s - bench.plan.idle_s)
    steady = False
    previous_w: float | None = None
    while not steady and clock.now_s() + IDLE_SPAN_S <= cap_s:
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
    others, on_board = bench.meter.state(processes=True), bench.device.facts.name.startswith("cuda")
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
            flags=([] if steady else ["idle-unsettled"]) + foreign_flags(others, has_context=on_board),
        ),
        readings,
    )
