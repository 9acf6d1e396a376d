"""Unpaired ratios of two runs: Welch's interval, totals by the delta method, the split, the gains."""

import math

import numpy as np
import pytest
from scipy import stats

from energybench.analysis.statistics import Interval
from energybench.analysis.welch import Windows, gain_halfwidth, logs_of, unpaired_ratio, widened

OLD = Windows("old", 1, (1.00, 1.02, 0.99, 1.01, 1.00), (2.0, 2.1, 1.9, 2.05, 1.98))
NEW = Windows("new", 1, (1.10, 1.13, 1.09, 1.12, 1.11, 1.10), (2.6, 2.5, 2.55, 2.45, 2.65, 2.52))


def test_a_ratio_of_two_runs_has_welch_s_interval_on_logarithms():
    ratio = unpaired_ratio(logs_of([NEW]).energy, logs_of([OLD]).energy).interval
    scipy = stats.ttest_ind(np.log(NEW.energy_j), np.log(OLD.energy_j), equal_var=False)
    expected = scipy.confidence_interval(0.95)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((expected.low, expected.high))
    assert ratio.degrees == pytest.approx(scipy.df)
    assert ratio.estimate == pytest.approx(stats.gmean(NEW.energy_j) / stats.gmean(OLD.energy_j))


def test_the_change_of_energy_is_exactly_that_of_time_times_that_of_power():
    old, new = logs_of([OLD]), logs_of([NEW])
    time, power, energy = (
        math.log(unpaired_ratio(getattr(new, q), getattr(old, q)).interval.estimate)
        for q in ("latency", "power", "energy")
    )
    assert energy == pytest.approx(time + power, abs=1e-15)


def test_what_varies_in_time_and_joules_alike_does_not_widen_power():
    seconds = (1.0, 1.2, 0.9, 1.1, 1.0)
    logs = logs_of([Windows("a", 1, seconds, tuple(3 * s for s in seconds))])
    assert logs.power.variance_of_mean == pytest.approx(0, abs=1e-30)
    assert logs.energy.variance_of_mean > 1e-3


def test_the_logarithm_of_a_total_weighs_stages_by_their_shares():
    # 3 x 2 J + 1 x 4 J = 10 J: shares 0.6 and 0.4; variances of the means v/n each, scaled by the shares squared
    d1, d2 = 0.01, 0.03
    stages = [
        Windows("a", 3, (1.0,) * 6, (2 * math.exp(-d1), 2 * math.exp(d1)) * 3),
        Windows("b", 1, (1.0,) * 6, (4 * math.exp(-d2), 4 * math.exp(d2)) * 3),
    ]
    total = logs_of(stages).energy
    assert total.mean == pytest.approx(math.log(10))
    # six values m -+ d have variance 6 d^2 / 5, their mean d^2 / 5
    v1, v2 = (0.6 * d1) ** 2 / 5, (0.4 * d2) ** 2 / 5
    assert total.variance_of_mean == pytest.approx(v1 + v2)
    assert total.degrees == pytest.approx((v1 + v2) ** 2 / (v1**2 / 5 + v2**2 / 5))


def test_stages_that_share_a_measurement_do_not_average_out():
    once = logs_of([Windows("a", 2, OLD.latency_s, OLD.energy_j)])
    twice = logs_of([Windows("a", 1, OLD.latency_s, OLD.energy_j), Windows("a", 1, OLD.latency_s, OLD.energy_j)])
    assert twice == once


def test_intervals_of_totals_cover_the_truth_as_often_as_they_say():
    random = np.random.default_rng(7)
    truth, trials, hits = (3 * 2 + 5) / (3 * 2.2 + 4), 1500, 0
    for _ in range(trials):

        def drawn(name, weight, joules, n):
            return Windows(name, weight, (1.0,) * n, tuple(joules * np.exp(random.normal(0, 0.02, n))))

        new = logs_of([drawn("a", 3, 2.0, 6), drawn("b", 1, 5.0, 6)])
        old = logs_of([drawn("a", 3, 2.2, 8), drawn("b", 1, 4.0, 8)])
        interval = unpaired_ratio(new.energy, old.energy).interval
        hits += interval.low < truth < interval.high
    # three standard errors of a proportion of 0.95 among 1500: 0.017
    assert hits / trials == pytest.approx(0.95, abs=0.017)


def test_a_single_window_gives_a_ratio_without_an_interval():
    one = Windows("one", 1, (2.0,), (4.0,))
    ratio = unpaired_ratio(logs_of([one]).latency, logs_of([OLD]).latency)
    assert (ratio.interval.low, ratio.interval.high, ratio.smallest_difference) == (0.0, math.inf, math.inf)
    assert ratio.interval.estimate == pytest.approx(2.0 / stats.gmean(OLD.latency_s))


def test_windows_without_any_spread_give_a_point():
    flat = logs_of([Windows("flat", 1, (2.0,) * 5)]).latency
    ratio = unpaired_ratio(flat, flat)
    assert (ratio.interval.low, ratio.interval.high, ratio.smallest_difference) == (1.0, 1.0, 0.0)


def test_without_joules_there_is_no_energy_and_no_power():
    logs = logs_of([Windows("a", 1, (1.0, 1.1))])
    assert logs.energy is None
    assert logs.power is None


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.05), (0.05, 0.02), (0.02, 0.05), (0.05, 0.0), (0.05, 0.001)])
def test_two_gains_miss_their_half_width_one_time_in_twenty(a, b):
    random = np.random.default_rng(3)
    logs = random.uniform(-1, 1, (2, 400_000)) * np.log1p([[a], [b]])
    beyond = np.mean(np.abs(logs[1] - logs[0]) > gain_halfwidth(a, b))
    assert beyond == pytest.approx(0.05, abs=0.0015)  # four standard errors of 0.05 among 400 000


def test_sensors_without_gain_error_widen_nothing():
    interval = Interval(1.1, 1.0, 1.2, 5)
    assert gain_halfwidth(0.0, 0.0) == 0
    assert widened(interval, 0.0) == interval


def test_a_systematic_half_width_is_added_to_both_ends():
    wide = widened(Interval(1.1, 1.0, 1.2, 5), math.log(1.05))
    assert (wide.low, wide.high) == pytest.approx((1 / 1.05, 1.26))
