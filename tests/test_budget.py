"""Seconds add up to the wall time, joules to the measured ones, and the factors to the efficiency."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from energybench.analysis.budget import energy_budget, time_budget
from energybench.cost import OperatorCost
from energybench.machine import load_machine
from energybench.report.figures.budget import budget_figure
from energybench.report.operators import Workflow
from energybench.report.style import Palette

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float16": 100e12},
    j_per_flop={"float16": 2e-12},
    j_per_byte=1e-10,
    bandwidth_bytes_per_s=1e12,
    tdp_w=math.inf,
    static_w=50.0,
)


def convolution(flops: float, traffic: float) -> OperatorCost:
    return OperatorCost("conv2d", "conv_dense", round(flops / 2), round(traffic / 2), round(traffic / 2), "float16")


RELU = OperatorCost("relu", "elementwise", 0, 5 * 10**9, 5 * 10**9, "float16")
SEQUENCE = (convolution(8e11, 4e9), convolution(1e11, 1e10), RELU)
"""8 ms of arithmetic; 1 ms of arithmetic under 10 ms of memory; 10 ms of memory alone."""
TIMES = (9e-3, 13e-3, 11e-3)


def test_seconds_by_cause_add_up_to_the_wall_time():
    b = time_budget(SEQUENCE, MACHINE, TIMES, wall_s=35e-3)
    parts = (b.arithmetic_s, b.memory_s, b.apart_s, b.kernels_s, b.between_s)
    assert parts == pytest.approx((9e-3, 9e-3, 10e-3, 5e-3, 2e-3))
    assert sum(parts) == pytest.approx(35e-3)
    assert b.line.eta * b.line.quality * b.line.busy == pytest.approx(b.line.efficiency) == pytest.approx(9 / 35)


def test_without_operator_times_what_kernels_lose_holds_the_gaps_too():
    b = time_budget(SEQUENCE, MACHINE, wall_s=35e-3)
    assert b.kernels_s == pytest.approx(7e-3)
    assert b.between_s is None


def test_a_kernel_that_beats_its_roofline_is_a_loss_below_zero():
    assert time_budget(SEQUENCE, MACHINE, (7e-3, 10e-3, 10e-3)).kernels_s == pytest.approx(-1e-3)


def test_fused_the_relu_costs_no_traffic_of_its_own():
    # the relu reads the 5 GB the second convolution wrote and writes as much: the group moves 5 + 5 GB in 10 ms
    assert time_budget(SEQUENCE, MACHINE).fused_s == pytest.approx(8e-3 + 10e-3)


def test_joules_by_cause_and_what_the_sheet_does_not_explain():
    b = energy_budget(SEQUENCE, MACHINE, wall_s=35e-3, measured_j=7.0)
    assert (b.operations_j, b.bytes_j, b.apart_j, b.static_j) == pytest.approx((1.8, 1.4, 1.0, 1.75))
    assert b.rest_j == pytest.approx(1.05)
    assert energy_budget(SEQUENCE, MACHINE).static_j == pytest.approx(50 * 28e-3)


def figure_of(**changes: object) -> Figure:
    work = replace(Workflow(SEQUENCE, TIMES, 35e-3, 7.0), **changes)
    return budget_figure({"a": work, "b": work}, MACHINE, Palette.of(["a", "b"]))


def test_the_figure_has_joules_where_there_are_any_and_writes_the_factors_out():
    both = figure_of()
    assert len(both.axes) == 2
    texts = [t.get_text() for t in both.axes[0].texts]
    assert texts[0] == "0.32 × 0.85 × 0.94 = 0.26"  # 9/28, 28/33, 33/35, 9/35
    assert both.axes[1].texts[0].get_text() == "model 85 %"
    widths = [p.get_width() for p in both.axes[0].patches]
    assert sum(widths[: len(widths) // 2]) == pytest.approx(35.0)  # milliseconds
    assert len(figure_of(energy_j=None).axes) == 1
