"""Window lengths and numbers follow from the wanted precision and the sensor."""

import json
import math
import re
from dataclasses import replace

import pytest
from scipy import stats

from energybench.cli.listing import plan_lines
from energybench.planner import (
    EDGES,
    LEAST_WINDOWS,
    NOISE,
    TOGETHER,
    WISH,
    estimate,
    plan_measurement,
)
from energybench.runner.budget import Width, next_share, within_budget
from energybench.sensor import PROFILES, Counter, SensorProfile, Stream
from energybench.suite import Method, parse_duration_s

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


def test_ends_and_noise_rule_where_the_wanted_precision_is_fine_their_variances_added():
    # e = 1 %: ends 0.776 x 0.5 s / 1 % = 38.8 s; noise 3 x 0.5 s x (1.96 x 2 % / 1 %)^2 = 23.0 s.
    plan = plan_measurement(Method(), SLOW)
    ends_s, noise_s = plan.terms[EDGES], plan.terms[NOISE]
    assert ends_s == pytest.approx((1 - math.sqrt(0.05)) * 0.5 / 0.01)
    assert noise_s == pytest.approx(3 * 0.5 * (1.96 * 0.02 / 0.01) ** 2)
    assert plan.rule == TOGETHER
    assert (ends_s / plan.window_s) ** 2 + noise_s / plan.window_s == pytest.approx(1)
    assert plan.window_halfwidth == pytest.approx(0.01)
    assert plan.halfwidth == pytest.approx(0.01 * stats.t.ppf(0.975, 7) / 1.96 / math.sqrt(8))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_finer_precision_takes_longer_windows_or_more_of_them_on_every_sensor(profile):
    """With a counter, too: it adds up the noise of what it sees. A suite's wish is no way around that."""
    for method in (Method(), Method(window_s=0.5, windows=6)):
        coarse, fine = (plan_measurement(method, profile, precision=e) for e in (0.05, 0.001))
        assert fine.windows * fine.window_s > 1.9 * coarse.windows * coarse.window_s
        assert coarse.reaches_precision
        assert fine.reaches_precision != bool(fine.remarks)


def test_noise_counts_with_a_counter_as_that_of_its_steadiest_readings():
    # Turing: tau = 1.3 / 0.7, T = 0.1 s, c = 0.5 %; e = 0.2 %: 1.857 x 0.1 s x (1.96 x 0.5 / 0.2)^2 = 4.46 s.
    plan = plan_measurement(Method(precision=0.002), PROFILES["turing"])
    assert plan.terms[NOISE] == pytest.approx(1.3 / 0.7 * 0.1 * (1.96 * 0.005 / 0.002) ** 2)
    assert plan.terms[EDGES] == pytest.approx(0.776e-3 / 0.002, rel=1e-3)  # ticks are awaited at 1 ms
    assert plan.window_s == plan.terms[TOGETHER] > plan.terms[NOISE]


def test_what_no_window_can_reach_is_said_with_what_would_do():
    plan = plan_measurement(Method(precision=1e-4), SLOW)
    assert (plan.window_s, plan.windows) == (60.0, 32)
    assert plan.halfwidth > 10 * plan.precision
    (said,) = plan.remarks
    need = int(re.search(r"(\d+) of them", said)[1])
    assert plan.error.halfwidth_of(need, 60.0) <= 1e-4 < plan.error.halfwidth_of(need - 4, 60.0)
    need_s = float(re.search(r"32 of (\S+) s", said)[1])
    assert plan.error.halfwidth_of(32, need_s) == pytest.approx(1e-4, rel=0.01)


def test_more_windows_make_up_for_what_the_longest_lacks():
    # A minute leaves 1.16 % / sqrt(3) = 0.67 % of the noise open (c = 3 %, tau = 3); 0.2 % takes about (0.67 / 0.2)^2.
    noisy = SensorProfile("noisy", "noisy", (Stream("power_w", 0.5, 0.5, noise=0.03, correlation=0.5),), None, "test")
    plan = plan_measurement(Method(precision=0.005), noisy)
    assert (plan.window_s, plan.rule) == (60.0, "the longest window")
    assert plan.windows == 8  # eight of them reach 0.5 %
    finer = plan_measurement(Method(precision=0.003), noisy)
    assert 8 < finer.windows <= finer.max_windows == 32
    assert finer.error.halfwidth_of(finer.windows - 2, 60.0) > 0.003 >= finer.halfwidth
    assert not finer.remarks


def test_the_number_of_windows_is_rounded_up_to_even_so_that_blocks_pair_up():
    assert plan_measurement(Method(windows=5), COUNTER).windows == 6


def test_a_suites_own_window_is_a_wish_and_its_lengthening_is_said():
    kept = plan_measurement(Method(window_s=0.5), COUNTER)
    assert (kept.window_s, kept.rule, kept.told) == (0.5, WISH, ())
    for wish_s, sensor, least_s in ((0.01, COUNTER, 0.3), (0.5, SLOW, 25.0)):
        plan = plan_measurement(Method(window_s=wish_s), sensor)
        assert plan.window_s == pytest.approx(least_s)
        assert f"window_s of {wish_s:g} s is lengthened to {least_s:g} s" in plan.told[0]
        assert plan.as_record()["remarks"] == list(plan.told)
    # By its own windows all together, not by each of them: eight of 50 refreshes reach 1 % on the slow sensor.
    assert plan_measurement(Method(window_s=0.5), SLOW).window_halfwidth > 0.01
    assert plan_measurement(Method(window_s=0.5), SLOW).halfwidth <= 0.01


def test_the_precision_of_the_command_line_rules_over_the_suites():
    method = Method(precision=0.05, window_s=0.5, windows=6)
    assert plan_measurement(method, COUNTER).window_s == 0.5
    asked = plan_measurement(method, COUNTER, precision=0.002)
    assert (asked.precision, asked.rule) == (0.002, TOGETHER)
    assert asked.halfwidth == pytest.approx(0.002)


def test_correlated_readings_take_windows_of_ten_correlation_times():
    # phi = 0.95 falls by a factor of e in 1 / -ln 0.95 = 19.5 refreshes: 195 of them, where 50 would not do.
    slow = SensorProfile("slow", "slow", (Stream("power_w", 0.1, 1.0, noise=0.001, correlation=0.95),), None, "test")
    assert plan_measurement(Method(), slow).window_s == pytest.approx(19.5, rel=0.01)
    assert plan_measurement(Method(window_s=1), slow).rule == "10 correlation times"


def test_quick_is_short_and_few_on_every_sensor():
    for profile in PROFILES.values():
        quick, full = plan_measurement(Method(), profile, quick=True), plan_measurement(Method(), profile)
        assert quick.windows == LEAST_WINDOWS < full.windows
        assert quick.window_s <= 0.7 * full.window_s
        assert quick.max_windows == quick.windows


def test_a_plan_tells_everything_that_ruled_it():
    record = plan_measurement(Method(), COUNTER, iteration_s=0.02).as_record()
    assert json.loads(json.dumps(record)) == record | {"settle_s": [5.0, 120.0]}
    assert {EDGES, NOISE, TOGETHER, "3 ticks of the counter", "settling, span and delay"} <= record["terms"].keys()
    assert record["window_s"] == record["terms"][record["rule"]]
    assert record["error"] == {"edge_s": 1e-3, "refresh_s": 0.1, "noise": 0.01, "tau": pytest.approx(1.3 / 0.7)}
    assert record["iterations_s"] == pytest.approx(0.2)
    assert record["halfwidth"] < record["window_halfwidth"] < record["precision"]


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


def test_a_budget_takes_windows_first_then_their_length_and_says_what_that_costs():
    plan = plan_measurement(Method(budget_s=600.0), NO_COUNTER)
    assert within_budget(plan, 2, 1) == plan
    fewer = within_budget(plan, 15, 2)
    assert (fewer.windows, fewer.window_s, fewer.remarks) == (6, 5.0, ())
    shorter = within_budget(plan, 60, 2)
    assert (shorter.windows, shorter.rule) == (6, "the budget")
    assert NO_COUNTER.streams[0].refresh_s * 23 < shorter.window_s < 5.0
    assert estimate(replace(shorter, budget_s=None), 60, 2, None).duration_s == pytest.approx(600.0)
    assert not shorter.remarks  # six windows of 1.5 s still leave under 1 % open
    (said,) = within_budget(plan, 130, 2).remarks
    assert "1% is out of reach within 10 min" in said
    enough_s = parse_duration_s(re.search(r"--budget (\S+) would do", said)[1])
    assert within_budget(replace(plan, budget_s=enough_s), 130, 2).windows == plan.windows
    hopeless = within_budget(plan, 600, 2)
    assert hopeless.windows == LEAST_WINDOWS
    assert "ends before all are measured" in hopeless.remarks[0]


def test_what_is_left_of_a_budget_goes_to_the_noisiest_as_far_as_the_next():
    # 8 x (4 / 2)^2 = 32 windows would narrow it to the next; not more than twice what it has at a time.
    assert next_share({"a": Width(0.04, 8), "b": Width(0.02, 8)}, 0.01) == ("a", 16)
    assert next_share({"a": Width(0.025, 8), "b": Width(0.02, 8)}, 0.01) == ("a", 14)  # 8 x 1.25^2 = 12.5
    assert next_share({"a": Width(0.0201, 8), "b": Width(0.02, 8)}, 0.01) == ("a", 10)
    assert next_share({"a": Width(math.inf, 4), "b": Width(0.02, 8)}, 0.01) == ("a", 6)
    assert next_share({"a": Width(0.01, 8), "b": Width(0.0, 0)}, 0.01) is None
    assert next_share({}, 0.01) is None


def test_an_exact_sensor_without_noise_is_ruled_by_its_refreshes():
    exact = SensorProfile("exact", "exact", (Stream("power_w", 0.2, 0.2),), None, "test")
    assert plan_measurement(Method(precision=0.05), exact).window_s == pytest.approx(10.0)
    with_counter = SensorProfile("c", "c", (), Counter(0.5), "test")
    assert plan_measurement(Method(precision=0.05), with_counter).window_s == pytest.approx(1.5)


def test_the_dry_run_prints_every_term_in_eighty_columns():
    lines = "\n".join(plan_lines(plan_measurement(Method(window_s=0.1), COUNTER, precision=1e-5, iteration_s=0.01)))
    assert max(map(len, lines.split("\n"))) <= 80
    for word in (
        "T_eff 0.001 s",
        "c 1%",
        "tau 1.86",
        "ticks of the counter",
        "of one window",
        "out of reach",
        "would do",
    ):
        assert word in lines
