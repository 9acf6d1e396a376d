"""Window lengths and numbers follow from the wanted precision and the sensor."""

import pytest

from energybench.planner import estimate, plan_measurement
from energybench.sensor import PROFILES, Counter, SensorProfile, Stream
from energybench.suite import Method

COUNTER = PROFILES["h100"]
NO_COUNTER = PROFILES["pascal"]
SLOW = SensorProfile("slow", "slow", (Stream("power_w", 0.5, 0.5, noise=0.02, correlation=0.5),), None, "test")


def test_with_a_counter_a_window_lasts_at_least_a_second():
    plan = plan_measurement(Method(), COUNTER)
    assert plan.window_s == 1.0
    assert plan.windows == 8
    assert "counter" in plan.rule


def test_without_a_counter_a_window_lasts_five_seconds_and_fifty_refreshes():
    assert plan_measurement(Method(), NO_COUNTER).window_s >= max(5.0, 50 * 0.02)
    assert plan_measurement(Method(), SLOW).window_s >= 50 * 0.5


def test_noise_rules_where_the_wanted_precision_is_fine():
    # tau x T x (1.96 c / e)^2 with tau = 1.5 / 0.5, T = 0.5 s, c = 2 %, e = 0.5 %: 92.2 s.
    plan = plan_measurement(Method(precision=0.005), SLOW)
    assert plan.window_s == pytest.approx(3 * 0.5 * (1.96 * 0.02 / 0.005) ** 2)
    assert plan.rule == "noise of the readings"


def test_the_number_of_windows_is_rounded_up_to_even_so_that_blocks_pair_up():
    assert plan_measurement(Method(windows=5), COUNTER).windows == 6


def test_a_suites_own_window_is_kept_where_the_sensor_can_resolve_it():
    assert plan_measurement(Method(window_s=0.5), COUNTER).window_s == 0.5
    assert plan_measurement(Method(window_s=0.01), COUNTER).window_s == pytest.approx(0.3)
    assert plan_measurement(Method(window_s=0.5), SLOW).window_s == 25.0


def test_quick_is_short_and_few_on_every_sensor():
    for profile in PROFILES.values():
        quick, full = plan_measurement(Method(), profile, quick=True), plan_measurement(Method(), profile)
        assert quick.windows <= 4 < full.windows
        assert quick.window_s <= full.window_s
        assert quick.max_windows == quick.windows


def test_without_a_meter_only_latency_is_planned():
    plan = plan_measurement(Method(), None)
    assert plan.align_s == 0
    assert plan.skip_s == 0
    assert "no meter" in plan.rule


def test_the_estimate_grows_with_work_and_stops_at_the_budget():
    plan = plan_measurement(Method(), COUNTER)
    ten, twenty = (estimate(plan, works, 1, 300.0) for works in (10, 20))
    assert ten.duration_s > 10 * plan.windows * plan.window_s
    assert twenty.duration_s > 1.9 * ten.duration_s - 30
    assert ten.energy_j == pytest.approx(300 * ten.duration_s)
    limited = plan_measurement(Method(budget_s=60.0), COUNTER)
    assert estimate(limited, 1000, 1, None).duration_s == 60.0


def test_an_exact_sensor_without_noise_is_ruled_by_its_refreshes():
    exact = SensorProfile("exact", "exact", (Stream("power_w", 0.2, 0.2),), None, "test")
    assert plan_measurement(Method(precision=0.05), exact).window_s == pytest.approx(10.0)
    with_counter = SensorProfile("c", "c", (), Counter(0.5), "test")
    assert plan_measurement(Method(), with_counter).window_s == pytest.approx(1.5)
