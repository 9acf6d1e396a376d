"""Times of single operators: the simulated truth's own, the CPU's by its profiler, nothing where sequences differ."""

from __future__ import annotations

import pytest
import torch
from quiet import SMALL, Remembering, measured

from energybench.analysis.summary import summarize
from energybench.devices.cpu import CpuDevice
from energybench.devices.profiling import Call, ProfiledOperator, called_operators, profile_operators
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import operator_latency_s
from energybench.errors import CaseError
from energybench.journal import OperatorRecord
from energybench.report.answer import answer_of
from energybench.session import RunOptions, open_station, plan_study
from energybench.session.operators import measured_operators, profile_study
from energybench.session.record import operator_records
from energybench.suite import expand, parse_suite
from energybench.workload import WorkPlan, plan_workload


def plan_of(layer: str, args: str, shape: str, **options: str) -> WorkPlan:
    extra = "".join(f", {k}: {v}" for k, v in options.items())
    text = f"""
name: one
baseline: a
variants:
  a: {{layer: "{layer}", args: {{{args}}}{extra}}}
input: {shape}
"""
    return plan_workload(expand(parse_suite(text))[0][0])


def records_of(plan: WorkPlan) -> list[OperatorRecord]:
    return operator_records([plan])


NETWORK = ("MobileNetV1", "group_size: 8", "[1, 3, 32, 32]")
LAYER = ("torch.nn:Conv2d", "in_channels: 8, out_channels: 8, kernel_size: 3", "[2, 8, 16, 16]")


@pytest.fixture(scope="module")
def cpu() -> CpuDevice:
    return CpuDevice()


@pytest.fixture(scope="module")
def network(cpu):
    """A network on the real CPU, its records and what profiling them says."""
    plan = plan_of(*NETWORK)
    prepared, records = cpu.prepare(plan), records_of(plan)
    return prepared, records, measured_operators(cpu, prepared, records)


@pytest.fixture(scope="module")
def layer(cpu):
    plan = plan_of(*LAYER)
    return cpu.prepare(plan), records_of(plan)


def test_on_a_simulated_board_operators_take_the_truths_time():
    device, plan = SimulatedDevice("h200"), plan_of(*NETWORK)
    prepared = device.prepare(plan)
    times = measured_operators(device, prepared, records_of(plan))
    assert times.note == ""
    expected = [operator_latency_s(op, device.machine) for op in plan.operators]
    assert [r.measured_s for r in times.records] == pytest.approx(expected)
    assert sum(r.measured_s for r in times.records) == pytest.approx(device.truth(prepared).latency_s)


def test_a_simulated_board_at_its_power_limit_slows_all_operators_together():
    device = SimulatedDevice("t4")
    plan = plan_of("torch.nn:Linear", "in_features: 8192, out_features: 8192", "[8192, 8192]")
    prepared = device.prepare(plan)
    (operator,) = profile_operators(device, prepared)
    assert operator.seconds == pytest.approx(device.truth(prepared).latency_s)
    assert operator.seconds >= operator_latency_s(plan.operators[0], device.machine)


def test_on_the_cpu_every_operator_of_a_network_gets_a_time_and_a_kernel(network):
    _, _, times = network
    assert times.note == ""
    assert len(times.records) == 83  # 27 convolutions with their norms and activations, pooling, classifier
    assert all(r.measured_s > 0 and r.kernel for r in times.records)
    convolutions = {r.kernel for r in times.records if r.name == "conv2d"}
    assert any("conv" in kernel for kernel in convolutions)


def test_times_of_operators_add_up_to_about_the_iteration(cpu, network):
    prepared, _, times = network
    total_s = sum(r.measured_s for r in times.records)
    least_s = min(cpu.latency_samples(prepared, 0.2).samples_s)
    # No slower than the profiler could make it, and no operator is lost: shared cores make both sides noisy.
    assert 0.3 * least_s < total_s < 100 * least_s


def test_records_keep_everything_else(network):
    _, records, times = network
    for before, after in zip(records, times.records, strict=True):
        assert after.model_copy(update={"measured_s": None, "kernel": None}) == before


def test_one_call_that_does_the_work_of_several_gets_no_time_and_a_note(cpu):
    plan = plan_of(*LAYER, mode="training")
    prepared = cpu.prepare(plan)
    times = measured_operators(cpu, prepared, records_of(plan))
    gradients = [r for r in times.records if r.name.endswith("_gradient")]
    assert len(gradients) >= 2
    assert all(r.measured_s is None for r in gradients)
    assert "one call does the work of several" in times.note
    assert times.records[0].measured_s > 0


def test_where_the_sequences_differ_nothing_is_written_and_the_place_is_named(cpu, layer):
    prepared, records = layer
    wrong = [records[0].model_copy(update={"name": "gelu"}), *records[1:]]
    times = measured_operators(cpu, prepared, wrong)
    assert all(r.measured_s is None for r in times.records)
    assert "operator 0" in times.note
    assert "counted as gelu" in times.note


def test_where_the_numbers_of_operators_differ_nothing_is_written(cpu, layer):
    prepared, records = layer
    times = measured_operators(cpu, prepared, records[:-1])
    assert all(r.measured_s is None for r in times.records)
    assert f"{len(records) - 1} operators were counted and {len(records)} ran" in times.note


def test_where_the_multiply_accumulates_differ_nothing_is_written(cpu, layer):
    prepared, records = layer
    wrong = [records[0].model_copy(update={"macs": 1}), *records[1:]]
    assert "multiply-accumulates" in measured_operators(cpu, prepared, wrong).note


def test_attention_is_one_operator_on_both_sides(cpu):
    """A plugin-free way to attention: torch's own scaled product inside a module built here."""

    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    plan = plan_of("torch.nn:Identity", "", "[2, 4, 16, 8]")
    prepared = cpu.prepare(plan)
    prepared.built.module = Attention()
    found = profile_operators(cpu, prepared)
    assert [o.name for o in found] == ["attention"]
    assert found[0].seconds > 0


def test_compiled_and_released_work_is_not_profiled(cpu):
    plan = plan_of("torch.nn:Linear", "in_features: 8, out_features: 8", "[4, 8]")
    prepared = cpu.prepare(plan)
    cpu.release(prepared)
    with pytest.raises(CaseError, match="still holds"):
        profile_operators(cpu, prepared)
    assert "still holds" in measured_operators(cpu, prepared, records_of(plan)).note


def test_the_profiler_is_quiet(cpu, capfd):
    plan = plan_of("torch.nn:Linear", "in_features: 8, out_features: 8", "[4, 8]")
    assert isinstance(profile_operators(cpu, cpu.prepare(plan))[0], ProfiledOperator)
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == ""


def test_a_study_is_profiled_work_by_work_and_what_is_known_is_not_profiled_again(tmp_path):
    options = RunOptions(device="sim:h200", results=tmp_path)
    station = open_station(options)
    try:
        study = plan_study(parse_suite(SMALL), station, options)
        records = operator_records(study.cases)
        found, notes = profile_study(study, station, records, Remembering())
        assert notes == []
        assert [(r.work, r.index) for r in found] == [(r.work, r.index) for r in records]
        assert all(r.measured_s > 0 for r in found)
        marked = [r.model_copy(update={"measured_s": 1.0}) for r in found]
        again, _ = profile_study(study, station, marked, Remembering())
        assert again == marked
    finally:
        station.close()


def test_iterations_that_lost_kernels_do_not_count():
    whole, torn = (("pad", "conv"), 3e-6), (("conv",), 2e-6)
    (found,) = called_operators(Call(("conv2d",), (7,)), [None, torn, whole, whole, whole], exact=True)
    assert found == ProfiledOperator("conv2d", 7, "pad + conv", 3e-6)


def test_where_most_iterations_lost_their_kernels_there_is_no_time():
    (found,) = called_operators(Call(("relu",), (0,)), [None, None, (("relu",), 1e-6)], exact=True)
    assert found == ProfiledOperator("relu", 0, "", None)


@pytest.mark.gpu
def test_on_a_gpu_every_convolution_gets_the_time_and_name_of_its_kernels():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    from energybench.devices.cuda import CudaDevice

    device, plan = CudaDevice("0"), plan_of(*NETWORK)
    prepared = device.prepare(plan)
    times = measured_operators(device, prepared, records_of(plan))
    assert times.note == ""
    convolutions = [r for r in times.records if r.name == "conv2d"]
    assert all(r.kernel and 1e-7 < r.measured_s < 1e-2 for r in convolutions)
    assert sum(r.measured_s for r in times.records) < 3 * prepared.iteration_s


SPECTRUM = """
name: spectrum
about: An operator that nobody has counted
baseline: convolution
variants:
  convolution: {layer: "torch.nn:Conv2d", args: {in_channels: 3, out_channels: 3, kernel_size: 3}}
  spectrum: {layer: "spectra:Spectrum", args: {}}
input: [2, 3, 32, 32]
axes: {dtype: [float32]}
"""


def test_a_case_with_uncounted_work_has_no_number_per_mac_and_no_roof(tmp_path):
    plugin = tmp_path / "spectra.py"
    plugin.write_text(
        "import torch\n"
        "class Spectrum(torch.nn.Conv2d):\n"
        "    def __init__(self):\n        super().__init__(3, 3, 3)\n"
        "    def forward(self, x):\n        return torch.fft.rfft(super().forward(x)).real\n"
    )
    folder, study = measured(tmp_path, SPECTRUM, quick=True, plugins=(str(plugin),))
    rows = summarize(folder).cases.set_index("variant")
    assert any("fft" in name for plan in study.cases for name in plan.unknown)
    assert "unknown-operators" in rows.loc["spectrum", "flags"].split()
    untold = ["energy_per_mac_j", "efficiency", "attainable_latency_s", "predicted_energy_per_inference_j"]
    assert rows.loc["spectrum", untold].isna().all()
    assert rows.loc["convolution", untold].notna().all()
    assert rows["energy_per_inference_j"].notna().all()
    (caveat,) = [said for said in answer_of(summarize(folder)).caveats if "fft" in said]
    assert caveat.startswith("Not counted in spectrum: the MACs of aten._fft_r2c")
