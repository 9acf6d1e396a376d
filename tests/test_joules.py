"""Readings become joules: on exact sensors with a known truth, at any phase of the sensor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.joules import loop_latency_s, window_joules
from energybench.analysis.stretches import TRIANGULAR_95, edges_95_s
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_INSTANT, Reading
from energybench.sensor import Counter, SensorProfile, Stream

IDLE_W, LOAD_W = 60.0, 300.0
ITERATION_S = 1e-3
COUNTER_ONLY = SensorProfile("test", "exact counter", (), Counter(0.1), "test")
STREAM = Stream(POWER_INSTANT, 0.1, 0.025, delay_s=0.05)
STREAM_ONLY = SensorProfile("test", "fast value", (STREAM,), None, "test")


def window(start_s, stop_s):
    chunks = np.arange(start_s, stop_s + 1e-9, 0.005)
    return WindowRecord(
        number=0,
        kind="window",
        start_s=start_s,
        stop_s=float(chunks[-1]),
        stamps=[(float(t), round((t - start_s) / ITERATION_S)) for t in chunks],
    )


def true_energy_j(time_s, start_s):
    return IDLE_W * time_s + (LOAD_W - IDLE_W) * max(0.0, time_s - start_s)


def counter_readings(start_s, stop_s, phase_s, dense_s=1e-3, coarse_s=0.05):
    """What a runner reads: dense in the first and last 0.15 s, coarse in between."""
    readings = []
    time_s = start_s
    while time_s <= stop_s:
        tick_s = np.floor((time_s - phase_s) / 0.1) * 0.1 + phase_s
        readings.append(Reading(time_s, ENERGY, round(true_energy_j(tick_s, start_s), 3)))
        edge = time_s < start_s + 0.25 or time_s > stop_s - 0.15
        time_s += dense_s if edge else coarse_s
    return readings


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 0.0999), st.floats(0.9, 5.0))
def test_counter_windows_recover_the_load_at_any_phase(phase_s, length_s):
    start_s = 3.0
    found = window_joules(
        window(start_s, start_s + length_s), counter_readings(start_s, start_s + length_s, phase_s), COUNTER_ONLY
    )
    assert found.estimator == "counter"
    # Both edges are known to one polling interval, so the error is below one interval over the interior.
    assert found.power_w == pytest.approx(LOAD_W, rel=1.01e-3 / found.interior_s)
    assert found.energy_per_iteration_j == pytest.approx(found.power_w * ITERATION_S, rel=1e-9)
    assert found.edge_halfwidth == pytest.approx(TRIANGULAR_95 * 1e-3 / found.interior_s, rel=0.01)


@pytest.mark.parametrize("narrow_s", [0.0, 1e-5, 5e-5, 3e-4, 1e-3])
def test_edges_that_were_seen_unequally_well_leave_open_what_95_of_100_such_pairs_do(narrow_s):
    chance = np.random.default_rng(0)
    off_s = chance.uniform(-0.5, 0.5, 200_000) * 1e-3 - chance.uniform(-0.5, 0.5, 200_000) * narrow_s
    # 200,000 draws know a share of 0.95 to 0.0005; four times that is allowed.
    assert np.mean(np.abs(off_s) < edges_95_s(1e-3, narrow_s)) == pytest.approx(0.95, abs=0.002)
    assert edges_95_s(narrow_s, 1e-3) == edges_95_s(1e-3, narrow_s)


def test_what_the_counter_would_have_said_at_the_loops_ends_is_kept_beside():
    found = window_joules(window(3.0, 4.0), counter_readings(3.0, 4.0, 0.05), COUNTER_ONLY)
    # At 3 s the tick of 2.95 s stands, 60 x 2.95 = 177 J; at 4 s that of 3.95 s, 60 x 3.95 + 240 x 0.95 = 465 J.
    assert found.unaligned_w == pytest.approx((465 - 177) / 1.0, rel=2e-3)
    assert found.power_w == pytest.approx(LOAD_W, rel=2e-3)


def test_a_window_shorter_than_two_ticks_gives_a_reason_instead_of_joules():
    found = window_joules(window(0.0, 0.08), counter_readings(0.0, 0.08, 0.05), COUNTER_ONLY)
    assert found.energy_per_iteration_j is None
    assert found.power_w is None
    assert "0.3 s would do" in found.reason
    assert found.loop_latency_s == pytest.approx(ITERATION_S)


def test_a_frozen_counter_gives_a_reason_instead_of_zero_joules():
    readings = [Reading(t, ENERGY, 5.0) for t in np.arange(0, 2, 0.001)]
    found = window_joules(window(0.0, 2.0), readings, COUNTER_ONLY)
    assert found.energy_per_iteration_j is None
    assert "ticks" in found.reason


def published(start_s, stop_s, poll_s, random):
    """Fast readings of a load step: each the mean over 25 ms that ended 50 ms before, with noise of 1 %."""
    readings, shown = [], {}
    for time_s in np.arange(start_s, stop_s, poll_s):
        k = int(time_s // 0.1)
        if k not in shown:
            end = k * 0.1 - STREAM.delay_s
            mean = (true_energy_j(end, start_s) - true_energy_j(end - 0.025, start_s)) / 0.025
            shown[k] = mean * (1 + random.normal(0, 0.01))
        readings.append(Reading(time_s, POWER_INSTANT, shown[k]))
    return readings


def test_readings_without_a_counter_recover_the_load_within_their_noise():
    random = np.random.default_rng(5)
    found = window_joules(window(2.0, 7.5), published(2.0, 7.5, 0.05, random), STREAM_ONLY)
    assert found.estimator == POWER_INSTANT
    # 50 readings of 1 % noise: a standard error of 0.14 %, four of them.
    assert found.power_w == pytest.approx(LOAD_W, rel=0.0057)


def test_too_few_readings_are_below_the_floor():
    random = np.random.default_rng(5)
    found = window_joules(window(2.0, 2.4), published(2.0, 2.4, 0.05, random), STREAM_ONLY)
    assert found.energy_per_iteration_j is None
    assert "floor" in found.reason
    assert found.power_w is None


def test_without_a_sensor_only_time_is_known():
    found = window_joules(window(0.0, 1.0), [], None)
    assert found.energy_per_iteration_j is None
    assert found.reason == "no meter"
    assert found.loop_latency_s == pytest.approx(ITERATION_S)


def test_a_loop_that_slows_down_is_flagged():
    slowing = WindowRecord(
        number=0,
        kind="window",
        start_s=0.0,
        stop_s=1.0,
        stamps=[(0.0, 0), (0.25, 260), (0.5, 520), (0.75, 760), (1.0, 1000)],
    )
    assert "latency-drift" in window_joules(slowing, [], None).flags


def test_a_window_in_which_nothing_ran_is_refused():
    with pytest.raises(ValueError, match="no loop"):
        loop_latency_s(WindowRecord(number=4, kind="window"), 0.0, 1.0)
