from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.roofline import (
    classic_roof,
    energy_balance,
    energy_roof,
    l2_roof,
    likely_causes,
    power_roof,
    time_balance,
    time_roof,
)
from energybench.cost import OperatorCost, conv2d_cost, linear_cost
from energybench.machine import attainable_latency_s, load_machine, operator_energy_j

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float32": 50e12, "float16": 100e12},
    j_per_flop={"float32": 4e-12, "float16": 2e-12},
    bandwidth_bytes_per_s=1e12,
    j_per_byte=100e-12,
    static_w=100.0,
    l2_bytes=4e6,
    tdp_w=math.inf,
)
"""Balance 100 FLOP/byte in float16; no power limit."""


def operator(flops: int, traffic: int, **fields) -> OperatorCost:
    return OperatorCost(
        fields.pop("name", "conv2d"), fields.pop("family", "conv_grouped"), flops // 2, traffic, 0, "float16", **fields
    )


@pytest.mark.parametrize(
    ("flops", "traffic", "attainable_s", "rate"),
    [  # kernels A and B of Lavin's worked example V2
        (800_000_000_000, 4_000_000_000, 8e-3, 100e12),
        (100_000_000_000, 10_000_000_000, 10e-3, 10e12),
    ],
)
def test_an_operator_is_attainable_at_the_roof_over_its_intensity(flops, traffic, attainable_s, rate):
    op = operator(flops, traffic)
    assert attainable_latency_s(op, MACHINE) == pytest.approx(attainable_s)
    assert time_roof(MACHINE, "float16", op.flops / op.bytes) == pytest.approx(rate)


LIMITED = replace(MACHINE, tdp_w=300.0)
"""200 W for operations and bytes: 100 W are those of all bandwidth, 200 W those of all arithmetic in float16."""


def test_where_arithmetic_and_memory_want_more_than_the_power_limit_it_is_a_roof_of_its_own():
    # 2 pJ + 100 pJ / I per FLOP at 200 W: 66.7e12 at the balance, where time alone would allow 100e12; 10e12 at I = 10
    # would draw 120 W
    assert power_roof(LIMITED, "float16", 100.0) == pytest.approx(200 / 3e-12)
    assert time_roof(LIMITED, "float16", 100.0) == pytest.approx(200 / 3e-12)
    assert (
        time_roof(LIMITED, "float16", 10.0)
        == pytest.approx(10e12)
        == pytest.approx(classic_roof(LIMITED, "float16", 10.0))
    )
    unknown = replace(LIMITED, tdp_w=math.nan, static_w=math.nan, j_per_byte=math.nan, j_per_flop={"float16": math.nan})
    assert time_roof(unknown, "float16", 100.0) == pytest.approx(100e12)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 10**13), st.integers(1, 10**11))
def test_an_operator_on_the_roof_never_draws_more_than_the_power_limit(flops: int, traffic: int):
    op = operator(2 * flops, traffic)
    latency_s = attainable_latency_s(op, LIMITED)
    assert operator_energy_j(op, LIMITED, latency_s).total_j / latency_s <= 300 * (1 + 1e-9)
    assert op.flops / latency_s == pytest.approx(float(time_roof(LIMITED, "float16", op.flops / op.bytes)))


@pytest.mark.parametrize(
    ("op", "measured_s", "first"),
    [
        # 3x3 dense in half its ideal 10 ms
        (operator(10**12, 10**9, family="conv_dense", kernel_size=3), 5e-3, "Winograd"),
        # with stride 2 there is no Winograd, nor six times fewer multiplications
        (operator(10**12, 10**9, family="conv_dense", kernel_size=3, stride=2), 5e-3, "wrong peak"),
        (operator(10**12, 10**9, family="conv_dense", kernel_size=3), 10e-3 / 6, "wrong peak"),
        # a causal kernel skips half of what is counted
        (operator(10**12, 10**9, family="gemm", name="attention"), 6e-3, "causal attention"),
        # 8 % faster than peak: an H100 at 1980 instead of 1830 MHz
        (operator(10**12, 10**9), 10e-3 / 1.08, "boosted clock"),
        # three times the peak, no Winograd: the sheet is wrong
        (operator(10**12, 10**9), 10e-3 / 3, "wrong peak"),
        # 3 MB at 1e12 B/s take 3 us at least, unless they stay in the 4 MB cache
        (operator(10**6, 3_000_000), 2e-6, "L2-resident"),
        (operator(10**6, 30_000_000), 20e-6, "partly L2-resident"),
    ],
)
def test_what_beats_the_roof_is_explained_by_its_likeliest_cause(op: OperatorCost, measured_s: float, first: str):
    causes = likely_causes([op], MACHINE, measured_s)
    assert causes[0].startswith(first)


@pytest.mark.parametrize(
    ("name", "times", "cause"),
    [
        ("rtx-3090", 1.9, "sums may have been kept in float16"),  # 142e12 against 71e12: up to twice as fast
        ("rtx-3090", 2.1, "for another accumulate type"),
        ("h200", 1.9, "for another accumulate type"),  # both rates are the same there
    ],
)
def test_a_peak_beaten_within_the_rate_of_float16_sums_is_laid_to_them(name, times, cause):
    machine = load_machine(name)
    gemm = linear_cost(rows=8192, in_features=8192, out_features=8192, dtype="float16")
    causes = likely_causes([gemm], machine, measured_s=gemm.flops / (times * machine.peak_flops_per_s["float16"]))
    assert any(cause in found for found in causes)


def test_float32_above_its_peak_is_suspected_of_tf32_where_the_machine_has_it():
    gemm = linear_cost(rows=4096, in_features=4096, out_features=4096)
    h200 = load_machine("h200")
    causes = likely_causes([gemm], h200, measured_s=gemm.flops / (2 * 66.9e12))
    assert any("TF32" in cause for cause in causes)


def test_a_cause_names_the_clock_and_the_sizes_where_they_are_known():
    boosted = likely_causes([operator(10**12, 10**9)], MACHINE, 10e-3 / 1.08, sm_clock_hz=1.98e9)
    assert "ran at 1.98 GHz" in boosted[0]
    resident = likely_causes([operator(10**6, 30_000_000)], MACHINE, 20e-6)
    assert "28.6 MiB and 3.81 MiB of cache" in resident[0]  # 30e6 and 4e6 bytes over 2^20


def test_what_only_the_power_limit_forbids_puts_the_unit_energies_in_doubt():
    op = operator(10**12, 10**10)  # 10 ms of each; 3 J at 200 W take 15 ms
    assert likely_causes([op], LIMITED, 12e-3) == (
        "power limit: the sheet's unit energies are too high, or the board may draw more than its sheet says",
    )


def test_nothing_is_explained_where_nothing_is_odd():
    assert likely_causes([operator(10**12, 10**9)], MACHINE, measured_s=10.001e-3) == ()


def test_operators_that_together_beat_their_sum_are_suspected_of_fusion():
    operators = [operator(10**12, 10**10), operator(10**9, 10**10)]  # 10 + 10 ms alone, 20 ms of bytes
    assert "fusion" in likely_causes(operators, MACHINE, measured_s=15e-3)[-1]


def test_the_roof_has_its_corner_at_the_machine_balance():
    balance = time_balance(MACHINE, "float16")
    assert balance == pytest.approx(100)
    np.testing.assert_allclose(time_roof(MACHINE, "float16", [balance / 2, balance, 2 * balance]), [50e12, 1e14, 1e14])
    # data sheets: 9.3e12 / 732e9, 165.2e12 / 1008e9, 989e12 / 4800e9
    assert time_balance(load_machine("p100-pcie"), "float32") == pytest.approx(12.7, abs=0.05)
    assert time_balance(load_machine("rtx-4090"), "float16") == pytest.approx(163.9, abs=0.05)
    assert time_balance(load_machine("h200"), "bfloat16") == pytest.approx(206, abs=0.5)


def test_a_cache_roof_is_drawn_only_where_the_bandwidth_of_the_cache_is_known():
    assert l2_roof(MACHINE, "float16", [1.0]) is None
    known = replace(MACHINE, l2_bandwidth_bytes_per_s=5e12)
    np.testing.assert_allclose(l2_roof(known, "float16", [10, 1000]), [50e12, 100e12])


def test_the_energy_balance_is_where_operations_and_bytes_cost_the_same():
    balance = energy_balance(MACHINE, "float16")
    assert balance == pytest.approx(50)  # 100 pJ/B over 2 pJ/FLOP
    roof = energy_roof(MACHINE, "float16", [balance])
    np.testing.assert_allclose(roof.operations_j_per_flop, roof.bytes_j_per_flop)
    assert energy_balance(replace(MACHINE, j_per_flop={"float16": 0.0}), "float16") == math.inf


def test_the_energy_roof_is_the_sum_of_three_layers():
    roof = energy_roof(MACHINE, "float16", [50.0, 200.0])
    # at 50: 2 + 100/50 pJ, static 100 W / 50e12 FLOP/s = 2 pJ; at 200: 2 + 0.5 + 1 pJ
    np.testing.assert_allclose(roof.total_j_per_flop, [6e-12, 3.5e-12])
    np.testing.assert_allclose(roof.flops_per_j, [1 / 6e-12, 1 / 3.5e-12])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 10**13), st.integers(1, 10**11))
def test_an_operator_lies_on_the_energy_roof_at_its_intensity(flops: int, traffic: int):
    op = operator(2 * flops, traffic)
    modelled = operator_energy_j(op, LIMITED, attainable_latency_s(op, LIMITED))
    roof = energy_roof(LIMITED, "float16", [op.flops / op.bytes])
    assert modelled.total_j == pytest.approx(op.flops * roof.total_j_per_flop[0])


def test_operational_intensity_of_a_grouped_convolution_is_that_of_spio():
    # spio's own test vector: n=16, 32x64, c=128, 3x3, G=8 gives 301,989,888 MACs, 16,795,648 bytes, 35.96049 op/byte
    op = conv2d_cost(N=16, C=128, H=32, W=64, K=128, R=3, S=3, groups=16, padding=1, dtype="float16")
    assert (op.macs, op.bytes) == (301_989_888, 16_795_648)
    assert op.flops / op.bytes == pytest.approx(35.96049, abs=5e-6)
