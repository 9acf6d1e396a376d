"""What does energybench say? Its own polling, plan and estimator; only the device is a stand-in for a GPU.

The stand-in loops for exactly as long as every other tool's load runs, and what is polled has to fit into that:
settling, the wait for a counter tick, the stretch that counts, and the wait for another tick.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import energybench
from accuracy.load import KERNEL_S, Estimate, Later, Load, watch
from accuracy.table import IN_RUN, UNCALIBRATED, US
from energybench.analysis.joules import window_joules
from energybench.analysis.rhythm import Rhythm, fit_rhythm, in_spans
from energybench.analysis.stretches import ticks_of
from energybench.calibrate import calibrate
from energybench.clock import Clock, RealClock
from energybench.devices import DeviceFacts, LatencySamples, Prepared, Stamp
from energybench.devices.open import open_meter_for
from energybench.journal import WindowRecord
from energybench.planner import plan_measurement
from energybench.readings import ENERGY, Reading
from energybench.runner.bench import Bench, poll_to_tick, poll_until
from energybench.suite import Method

STAMP_S = 5e-3
SLACK_S = 5e-3
"""For polls that are late."""
SYNCHRONISATIONS = 100
"""Reads of two clocks, one after the other; the closest pair counts."""
FACTS = DeviceFacts(name="cuda:0", title="a stand-in that draws power on the fake")
ALWAYS_READY: Any = object()
"""What the stand-in loops; it has but one kernel."""


class StandInLoop:
    """Iterations of ``KERNEL_S``, stamped by a thread as they pass, for a fixed time or until it is stopped.

    A stamp holds the time at which its last iteration was complete, as a CUDA event does, not when one looked.
    """

    def __init__(self, load: Load, clock: Clock, loop_s: float) -> None:
        self._load, self._clock, self._loop_s = load, clock, loop_s
        self._stamps: list[Stamp] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def feed(self, ahead_s: float) -> None:
        """Nothing to queue."""

    def stop(self) -> Sequence[Stamp]:
        """Wait for the end of the loop, or bring it about."""
        if math.isinf(self._loop_s):
            self._halt.set()
        self._thread.join()
        return tuple(self._stamps)

    def _run(self) -> None:
        self._load.begin()  # before the first stamp, as the end comes after the last: between them nothing else runs
        begin_s = now_s = self._clock.now_s()
        self._stamps.append(Stamp(begin_s, 0))
        while now_s < begin_s + self._loop_s and not self._halt.is_set():
            next_s = min(now_s + STAMP_S, begin_s + self._loop_s)
            self._halt.wait(next_s - now_s)
            now_s = self._clock.now_s()
            done = max(1, math.floor((now_s - begin_s) / KERNEL_S))
            self._stamps.append(Stamp(begin_s + done * KERNEL_S, done))
        self._load.idle()


@dataclass
class StandIn:
    """A device whose work is to draw power on the fake."""

    load: Load
    clock: Clock
    facts: DeviceFacts = FACTS
    loop_s: float = math.inf

    def prepare(self, plan: object) -> Prepared:
        raise NotImplementedError("the stand-in has one kernel, always ready")

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        raise NotImplementedError("only loops are measured here")

    def loop(self, prepared: Prepared | None = None) -> StandInLoop:
        return StandInLoop(self.load, self.clock, self.loop_s)

    def truth_j(self, start_s: float, stop_s: float) -> float:
        """Exact joules between two times of its clock."""
        ahead_s = max(self.load.now_s() - self.clock.now_s() for _ in range(SYNCHRONISATIONS))
        return self.load.truth_j(start_s + ahead_s, stop_s + ahead_s)

    def free_memory_bytes(self) -> int | None:
        return None

    def fault(self) -> str:
        return ""

    def release(self, prepared: Prepared) -> None:
        return None

    def close(self) -> None:
        return None


class Silent:
    """A progress display that shows nothing."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)  # noqa: T201

    def doing(self, what: str) -> None:
        return None

    def expects(self, done: int, to_come: int) -> None:
        return None

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        return None


def bench_of(device: StandIn, *, calibrated: bool) -> Bench:
    """What ``energybench run`` would measure with: after its quick calibration, or with what it assumes without one."""
    watching = open_meter_for(device, "nvml")
    meter, capabilities, sensor = watching.meter, watching.capabilities, watching.sensor
    if calibrated:
        sensor = calibrate(device, meter, capabilities, load=ALWAYS_READY, quick=True).profile
    return Bench(
        device=device,
        meter=meter,
        kinds=capabilities.kinds,
        sensor=sensor,
        plan=plan_measurement(Method(), sensor),
        journal=None,  # one window at a time is judged here, none is written
        progress=Silent(),
        random=np.random.default_rng(0),
    )


class Looped(NamedTuple):
    """One loop of a run, and its exact joules."""

    window: WindowRecord
    readings: list[Reading]
    truth_j: float


def polled(bench: Bench, loop: StandInLoop, readings: list[Reading], loop_s: float) -> list[str]:
    """Poll a loop that ends by itself as ``poll_window`` polls one that goes on for as long as the poller wants.

    The last tick is waited for when one still fits, however late the first one came: a tick that the board lost or the
    machine blurred must not push the other end out of the load.
    """
    plan, start_s = bench.plan, bench.device.clock.now_s()
    stop_s = start_s + loop_s - SLACK_S
    counting = ENERGY in bench.kinds
    poll_until(bench, loop, readings, start_s + plan.skip_s)
    if counting and poll_to_tick(bench, loop, readings):
        poll_until(bench, loop, readings, stop_s - plan.align_s)
        return [] if poll_to_tick(bench, loop, readings) else ["counter-stale"]
    poll_until(bench, loop, readings, stop_s)
    return ["counter-stale"] if counting else []


def measured(bench: Bench, loop_s: float, run: list[Looped]) -> Looped:
    """Measure one loop within the loop's time, and keep it."""
    device, readings = bench.device, list[Reading]()
    device.loop_s = loop_s
    kinds = bench.kinds
    loop = device.loop()
    flags = polled(bench, loop, readings, loop_s)
    stamps = loop.stop()
    window = WindowRecord(
        number=len(run),
        kind="window",
        start_s=stamps[0].time_s,
        stop_s=stamps[-1].time_s,
        stamps=list(stamps),
        flags=flags,
    )
    bench.kinds = kinds
    run.append(Looped(window, readings, device.truth_j(stamps[0].time_s, stamps[-1].time_s)))
    return run[-1]


def said_alone(bench: Bench, looped: Looped) -> Estimate:
    """Joules of one loop from its own readings, and nothing else."""
    return _said(bench, looped, fit_rhythm([ticks_of(looped.readings)]))


def said_in_run(bench: Bench, run: Sequence[Looped], looped: Looped) -> Estimate:
    """Joules of one loop, as the report of a run says them: the counter's rhythm is that of all loops around it."""
    spans = in_spans(loop.window for loop in run)
    span = next(s for s in spans if any(w.number == looped.window.number for w in s))
    return _said(bench, looped, fit_rhythm([ticks_of(run[w.number].readings) for w in span]))


def _said(bench: Bench, looped: Looped, rhythm: Rhythm | None) -> Estimate:
    found = window_joules(looped.window, looped.readings, bench.sensor, rhythm)
    if found.energy_per_iteration_j is None:
        return Estimate(looped.truth_j, None, found.reason)
    return Estimate(looped.truth_j, found.energy_per_iteration_j * looped.window.stamps[-1][1])


def main(knowledge: str) -> None:
    """Watch the board with what a calibration finds of it, or with what is assumed without one."""
    calibrated = knowledge == "calibrated"
    load = Load()
    bench = bench_of(StandIn(load, RealClock()), calibrated=calibrated)
    run: list[Looped] = []
    print(bench.sensor, file=sys.stderr)  # noqa: T201

    def measure(loop_s: float) -> Mapping[str, Estimate | Later]:
        looped = measured(bench, loop_s, run)
        if not calibrated:
            return {UNCALIBRATED: said_alone(bench, looped)}
        return {US: said_alone(bench, looped), IN_RUN: lambda: said_in_run(bench, run, looped)}

    watch(load, measure, energybench.__version__)


if __name__ == "__main__":
    main(sys.argv[2])
