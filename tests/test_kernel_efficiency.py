"""Kernel efficiencies: closed forms on made-up tables, lookups, and the table that ships."""

import pytest

from energybench.analysis.kernel_demand import LANE_OUTPUTS, kernel_class, kernel_demand
from energybench.analysis.kernel_efficiency import (
    Efficiency,
    Quality,
    efficiency_from_yaml,
    efficiency_to_yaml,
    family_of_class,
    kernel_latency_s,
    load_efficiency,
    quality_of,
    stand_ins,
)
from energybench.cost import Operand, conv2d_cost, convolution_backward_cost, elementwise_cost, matmul_cost
from energybench.errors import MachineError
from energybench.machine import load_machine

H200 = load_machine("h200")


def table(overlap=1.0, **quality):
    made = Quality(**{"arithmetic": 0.5, "bandwidth": 0.25, "source": "made up"} | quality)
    return Efficiency(name="made", about="made up", overlap=overlap, kernels={"gemm": {"float32": made}})


def test_without_overlap_arithmetic_and_memory_times_add_to_the_launch():
    op = matmul_cost(M=512, N=512, K=512)
    arithmetic_s = 2 * 512**3 / (0.5 * H200.peak_flops_per_s["float32"])
    memory_s = 3 * 512**2 * 4 / (0.25 * H200.bandwidth_bytes_per_s)
    expected = H200.launch_s + arithmetic_s + memory_s
    assert kernel_latency_s(op, H200, table(1.0)) == pytest.approx(expected)


def test_with_great_overlap_the_longer_of_both_counts():
    op = matmul_cost(M=4096, N=4096, K=4096)
    arithmetic_s = 2 * 4096**3 / (0.5 * H200.peak_flops_per_s["float32"])
    assert kernel_latency_s(op, H200, table(16.0)) == pytest.approx(H200.launch_s + arithmetic_s, rel=1e-3)


def test_every_step_of_the_sum_behind_an_output_takes_its_time():
    op = matmul_cost(M=1024, N=2048, K=1000)  # enough outputs for every lane
    with_steps = kernel_latency_s(op, H200, table(step_s=1e-8))
    assert with_steps - kernel_latency_s(op, H200, table()) == pytest.approx(1000 * 1e-8)


def test_the_page_says_how_much_of_a_small_layers_prediction_is_a_chain_that_no_sheet_scales():
    # docs/prediction.md, "Where it fails": 30 of 34 microseconds; 512 x 3 x 3 steps a sum
    op = conv2d_cost(N=1, C=512, H=14, W=14, K=512, R=3, S=3, padding=1, dtype="float16")
    shipped = load_efficiency()
    step_s = quality_of(shipped, kernel_demand(op, H200)).step_s
    assert quality_of(shipped, kernel_demand(op, load_machine("v100-sxm2"))).step_s == step_s
    assert round(512 * 9 * step_s * 1e6) == 30
    assert round(kernel_latency_s(op, H200, shipped) * 1e6) == 34


def test_the_sums_of_a_product_are_split_over_lanes_that_would_idle_and_those_of_a_convolution_are_not():
    lanes = H200.peak_flops_per_s["float32"] / 3e9  # two FLOP a lane and clock, at 1.5 GHz
    quarter = round(LANE_OUTPUTS * lanes / 4)
    assert kernel_demand(matmul_cost(M=1, N=quarter, K=8192), H200).steps == pytest.approx(8192 / 4, rel=1e-4)
    assert kernel_demand(matmul_cost(M=8, N=quarter, K=8192), H200).steps == 8192
    assert kernel_demand(conv2d_cost(N=1, C=512, H=7, W=7, K=64, R=3, S=3, padding=1), H200).steps == 512 * 9


def test_a_gradient_of_weights_waits_for_no_chain_whatever_the_batch():
    forward = convolution(N=64)
    x, weight, y = Operand((64, 64, 28, 28)), Operand((64, 64, 3, 3)), Operand((64, 64, 28, 28))
    _, of_weight = convolution_backward_cost(forward, x=x, weight=weight, y=y, gradients=(True, True, False))
    assert kernel_demand(forward, H200).steps == 64 * 9
    assert kernel_demand(of_weight, H200).steps == 0


def test_kernels_timed_one_by_one_take_the_launch_they_were_timed_with_and_others_the_machines():
    op = matmul_cost(M=2, N=2, K=2)
    timed = table(launch_s=50e-6)
    graph = kernel_latency_s(op, H200, timed)
    assert kernel_latency_s(op, H200, timed, "standalone") - graph == pytest.approx(50e-6 - H200.launch_s)
    assert kernel_latency_s(op, H200, table(), "standalone") == kernel_latency_s(op, H200, table())
    fitted = timed.model_copy(update={"launch_s": 9e-6})
    assert kernel_latency_s(op, H200, fitted) - graph == pytest.approx(9e-6 - H200.launch_s)


def test_half_empty_tensor_lanes_double_the_arithmetic_of_a_grouped_convolution():
    shape = {"N": 1, "C": 64, "H": 8, "W": 8, "K": 64, "R": 3, "S": 3, "padding": 1, "groups": 16}
    half = kernel_demand(conv2d_cost(**shape, dtype="float16"), H200)  # 4 channels a group in 8 lanes
    single = kernel_demand(conv2d_cost(**shape), H200)
    ratio = H200.peak_flops_per_s["float32"] / H200.peak_flops_per_s["float16"]
    assert half.arithmetic_s == pytest.approx(2 * single.arithmetic_s * ratio)


def convolution(**changes):
    shape = {"N": 1, "C": 64, "H": 28, "W": 28, "K": 64, "R": 3, "S": 3, "padding": 1} | changes
    return conv2d_cost(**shape)


def test_channels_a_narrow_dense_convolution_lacks_are_multiplied_all_the_same():
    v100 = load_machine("v100-sxm2")
    full = kernel_demand(convolution(C=16, K=64, dtype="float16"), v100)
    stem = kernel_demand(convolution(C=3, K=8, dtype="float16"), v100)
    assert stem.arithmetic_s == pytest.approx(full.arithmetic_s)  # filled up to 16 x 64, as tensor cores take them
    assert stem.steps == 3 * 9  # the sum behind an output is what it is
    single = kernel_demand(convolution(C=3, K=8), v100)
    assert single.arithmetic_s == pytest.approx(kernel_demand(convolution(C=3, K=32), v100).arithmetic_s)
    depthwise = convolution(C=8, K=8, groups=8)
    assert kernel_demand(depthwise, v100).arithmetic_s == depthwise.flops / v100.peak_flops_per_s["float32"]


SKIPPING = {"R": 1, "S": 1, "stride": 2, "groups": 64, "padding": 0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "conv_dense"),
        ({"R": 2, "S": 2}, "conv_dense"),
        ({"stride": (1, 2)}, "conv_dense_strided"),
        ({"R": 5, "S": 1}, "conv_dense_5x5"),
        ({"R": 7, "S": 7, "stride": 2}, "conv_dense_large_strided"),
        ({"R": 1, "S": 1, "stride": 2}, "conv_pointwise_strided"),
        ({"R": 1, "S": 1, "groups": 64}, "conv_depthwise_1x1"),
        ({"groups": 8}, "conv_grouped"),
        ({**SKIPPING, "H": 64, "W": 16, "dtype": "float16"}, "conv_depthwise_1x1_strided_wide"),
        ({**SKIPPING, "H": 63, "W": 16, "dtype": "float16"}, "conv_depthwise_1x1_strided"),
        ({**SKIPPING, "H": 64, "W": 64}, "conv_depthwise_1x1_strided"),
    ],
)
def test_a_convolutions_class_says_its_filter_and_whether_it_is_strided(changes, expected):
    op = convolution(**changes)
    assert kernel_class(op) == expected
    assert family_of_class(expected) == op.family


def test_what_stands_in_for_a_class_has_stride_one_first_then_a_smaller_filter():
    assert list(stand_ins("conv_grouped_large_strided")) == [
        "conv_grouped_large_strided",
        "conv_grouped_large",
        "conv_grouped_5x5",
        "conv_grouped",
    ]
    assert list(stand_ins("conv_depthwise_1x1_strided_wide"))[:2] == [
        "conv_depthwise_1x1_strided_wide",
        "conv_depthwise_1x1_strided",
    ]
    assert list(stand_ins("pooling")) == ["pooling", "elementwise"]
    assert list(stand_ins("gemm")) == ["gemm"]


def test_a_class_without_numbers_takes_those_of_its_nearest():
    shipped = load_efficiency()
    pooled = kernel_demand(elementwise_cost(inputs=[Operand((8,))], outputs=[Operand((8,))]), H200)
    assert quality_of(shipped, pooled) is shipped.kernels["elementwise"]["float32"]


def test_halves_on_a_machine_without_tensor_cores_run_like_float32():
    op = matmul_cost(M=64, N=64, K=64, dtype="float16")
    assert kernel_demand(op, load_machine("p100-pcie")).arithmetic_kind == "float32"
    assert kernel_demand(op, H200).arithmetic_kind == "float16"


def test_a_class_without_numbers_or_neighbours_is_an_error_that_names_it():
    with pytest.raises(MachineError, match="conv_dense"):
        quality_of(table(), kernel_demand(conv2d_cost(N=1, C=8, H=8, W=8, K=8, R=3, S=3), H200))


def test_the_shipped_table_says_of_every_number_where_it_comes_from_and_survives_a_round_trip():
    shipped = load_efficiency()
    qualities = [q for kinds in shipped.kernels.values() for q in kinds.values()]
    assert all(q.source for q in qualities)
    assert {"conv_dense", "conv_grouped", "conv_depthwise", "conv_pointwise", "gemm", "elementwise"} <= set(
        shipped.kernels
    )
    assert efficiency_from_yaml(efficiency_to_yaml(shipped), origin="again") == shipped


def test_a_wrong_table_names_file_and_field():
    text = efficiency_to_yaml(table()).replace("bandwidth: 0.25", "bandwidth: -1")
    with pytest.raises(MachineError, match=r"mine\.yaml, field kernels\.gemm\.float32\.bandwidth"):
        efficiency_from_yaml(text, origin="mine.yaml")
    with pytest.raises(MachineError, match="no kernel efficiencies are called 'cudnn'"):
        load_efficiency("cudnn")
