"""What does energybench say? Its own polling, plan and estimator; only the device is a stand-in for a GPU.

The stand-in loops for exactly as long as every other tool's load runs, and what is polled has to fit into that:
settling, the wait for a counter tick, the stretch that counts, and the wait for another tick.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from accuracy.boards import calibrated
from accuracy.load import KERNEL_S, Estimate, Load, watch

import energybench
from energybench.analysis.joules import window_joules
from energybench.bench import Bench, poll_window
from energybench.clock import Clock, RealClock
from energybench.devices import DeviceFacts, LatencySamples, Prepared, Stamp
from energybench.devices.open import open_meter_for
from energybench.journal import WindowRecord
from energybench.planner import plan_measurement
from energybench.readings import Reading
from energybench.sensor import SensorProfile
from energybench.suite import Method

STAMP_S = 5e-3
SLACK_S = 5e-3
"""For polls that are late."""


class StandInLoop:
    """Iterations of ``KERNEL_S``, stamped by a thread as they pass, for a fixed time."""

    def __init__(self, load: Load, clock: Clock, loop_s: float) -> None:
        self._load, self._clock, self._loop_s = load, clock, loop_s
        self._stamps: list[Stamp] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def feed(self) -> None:
        """Nothing to queue."""

    def stop(self) -> Sequence[Stamp]:
        """Wait for the end of the loop."""
        self._thread.join()
        return tuple(self._stamps)

    def _run(self) -> None:
        begin_s = self._clock.now_s()
        self.start_s = self._load.begin()
        self._stamps.append(Stamp(begin_s, 0))
        for chunk in range(1, round(self._loop_s / STAMP_S) + 1):
            self._clock.sleep_until(begin_s + chunk * STAMP_S)
            self._stamps.append(Stamp(self._clock.now_s(), round((self._clock.now_s() - begin_s) / KERNEL_S)))
        self.stop_s = self._load.idle()


@dataclass
class StandIn:
    """A device whose work is to draw power on the fake."""

    load: Load
    clock: Clock
    facts: DeviceFacts = DeviceFacts(name="cuda:0", title="a stand-in that draws power on the fake")
    loop_s: float = 1.0

    def prepare(self, plan: object) -> Prepared:
        raise NotImplementedError("the stand-in has one kernel, always ready")

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        raise NotImplementedError("only loops are measured here")

    def loop(self, prepared: Prepared | None = None) -> StandInLoop:
        return StandInLoop(self.load, self.clock, self.loop_s)

    def free_memory_bytes(self) -> int | None:
        return None

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

    def window_done(self, power_w: float | None, temperature_c: float | None) -> None:
        return None


def bench_of(device: StandIn, sensor: SensorProfile | None) -> Bench:
    """What ``energybench run`` would measure with; ``sensor`` None takes what it assumes of an uncalibrated board."""
    meter, capabilities, assumed, _ = open_meter_for(device, "nvml")
    known = sensor or assumed
    return Bench(
        device=device,
        meter=meter,
        kinds=capabilities.kinds,
        sensor=known,
        plan=plan_measurement(Method(), known),
        journal=None,  # one window at a time is judged here, none is written
        progress=Silent(),
        random=np.random.default_rng(0),
    )


def measured(bench: Bench, loop_s: float) -> Estimate:
    """Joules of one loop, as energybench finds them within the loop's time."""
    device, plan, readings = bench.device, bench.plan, list[Reading]()
    device.loop_s = loop_s
    kinds = bench.kinds
    loop = device.loop()
    polling_s = loop_s - plan.skip_s - 2 * plan.align_s - SLACK_S
    flags = poll_window(bench, loop, readings, max(0.0, polling_s))
    stamps = loop.stop()
    window = WindowRecord(
        number=0, kind="window", start_s=stamps[0].time_s, stop_s=stamps[-1].time_s, stamps=list(stamps), flags=flags
    )
    bench.kinds = kinds
    found = window_joules(window, readings, bench.sensor)
    truth_j = device.load.truth_j(loop.start_s, loop.stop_s)
    if found.energy_per_iteration_j is None:
        return Estimate(truth_j, None, found.reason)
    return Estimate(truth_j, found.energy_per_iteration_j * stamps[-1].iterations)


def main(board: str, knowledge: str) -> None:
    """Watch a board with what a calibration knows of it, or with what is assumed without one."""
    load = Load()
    sensor = calibrated(board) if knowledge == "calibrated" else None
    bench = bench_of(StandIn(load, RealClock()), sensor)
    tool = "energybench" if sensor else "energybench, not calibrated"
    watch(lambda loop_s: {tool: measured(bench, loop_s)}, energybench.__version__)


if __name__ == "__main__":
    main(*sys.argv[2:])
