"""What a run says about its machine: hidden constants of simulated boards, and silence where it says nothing."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from quiet import measured

from energybench.analysis.book import Book
from energybench.analysis.fit import fit_run, run_points
from energybench.analysis.fit_energy import EnergyPoint, fit_energy
from energybench.analysis.fit_latency import PRIOR, fit_latency
from energybench.analysis.fit_text import fit_lines
from energybench.analysis.kernel_demand import kernel_class
from energybench.analysis.kernel_efficiency import Efficiency, Quality, kernel_latency_s, load_efficiency
from energybench.analysis.latency_table import LatencyPoint, constant_names, latency_table
from energybench.analysis.predict import UNJUDGED_ERROR, predict_work
from energybench.cost import Operand, conv2d_cost, elementwise_cost, matmul_cost
from energybench.devices.truth import QUALITY
from energybench.errors import RunFolderError
from energybench.journal import load
from energybench.machine import load_machine, machine_from_dict, machine_to_dict

GROUPED = """
name: fitted
about: Three kinds of convolution over sizes at which launches, memory and arithmetic each decide
baseline: dense
variants:
  dense: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 1, stride: $stride}}
  groups: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: $width, stride: $stride}}
  depthwise: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: $channels, stride: $stride}}
input: [$batch, $channels, $size, $size]
axes:
  stage:
    - {channels: 32, size: 112, stride: 1, width: 4}
    - {channels: 64, size: 112, stride: 2, width: 8}
    - {channels: 128, size: 56, stride: 1, width: 8}
    - {channels: 256, size: 28, stride: 2, width: 16}
    - {channels: 512, size: 14, stride: 1, width: 4}
    - {channels: 1024, size: 7, stride: 1, width: 32}
  batch: [1, 32]
  dtype: [float16, float32]
method: {windows: 6, window_s: 1s}
"""


@pytest.fixture(scope="module", params=["h200", "a100-sxm4-80gb", "rtx-3090"])
def fitted(request, tmp_path_factory):
    folder, _ = measured(tmp_path_factory.mktemp("fit"), GROUPED, device=f"sim:{request.param}")
    run = load(folder)
    return fit_run(run), run


def test_every_hidden_unit_energy_is_found_within_two_percent_and_in_its_interval_or_is_said_to_be_unknown(fitted):
    fit, run = fitted
    hidden = run.record.truth["constants"]
    known = [c for c in fit.energy.constants if c.identifiable]
    assert {"static_w", "j_per_byte"} <= {c.name for c in known}
    assert len(known) >= 6
    outside = 0
    for constant in known:
        assert constant.value == pytest.approx(hidden[constant.name], rel=0.02)
        outside += not constant.low <= hidden[constant.name] <= constant.high
    # 95 % intervals of at most 8 constants: more than 2 outside has a probability of 0.6 %
    assert outside <= 2


def test_launch_cost_per_group_and_efficiencies_are_found_too(fitted):
    fit, run = fitted
    hidden = run.record.truth["constants"]
    found = {c.name: c for c in fit.latency.constants}
    for name in ("launch_s", "group_s"):
        if found[name].known:  # the board fills no tiles of dense convolutions, the model does: the rest bends a little
            assert found[name].value == pytest.approx(hidden[name], rel=0.1)
    assert found["launch_s"].known
    dense = found["arithmetic.conv_dense.float32"]
    assert dense.known
    assert dense.value == pytest.approx(QUALITY["conv_dense"].arithmetic, rel=0.05)


def test_work_left_out_is_predicted_within_a_few_percent(fitted):
    fit, _ = fitted
    for error in fit.errors:
        assert error.energy_given_latency < 0.02
        assert error.latency < 0.12


def test_the_fitted_sheet_is_a_machine_sheet_that_says_where_its_numbers_come_from(fitted):
    fit, run = fitted
    sheet = fit.machine
    assert machine_from_dict(machine_to_dict(sheet)) == sheet
    assert sheet.provenance == "fitted"
    assert run.folder.name in sheet.sources["static_w"]
    assert "95 %" in sheet.sources["j_per_byte"]
    assert sheet.sources["tdp_w"] == fit.base.sources["tdp_w"]
    assert sheet.idle_w == pytest.approx(fit.base.idle_w, rel=0.01)


def test_the_fitted_sheet_and_efficiencies_predict_the_run_they_come_from(fitted):
    fit, run = fitted
    errors = []
    for point in run_points(Book(run)):
        predicted = predict_work(point.operators, fit.machine, fit.efficiency)
        errors.append(abs(predicted.energy_per_iteration_j / point.energy_j - 1))
    assert sum(errors) / len(errors) < 0.05


def test_the_lines_name_every_constant_with_an_interval_or_a_reason(fitted):
    fit, _ = fitted
    lines = list(fit_lines(fit))
    for name in [c.name for c in fit.energy.constants] + [c.name for c in fit.latency.constants]:
        line = next(text for text in lines if text.strip().startswith(f"{name} "))
        assert "95 %" in line or "not identifiable" in line


def test_a_run_with_two_pieces_of_work_is_refused(tmp_path):
    text = GROUPED.replace("  batch: [1, 32]\n  dtype: [float16, float32]", "  batch: [1]\n  dtype: [float32]")
    folder, _ = measured(tmp_path, text, only=("depthwise",), settings={"channels": [32]})
    with pytest.raises(RunFolderError, match="a fit needs 4"):
        fit_run(load(folder))


def test_the_slopes_the_solver_is_given_are_those_of_the_latencies():
    shapes = [(3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 16), (7, 2, 16)]
    operators = [
        conv2d_cost(N=2, C=64, H=28, W=28, K=64, R=side, S=side, stride=stride, groups=groups, padding=side // 2)
        for side, stride, groups in shapes
    ]
    machine = load_machine("v100-sxm2")
    points = [LatencyPoint((op, *operators[:n]), machine, 1e-4) for n, op in enumerate(operators)]
    table = latency_table(points)
    logs = np.log([PRIOR[name.split(".")[0]][0] for name in constant_names(table)])
    for overlap in (1.0, 2.0, 16.0):
        slopes = table.slopes(logs, overlap)
        for column in range(len(logs)):
            step = np.zeros(len(logs))
            step[column] = 1e-6
            up, down = (np.log(table.latencies_s(logs + s, overlap)) for s in (step, -step))
            assert slopes[:, column] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_a_class_with_few_rows_leans_on_the_class_that_would_stand_in_for_it():
    # many stride-1 kernels say 0.2 of the bandwidth; a single strided one is too short to say anything of its own
    machine = load_machine("v100-sxm2")

    def point(size, stride):
        shape = {"N": 4, "C": 64, "H": size, "W": size, "K": 64, "R": 3, "S": 3, "groups": 64, "padding": 1}
        op = conv2d_cost(**shape, stride=stride)
        return LatencyPoint((op,), machine, 1e-5 + op.bytes / (0.2 * machine.bandwidth_bytes_per_s))

    fit = fit_latency([*(point(size, 1) for size in range(20, 200, 12)), point(3, 2)], name="x", source="made up")
    strided = fit.efficiency.kernels["conv_depthwise_strided"]["float32"]
    assert strided.bandwidth == pytest.approx(0.2, rel=0.15)  # 0.7 is what nothing but the prior would say
    assert "bandwidth" in strided.source


def joules(op, latency_s, static_w=100.0, j_per_byte=1e-10, j_per_flop=1e-12):
    return EnergyPoint((op,), latency_s, static_w * latency_s + j_per_byte * op.bytes + j_per_flop * op.flops)


def test_constants_that_always_come_together_are_named_and_given_no_value():
    # a square product of side n has n^3 MACs; at a latency proportional to them FLOPs and time are one column
    operators = [matmul_cost(M=n, N=n, K=n) for n in (64, 128, 256, 512, 1024)]
    fit = fit_energy([joules(op, op.flops * 1e-13) for op in operators])
    by_name = {c.name: c for c in fit.constants}
    assert not by_name["static_w"].identifiable or not by_name["j_per_flop.float32.gemm"].identifiable
    assert by_name["j_per_byte"].value == pytest.approx(1e-10, rel=1e-3)
    # what cannot be told apart still predicts together
    op = matmul_cost(M=300, N=300, K=300)
    point = joules(op, op.flops * 1e-13)
    assert fit.energy_j([op], point.latency_s) == pytest.approx(point.energy_j, rel=1e-3)


def test_exact_joules_give_exact_constants():
    operators = [matmul_cost(M=m, N=64, K=k) for m in (64, 512, 4096) for k in (16, 128, 2048)]
    latencies_s = [1e-5 * (1 + i % 4) for i in range(len(operators))]
    fit = fit_energy([joules(op, s) for op, s in zip(operators, latencies_s, strict=True)])
    values = {c.name: c.value for c in fit.constants}
    assert values == pytest.approx({"static_w": 100.0, "j_per_byte": 1e-10, "j_per_flop.float32.gemm": 1e-12})


def test_latencies_of_networks_of_two_kinds_of_kernel_give_both_kinds_of_constant():
    machine = load_machine("a100-sxm4-80gb")
    true = Efficiency(
        name="true",
        about="made up",
        overlap=2.0,
        launch_s=4e-6,
        kernels={
            "conv_dense": {"float32": Quality(arithmetic=0.6, bandwidth=0.8, step_s=2e-9, source="made up")},
            "elementwise": {"float32": Quality(arithmetic=0.5, bandwidth=0.9, source="made up")},
        },
    )
    points = []
    for channels in (16, 64, 256):
        for size in (7, 28, 112):
            tensor = Operand((channels, size, size))
            conv = conv2d_cost(N=1, C=channels, H=size, W=size, K=channels, R=3, S=3, padding=1)
            relu = elementwise_cost(inputs=[tensor], outputs=[tensor])
            for kernels in ((conv,), (relu,), (conv, relu, relu)):
                latency_s = sum(kernel_latency_s(op, machine, true) for op in kernels)
                points.append(LatencyPoint(kernels, machine, latency_s))
    fit = fit_latency(points, name="found", source="made up")
    found = {c.name: c for c in fit.constants}
    assert fit.efficiency.overlap == true.overlap
    assert found["launch_s"].value == pytest.approx(4e-6, rel=0.02)
    assert found["arithmetic.conv_dense.float32"].value == pytest.approx(0.6, rel=0.03)
    assert not found["arithmetic.elementwise.float32"].known  # it has none


def test_depthwise_filters_of_one_size_do_not_say_what_bounds_them():
    machine = load_machine("a100-sxm4-80gb")
    points = []
    for size in (14, 28, 56, 112, 224):
        op = conv2d_cost(N=8, C=64, H=size, W=size, K=64, R=3, S=3, padding=1, groups=64)
        points.append(LatencyPoint((op,), machine, 3e-6 + 2 * op.bytes / machine.bandwidth_bytes_per_s))
    found = {c.name: c for c in fit_latency(points, name="x", source="x").constants}
    assert not found["bandwidth.conv_depthwise.float32"].known
    assert not found["arithmetic.conv_depthwise.float32"].known


RECORDED = Path(__file__).parents[1] / "notebooks" / "runs" / "networks-h200"


def test_work_of_a_kind_of_its_own_is_said_to_be_unjudged_and_does_not_end_the_fit():
    run = load(RECORDED)
    classes = Counter(name for p in run_points(Book(run)) for name in {kernel_class(op) for op in p.operators})
    assert classes["conv_dense"] == 1, "the recorded run has one work with plain dense convolutions of stride one"
    fit = fit_run(run)
    assert sum(e.unjudged for e in fit.errors) == 1
    assert "1 not judged" in "\n".join(fit_lines(fit))


def test_a_fitted_table_predicts_kernels_that_its_run_did_not_have_by_the_shipped_one_and_says_so(fitted):
    fit, _ = fitted
    assert "gemm" not in {c.name.split(".")[1] for c in fit.latency.constants if "." in c.name}
    lent = fit.efficiency.kernels["gemm"]["float32"]
    assert lent.arithmetic == load_efficiency().kernels["gemm"]["float32"].arithmetic
    assert lent.latency_error is None
    product = matmul_cost(M=4096, N=4096, K=4096)
    assert predict_work([product], fit.machine, fit.efficiency).latency_error == UNJUDGED_ERROR
