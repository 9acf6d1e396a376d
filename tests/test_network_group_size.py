"""Group sizes of whole networks: the worked numbers of E2GC's reconstruction, invariants, and what a run measured.

T4 is worked by hand from the shapes: sums of C x S over MobileNet-V1's and ResNeXt-50's grouped layers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quiet import measured

from energybench.analysis.book import Book
from energybench.analysis.group_energy import (
    GroupedKernel,
    GroupedShape,
    group_energy_j,
    group_latency_s,
    knee_of_batch,
)
from energybench.analysis.group_fit import fit_curve
from energybench.analysis.group_sensitivity import knee_map, sensitivity
from energybench.analysis.grouped_layer_energy import Setting, layer_knee, layer_run, least_joules
from energybench.analysis.measured_group_size import layer_fits, network_optima
from energybench.analysis.network_group_size import NetworkAnswer, network_group_size
from energybench.analysis.network_shapes import NETWORKS, NetworkLayer, grouped_network
from energybench.errors import EnergyBenchError, MachineError
from energybench.journal import load
from energybench.machine import Machine, load_machine, machine_table
from energybench.report.group_size_text import measured_network_lines, network_group_size_lines
from energybench.resolve import resolve_layer
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload

P100 = load_machine("p100-pcie")
H200 = load_machine("h200")
MOBILENET = grouped_network("mobilenet_v1")
CLASSES = {"mobilenet_v1": "MobileNetV1", "resnext50": "ResNeXt50"}

T5 = replace(
    P100,
    name="t5",
    peak_flops_per_s={"float32": 10e12},
    bandwidth_bytes_per_s=500e9,
    static_w=50.0,
    j_per_flop={"float32": 2.5e-12},  # 5 pJ a MAC
    j_per_byte=100e-12,
    launch_s=0.0,
)
"""The machine of the worked example: 10 TFLOP/s, 500 GB/s, 50 W static."""


def answer(name: str = "mobilenet_v1", machine: Machine = P100, **setting: object) -> NetworkAnswer:
    return network_group_size(grouped_network(name), Setting(machine, **{"batch": 1, "dtype": "float32"} | setting))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_of_shapes_is_what_the_shipped_network_runs(name: str):
    text = f"""
name: one
baseline: a
variants: {{a: {{layer: {CLASSES[name]}, args: {{group_size: 4}}}}}}
input: [1, 3, 224, 224]
"""
    plan = plan_workload(expand(parse_suite(text))[0][0])
    traced = [op for op in plan.operators if op.groups > 1]
    network = grouped_network(name)
    expected = [layer.operator(4, 1, "float32") for layer in network.layers for _ in range(layer.repeat)]
    assert [(o.macs, o.read_bytes, o.write_bytes) for o in traced] == [
        (o.macs, o.read_bytes, o.write_bytes) for o in expected
    ]
    assert network.other_macs == plan.macs - sum(o.macs for o in traced)
    module = resolve_layer(CLASSES[name])(group_size=4)
    weights = sum(
        p.numel()
        for m in module.modules()
        if hasattr(m, "weight") and not hasattr(m, "running_var")
        for p in m.parameters(recurse=False)
    )
    grouped = sum(layer.repeat * layer.params(4) for layer in network.layers)
    assert network.other_params == weights - grouped


@pytest.mark.parametrize(
    ("name", "groups", "penalty", "equivalent"),
    [("mobilenet_v1", 32, 2.758307, 7.688312), ("resnext50", 32, 1.496860, 9.309091)],
)
def test_t4_a_constant_number_of_groups_pays_the_penalty_f(name: str, groups: int, penalty: float, equivalent: float):
    found = next(a for a in answer(name).constant_groups if a.value == groups)
    assert found.fixed.penalty == pytest.approx(penalty, rel=1e-6)
    assert found.fixed.equivalent_group_size == pytest.approx(equivalent, rel=1e-6)


def test_t4_the_thesis_costs_144_at_constant_8_and_more_at_32_groups():
    sizes = {a.value: a.thesis for a in answer().constant_size}
    assert sizes[8] == pytest.approx(9 * 8 + 2 * 2592 / 9 / 8) == pytest.approx(144)
    assert next(a.thesis for a in answer().constant_groups if a.value == 32) == pytest.approx(275.844, abs=5e-4)
    assert next(a.thesis for a in answer("resnext50").constant_groups if a.value == 32) == pytest.approx(176.4)


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [("G=1", 568.740, 4.2101), ("G=8", 690.442, 4.5226), ("g=32", 685.023, 4.9502), ("g=8", 1086.030, 7.3046)],
)
def test_macs_and_parameters_of_mobilenet_are_those_of_the_worked_table(name: str, macs: float, params: float):
    found = {a.name: a for a in (*answer().constant_size, *answer().constant_groups)}[name]
    assert found.macs / 1e6 == pytest.approx(macs, abs=1e-3)
    assert found.params / 1e6 == pytest.approx(params, abs=1e-4)


def test_pairs_of_nearest_macs_multiply_to_256_in_mobilenet():
    assert [(m.groups.value, m.size.value) for m in answer().matches] == [(8, 32), (16, 16), (32, 8)]
    first = answer().matches[0]
    assert first.macs_ratio == pytest.approx(1107.706 / 1086.030, rel=1e-5)
    assert first.params_ratio == pytest.approx(5.5939 / 7.3046, rel=1e-4)


@given(st.sampled_from([1, 2, 4, 8, 16, 32]), st.sampled_from([1, 32]), st.sampled_from(["float32", "float16"]))
def test_a_layer_without_stride_costs_what_the_single_layer_model_says(G: int, batch: int, dtype: str):
    shape = GroupedShape(128, 28, 3, batch, dtype)
    kernel = GroupedKernel(8 if dtype == "float16" else 1, 1e-7)
    run = layer_run(NetworkLayer(128, 28), G, Setting(H200, batch, dtype, 1e-7))
    assert run.latency_s == pytest.approx(group_latency_s(shape, G, H200, kernel))
    assert run.energy.total_j == pytest.approx(group_energy_j(shape, G, H200, kernel).total_j)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_layers_closed_forms_are_those_of_the_counted_operator(stride: int):
    layer = NetworkLayer(64, 56, stride=stride)
    op = layer.operator(8, 4, "float16")
    assert layer.macs(8, 4) == op.macs
    assert layer.bytes(8, 4, "float16") == op.bytes


def test_t5_joules_and_time_of_the_worked_example():
    layer, setting = NetworkLayer(128, 28), Setting(T5, 32, "float32")
    for G, time_us, energy_mj in (
        (1, 51.389, 5.2835),
        (8, 51.454, 6.3015),
        (16, 92.484, 9.5127),
        (128, 739.875, 58.1186),
    ):
        run = layer_run(layer, G, setting)
        assert run.latency_s * 1e6 == pytest.approx(time_us, abs=5e-4)
        assert run.energy.total_j * 1e3 == pytest.approx(energy_mj, abs=5e-5)


def test_t5_with_a_cost_per_group_the_least_joules_are_where_the_closed_form_puts_them():
    # Compute-bound form: a = 4.3398e-4 J, b = 128 x 50 W x 4 us = 0.0256 J. Below the knee (8.9) time does not grow,
    # so the slope there is smaller and the least lies at the knee, where arithmetic begins to cost time.
    setting = Setting(T5, 32, "float32", group_overhead_s=4e-6)
    assert least_joules([NetworkLayer(128, 28)], setting, 128) == pytest.approx(
        layer_knee(NetworkLayer(128, 28), setting), rel=1e-3
    )


def test_the_knee_of_a_layer_is_that_of_the_single_layer_model():
    for batch in (8, 64):
        shape = GroupedShape(256, 14, 3, batch, "float16")
        assert layer_knee(NetworkLayer(256, 14), Setting(H200, batch, "float16")) == pytest.approx(
            knee_of_batch(shape, H200)
        )


def test_a_stride_of_two_moves_the_knee_by_five_halves_at_large_batch():
    plain, strided = (layer_knee(NetworkLayer(128, 56, stride=s), Setting(P100, 4096)) for s in (1, 2))
    assert strided / plain == pytest.approx((1 + 4) / 2, rel=1e-3)


def test_weights_alone_keep_a_small_layer_bound_by_memory():
    assert math.isinf(layer_knee(NetworkLayer(1024, 7), Setting(H200, 1, "float16")))


@given(st.floats(80, 250), st.sampled_from([1, 2, 8, 32]))
def test_a_power_cap_bounds_the_mean_power_and_never_speeds_up(cap_w: float, G: int):
    layer = NetworkLayer(32, 112)
    free, capped = (layer_run(layer, G, Setting(P100, 32, "float32", 0.0, cap)) for cap in (None, cap_w))
    assert capped.energy.total_j / capped.latency_s <= cap_w * (1 + 1e-9)
    assert capped.latency_s >= free.latency_s


def test_under_a_cap_that_bytes_alone_exceed_no_arithmetic_is_free():
    # 732 GB/s at 140 pJ/B draw 102 W above 75 W static: at 150 W power is the bound before any arithmetic.
    assert layer_knee(NetworkLayer(128, 56), Setting(P100, 32, "float32", 0.0, 150.0)) == 0
    assert 0 < layer_knee(NetworkLayer(128, 56), Setting(P100, 32, "float32", 0.0, 220.0)) < 5.65


def test_a_cap_at_or_below_static_power_is_refused():
    with pytest.raises(EnergyBenchError, match="not above the static power"):
        Setting(P100, power_cap_w=P100.static_w)


def test_a_machine_without_the_data_type_is_refused():
    with pytest.raises(MachineError, match="no peak for float8"):
        Setting(P100, dtype="float8")


def test_an_unknown_network_is_named_with_the_nearest_one():
    with pytest.raises(EnergyBenchError, match="mobilenet_v1"):
        grouped_network("mobilenet")


def test_lanes_are_wasted_below_eight_on_tensor_cores_only():
    on_tensor_cores = {a.value: a.computed_share for a in answer(machine=H200, dtype="float16").constant_size}
    assert on_tensor_cores == {1: 8, 2: 4, 4: 2, 8: 1, 16: 1, 32: 1}
    assert {a.computed_share for a in answer(dtype="float32").constant_size} == {1}


def test_without_a_cost_per_group_the_physical_model_has_no_optimum_and_says_so():
    physical = answer(batch=32).physical
    assert physical.continuous is None
    assert "without a cost per group" in physical.reason
    assert physical.choice == 1


def test_with_a_cost_per_group_the_networks_optimum_is_the_least_of_its_own_joules():
    found = answer(batch=32, group_overhead_s=2e-7)
    joules = {a.value: a.energy.total_j for a in found.constant_size}
    assert found.physical.choice == min(joules, key=lambda G: joules[G])
    assert 1 < found.physical.continuous < 32


def test_strided_layers_want_larger_groups_at_equal_macs():
    layers = answer().layers
    strided = {x.relative_group_size for x in layers if x.layer.stride == 2}
    plain = {x.relative_group_size for x in layers if x.layer.stride == 1}
    # Movement per output element is (1 + s^2) / 2 times as large, and G goes with its square root.
    assert max(strided) / max(plain) == pytest.approx(math.sqrt(5 / 2))


def test_no_model_is_presented_as_the_papers_own():
    import energybench.analysis.network_group_size as module

    assert "may be presented as the paper's" in module.__doc__
    assert any("reconstruction, ours" in w for w in answer().thesis.warnings)


def test_the_knee_map_holds_the_knees_of_the_reference_table():
    cells = {(c.machine, c.dtype): c for c in knee_map([P100, H200])}
    assert cells["p100-pcie", "float32"].knee == pytest.approx(5.65, abs=5e-3)
    assert cells["h200", "bfloat16"].knee == pytest.approx(45.8, abs=5e-2)
    assert cells["h200", "tf32"].knee == pytest.approx(45.8, abs=5e-2)
    assert cells["h200", "float32"].knee == pytest.approx(6.19, abs=5e-3)
    assert cells["p100-pcie", "float16"].native == "float32"
    assert ("p100-pcie", "int8") not in cells


def test_every_shipped_machine_is_on_the_knee_map():
    assert {c.machine for c in knee_map(machine_table())} == {m.name for m in machine_table()}


def test_sensitivity_moves_one_axis_at_a_time_and_channels_move_nothing():
    moved = sensitivity(NetworkLayer(256, 28), Setting(P100, 32, "float32", 2e-7))
    assert {m.axis for m in moved} == {"channels", "batch", "dtype", "power_cap_w"}
    by_channels = [m for m in moved if m.axis == "channels"]
    for name in ("knee", "thesis", "physical"):
        values = [getattr(m, name) for m in by_channels]
        assert values == pytest.approx([values[0]] * len(values), rel=1e-4)
    physical = [m.physical for m in moved if m.axis == "batch"]
    assert physical == sorted(physical, reverse=True)


def test_t2_the_curve_is_recovered_exactly_with_its_optimum():
    sizes = [1, 2, 4, 8, 16, 32, 64]
    fit = fit_curve(sizes, [3 + 0.5 * G + 32 / G for G in sizes])
    assert [c.value for c in fit.constants] == pytest.approx([3, 0.5, 32])
    assert fit.optimum.estimate == pytest.approx(8)
    assert all(c.certain for c in fit.constants)
    assert fit.at(8).estimate == pytest.approx(11)


def test_intervals_of_the_curve_cover_its_constants_about_as_often_as_they_say():
    import numpy as np

    random = np.random.default_rng(5)
    sizes = [1, 2, 4, 8, 16, 32, 64]
    truth = (3.0, 0.5, 32.0, 8.0)
    covered = 0
    for _ in range(200):
        fit = fit_curve(sizes, [(3 + 0.5 * G + 32 / G) * math.exp(random.normal(0, 0.02)) for G in sizes])
        ends = [(c.low, c.high) for c in fit.constants] + [(fit.optimum.low, fit.optimum.high)]
        covered += sum(low <= true <= high for true, (low, high) in zip(truth, ends, strict=True))
    # 800 intervals at 95 %: fewer than 720 would be far off even for correlated ones.
    assert 720 <= covered <= 795


def test_a_curve_without_a_cost_per_group_has_no_optimum_inside():
    sizes = [1, 2, 4, 8, 16]
    fit = fit_curve(sizes, [5 + 2.0 * G for G in sizes])
    assert fit.optimum is None or fit.optimum.low < 1


def test_three_group_sizes_are_too_few_for_a_curve():
    with pytest.raises(EnergyBenchError, match="4 are needed"):
        fit_curve([1, 2, 4], [3.0, 2.0, 3.0])


STUDY = """
name: sizes
baseline: g4
variants:
  G1: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 1}}
  G4: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 4}}
  G8: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 8}}
  G16: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 16}}
  g4: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 4}}
input: [32, $channels, $size, $size]
axes:
  stage:
    - {network: tiny, channels: 32, size: 32, repeat: 1}
    - {network: tiny, channels: 64, size: 16, repeat: 2}
  dtype: [float32]
analytic: group_size
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder, _ = measured(tmp_path_factory.mktemp("sizes"), STUDY, device="sim:t4")
    return load(folder)


def test_the_measured_optimum_of_a_network_is_that_of_the_simulated_truth(run):
    (found,) = network_optima(Book(run))
    truth = run.record.truth
    totals = {
        v: sum(truth[c.work]["energy_per_iteration_j"] * c.repeat / c.batch for c in run.record.cases if c.variant == v)
        for v in ("G1", "G4", "G8", "G16", "g4")
    }
    assert found.group_sizes == (1, 4, 8, 16)
    assert [j.estimate for j in found.joules] == pytest.approx([totals[f"G{G}"] for G in (1, 4, 8, 16)], rel=0.005)
    best = min((1, 4, 8, 16), key=lambda G: totals[f"G{G}"])
    assert best in found.optimum.indistinguishable
    assert found.network == "tiny"
    assert (found.batch, found.dtype) == (32, "float32")


def test_a_constant_number_of_groups_is_judged_at_its_own_macs(run):
    (found,) = network_optima(Book(run))
    (other,) = found.at_equal_macs
    # C x S: 32 x 1024 and 2 x 64 x 256, so both weigh one half; G = 8 and 16.
    assert other.equivalent_group_size == pytest.approx(12)
    assert other.groups == 4
    assert other.ratio.low < other.joules / found.fit.curve.at(12) < other.ratio.high


def test_layers_are_fitted_one_by_one(run):
    fits = layer_fits(Book(run))
    assert [f.channels for f in fits] == [32, 64]
    assert all(len(f.fit.group_sizes) >= 4 for f in fits)


def test_both_texts_name_what_they_show(run):
    text = "\n".join(measured_network_lines(network_optima(Book(run)), simulated=True))
    assert text.startswith("SIMULATED")
    assert "the best is among {" in text
    text = "\n".join(network_group_size_lines(answer(batch=32)))
    assert "2.7583" in text
    assert "reconstruction, ours" in text
