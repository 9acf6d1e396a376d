from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.allocation import divisor_choice, divisors
from energybench.analysis.group_energy import (
    GroupedKernel,
    GroupedShape,
    arithmetic_bound_curve,
    energy_optimum,
    group_energy_j,
    group_latency_s,
    knee,
    knee_of_batch,
    quantised,
    tensor_lanes,
)
from energybench.analysis.group_models import knee_model
from energybench.analysis.grouped_layer_energy import Setting, layer_run
from energybench.analysis.network_shapes import NetworkLayer
from energybench.cost import conv2d_cost
from energybench.machine import attainable_latency_s, load_machine, machine_table

T1 = GroupedShape(channels=128, size=28, kernel_size=3, batch=1, dtype="float32")
T5 = GroupedShape(channels=128, size=28, kernel_size=3, batch=32, dtype="float32")
T5_MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float32": 10e12},
    bandwidth_bytes_per_s=500e9,
    j_per_flop={"float32": 2.5e-12},  # 5 pJ per MAC
    j_per_byte=100e-12,
    static_w=50.0,
    launch_s=0.0,
)
BARE = GroupedKernel()


@pytest.mark.parametrize(
    ("group_size", "macs", "params", "reuse", "inverse"),
    [
        (1, 903_168, 1_152, 4.474318, 0.223498),
        (2, 1_806_336, 2_304, 8.897856, 0.112387),
        (4, 3_612_672, 4_608, 17.596010, 0.056831),
        (8, 7_225_344, 9_216, 34.419512, 0.029053),
        (16, 14_450_688, 18_432, 65.943925, 0.015164),
        (32, 28_901_376, 36_864, 121.655172, 0.008220),
        (64, 57_802_752, 73_728, 210.626866, 0.004748),
        (128, 115_605_504, 147_456, 332.047059, 0.003012),
    ],
)
def test_vector_t1_counts_and_reuse(group_size, macs, params, reuse, inverse):
    assert T1.activations == 200_704
    assert (T1.macs(group_size), T1.params(group_size)) == (macs, params)
    assert T1.reuse(group_size) == pytest.approx(reuse, abs=5e-7)
    assert 1 / T1.reuse(group_size) == pytest.approx(inverse, abs=5e-7)
    assert 1 / T1.reuse(group_size) == pytest.approx(1 / T1.positions + 2 / (group_size * 9))


def test_vector_t1_reuse_at_a_constant_group_size_does_not_depend_on_the_channels():
    shapes = [replace(T1, channels=channels) for channels in (128, 256, 512)]
    assert [shape.reuse(8) for shape in shapes] == pytest.approx([34.419512] * 3, abs=5e-7)
    by_number = [shape.reuse(shape.channels / 32) for shape in shapes]
    assert by_number == pytest.approx([17.596010, 34.419512, 65.943925], abs=5e-7)


@given(st.integers(0, 7), st.integers(1, 64), st.sampled_from([1, 3, 5, 7]), st.integers(1, 8))
def test_counts_are_those_of_the_convolution_itself(exponent: int, size: int, kernel: int, batch: int):
    group_size = 2**exponent
    shape = GroupedShape(128, size, kernel, batch, "float16")
    cost = conv2d_cost(
        **{"N": batch, "C": 128, "H": size, "W": size, "K": 128, "R": kernel, "S": kernel},
        groups=128 // group_size,
        padding=kernel // 2,
        dtype="float16",
    )
    assert (shape.macs(group_size), shape.bytes(group_size)) == (cost.macs, cost.bytes)


@pytest.mark.parametrize(
    ("group_size", "intensity", "arithmetic_us", "memory_us", "latency_us", "energy_mj", "pj_per_mac"),
    [
        (1, 2.2496, 5.780, 51.389, 51.389, 5.2835, 182.810),
        (4, 8.9935, 23.121, 51.417, 51.417, 5.7197, 49.476),
        (8, 17.9742, 46.242, 51.454, 51.454, 6.3015, 27.254),
        (16, 35.8970, 92.484, 51.528, 92.484, 9.5127, 20.571),
        (32, 71.5891, 184.969, 51.675, 184.969, 16.4564, 17.794),
        (128, 281.5362, 739.875, 52.560, 739.875, 58.1186, 15.710),
    ],
)
def test_vector_t5_physical_model(group_size, intensity, arithmetic_us, memory_us, latency_us, energy_mj, pj_per_mac):
    flops = 2 * T5.macs(group_size)
    assert flops / T5.bytes(group_size) == pytest.approx(intensity, abs=5e-5)
    assert flops / 10e12 * 1e6 == pytest.approx(arithmetic_us, abs=5e-4)
    assert T5.bytes(group_size) / 500e9 * 1e6 == pytest.approx(memory_us, abs=5e-4)
    assert group_latency_s(T5, group_size, T5_MACHINE, BARE) * 1e6 == pytest.approx(latency_us, abs=5e-4)
    energy_j = group_energy_j(T5, group_size, T5_MACHINE, BARE).total_j
    assert energy_j * 1e3 == pytest.approx(energy_mj, abs=5e-5)
    assert energy_j / T5.macs(group_size) * 1e12 == pytest.approx(pj_per_mac, abs=5e-4)


def test_vector_t5_at_the_knee_eight_times_the_macs_cost_a_fifth_more_energy_and_no_time():
    assert knee(T5, T5_MACHINE) == pytest.approx(8.889, abs=5e-4)
    at = {G: group_energy_j(T5, G, T5_MACHINE, BARE).total_j for G in (1, 8)}
    assert at[8] / at[1] == pytest.approx(1.19, abs=5e-3)
    latency = {G: group_latency_s(T5, G, T5_MACHINE, BARE) for G in (1, 8)}
    assert latency[8] / latency[1] == pytest.approx(1, abs=2e-3)


def test_vector_t5_a_cost_per_group_puts_the_optimum_inside():
    curve = arithmetic_bound_curve(T5, T5_MACHINE, GroupedKernel(group_overhead_s=4e-6))
    assert curve.per_group_size == pytest.approx(4.3398e-4, abs=5e-9)
    assert curve.per_group == pytest.approx(0.0256)
    assert curve.optimum == pytest.approx(7.680, abs=5e-4)
    assert curve.per_group / curve.per_group_size == pytest.approx(58.99, abs=5e-3)
    assert divisor_choice(curve, divisors(128)) == 8
    variable_mj = [(curve.at(G) - curve.constant) * 1e3 for G in (4, 8, 16)]
    assert variable_mj == pytest.approx([8.136, 6.672, 8.544], abs=5e-4)


@pytest.mark.parametrize("group_size", [16, 32, 128])
def test_the_closed_form_is_the_physical_model_where_arithmetic_is_the_bound(group_size: int):
    kernel = GroupedKernel(group_overhead_s=4e-6)
    machine = replace(T5_MACHINE, launch_s=3e-6)
    energy_j = group_energy_j(T5, group_size, machine, kernel).total_j
    assert arithmetic_bound_curve(T5, machine, kernel).at(group_size) == pytest.approx(energy_j)


def test_the_optimum_of_a_layer_whose_bound_changes_lies_at_the_knee():
    # left of G = 8.90 memory is the bound: a = 1.4543e-4 J, whose G* = sqrt(0.0256 / a) = 13.3 lies right of it; right
    # of it a = 4.3398e-4 J, whose G* = 7.68 lies left of it; so the least is where the two meet
    kernel = GroupedKernel(group_overhead_s=4e-6)
    assert energy_optimum(T5, T5_MACHINE, kernel) == pytest.approx(knee_of_batch(T5, T5_MACHINE))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([16, 64, 256]),
    st.integers(1, 56),
    st.integers(1, 64),
    st.floats(0, 1e-4),
    st.sampled_from([("p100-pcie", "float32"), ("h200", "float16"), ("rtx-4090", "tf32")]),
)
def test_no_group_size_costs_less_than_the_continuous_optimum(channels, size, batch, group_overhead_s, where):
    machine = load_machine(where[0])
    shape = GroupedShape(channels, size, 3, batch, where[1])
    for lanes in (1, 8):
        kernel = GroupedKernel(lanes, group_overhead_s)
        best = energy_optimum(shape, machine, kernel)
        assert 1 <= best <= channels
        tried = [1 + i * (channels - 1) / 200 for i in range(201)]
        least = min(_relaxed_j(shape, G, machine, kernel) for G in tried)
        assert _relaxed_j(shape, best, machine, kernel) <= least * (1 + 1e-9)


def _relaxed_j(shape, group_size, machine, kernel) -> float:
    """Joules where lanes cost max(G, lanes) channels instead of whole multiples; written out independently."""
    flops = 2 * shape.channels * max(group_size, kernel.lanes) * 9 * shape.positions
    traffic = shape.bytes(group_size)
    latency_s = max(flops / machine.peak_flops_per_s[shape.dtype], traffic / machine.bandwidth_bytes_per_s)
    latency_s += machine.launch_s + shape.channels / group_size * kernel.group_overhead_s
    return flops * machine.j_per_flop[shape.dtype] + traffic * machine.j_per_byte + latency_s * machine.static_w


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([32, 128, 512]), st.integers(1, 56), st.integers(1, 64), st.sampled_from(["float32", "tf32"]))
def test_without_a_cost_per_group_joules_rise_and_joules_per_mac_fall_with_the_group_size(channels, size, batch, dtype):
    machine = load_machine("h200")
    shape = GroupedShape(channels, size, 3, batch, dtype)
    joules = [group_energy_j(shape, G, machine, BARE).total_j for G in divisors(channels)]
    per_mac = [j / shape.macs(G) for j, G in zip(joules, divisors(channels), strict=True)]
    assert joules == sorted(joules)
    assert per_mac == sorted(per_mac, reverse=True)


def test_lanes_are_filled_up_so_arithmetic_is_flat_up_to_the_first_and_stepped_after():
    assert [quantised(G, 8) for G in (1, 4, 8, 9, 16, 32)] == [8, 8, 8, 16, 16, 32]
    assert [quantised(G, 1) for G in (1, 7.5)] == [1, 7.5]
    lanes = GroupedKernel(lanes=8)
    operations = [group_energy_j(T5, G, T5_MACHINE, lanes).operations_j for G in (1, 2, 4, 8, 16)]
    assert operations[:4] == pytest.approx([operations[3]] * 4)
    assert operations[4] == pytest.approx(2 * operations[3])


def test_only_data_types_on_tensor_cores_have_tensor_lanes():
    assert tensor_lanes(load_machine("h200"), "float16") == 8
    assert tensor_lanes(load_machine("h200"), "float32") == 1
    assert tensor_lanes(load_machine("p100-pcie"), "float16") == 1  # falls back to float32


@pytest.mark.parametrize(
    ("machine", "dtype", "of_3", "of_5"),
    [  # the table of knees in the E2GC notes, 4.4
        ("p100-pcie", "float32", 5.65, 2.03),
        ("p100-sxm2", "float32", 6.44, 2.32),
        ("p4000", "float32", 9.69, 3.49),
        ("rtx-3090", "float16", 16.9, 6.07),
        ("rtx-4090", "float16", 36.4, 13.1),
        ("h200", "bfloat16", 45.8, 16.5),
        ("h200", "tf32", 45.8, 16.5),
        ("h200", "float32", 6.19, 2.23),
    ],
)
def test_knees_of_the_shipped_machines_are_those_worked_out_from_their_data_sheets(machine, dtype, of_3, of_5):
    for kernel_size, expected in ((3, of_3), (5, of_5)):
        shape = GroupedShape(128, 28, kernel_size, 32, dtype)
        digits = len(str(expected).split(".")[1])
        assert knee(shape, load_machine(machine)) == pytest.approx(expected, abs=0.51 * 10**-digits)


@given(st.integers(8, 112), st.integers(1, 256))
def test_at_the_knee_of_a_batch_arithmetic_and_memory_take_equally_long(size: int, batch: int):
    shape = GroupedShape(128, size, 3, batch, "float32")
    at = knee_of_batch(shape, T5_MACHINE)
    assert 2 * shape.macs(at) / 10e12 == pytest.approx(shape.bytes(at) / 500e9)
    assert at >= knee(shape, T5_MACHINE)


def test_a_small_layer_at_batch_one_is_bound_by_memory_at_every_group_size():
    # 49 positions: reuse never passes 49 MACs per element, 49 FLOP/B in float16, against a balance of 206
    assert knee_of_batch(GroupedShape(1024, 7, 3, 1, "float16"), load_machine("h200")) is None


@pytest.mark.parametrize("machine", machine_table(), ids=lambda machine: machine.name)
def test_without_a_cap_the_time_is_that_of_every_roofline_the_boards_own_power_limit_included(machine):
    """Nothing launched and no lanes rounded up: what is left is the attainable latency of the very convolution."""
    machine = replace(machine, launch_s=0.0)
    for dtype in ("float32", "float16"):
        for group_size in divisors(64):
            shape = GroupedShape(64, 28, 3, 32, dtype)
            cost = conv2d_cost(N=32, C=64, H=28, W=28, K=64, R=3, S=3, groups=64 // group_size, padding=1, dtype=dtype)
            attainable_s = attainable_latency_s(cost, machine)
            assert group_latency_s(shape, group_size, machine, BARE) == pytest.approx(attainable_s)
            layer = layer_run(NetworkLayer(64, 28), group_size, Setting(machine, 32, dtype), relaxed=True)
            if tensor_lanes(machine, dtype) == 1:
                assert layer.latency_s == pytest.approx(attainable_s)
            else:  # the layer fills lanes of eight
                assert layer.latency_s >= attainable_s * (1 - 1e-9)


def test_a_cap_above_the_boards_own_limit_changes_nothing():
    t4 = load_machine("t4")  # 70 W, which a float32 convolution of 28 x 28 x 128 wants more than
    own, above = (group_latency_s(T5, 16, t4, GroupedKernel(power_cap_w=cap)) for cap in (None, 1000.0))
    assert own == above > group_latency_s(T5, 16, replace(t4, tdp_w=1000.0), BARE)


def test_the_knee_counts_the_boards_own_limit_only_where_it_is_asked_for_and_says_where_it_would_be():
    # 4.8 TB/s at 120 pJ/B take 576 of the 578.3 W above static power: half a pJ a byte is left for FLOPs of 0.584 pJ.
    h200 = load_machine("h200")
    shape = GroupedShape(128, 28, 3, 32, "float16")
    left = ((700 - 121.7) / 4.8e12 - 120e-12) / 0.584e-12
    assert knee(shape, h200, 700.0) == pytest.approx(2 * left / 9, rel=1e-3)
    answer = knee_model(shape, divisors(128), h200)
    assert answer.optimum.continuous == pytest.approx(2 * (989.4e12 / 4.8e12) / 9)
    (said,) = [warning for warning in answer.optimum.warnings if "own limit" in warning]
    assert "700 W would end it at 0.18" in said
    assert "assumed" in said
    assert not any("own limit" in w for w in knee_model(shape, divisors(128), h200, 700.0).optimum.warnings)
    free = replace(h200, tdp_w=5000.0)
    assert not any("own limit" in w for w in knee_model(shape, divisors(128), free).optimum.warnings)


def test_a_power_cap_lengthens_what_would_draw_more_and_leaves_the_rest():
    free, capped = GroupedKernel(), GroupedKernel(power_cap_w=60.0)
    for group_size in (1, 4, 16, 128):
        energy, latency_s = (
            group_energy_j(T5, group_size, T5_MACHINE, free),
            group_latency_s(T5, group_size, T5_MACHINE, free),
        )
        drawn_w = energy.total_j / latency_s
        latency_capped_s = group_latency_s(T5, group_size, T5_MACHINE, capped)
        held_w = group_energy_j(T5, group_size, T5_MACHINE, capped).total_j / latency_capped_s
        assert held_w == pytest.approx(min(drawn_w, 60.0))
        assert latency_capped_s == pytest.approx(latency_s if drawn_w <= 60 else latency_s * (drawn_w - 50) / (60 - 50))


def test_a_power_cap_moves_the_knee_to_where_operations_use_up_what_bytes_leave():
    # At full bandwidth a byte takes 2 ps and 100 pJ; 50 W of static power and a cap of 105 W leave 110 - 100 = 10 pJ a
    # byte, that is 4 FLOPs of 2.5 pJ (5 pJ a MAC): 4 bytes x 4 FLOPs / 9 taps.
    assert knee(T5, T5_MACHINE, 105.0) == pytest.approx(4 * 4 / 9)
    assert knee(T5, T5_MACHINE, 99.0) == 0
    # A cap above the board's own 250 W is that limit, which leaves 400 - 100 = 300 pJ a byte: more than 20 FLOPs take.
    assert knee(T5, T5_MACHINE, 1000.0) == knee(T5, T5_MACHINE)
