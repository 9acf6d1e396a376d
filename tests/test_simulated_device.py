"""The simulated board keeps exact books, and its truth is not the analytic model."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quiet import measured

from energybench.cost import conv2d_cost
from energybench.devices.board import BoardPower, Unsteadiness, unsteadiness
from energybench.devices.open import open_device
from energybench.devices.simulated import WINDOW_SD
from energybench.devices.truth import constants, work_truth
from energybench.errors import DeviceError
from energybench.journal import load
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
    board = BoardPower(100.0, unsteady=Unsteadiness(drift_per_s=0.01))
    # Power 100 (1 + 0.01 t): 100 (10 + 0.005 x 100) = 1050 J in 10 s.
    assert board.energy_j(10.0) == pytest.approx(1050.0)


def test_ripple_swings_within_an_iteration_and_changes_no_iterations_joules():
    board = BoardPower(100.0, unsteady=Unsteadiness(ripple=0.5))
    board.set(1.0, 300.0, iteration_s=0.2)
    # Half of the 200 W above idle to either side: 400 W in the first half of an iteration, 200 W in the second.
    assert board.energy_j(1.1) - board.energy_j(1.0) == pytest.approx(0.1 * 400)
    assert board.energy_j(1.2) - board.energy_j(1.1) == pytest.approx(0.1 * 200)
    assert board.energy_j(3.0) - board.energy_j(1.0) == pytest.approx(2 * 300)
    board.set(3.0, 100.0)
    assert board.energy_j(3.05) - board.energy_j(3.0) == pytest.approx(5.0), "idle does not swing"


def test_a_share_of_a_step_of_power_comes_late_as_leakage_does():
    board = BoardPower(100.0, 500.0, Unsteadiness(warming=0.05, warming_s=20.0))
    board.set(10.0, 300.0)
    # 5 % of the 200 W are missing at first, e^-1 of that after 20 s; their integral is w dP tau (1 - e^-1).
    power_w = (board.energy_j(10.001) - board.energy_j(10.0)) / 0.001
    assert power_w == pytest.approx(290.0, rel=1e-4)
    power_w = (board.energy_j(30.001) - board.energy_j(30.0)) / 0.001
    assert power_w == pytest.approx(300 - 10 / math.e, rel=1e-4)
    missing_j = 20 * 300 - (board.energy_j(30.0) - board.energy_j(10.0))
    assert missing_j == pytest.approx(10 * 20 * (1 - 1 / math.e))
    # Temperature follows the same way, from 35 C at idle to 80 C at 500 W: half of that rise at 300 W.
    assert board.temperature_c(10.0) == pytest.approx(35.0)
    assert board.temperature_c(30.0) == pytest.approx(35 + 22.5 * (1 - 1 / math.e))


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(50, 700), st.floats(0.01, 0.5)), min_size=1, max_size=8),
    st.builds(Unsteadiness, st.floats(0, 1), st.floats(0, 0.5), st.floats(1, 60), st.floats(-1e-3, 1e-3)),
)
def test_cutting_a_segment_in_two_changes_no_joule_but_by_the_ripples_new_phase(segments, unsteady):
    whole, cut = BoardPower(50.0, unsteady=unsteady), BoardPower(50.0, unsteady=unsteady)
    time_s = 0.0
    for length_s, power_w, iteration_s in segments:
        whole.set(time_s, power_w, iteration_s=iteration_s)
        cut.set(time_s, power_w, iteration_s=iteration_s)
        iterations = max(1, math.floor(0.5 * length_s / iteration_s))
        cut.set(time_s + iterations * iteration_s, power_w, iteration_s=iteration_s)
        time_s += max(length_s, iterations * iteration_s)
        assert cut.energy_j(time_s) == pytest.approx(whole.energy_j(time_s), rel=1e-9, abs=1e-6)


def test_a_device_is_as_unsteady_as_its_name_says_and_the_name_is_recorded():
    device, notes = open_device("sim:a100-sxm4-80gb,ripple=0.5,warming_s=30")
    assert device.power.unsteady == Unsteadiness(ripple=0.5, warming_s=30.0)
    assert device.facts.name == "sim:a100-sxm4-80gb,ripple=0.5,warming_s=30"
    assert notes == ("simulated a100-sxm4-80gb,ripple=0.5,warming_s=30: nothing is measured",)
    assert open_device("sim:h200")[0].facts.name == "sim:h200"


@pytest.mark.parametrize(
    ("text", "says"),
    [("riple=0.5", "did you mean 'ripple'"), ("ripple=2", r"\[0, 1\]"), ("warming", "could not convert")],
)
def test_what_a_simulated_board_cannot_do_is_said(text, says):
    with pytest.raises(DeviceError, match=says):
        unsteadiness(text)


def counter_power_w(run, window):
    """Mean power between the first and the last change of the counter that the window's readings show."""
    totals = [(r.time_s, r.value) for r in run.readings(window) if r.kind == "energy_j"]
    (start_s, start_j), *_, (stop_s, stop_j) = [b for a, b in pairwise(totals) if b[1] != a[1]]
    return (stop_j - start_j) / (stop_s - start_s)


@pytest.mark.parametrize(
    ("device", "against_itself"),
    [("sim:h200,ripple=1", False), ("sim:h200,ripple=1,warming=0.05,warming_s=2", True)],
    ids=["ripple", "one work that keeps the board warm"],
)
def test_windows_of_an_unsteady_board_hold_its_truth_but_for_their_own_scatter(tmp_path, device, against_itself):
    folder, _ = measured(tmp_path, device=device, against_itself=against_itself)
    run = load(folder)
    found = {}
    for window in run.windows:
        if window.kind == "window" and window.block >= 4:  # 10 s into a comparison: what was before it has cooled off
            found.setdefault(window.work, []).append(counter_power_w(run, window))
    assert len(found) >= 4
    for work, powers in found.items():
        # Four windows whose power scatters by a thousandth: three of their standard errors, and the thousandth.
        assert np.mean(powers) == pytest.approx(run.record.truth[work]["power_w"], rel=1e-3 + 3 * WINDOW_SD / 2)


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
