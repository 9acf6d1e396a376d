"""Halves of a window: a drift is seen with few ticks, chance is not taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from energybench.analysis.joules import window_joules
from energybench.analysis.stationarity import TWO_SIDED, power_halves, speed_halves
from energybench.journal import WindowRecord
from energybench.readings import ENERGY, POWER_INSTANT, Reading
from energybench.sensor import Counter, SensorProfile, Stream

COUNTER_ONLY = SensorProfile("test", "exact counter", (), Counter(0.1), "test")


def window(stop_s, stamps=200):
    times = np.linspace(0.0, stop_s, stamps)
    return WindowRecord(
        number=0, kind="window", start_s=0.0, stop_s=stop_s, stamps=[(float(t), round(1e4 * t)) for t in times]
    )


def counted(stop_s, phase_s, power_w):
    """A 100 ms counter polled every millisecond around its ends and every 50 ms in between."""
    times, time_s = [], 0.0
    while time_s <= stop_s:
        times.append(time_s)
        time_s += 1e-3 if time_s < 0.12 or time_s > stop_s - 0.2 else 0.05
    grid = np.arange(-0.1, stop_s + 0.1, 1e-4)
    joules = np.concatenate(([0.0], np.cumsum(np.diff(grid) * power_w(grid[:-1]))))
    ticks = np.floor((np.array(times) - phase_s) / 0.1) * 0.1 + phase_s
    return [Reading(t, ENERGY, float(j)) for t, j in zip(times, np.interp(ticks, grid, joules), strict=True)]


@given(st.floats(0.0, 0.099))
def test_half_a_second_of_a_100_ms_counter_shows_a_drift_at_any_phase(phase_s):
    """Four intervals are enough: power rises by 8 %/s, so that halves 0.2 s apart differ by 1.6 %."""
    shape = window(0.65)
    steady = window_joules(shape, counted(0.65, phase_s, lambda t: np.full_like(t, 300.0)), COUNTER_ONLY)
    assert steady.power is not None
    assert abs(steady.power.difference) < 1e-3
    assert "power-drift" not in steady.flags
    stepped = window_joules(shape, counted(0.65, phase_s, lambda t: np.where(t < 0.32, 300.0, 330.0)), COUNTER_ONLY)
    assert stepped.power.difference > 0.05
    rising = window_joules(window(1.5), counted(1.5, phase_s, lambda t: 300 * (1 + 0.08 * t)), COUNTER_ONLY)
    # Halves of 1.3 s or so lie 0.65 s apart, at a mean power of about 1.06: 0.08 x 0.65 / 1.06, within a tick each way.
    assert rising.power.difference == pytest.approx(0.049, abs=0.012)
    assert "power-drift" in rising.flags
    assert rising.drift == pytest.approx(abs(rising.power.difference))


def test_a_counter_that_skipped_a_tick_is_not_judged_by_its_ticks():
    readings = [r for r in counted(1.5, 0.03, lambda t: np.full_like(t, 300.0)) if not 0.6 < r.time_s < 0.85]
    assert window_joules(window(1.5), readings, COUNTER_ONLY).power is None


@pytest.mark.parametrize(("correlation", "most"), [(0.0, 0.008), (0.6, 0.02)])
def test_noise_is_seldom_taken_for_a_drift(correlation, most):
    """5 % noise: the 1 % limit is inside it, so chance rules: 0.27 % of windows, more where readings are correlated."""
    random = np.random.default_rng(3)
    stream = Stream(POWER_INSTANT, 0.1, 0.1, noise=0.05, correlation=correlation)
    sensor = SensorProfile("test", "noisy", (stream,), None, "test")
    shape, alarms, windows = window(5.0), 0, 1500
    for _ in range(windows):
        noise, level = [], random.normal()
        for _ in range(50):
            level = correlation * level + np.sqrt(1 - correlation**2) * random.normal()
            noise.append(level)
        readings = [Reading(0.1 * i, POWER_INSTANT, 300 * (1 + 0.05 * x)) for i, x in enumerate(noise)]
        found = window_joules(shape, readings, sensor)
        alarms += "power-drift" in found.flags
    assert alarms / windows <= most


def test_speed_that_scatters_has_not_drifted_and_speed_that_falls_has():
    random = np.random.default_rng(4)

    def stamps(second_s):
        each = np.concatenate((np.full(30, 1e-3), np.full(30, second_s))) * np.exp(random.normal(0, 0.06, 60))
        times = np.concatenate(([0.0], np.cumsum(100 * each)))
        return WindowRecord(
            number=0,
            kind="window",
            stop_s=float(times[-1]),
            stamps=[(float(t), 100 * i) for i, t in enumerate(times)],
        )

    drifting = [speed_halves(w, 0.0, w.stop_s).drifted for w in (stamps(1e-3) for _ in range(200))]
    assert sum(drifting) <= 3  # binomial of 200 at 0.27 %: more than 3 in one of 500 such tests
    falling = [speed_halves(w, 0.0, w.stop_s).drifted for w in (stamps(1.1e-3) for _ in range(50))]
    assert sum(falling) >= 45  # 10 % are 6.5 standard errors


def test_what_was_hardly_seen_is_not_judged():
    assert speed_halves(window(0.1, stamps=4), 0.0, 0.1) is None
    assert power_halves(window(1.0), [], None, None) is None
    assert special.stdtrit(np.inf, 1 - TWO_SIDED / 2) == pytest.approx(3.0, abs=1e-2)
