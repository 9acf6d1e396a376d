"""The simulated board keeps exact books, and its truth is not the analytic model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energybench.cost import conv2d_cost
from energybench.devices.simulated import BoardPower
from energybench.devices.truth import constants, work_truth
from energybench.machine import load_machine, predicted_energy_j, predicted_latency_s

H200 = load_machine("h200")


def conv(groups, dtype="float16", C=256, B=32):
    return conv2d_cost(
        N=B, C=C, H=28, W=28, K=C, R=3, S=3, groups=groups, stride=1, padding=1, dilation=1, bias=False, dtype=dtype
    )


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(1, 700)), min_size=1, max_size=30))
def test_energy_is_the_exact_sum_of_power_times_time(segments):
    board = BoardPower(100.0)
    time_s, joules = 0.0, 0.0
    power_w = 100.0
    for length_s, next_w in segments:
        joules += power_w * length_s
        time_s += length_s
        assert board.energy_j(time_s) == pytest.approx(joules, rel=1e-9)
        board.set(time_s, next_w)
        power_w = next_w


def test_old_segments_are_forgotten_without_losing_a_joule():
    board = BoardPower(0.0)
    for second in range(2000):
        board.set(float(second), 10.0 + second % 2)
    assert board.energy_j(2000.0) == pytest.approx(1000 * 10 + 1000 * 11)
    assert board.energy_j(1999.5) - board.energy_j(1999.0) == pytest.approx(5.5)


def test_drift_is_integrated_exactly():
    board = BoardPower(100.0, drift_per_s=0.01)
    # Power 100 (1 + 0.01 t): 100 (10 + 0.005 x 100) = 1050 J in 10 s.
    assert board.energy_j(10.0) == pytest.approx(1050.0)


@pytest.mark.parametrize("groups", [1, 8, 32, 256])
def test_the_truth_is_not_the_analytic_model(groups):
    operators = [conv(groups)]
    truth = work_truth(operators, H200)
    assert abs(truth.latency_s / predicted_latency_s(operators, H200) - 1) > 0.05
    assert abs(truth.energy_per_iteration_j / predicted_energy_j(operators, H200).total_j - 1) > 0.05


def test_the_truths_joules_add_up_and_power_stays_below_the_limit():
    for name in ("h200", "t4", "l4", "p100-pcie", "rtx-4090"):
        machine = load_machine(name)
        for groups in (1, 4, 256):
            truth = work_truth([conv(groups, "float32")], machine)
            parts = truth.operations_j + truth.bytes_j + truth.static_j
            assert truth.energy_per_iteration_j == pytest.approx(parts)
            assert truth.power_w <= machine.tdp_w * (1 + 1e-9)


def test_kernels_run_one_after_another():
    one, two = work_truth([conv(8)], H200), work_truth([conv(8), conv(8)], H200)
    assert two.latency_s == pytest.approx(2 * one.latency_s)


def test_lanes_make_small_groups_as_slow_as_full_ones():
    # Sixteen-bit grouped kernels fill 8 lanes: G = 4 does the arithmetic of G = 8, in more groups.
    assert work_truth([conv(64, C=256)], H200).latency_s > 0.99 * work_truth([conv(32, C=256)], H200).latency_s


def test_hidden_constants_are_exported_for_every_format_and_family():
    hidden = constants(H200)
    assert hidden["static_w"] != H200.static_w
    assert {"j_per_flop.float16.conv_grouped", "j_per_byte", "launch_s"} <= hidden.keys()
