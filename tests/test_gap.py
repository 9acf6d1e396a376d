from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energybench.analysis.gap import (
    EnergyGap,
    LatencyGap,
    energy_gap,
    ideal_energy_j,
    ideal_latency_s,
    latency_gap,
)
from energybench.cost import OperatorCost
from energybench.machine import load_machine

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float16": 100e12, "float32": 10e12},
    j_per_flop={"float16": 2e-12, "float32": 5e-12},
    static_w=100.0,
)


def network(macs: int, dtype: str = "float16") -> list[OperatorCost]:
    return [OperatorCost("conv2d", "conv_dense", macs, 10**9, 10**9, dtype=dtype)]


@pytest.mark.parametrize(
    ("macs", "ideal_us", "actual_us", "efficiency", "factor", "decades"),
    [  # worked example V1: two models at R = 100e12 op/s
        (4_000_000_000, 80, 400, 0.20, 5, 0.69897),
        (400_000_000, 8, 160, 0.05, 20, 1.30103),
    ],
)
def test_worked_example_v1(macs, ideal_us, actual_us, efficiency, factor, decades):
    gap = latency_gap(network(macs), MACHINE, actual_us * 1e-6)
    assert gap.ideal_s == pytest.approx(ideal_us * 1e-6)
    assert gap.efficiency == pytest.approx(efficiency)
    assert gap.factor == pytest.approx(factor)
    assert gap.decades == pytest.approx(decades, abs=5e-6)


def test_ten_times_fewer_operations_at_a_quarter_of_the_efficiency_are_two_and_a_half_times_faster():
    large, small = (latency_gap(network(m), MACHINE, s) for m, s in ((4 * 10**9, 400e-6), (4 * 10**8, 160e-6)))
    assert large.actual_s / small.actual_s == pytest.approx(10 * (small.efficiency / large.efficiency))
    assert large.actual_s / small.actual_s == pytest.approx(2.5)


def test_the_gap_is_per_inference_and_does_not_depend_on_the_batch_it_was_measured_with():
    one = latency_gap(network(10**9), MACHINE, 1e-3)
    batch = latency_gap(network(32 * 10**9), MACHINE, 32e-3, batch=32)
    assert batch == LatencyGap(pytest.approx(one.ideal_s), pytest.approx(one.actual_s))


def test_each_operator_is_ideal_in_its_own_data_type():
    # 1e12 FLOPs at 100e12/s and 1e12 at 10e12/s
    mixed = network(500_000_000_000) + network(500_000_000_000, "float32")
    assert ideal_latency_s(mixed, MACHINE) == pytest.approx(10e-3 + 100e-3)


def test_without_macs_there_is_no_gap_rather_than_an_infinite_one():
    gap = latency_gap([OperatorCost("relu", "elementwise", 0, 10, 10)], MACHINE, 1e-6)
    assert (gap.efficiency, gap.factor, gap.decades) == (None, None, None)


def test_ideal_joules_are_those_of_arithmetic_at_peak_rate():
    # 1e12 FLOPs: 2 J, and 10 ms of 100 W
    assert ideal_energy_j(network(500_000_000_000), MACHINE) == pytest.approx(3.0)
    assert ideal_energy_j(network(500_000_000_000), MACHINE, reference_power_w=350.0) == pytest.approx(3.5)


def test_the_energy_gap_is_the_latency_gap_times_a_ratio_of_powers():
    # C_E = C x P_ref / P_mean: the two gaps differ by power alone
    operators, latency_s, power_w = network(4 * 10**9), 400e-6, 150.0
    latency = latency_gap(operators, MACHINE, latency_s)
    energy = energy_gap(operators, MACHINE, power_w * latency_s, reference_power_w=300.0)
    assert energy.efficiency == pytest.approx(latency.efficiency * 300 / 150)
    assert EnergyGap(energy.ideal_j, energy.actual_j) == energy


@given(st.integers(1, 10**13), st.floats(1e-7, 10))
def test_factor_efficiency_and_decades_say_the_same(macs: int, latency_s: float):
    gap = latency_gap(network(macs), MACHINE, latency_s)
    assert gap.factor * gap.efficiency == pytest.approx(1)
    assert gap.decades == pytest.approx(-math.log10(gap.efficiency), abs=1e-9)
