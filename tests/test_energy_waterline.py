from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from energybench.analysis.energy_waterline import condensed, energy_waterline
from energybench.cost import OperatorCost
from energybench.machine import EnergySplit, load_machine
from energybench.report.figures.energy_waterline import energy_waterline_figure
from energybench.report.style import Palette

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


def test_small_operators_stand_together_by_family_and_no_joule_is_lost():
    relu = OperatorCost("relu", "elementwise", 0, 10**6, 10**6)
    line = energy_waterline([*V2, *(operator(1e9, 1e7) for _ in range(4)), relu, relu], MACHINE, measured_j=9.0)
    few = condensed(line)
    assert [bar.label for bar in few.bars] == ["conv2d", "conv2d", "conv2d", "4 small dense", "2 without MACs"]
    assert few.energy.total_j == pytest.approx(line.energy.total_j)
    assert few.quality == pytest.approx(line.quality)


def test_the_staircase_ends_at_the_modelled_joules_and_the_measured_bar_is_beside_it():
    line = energy_waterline(V2, MACHINE, measured_j=10.7)
    ax = energy_waterline_figure({"V2": line}, Palette.of(["V2"])).axes[0]
    *stairs, measured = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert stairs[-1].get_x() + stairs[-1].get_width() == pytest.approx(5.35)  # 2 + 1.45 + 1.9 J
    assert measured.get_width() == pytest.approx(10.7)
    assert ax.get_title("right") == "model 50 % of 10.7 J"
