"""The factors of an efficiency multiply up to it, and a waterline that contradicts itself has none."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from energybench.analysis.sequence_columns import broken_invariant, factors
from energybench.analysis.waterline import waterline
from energybench.cost import OperatorCost
from energybench.machine import load_machine
from energybench.report.efficiency_text import beaten_lines, efficiency_lines

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float16": 100e12},
    j_per_flop={"float16": 2e-12},
    bandwidth_bytes_per_s=1e12,
    tdp_w=math.inf,
)
V2 = [
    OperatorCost("conv2d", "conv_dense", flops // 2, traffic, 0, "float16")
    for flops, traffic in ((8 * 10**11, 4 * 10**9), (10**11, 10**10), (10**11, 5 * 10**8))
]


def test_the_factors_of_worked_example_v2_are_columns_and_multiply_up():
    line = waterline(V2, MACHINE, [t * 25 / 19 for t in (8e-3, 10e-3, 1e-3)], wall_s=26e-3)
    found = factors(line)
    assert found == pytest.approx(
        {"attainable_efficiency": 0.526316, "roofline_efficiency": 0.689655, "kernel_quality": 0.76,
         "busy_fraction": 0.961538},
        abs=5e-7,
    )  # fmt: skip
    assert math.prod(v for name, v in found.items() if name != "roofline_efficiency") == pytest.approx(10 / 26)


def test_factors_that_nobody_measured_stay_unknown():
    found = factors(waterline(V2, MACHINE, wall_s=26e-3))
    assert (found["kernel_quality"], found["busy_fraction"]) == (None, None)
    assert factors(waterline([OperatorCost("relu", "elementwise", 0, 8, 8)], MACHINE)) == {}


def test_an_attainable_efficiency_above_the_rooflines_is_a_fault_with_a_name():
    line = waterline(V2, MACHINE)
    assert broken_invariant(line) == ""
    damaged = replace(line, bars=tuple(replace(bar, attainable_s=bar.tau_s / 2) for bar in line.bars))
    assert broken_invariant(damaged).startswith("fault: attainable efficiency 2 and the roofline's 0.69")
    nothing = replace(line, bars=tuple(replace(bar, attainable_s=math.nan) for bar in line.bars))
    assert broken_invariant(nothing).startswith("fault:")


def test_one_line_a_network_tells_the_product_and_one_a_case_why_it_beats_its_roofline():
    rows = pd.DataFrame([
        {"case": "a | batch=1", "variant": "a", "efficiency": 10 / 26, "attainable_efficiency": 10 / 19,
         "kernel_quality": 0.76, "busy_fraction": 25 / 26, "above_roof": None},
        {"case": "b | batch=1", "variant": "b", "efficiency": 0.5, "attainable_efficiency": 0.9,
         "kernel_quality": None, "busy_fraction": None, "above_roof": "beats its roofline (1.20 x): Winograd: saves"},
    ])  # fmt: skip
    assert list(efficiency_lines(rows)) == ["a: 0.38 = attainable 0.53 × kernels 0.76 × busy 0.96"]
    assert list(beaten_lines(rows)) == ["b | batch=1 beats its roofline (1.20 x): Winograd: saves"]
