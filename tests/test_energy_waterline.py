from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.energy_waterline import energy_waterline
from energybench.cost import OperatorCost
from energybench.machine import EnergySplit, load_machine

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float16": 100e12},
    j_per_flop={"float16": 2e-12},
    bandwidth_bytes_per_s=1e12,
    tdp_w=math.inf,
    j_per_byte=100e-12,
    static_w=100.0,
)


def operator(flops: float, traffic: float) -> OperatorCost:
    return OperatorCost("conv2d", "conv_dense", round(flops / 2), round(traffic), 0, "float16")


# the kernels of Lavin's worked example V2: 8, 10 and 1 ms on the roofline
V2 = [operator(8e11, 4e9), operator(1e11, 1e10), operator(1e11, 5e8)]


def test_joules_of_operations_bytes_and_static_power_are_stacked_not_maximised():
    line = energy_waterline(V2, MACHINE)
    # 1e12 FLOPs x 2 pJ; 1.45e10 bytes x 100 pJ; 19 ms x 100 W
    assert line.energy == EnergySplit(pytest.approx(2.0), pytest.approx(1.45), pytest.approx(1.9))
    assert line.bars[1].energy == EnergySplit(pytest.approx(0.2), pytest.approx(1.0), pytest.approx(1.0))


def test_attainable_energy_efficiency_is_that_of_arithmetic_at_peak_over_all():
    line = energy_waterline(V2, MACHINE)
    assert line.ideal_j == pytest.approx(2.0 + 10e-3 * 100)
    assert line.eta == pytest.approx(3.0 / 5.35)


def test_measured_latencies_cost_static_power_and_measured_joules_give_a_quality():
    line = energy_waterline(V2, MACHINE, [16e-3, 20e-3, 2e-3], measured_j=14.5)
    assert line.energy.static_j == pytest.approx(3.8)
    assert line.quality == pytest.approx(7.25 / 14.5)
    assert energy_waterline(V2, MACHINE).quality is None


def test_operators_without_macs_are_marked_to_be_drawn_apart():
    relu = OperatorCost("relu", "elementwise", 0, 10**9, 10**9)
    line = energy_waterline([V2[0], relu], MACHINE)
    assert [bar.apart for bar in line.bars] == [False, True]
    assert line.bars[1].energy == EnergySplit(0, pytest.approx(0.2), pytest.approx(0.2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.builds(operator, st.integers(0, 10**13), st.integers(0, 10**11)), min_size=1, max_size=10))
def test_no_sequence_costs_less_than_its_arithmetic_at_peak(operators: list[OperatorCost]):
    line = energy_waterline(operators, MACHINE)
    assert 0 <= line.eta <= 1 + 1e-12
    assert line.energy.total_j == pytest.approx(sum(bar.energy.total_j for bar in line.bars))
