from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.waterline import waterline
from energybench.analysis.waterline_shapes import condensed, form_a, form_b
from energybench.cost import OperatorCost, conv2d_cost
from energybench.machine import load_machine
from energybench.report.figures.sequences import recurring

MACHINE = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float16": 100e12},
    j_per_flop={"float16": 2e-12},
    bandwidth_bytes_per_s=1e12,
    tdp_w=math.inf,
    l2_bytes=None,
)
"""R = 100e12 op/s, BW = 1e12 B/s, rho = 100 op/B: the machine of the worked examples V2 and V3; no power limit."""


def operator(flops: float, traffic: float, path: str = "") -> OperatorCost:
    return OperatorCost("conv2d", "conv_dense", round(flops / 2), round(traffic), 0, "float16", path=path)


V2 = [operator(8e11, 4e9, "A"), operator(1e11, 1e10, "B"), operator(1e11, 5e8, "C")]


def test_worked_example_v2_kernel_by_kernel():
    bars = waterline(V2, MACHINE).bars
    rows = [(b.intensity, b.tau_s, b.mu_s, b.attainable_s, b.eta) for b in bars]
    assert rows == [
        pytest.approx((200, 8e-3, 4e-3, 8e-3, 1)),
        pytest.approx((10, 1e-3, 10e-3, 10e-3, 0.1)),
        pytest.approx((200, 1e-3, 0.5e-3, 1e-3, 1)),
    ]
    assert [shape.height for shape in form_b(waterline(V2, MACHINE))] == pytest.approx([0.5, 10, 0.5])


def test_worked_example_v2_as_a_sequence():
    line = waterline(V2, MACHINE)
    assert line.tau_s == pytest.approx(10e-3)
    assert line.attainable_s == pytest.approx(19e-3)
    assert line.eta == pytest.approx(0.526316, abs=5e-7)
    assert line.eta_roof == pytest.approx(0.689655, abs=5e-7)
    assert line.eta_roof / line.eta == pytest.approx(1.31, abs=5e-3)  # the roofline on totals is 31 % too optimistic
    assert sum(b.flops for b in line.bars) / sum(b.bytes for b in line.bars) == pytest.approx(68.9655, abs=5e-5)


def test_worked_example_v2_factorises_into_attainable_quality_and_busy():
    # kernels sum to 25 ms, each on its own roofline stretched by 25 / 19; the wall time is 26 ms
    times = [bar.attainable_s * 25 / 19 for bar in waterline(V2, MACHINE).bars]
    line = waterline(V2, MACHINE, times, wall_s=26e-3)
    assert line.efficiency == pytest.approx(0.384615, abs=5e-7)
    assert (line.eta, line.quality, line.busy) == pytest.approx((0.526316, 0.76, 0.961538), abs=5e-7)
    assert line.eta * line.quality * line.busy == pytest.approx(line.efficiency)
    assert line.warnings == ()


def convolution(C: int, K: int, R: int, group_size: int, *, residual: bool = False) -> OperatorCost:
    """One convolution of the V3 blocks: N = 128, 64 x 64 pixels, FP16; the last one also reads the residual."""
    cost = conv2d_cost(N=128, C=C, H=64, W=64, K=K, R=R, S=R, groups=C // group_size, padding=R // 2, dtype="float16")
    extra = 128 * 64 * 64 * K * 2 if residual else 0
    return replace(cost, read_bytes=cost.read_bytes + extra)


C = 64
V3 = {
    "MBConv G=1 E=4": [
        convolution(C, 4 * C, 1, C),
        convolution(4 * C, 4 * C, 3, 1),
        convolution(4 * C, C, 1, 4 * C, residual=True),
    ],
    "ConvFirst G=8 E=6": [
        convolution(C, C, 3, 8),
        convolution(C, 6 * C, 1, C),
        convolution(6 * C, C, 1, 6 * C, residual=True),
    ],
    "ConvFirst G=8 E=4": [
        convolution(C, C, 3, 8),
        convolution(C, 4 * C, 1, C),
        convolution(4 * C, C, 1, 4 * C, residual=True),
    ],
    "ConvNeXt dw7 E=4": [
        convolution(C, C, 7, 1),
        convolution(C, 4 * C, 1, C),
        convolution(4 * C, C, 1, 4 * C, residual=True),
    ],
}


def fused(block: list[OperatorCost]) -> OperatorCost:
    """The whole block as one kernel: input, output and all weights once, no intermediates."""
    image_bytes = 128 * 64 * 64 * C * 2
    weight_bytes = sum(op.macs for op in block) // (128 * 64 * 64) * 2
    return OperatorCost(
        "block", "conv_dense", sum(op.macs for op in block), image_bytes + weight_bytes, image_bytes, "float16"
    )


@pytest.mark.parametrize(
    ("block", "intensities", "tau_us", "attainable_us", "eta"),
    [
        ("MBConv G=1 E=4", (51.195, 4.500, 42.663), 367.757, 1275.139, 0.2884),
        ("ConvFirst G=8 E=6", (35.998, 54.851, 47.996), 563.714, 1140.958, 0.4941),
        ("ConvFirst G=8 E=4", (35.998, 51.195, 42.663), 391.916, 872.490, 0.4492),
        ("ConvNeXt dw7 E=4", (24.499, 51.195, 42.663), 376.481, 872.487, 0.4315),
    ],
)
def test_worked_example_v3_unfused(block, intensities, tau_us, attainable_us, eta):
    line = waterline(V3[block], MACHINE)
    assert [bar.intensity for bar in line.bars] == pytest.approx(intensities, abs=5e-4)
    assert line.tau_s * 1e6 == pytest.approx(tau_us, abs=5e-4)
    assert line.attainable_s * 1e6 == pytest.approx(attainable_us, abs=5e-4)
    assert line.eta == pytest.approx(eta, abs=5e-5)
    assert line.eta == pytest.approx(line.eta_roof)  # all kernels on one side of the waterline


@pytest.mark.parametrize(
    ("block", "traffic_mb", "intensity", "attainable_us"),
    [
        ("MBConv G=1 E=4", 134.288, 273.857, 367.757),
        ("ConvFirst G=8 E=6", 134.325, 419.664, 563.714),
        ("ConvFirst G=8 E=4", 134.292, 291.837, 391.916),
    ],
)
def test_worked_example_v3_fused(block, traffic_mb, intensity, attainable_us):
    line = waterline([fused(V3[block])], MACHINE)
    (bar,) = line.bars
    assert bar.bytes / 1e6 == pytest.approx(traffic_mb, abs=5e-4)
    assert bar.intensity == pytest.approx(intensity, abs=5e-4)
    assert line.eta == 1
    assert line.attainable_s * 1e6 == pytest.approx(attainable_us, abs=5e-4)


def test_the_depthwise_layer_of_an_mbconv_holds_few_operations_and_much_of_the_time():
    line = waterline(V3["MBConv G=1 E=4"], MACHINE)
    depthwise = line.bars[1]
    assert form_a(line)[1].width == pytest.approx(0.066, abs=5e-4)  # 6.6 % of the operations
    assert depthwise.attainable_s / line.attainable_s == pytest.approx(0.42, abs=5e-3)  # 42 % of the time


def test_form_a_compares_intensity_with_the_balance_on_one_axis():
    line = waterline(V2, MACHINE, [16e-3, 20e-3, 1e-3])
    shapes = form_a(line)
    assert [s.height for s in shapes] == pytest.approx([200, 10, 200])
    assert [s.level for s in shapes] == pytest.approx([100, 100, 100])
    assert [s.width for s in shapes] == pytest.approx([0.8, 0.1, 0.1])
    assert [s.left for s in shapes] == pytest.approx([0, 0.8, 0.9])
    assert [s.measured_height for s in shapes] == pytest.approx([50, 5, 100])  # efficiency x balance


def test_operators_without_macs_cost_time_and_are_kept_apart():
    relu = OperatorCost("relu", "elementwise", 0, 10**9, 10**9, path="act")
    line = waterline([V2[0], relu, V2[2]], MACHINE, [10e-3, 4e-3, 2e-3])
    assert [bar.label for bar in line.bars] == ["A", "C"]
    assert [bar.label for bar in line.apart] == ["act"]
    assert line.apart_s == pytest.approx(2e-3)
    assert line.eta == pytest.approx(9 / 11)  # 9 ms of arithmetic, 2 ms of bytes alone
    assert [s.bar.label for s in form_a(line)] == ["A", "C"]
    *_, block = form_b(line)
    assert (block.left, block.width, block.height) == pytest.approx((9e-3, 2e-3, 1))
    assert block.measured_height == pytest.approx(2)


def test_a_sequence_without_macs_has_no_efficiency_to_attain():
    line = waterline([OperatorCost("relu", "elementwise", 0, 8, 8)], MACHINE)
    assert (line.eta, line.eta_roof, line.bars) == (0, 0, ())
    assert form_a(line) == ()


def test_one_unmeasured_operator_leaves_quality_and_busy_open():
    line = waterline(V2, MACHINE, [16e-3, None, 1e-3], wall_s=40e-3)
    assert (line.measured_s, line.quality, line.busy) == (None, None, None)
    assert line.efficiency == pytest.approx(10 / 40)


def test_measurements_that_contradict_the_constants_are_named():
    line = waterline(V2, MACHINE, [8e-3, 5e-3, 2e-3], wall_s=12e-3)
    assert any(w.startswith("B beats the roofline (2.00 x)") for w in line.warnings)
    assert any("busy fraction 1.25 above 1" in w for w in line.warnings)


def test_operators_that_beat_their_roofline_for_one_reason_are_told_together():
    line = waterline([*V2, V2[1]], MACHINE, [9e-3, 5e-3, 2e-3, 4e-3])
    assert [w.split(":")[0] for w in line.warnings] == [
        "2 operators beat the roofline, most of all B (2.50 x)",
    ]  # fmt: skip


def test_the_power_limit_lowers_what_is_attainable_and_what_one_roofline_promises():
    # 200 W for 2 pJ a FLOP and 100 pJ a byte: A 1.6 + 0.4 J in 10 ms, B 0.2 + 1 J in 6 ms, C 0.2 + 0.05 J in 1.25 ms
    limited = replace(MACHINE, tdp_w=300.0, static_w=100.0, j_per_byte=100e-12)
    line = waterline(V2, limited)
    assert [bar.power_s for bar in line.bars] == pytest.approx([10e-3, 6e-3, 1.25e-3])
    assert line.attainable_s == pytest.approx(10e-3 + 10e-3 + 1.25e-3)
    assert line.eta_roof == pytest.approx(10 / 17.25)
    assert line.power_limited
    assert not waterline(V2, MACHINE).power_limited


def test_as_many_times_as_operators_are_wanted():
    with pytest.raises(ValueError, match="shorter"):
        waterline(V2, MACHINE, [1.0])


OPERATORS = st.lists(st.builds(operator, st.integers(0, 10**13), st.integers(1, 10**11)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(OPERATORS)
def test_a_sequence_never_attains_more_than_one_roofline_on_its_totals_promises(operators: list[OperatorCost]):
    line = waterline(operators, MACHINE)
    assert 0 <= line.eta <= line.eta_roof * (1 + 1e-12)
    assert line.eta_roof <= 1


@settings(max_examples=50, deadline=None)
@given(OPERATORS, st.floats(1.0, 100.0))
def test_areas_of_form_b_are_seconds(operators: list[OperatorCost], slowdown: float):
    times = [slowdown * bar.attainable_s for bar in _in_order(operators)]
    line = waterline(operators, MACHINE, times)
    shapes = form_b(line)
    assert sum(max(s.height, 1) * s.width for s in shapes) == pytest.approx(line.attainable_s)
    assert sum(s.measured_height * s.width for s in shapes) == pytest.approx(line.measured_s)
    assert shapes[-1].left + shapes[-1].width == pytest.approx(sum(s.width for s in shapes))


@settings(max_examples=50, deadline=None)
@given(OPERATORS)
def test_kernels_alone_and_the_wall_time_agree_when_the_device_is_always_busy(operators: list[OperatorCost]):
    times = [2 * bar.attainable_s for bar in _in_order(operators)]
    line = waterline(operators, MACHINE, times, wall_s=sum(times))
    assert line.busy == pytest.approx(1)
    assert line.efficiency == pytest.approx(waterline(operators, MACHINE, times).efficiency)


def _in_order(operators: list[OperatorCost]):
    line = waterline(operators, MACHINE)
    return sorted(line.bars + line.apart, key=lambda bar: bar.index)


def test_an_operator_that_recurs_is_one_bar_with_all_its_runs():
    A, B, C = V2
    merged = list(recurring([A, B, A, C, A], [1.0, 2.0, 3.0, None, 4.0]))
    assert merged == [(A, 3, 8.0), (B, 1, 2.0), (C, 1, None)]
    assert list(recurring([A, A], [1.0, None])) == [(A, 2, None)]


def test_small_operators_stand_together_by_family_and_no_sum_changes():
    blocks = []
    for stage, flops in ((0, 4e10), (1, 4e12)):
        for block in range(6):
            depthwise = OperatorCost(
                "conv2d", "conv_depthwise", 10**8, 10**9, 0, "float16", path=f"stages.{stage}.{block}.dw"
            )
            blocks += [depthwise, operator(flops, 1e9, f"stages.{stage}.{block}.expand")]
    relu = OperatorCost("relu", "elementwise", 0, 10**9, 10**9)
    line = waterline([*blocks, relu, relu], MACHINE, [0.1] * 26, wall_s=3.0)
    few = condensed(line)
    # 6 x 0.4 ms of 242.4 ms are 0.99 %: too small even as a stage, so they stand at the end
    assert [bar.label for bar in few.bars][:6] == [f"stages.1.{block}.expand" for block in range(6)]
    assert [bar.label for bar in few.bars][6:] == ["12 small depthwise", "6 small dense"]
    assert [bar.label for bar in few.apart] == ["2 without MACs"]
    for name in ("tau_s", "mu_s", "attainable_s", "measured_s", "eta", "eta_roof", "quality", "busy", "efficiency"):
        assert getattr(few, name) == pytest.approx(getattr(line, name))


def test_small_operators_that_fill_a_stage_stand_in_their_place():
    thin = [operator(1e10, 1e6, f"stages.0.{block}.expand") for block in range(40)]
    line = waterline([*thin, *(operator(1e12, 1e9, f"stages.1.{block}") for block in range(4))], MACHINE)
    assert [bar.label for bar in condensed(line).bars] == [
        "40 small dense in stages.0", *(f"stages.1.{block}" for block in range(4)),
    ]  # fmt: skip


def test_a_few_operators_are_never_put_together():
    line = waterline([operator(1e13, 1e9), *(operator(1e9, 1e9) for _ in range(5))], MACHINE)
    assert condensed(line).bars == line.bars
