"""Ratios of cases and of totals, and their intervals."""

import math

import numpy as np
import pytest

from energybench.analysis.ratios import Stage, merged, ratio_of, ratio_of_totals, total_of


def blocks(values):
    return dict(enumerate(values))


def test_the_same_measurement_has_a_ratio_of_exactly_one():
    ratio = ratio_of(blocks([2.0, 2.1]), blocks([2.0, 2.1]))
    assert (ratio.interval.low, ratio.interval.estimate, ratio.interval.high) == (1.0, 1.0, 1.0)


def test_drift_common_to_both_variants_leaves_no_trace_in_their_ratio():
    drift = [1.00, 1.03, 1.06, 1.09, 1.12, 1.15]
    ratio = ratio_of(blocks([0.8 * d for d in drift]), blocks(drift))
    assert ratio.interval.estimate == pytest.approx(0.8)
    assert ratio.interval.high - ratio.interval.low < 1e-12


def test_variants_that_share_no_block_have_no_ratio():
    assert ratio_of({0: 1.0, 1: 1.0}, {2: 1.0, 3: 1.0}) is None


def test_a_total_is_the_weighted_sum_of_its_stages():
    total = total_of([Stage("a", 5, blocks([2.0, 2.0])), Stage("b", 1, blocks([3.0, 3.0]))])
    assert total.estimate == pytest.approx(13.0)


def test_stages_of_one_measurement_do_not_average_out():
    once = total_of([Stage("a", 2, blocks([1.0, 1.1, 0.9]))])
    twice = total_of([Stage("a", 1, blocks([1.0, 1.1, 0.9])), Stage("a", 1, blocks([1.0, 1.1, 0.9]))])
    assert twice == once
    assert [s.weight for s in merged([Stage("a", 1, {0: 1.0}), Stage("a", 1, {0: 1.0})])] == [2]


def test_the_interval_of_a_ratio_of_totals_covers_the_truth():
    random = np.random.default_rng(7)
    runs, covered = 1500, 0
    weights, true_a, true_b = (1.0, 5.0), (3.0, 1.0), (4.0, 1.2)
    truth = sum(w * a for w, a in zip(weights, true_a, strict=True)) / sum(
        w * b for w, b in zip(weights, true_b, strict=True)
    )

    def stages(truths):
        return [
            Stage(f"{i}", w, blocks(t * np.exp(random.normal(0, 0.004, 8))))
            for i, (w, t) in enumerate(zip(weights, truths, strict=True))
        ]

    for _ in range(runs):
        interval = ratio_of_totals(stages(true_a), stages(true_b)).interval
        covered += interval.low <= truth <= interval.high
    # Four standard errors of 0.95 over 1500 runs: 0.0225.
    assert covered / runs == pytest.approx(0.95, abs=0.0225)


def test_one_mirrored_pair_gives_an_estimate_without_an_interval():
    ratio = ratio_of({0: 2.0, 1: 2.0}, {0: 1.0, 1: 1.01})
    assert ratio.interval.estimate == pytest.approx(2.0 / math.sqrt(1.01))
    assert ratio.interval.high == math.inf


def test_blocks_that_only_one_variant_has_do_not_move_a_ratio():
    # Both drift by 0.2 % a block; the baseline was measured four times as long. The true ratio is 1.
    drift = [1.002**block for block in range(32)]
    ratio = ratio_of(blocks(drift[:8]), blocks(drift))
    assert ratio.interval.estimate == pytest.approx(1.0, abs=1e-12)
    assert ratio.interval.low <= 1.0 <= ratio.interval.high


def test_ratios_and_totals_are_no_surer_than_their_windows_allow():
    """Sixteen windows a side, each known to 2 % and 1 %: the ratio to sqrt(0.02^2 + 0.01^2) / 4; a total to less."""
    close, like = blocks([2.0, 2.0001, 1.9999, 2.0] * 4), blocks([1.0, 1.0001, 1.0, 0.9999] * 4)
    ratio = ratio_of(close, like, each=(0.02, 0.01)).interval
    assert math.log(ratio.high / ratio.estimate) == pytest.approx(math.hypot(0.02, 0.01) / 4)
    total = total_of([Stage("a", 1, close, 0.02), Stage("b", 2, like, 0.01)])
    assert math.log(total.high / total.estimate) == pytest.approx(math.hypot(0.5 * 0.02, 0.5 * 0.01) / 4, rel=1e-3)
    same = ratio_of_totals(
        [Stage("a", 1, close, 0.02), Stage("b", 1, like)], [Stage("a", 1, close, 0.02), Stage("c", 1, close)]
    )
    assert same.interval.high / same.interval.estimate < 1.001  # a stage that both share cancels
