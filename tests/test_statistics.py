"""Intervals hold what they promise: checked against SciPy, textbook values and simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from energybench.analysis.statistics import (
    Contrast,
    Interval,
    contrast,
    log_interval,
    mirrored_pairs,
    summed,
    verdict,
    visible_difference,
)

POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=30)


@given(POSITIVE)
def test_log_interval_is_the_t_interval_of_the_logarithms(values):
    logs = np.log(values)
    low, high = stats.t.interval(0.95, len(logs) - 1, loc=logs.mean(), scale=stats.sem(logs))
    interval = log_interval(values)
    if stats.sem(logs) > 0:
        assert math.log(interval.low) == pytest.approx(low, abs=1e-9)
        assert math.log(interval.high) == pytest.approx(high, abs=1e-9)
    assert interval.estimate == pytest.approx(stats.gmean(values))


def test_one_replicate_says_nothing_about_its_spread():
    interval = log_interval([3.0])
    assert interval.estimate == pytest.approx(3.0)
    assert (interval.low, interval.high) == (0.0, math.inf)


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, -2.0], [1.0, math.nan]])
def test_values_without_a_logarithm_are_refused(bad):
    with pytest.raises(ValueError, match="positive"):
        log_interval(bad)


def test_intervals_of_eight_windows_cover_the_truth_as_often_as_they_say():
    random = np.random.default_rng(20260101)
    runs = 4000
    covered = 0
    for logs in random.normal(0.0, 0.003, (runs, 8)):
        interval = log_interval(np.exp(logs).tolist())
        covered += interval.low <= 1.0 <= interval.high
    # Four standard errors of a proportion of 0.95 over 4000 runs are 0.014.
    assert covered / runs == pytest.approx(0.95, abs=0.014)


def test_welch_satterthwaite_reproduces_welch_for_two_samples():
    random = np.random.default_rng(3)
    a, b = random.normal(1.0, 0.1, 6), random.normal(1.3, 0.4, 9)
    interval = summed([contrast(a), contrast(-b)])
    oracle = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert math.log(interval.low) == pytest.approx(oracle.low)
    assert math.log(interval.high) == pytest.approx(oracle.high)


def test_a_sum_with_one_unreplicated_part_has_no_interval():
    interval = summed([contrast([0.1, 0.2]), contrast([0.3])])
    assert interval.high == math.inf


def test_parts_without_spread_give_a_point():
    interval = summed([Contrast(0.0, 0.0, 3), Contrast(math.log(2), 0.0, 3)])
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((2, 2, 2))


def test_mirrored_pairs_cancel_linear_drift():
    # Blocks run A B | B A; log power grows by the same step from one window to the next.
    step = 0.01
    a = {0: math.exp(0 * step), 1: math.exp(3 * step)}
    b = {0: math.exp(1 * step), 1: math.exp(2 * step)}
    assert mirrored_pairs(a)[0] == pytest.approx(mirrored_pairs(b)[0])


def test_a_block_that_lost_its_mirror_leaves_the_pairs():
    assert set(mirrored_pairs({0: 1.0, 1: 1.1, 2: 1.2})) == {0}
    assert set(mirrored_pairs({1: 1.0, 2: 1.1, 3: 1.2})) == {1}


@pytest.mark.parametrize(("pairs", "factor"), [(5, 1.66), (8, 1.15), (16, 0.75), (30, 0.53)])
def test_smallest_difference_agrees_with_the_published_factors(pairs, factor):
    # Factors of the block standard deviation for 80 % power at 5 %: docs/derivations.md 5, two digits.
    assert visible_difference(1e-4 / math.sqrt(pairs), pairs - 1) == pytest.approx(factor * 1e-4, rel=0.01)


def test_without_degrees_of_freedom_no_difference_is_visible():
    assert visible_difference(0.01, 0) == math.inf


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.9, 0.95, "less"), (1.02, 1.1, "more"), (0.995, 1.004, "same"), (0.97, 1.03, "cannot tell")],
)
def test_verdicts(low, high, word):
    assert verdict(Interval(0.5 * (low + high), low, high, 7)) == word


def test_a_few_windows_that_agree_by_chance_are_no_surer_than_each_of_them_allows():
    """Nine windows, each known to 3 %: their mean to 1 %, however close they lie."""
    close = log_interval([100.0, 100.01, 99.99] * 3, each=0.03)
    assert math.log(close.high / close.estimate) == pytest.approx(0.03 / math.sqrt(9))
    apart = [100.0, 110.0, 90.0] * 3
    assert log_interval(apart, each=0.02) == log_interval(apart)
    assert log_interval([100.0], each=0.02).high == math.inf
