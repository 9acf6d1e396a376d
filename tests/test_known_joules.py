"""Are joules that are known found again? Twelve sensors through nvidia-ml-py, the fake library and our whole window.

Each board comes up with phases, noise and late ticks of its own; a load steps from 60 W to 300 W and back, and what a
run says of it is held against the exact integral. Time is virtual, but the host wakes up late and calls take their
time. The sensor is only known as any board of its generation is assumed to be. Seeds are dates, and were not chosen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accuracy.boards import ARCHITECTURES, configuration, has_counter
from fakenvml.boards import H100, board, quiet, virtual
from fakenvml.build import FakeNvml
from fakenvml.inside import Fake
from quiet import Remembering
from scipy import stats

from energybench.analysis.joules import window_joules
from energybench.analysis.rhythm import fit_rhythm
from energybench.analysis.statistics import log_interval
from energybench.analysis.stretches import TRIANGULAR_95, ticks_of
from energybench.journal import WindowRecord
from energybench.meters.nvml import NvmlMeter
from energybench.planner import EDGE_POLL_S, plan_measurement
from energybench.readings import Reading
from energybench.runner.bench import Bench, poll_window
from energybench.sensor import assumed_profile
from energybench.suite import Method

SEED = 20261129
BOARDS, WINDOWS = 5, 8
"""Of each profile, and of each board as a run has by default."""
LENGTH_S = {True: 2.0, False: 5.0}
LIMIT = {True: 1e-3, False: 5e-3}
"""Length of a loop and how close its joules must come, with a counter and without."""
IDLE_W, LOAD_W, ITERATION_S = 60.0, 300.0, 1e-4
PHASES = 20
CLAIMED = 0.95
CHANCE = 1e-3
"""Of more misses than are let pass, were the claims exactly true."""


def most_misses(count: int) -> int:
    """Misses of 95 % intervals that so many of them exceed with a chance below ``CHANCE``: the binomial bound."""
    return int(stats.binom.isf(CHANCE, count, 1 - CLAIMED))


class BusyHost(Fake):
    """The fake's clock as a process sees it: it wakes up 60 us late on average, and at times by milliseconds."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)

    def sleep_until(self, time_s: float) -> None:
        late_s = self.random.exponential(6e-5 if self.random.random() < 0.98 else 3e-3)
        super().sleep_until(max(time_s, self.now_s()) + late_s)


class Loop:
    """Iterations one after another; draws the load's power from now until it is stopped."""

    def __init__(self, host: BusyHost) -> None:
        self._host, self._begin_s = host, host.now_s()
        host.draw_w(LOAD_W)

    def feed(self, ahead_s: float) -> None:
        pass

    def stop(self) -> list[tuple[float, int]]:
        done = int((self._host.now_s() - self._begin_s) / ITERATION_S) + 1
        stop_s = self._begin_s + done * ITERATION_S
        Fake.sleep_until(self._host, stop_s)
        self._host.draw_w(IDLE_W)
        return [(self._begin_s, 0), (stop_s, done)]


def measured() -> dict[str, Any]:
    """Inside a process that has the fake: the windows of every board of every profile, and steps at every phase."""
    runs = {name: [windows_of(name, SEED + board) for board in range(BOARDS)] for name in ARCHITECTURES}
    return {"runs": runs, "steps": steps_at_every_phase()}


def steps_at_every_phase() -> list[dict[str, float]]:
    """Loops of 5 s on ticks of 100 ms, begun at phases spread evenly over a tick, edges polled every 2 ms at most."""
    host = BusyHost(SEED)
    host.reconfigure(virtual(board(quiet("turing"), "ledger -", settings=("architecture 6",))))
    bench = bench_on(host)
    bench.plan = replace(bench.plan, edge_poll_s=min(bench.plan.edge_poll_s, 2e-3))
    found = []
    for number in range(PHASES):
        begin_s = math.ceil(host.now_s()) + 1.5 + 0.1 * number / PHASES
        window, readings = window_of(bench, number, 5.0, begin_s)
        said = window_joules(window, readings, bench.sensor)
        true_j = host.truth_j(window.start_s, window.stop_s)
        loop_s = window.stop_s - window.start_s
        found.append({"error": said.power_w * loop_s / true_j - 1, "unaligned": said.unaligned_w * loop_s / true_j - 1})
    bench.meter.close()
    return found


def windows_of(name: str, seed: int) -> list[dict[str, float]]:
    """One board from its start: what each window of a run says by itself, and within the run, and the truth."""
    host = BusyHost(seed)
    config = configuration(name, ledger="-", origin_s=0.0, seed=seed).replace("clock monotonic", "clock virtual")
    host.reconfigure(f"{config}fault nvmlDeviceGetFieldValues slow=2e-5\n")
    bench = bench_on(host)
    looped = []
    for number in range(WINDOWS):
        rested_s = host.now_s() + host.random.uniform(1.0, 1.5)
        looped.append(window_of(bench, number, LENGTH_S[has_counter(name)], rested_s))
    rhythm = fit_rhythm([ticks_of(readings) for _, readings in looped])
    found = []
    for window, readings in looped:
        alone = window_joules(window, readings, bench.sensor)
        in_run = window_joules(window, readings, bench.sensor, rhythm)
        true_j = host.truth_j(window.start_s, window.stop_s) / window.stamps[-1][1]
        errors = {
            "alone": alone.energy_per_iteration_j / true_j - 1,
            "in_run": in_run.energy_per_iteration_j / true_j - 1,
        }
        stated = {"alone_stated": alone.edge_halfwidth, "in_run_stated": in_run.edge_halfwidth}
        found.append({**errors, **stated, "counter": alone.estimator == "counter"})
    bench.meter.close()
    return found


def bench_on(host: BusyHost) -> Bench:
    """What a run without a calibration would measure with, on a board that has been idle for five seconds."""
    meter = NvmlMeter(host)
    host.draw_w(IDLE_W)
    host.sleep_until(host.now_s() + 5.0)
    kinds, board = meter.probe().kinds, meter.describe()
    sensor = assumed_profile(board["architecture"], board["brand"], board_name=board["board"], kinds=kinds)
    return Bench(
        device=SimpleNamespace(clock=host),
        meter=meter,
        kinds=kinds,
        sensor=sensor,
        plan=plan_measurement(Method(), sensor),
        journal=None,
        progress=Remembering(),
        random=np.random.default_rng(0),
    )


def window_of(bench: Bench, number: int, length_s: float, begin_s: float) -> tuple[WindowRecord, list[Reading]]:
    """One loop, polled as a run polls it, ends included in its length."""
    host, plan, readings = bench.device.clock, bench.plan, []
    host.sleep_until(begin_s)
    loop = Loop(host)
    poll_window(bench, loop, readings, length_s - plan.skip_s - 2 * plan.align_s)
    stamps = loop.stop()
    window = WindowRecord(number=number, kind="window", start_s=stamps[0][0], stop_s=stamps[-1][0], stamps=stamps)
    return window, readings


@pytest.fixture(scope="module")
def everything(fake_nvml: FakeNvml) -> dict[str, Any]:
    return fake_nvml.run(measured, H100)


@pytest.fixture(scope="module")
def found(everything) -> dict[str, list[list[dict[str, float]]]]:
    return everything["runs"]


def test_loops_of_five_seconds_are_found_again_at_any_start_phase(everything):
    """Requirements 1 and 2: bias within 0.2 %, and a spread from the edges within 0.1 %; unaligned ends do worse."""
    errors = np.array([step["error"] for step in everything["steps"]])
    unaligned = np.array([step["unaligned"] for step in everything["steps"]])
    assert len(errors) == PHASES
    assert np.abs(errors).max() < 2e-3
    assert errors.std() < 1e-3
    assert np.sqrt((unaligned**2).mean()) > 5 * errors.std()


def test_all_twelve_are_within_their_limit_of_the_truth(found):
    assert len(found) == 12
    for name, boards in found.items():
        limit = LIMIT[has_counter(name)]
        errors = np.array([[window["alone"] for window in windows] for windows in boards])
        assert errors.shape == (BOARDS, WINDOWS)
        assert np.median(np.abs(errors)) < limit, name
        assert np.abs(errors.mean(axis=1)).max() < limit, name
        assert all(window["counter"] == has_counter(name) for windows in boards for window in windows), name


@pytest.mark.parametrize("said", ["alone", "in_run"])
def test_a_window_with_a_counter_is_as_close_as_it_states(found, said):
    """Each by its own polls, and with the rhythm that the ticks of the whole run keep."""
    missed, count = {}, BOARDS * WINDOWS
    for name in filter(has_counter, found):
        windows = [window for windows in found[name] for window in windows]
        missed[name] = sum(abs(window[said]) > window[f"{said}_stated"] for window in windows)
    assert max(missed.values()) <= most_misses(count), missed
    assert sum(missed.values()) <= most_misses(count * len(missed)), missed


@pytest.mark.parametrize("said", ["alone", "in_run"])
def test_intervals_of_runs_hold_the_truth_as_often_as_claimed_and_are_no_wider_than_that_takes(found, said):
    """Of 60 intervals of 95 %, 3 are expected to miss; 9 or fewer are let pass, and 3 or fewer of a profile's five."""
    off: dict[str, list[float]] = {}
    for name, boards in found.items():
        intervals = [log_interval([1 + window[said] for window in windows]) for windows in boards]
        off[name] = [abs(i.estimate - 1) / (i.relative_halfwidth * i.estimate) for i in intervals]
    missed = {name: sum(share > 1 for share in shares) for name, shares in off.items()}
    assert max(missed.values()) <= most_misses(BOARDS), missed
    assert sum(missed.values()) <= most_misses(BOARDS * len(off)), missed
    # Were they exact, half would have the truth beyond 0.30 of their half-width (quartile of t over its 95 % point).
    assert np.median([share for shares in off.values() for share in shares]) > 0.15


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if has_counter(name)])
def test_the_ends_of_a_window_are_timed_more_sharply_than_a_search_could(found, name):
    """A search polls every millisecond: over a stretch of a second and more that leaves 0.078 % open at most."""
    stated = [w["alone_stated"] for windows in found[name] for w in windows if w["counter"]]
    assert np.median(stated) < 0.5 * TRIANGULAR_95 * EDGE_POLL_S / 1.0
