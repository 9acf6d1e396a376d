"""Predictions: sums over kernels, the power limit, stated errors, and the step from one card to another."""

import math
from dataclasses import dataclass, replace

import pytest

from energybench.analysis.kernel_efficiency import Efficiency, Quality, kernel_latency_s, load_efficiency
from energybench.analysis.network_latency import network_latency_s
from energybench.analysis.predict import (
    GOOD_PRODUCT,
    UNIT_ENERGY_ERROR,
    UNJUDGED_ERROR,
    arithmetic_ceiling,
    predict_work,
    prediction_lines,
    predictions,
    transferred_latency_s,
)
from energybench.analysis.summary import summarize
from energybench.cost import Operand, OperatorCost, conv2d_cost, elementwise_cost, matmul_cost
from energybench.journal import load
from energybench.machine import load_machine
from energybench.prediction import efficiency_beside, predict_suite
from energybench.suite import parse_suite

H200 = load_machine("h200")
CONV = conv2d_cost(N=1, C=64, H=56, W=56, K=64, R=3, S=3, padding=1)
RELU = elementwise_cost(inputs=[Operand((64, 56, 56))], outputs=[Operand((64, 56, 56))])


@dataclass(frozen=True)
class Plan:
    work: str
    operators: tuple[OperatorCost, ...]


def table(machine_share=1.0, **quality):
    made = Quality(**{"arithmetic": machine_share, "bandwidth": machine_share, "source": "made up"} | quality)
    return Efficiency(name="made", about="made up", overlap=16.0, kernels={"gemm": {"float32": made}})


def test_latencies_and_joules_of_kernels_add_up():
    shipped = load_efficiency()
    predicted = predict_work([CONV, RELU], H200, shipped)
    latency_s = kernel_latency_s(CONV, H200, shipped) + kernel_latency_s(RELU, H200, shipped)
    assert predicted.latency_s == pytest.approx(latency_s)
    assert predicted.energy.static_j == pytest.approx(H200.static_w * latency_s)
    assert predicted.energy.bytes_j == pytest.approx((CONV.bytes + RELU.bytes) * H200.j_per_byte)
    assert predicted.energy.operations_j == pytest.approx(CONV.flops * H200.j_per_flop["float32"])
    assert predicted.energy_per_iteration_j == pytest.approx(predicted.power_w * predicted.latency_s)


def test_a_family_that_pays_more_per_operation_has_its_factor():
    op = matmul_cost(M=256, N=256, K=256)
    plain, dear = (predict_work([op], H200, table(operations=f)).energy.operations_j for f in (1.0, 1.5))
    assert dear == pytest.approx(1.5 * plain)


def test_a_board_at_its_power_limit_slows_down_until_it_is_within():
    small = replace(H200, tdp_w=H200.static_w + 10)
    predicted = predict_work([matmul_cost(M=8192, N=8192, K=8192)], small, table())
    assert predicted.power_capped
    assert predicted.power_w == pytest.approx(small.tdp_w)


def test_the_expected_latency_error_is_that_of_the_kernels_weighted_by_their_time():
    judged = load_efficiency()
    large = replace(CONV, macs=64 * CONV.macs, read_bytes=64 * CONV.read_bytes, write_bytes=64 * CONV.write_bytes)
    predicted = predict_work([large, RELU], H200, judged)
    seconds = [kernel_latency_s(op, H200, judged) for op in (large, RELU)]
    errors = [judged.kernels[name]["float32"].latency_error for name in ("conv_dense", "elementwise")]
    expected = sum(s * e for s, e in zip(seconds, errors, strict=True)) / sum(seconds)
    assert predicted.latency_error == pytest.approx(expected)


def test_away_from_the_board_it_was_fitted_on_a_chain_may_be_all_wrong_and_the_expected_error_says_so():
    op = matmul_cost(M=1024, N=2048, K=10_000)  # enough outputs for every lane
    chained = table(step_s=1e-7, latency_error=0.1)
    latency_s = kernel_latency_s(op, H200, chained)
    assert predict_work([op], H200, chained).latency_error == pytest.approx(10_000 * 1e-7 / latency_s)
    here = chained.model_copy(update={"name": H200.name})  # what `fit` calls the table of this machine
    assert predict_work([op], H200, here).latency_error == pytest.approx(0.1)


def test_a_class_never_judged_is_given_a_large_error_and_joules_at_least_that_of_the_sheet():
    predicted = predict_work([matmul_cost(M=256, N=256, K=256)], H200, table())
    assert predicted.latency_error == UNJUDGED_ERROR
    assert predicted.energy_error > UNIT_ENERGY_ERROR


def test_fitted_constants_state_the_error_that_was_cross_validated():
    fitted = replace(H200, provenance="fitted")
    efficiency = table().model_copy(update={"energy_error": 0.04})
    assert predict_work([matmul_cost(M=64, N=64, K=64)], fitted, efficiency).energy_error == 0.04


def test_work_is_predicted_once_and_work_without_kernels_not_at_all():
    plans = [Plan("a", (CONV,)), Plan("a", (CONV,)), Plan("b", (CONV, RELU)), Plan("view", ())]
    predicted = predictions(plans, H200, load_efficiency())
    assert set(predicted) == {"a", "b"}
    lines = list(prediction_lines(predicted, {"one": "a", "none": "view"}, H200, load_efficiency()))
    assert lines[2].startswith("one ")
    assert "nothing to predict" in lines[3]


def test_work_that_reaches_the_ceiling_scales_with_the_peaks_and_work_without_flops_with_the_bandwidths():
    source, target = load_machine("rtx-3090"), load_machine("rtx-4090")
    peaks = source.peak_flops_per_s["float16"] / target.peak_flops_per_s["float16"]
    bandwidths = source.bandwidth_bytes_per_s / target.bandwidth_bytes_per_s
    flops = 0.8 * source.peak_flops_per_s["float16"]  # one second at the ceiling
    assert transferred_latency_s(1.0, flops, "float16", source, target, 0.8) == pytest.approx(peaks)
    assert transferred_latency_s(1.0, 0.0, "float16", source, target, 0.8) == pytest.approx(bandwidths)
    half = transferred_latency_s(2.0, flops, "float16", source, target, 0.8)
    assert half == pytest.approx(peaks + bandwidths)


def test_the_ceiling_is_the_best_share_of_peak_that_was_reached_but_not_below_that_of_a_good_product():
    peak = H200.peak_flops_per_s["float16"]
    assert arithmetic_ceiling([(peak, 2.0), (peak, 1 / 0.9), (peak, 9.0)], "float16", H200) == pytest.approx(0.9)
    assert arithmetic_ceiling([(peak, 2.0)], "float16", H200) == GOOD_PRODUCT
    assert arithmetic_ceiling([], "float16", H200) == GOOD_PRODUCT


@pytest.mark.parametrize(("kind", "passes"), [("convolution", 7), ("depthwise", 7), ("transformer", 38 / 9)])
def test_a_network_of_activations_only_takes_the_counted_passes_of_its_kind_over_memory(kind, passes):
    efficiency = load_efficiency()
    work = {"activations": 1e9, "dtype": "float16", "machine": H200, "efficiency": efficiency, "kind": kind}
    bandwidth = efficiency.kernels["elementwise"]["float32"].bandwidth * H200.bandwidth_bytes_per_s
    assert network_latency_s(macs=0, **work) == pytest.approx(passes * 2e9 / bandwidth)
    # a step of training is forward and two gradients: three times the products; 21 passes of 7 (see TRAINING)
    for macs in (0, 1e12):
        step_s = network_latency_s(macs=macs, training=True, **work)
        assert step_s == pytest.approx(3 * network_latency_s(macs=macs, **work))


GROUPED = """
name: grouped
baseline: g
variants:
  g: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, groups: 16}}
  G: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, group_size: 16}, pair: g}
input: [1, 64, 28, 28]
analytic: group_size
"""


def test_a_modelled_optimum_is_called_predicted_and_its_ratio_has_a_verdict(tmp_path):
    summary = summarize(load(predict_suite(parse_suite(GROUPED), H200, tmp_path / "run")))
    (row,) = summary.group_size.to_dict("records")
    joules = summary.cases.set_index("variant").energy_per_inference_j
    assert row["predicted_optimum"] == (4 if joules["g"] < joules["G"] else 16)
    assert row["measured_optimum"] is None or math.isnan(row["measured_optimum"])
    assert set(summary.pairs.verdict) <= {"less", "more", "same"}


def test_a_fitted_sheet_takes_the_kernel_efficiencies_that_were_fitted_with_it(tmp_path):
    sheet = tmp_path / "mine.yaml"
    sheet.touch()
    assert efficiency_beside(str(sheet)) == "libraries"
    beside = tmp_path / "mine.efficiency.yaml"
    beside.touch()
    assert efficiency_beside(str(sheet)) == str(beside)
    assert efficiency_beside("h200") == "libraries"
