from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.allocation import (
    GroupedStage,
    LinearPlusInverse,
    common_group_sizes,
    divisor_choice,
    divisors,
    equivalent_group_size,
    fit_linear_plus_inverse,
    fixed_macs,
    optimal_allocation,
    shares,
)
from energybench.errors import EnergyBenchError

# grouped 3x3 layers: (channels, output side, repeats); strides of MobileNet-V1 applied
MOBILENET = [
    *(GroupedStage(32, 112), GroupedStage(64, 56), GroupedStage(128, 56), GroupedStage(128, 28), GroupedStage(256, 28)),
    *(GroupedStage(256, 14), GroupedStage(512, 14, 5), GroupedStage(512, 7), GroupedStage(1024, 7)),
]
RESNEXT = [GroupedStage(128, 56, 3), GroupedStage(256, 28, 4), GroupedStage(512, 14, 6), GroupedStage(1024, 7, 3)]

T2 = LinearPlusInverse(3, 0.5, 32)


def test_vector_t2_closed_form():
    assert T2.optimum == 8
    assert T2.minimum == 11
    assert [T2.at(G) for G in (1, 2, 4, 8, 16, 32, 64)] == [35.5, 20, 13, 11, 13, 20, 35.5]


def test_vector_t2_a_least_squares_fit_returns_the_curve_it_was_made_from():
    sizes = (1, 2, 4, 8, 16, 32, 64)
    fitted = fit_linear_plus_inverse(sizes, [T2.at(G) for G in sizes])
    assert (fitted.constant, fitted.per_group_size, fitted.per_group) == pytest.approx((3, 0.5, 32))


def test_vector_t3_the_divisor_is_chosen_by_the_product_of_its_neighbours():
    curve = LinearPlusInverse(0, 2, 200)
    assert curve.optimum == 10
    assert divisor_choice(curve, divisors(48)) == 12  # neighbours 8 and 12: 96 < 100
    assert curve.at(12) == pytest.approx(40.667, abs=5e-4)
    assert curve.at(8) == 41.0


def test_vector_t3_an_optimum_that_is_a_divisor_is_chosen():
    curve = LinearPlusInverse(5, 2, 128)
    assert curve.optimum == 8
    assert divisor_choice(curve, divisors(48)) == 8
    assert curve.at(8) == 5 + 32


def test_rounding_to_the_nearest_integer_would_choose_wrongly():
    # G* = 5.75 is nearer to 4 than to 8, yet 4 x 8 = 32 < 33
    curve = LinearPlusInverse(0, 1, 33)
    assert abs(curve.optimum - 4) < abs(curve.optimum - 8)
    assert divisor_choice(curve, [1, 2, 4, 8, 16]) == 8


def test_a_curve_with_only_one_of_the_two_costs_has_no_interior_optimum():
    assert LinearPlusInverse(1, 2, 0).optimum is None
    assert LinearPlusInverse(1, 0, 2).minimum is None
    assert divisor_choice(LinearPlusInverse(1, 2, 0), divisors(64)) == 1
    assert divisor_choice(LinearPlusInverse(1, 0, 2), divisors(64)) == 64


def test_three_terms_are_not_fitted_to_two_group_sizes():
    with pytest.raises(EnergyBenchError, match="2 distinct group sizes"):
        fit_linear_plus_inverse([4, 8, 8], [1.0, 2.0, 2.1])


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 2000))
def test_the_divisor_rule_finds_the_least_of_all_divisors(a: float, b: float, channels: int):
    curve = LinearPlusInverse(0.0, a, b)
    best = min(curve.at(G) for G in divisors(channels))
    assert curve.at(divisor_choice(curve, divisors(channels))) == pytest.approx(best, rel=1e-12)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(1e-3, 1e3))
def test_the_curve_is_symmetric_in_the_logarithm_of_the_group_size(a: float, b: float, factor: float):
    curve = LinearPlusInverse(0.0, a, b)
    assert curve.at(curve.optimum * factor) == pytest.approx(curve.at(curve.optimum / factor))
    assert curve.at(curve.optimum * factor) >= curve.minimum * (1 - 1e-12)


@given(st.integers(1, 5000))
def test_divisors_divide_and_none_is_missed(number: int):
    assert divisors(number) == tuple(d for d in range(1, number + 1) if number % d == 0)


def test_group_sizes_a_whole_network_can_have():
    assert common_group_sizes([s.channels for s in MOBILENET])[-1] == 32
    assert common_group_sizes([s.channels for s in RESNEXT])[-1] == 128


def test_output_elements_of_the_two_networks():
    assert sum(stage.output_elements for stage in MOBILENET) == 1_931_776
    assert sum(stage.output_elements for stage in RESNEXT) == 2_759_680
    assert shares(RESNEXT) == pytest.approx((0.436364, 0.290909, 0.218182, 0.054545), abs=5e-7)


@pytest.mark.parametrize(
    ("stages", "groups", "equivalent"),
    [
        (MOBILENET, 32, 7.688312),
        (MOBILENET, 16, 15.377),
        (MOBILENET, 8, 30.753),
        (RESNEXT, 32, 9.309091),
        (RESNEXT, 16, 18.618),
        (RESNEXT, 64, 4.655),
        (RESNEXT, 8, 37.236),
    ],
)
def test_vector_t4_constant_group_size_with_the_macs_of_a_constant_number_of_groups(stages, groups, equivalent):
    digits = len(str(equivalent).split(".")[1])
    assert equivalent_group_size(stages, groups) == pytest.approx(equivalent, abs=0.5 * 10**-digits)


@pytest.mark.parametrize(("stages", "penalty"), [(RESNEXT, 1.496860), (MOBILENET, 2.758307)])
@pytest.mark.parametrize("groups", [8, 32])
def test_vector_t4_penalty_of_a_constant_number_of_groups_whatever_the_number(stages, penalty, groups):
    allocation = fixed_macs(stages, [stage.channels / groups for stage in stages])
    assert allocation.penalty == pytest.approx(penalty, abs=5e-7)


def test_the_mean_inverse_group_size_of_resnext():
    allocation = fixed_macs(RESNEXT, [stage.channels / 32 for stage in RESNEXT])
    assert allocation.mean_inverse == pytest.approx(0.160795, abs=5e-7)


@pytest.mark.parametrize(
    ("stages", "group_sizes", "cost", "ratio"),
    [
        (MOBILENET, [8] * 9, 144, 1),
        (MOBILENET, [stage.channels / 32 for stage in MOBILENET], 275.844, 1.91558),
        (RESNEXT, [stage.channels / 32 for stage in RESNEXT], 176.4, 1.225),
        (RESNEXT, [9.309091] * 4, 145.657, None),
    ],
)
def test_vector_t4_reconstructed_cost_of_whole_networks(stages, group_sizes, cost, ratio):
    # K^2 G + 2 beta / (K^2 G) with K = 3 and beta = 2592, averaged over output elements
    allocation = fixed_macs(stages, group_sizes)
    variable = 9 * allocation.equivalent_group_size + 2 * 2592 / 9 * allocation.mean_inverse
    assert variable == pytest.approx(cost, abs=5e-4)
    if ratio is not None:
        assert variable / 144 == pytest.approx(ratio, abs=5e-6)


STAGES = st.lists(
    st.builds(GroupedStage, st.integers(1, 2048), st.integers(1, 112), st.integers(1, 8)), min_size=1, max_size=8
)


@settings(max_examples=100, deadline=None)
@given(STAGES, st.data())
def test_no_allocation_beats_a_constant_group_size_at_equal_macs(stages, data):
    sizes = data.draw(st.lists(st.floats(0.5, 512), min_size=len(stages), max_size=len(stages)))
    allocation = fixed_macs(stages, sizes)
    assert allocation.penalty >= 1 - 1e-12
    constant = fixed_macs(stages, [allocation.equivalent_group_size] * len(stages))
    assert constant.penalty == pytest.approx(1)
    assert constant.mean_inverse <= allocation.mean_inverse * (1 + 1e-12)


def test_the_optimal_allocation_is_constant_where_movement_goes_with_output():
    assert optimal_allocation(RESNEXT, 9.309091) == pytest.approx([9.309091] * 4)


@settings(max_examples=50, deadline=None)
@given(STAGES, st.data())
def test_where_movement_differs_the_optimal_allocation_follows_its_square_root(stages, data):
    same_length = {"min_size": len(stages), "max_size": len(stages)}
    movement = data.draw(st.lists(st.floats(0.1, 1e3), **same_length))
    rival = data.draw(st.lists(st.floats(0.5, 512), **same_length))
    budget = fixed_macs(stages, rival).equivalent_group_size
    best = optimal_allocation(stages, budget, movement)
    assert fixed_macs(stages, best).equivalent_group_size == pytest.approx(budget)
    moved, rival_moved = (sum(v / G for v, G in zip(movement, sizes, strict=True)) for sizes in (best, rival))
    assert moved <= rival_moved * (1 + 1e-9)
    per_output = [v / stage.output_elements for v, stage in zip(movement, stages, strict=True)]
    assert all(
        math.isclose(G / best[0], math.sqrt(v / per_output[0]), rel_tol=1e-9)
        for G, v in zip(best, per_output, strict=True)
    )
