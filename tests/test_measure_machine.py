"""Measuring a machine: the loops find the simulated board's hidden constants, and what is not measured is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from quiet import Remembering

from energybench.analysis.measured_machine import MeasuredMachine, measured_machine
from energybench.analysis.summary import summarize
from energybench.devices.cpu import CpuDevice
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import QUALITY, constants
from energybench.errors import MachineError
from energybench.journal import load
from energybench.machine import load_machine, predicted_latency_s
from energybench.measure_machine import KERNELS, machine_suite, measure_machine, write_sheet
from energybench.prediction import predict_suite
from energybench.report.figures import save_figures
from energybench.report.machine_text import measured_machine_lines
from energybench.session import RunOptions, open_station, plan_study, run_study
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload


def found_on(folder: Path, device: str, **options: object) -> tuple[Path, MeasuredMachine]:
    chosen = RunOptions(device=device, results=folder, plugins=KERNELS, **options)  # type: ignore[arg-type]
    return measure_machine(chosen, lambda name: Remembering())


@pytest.fixture(scope="module", params=["h200", "p100-pcie"])
def simulated(request, tmp_path_factory) -> MeasuredMachine:
    return found_on(tmp_path_factory.mktemp("machine"), f"sim:{request.param}")[1]


def test_bandwidth_peaks_and_launch_are_the_simulated_boards_own(simulated):
    base, found = simulated.base, simulated.machine
    assert found.launch_s == pytest.approx(constants(base)["launch_s"], rel=0.01)
    for dtype, peak in found.peak_flops_per_s.items():
        expected = QUALITY["gemm"].arithmetic * base.peak_flops_per_s[dtype]
        assert peak == pytest.approx(expected, rel=0.02)
    # A copy also waits for its launch, so it stays a little below.
    assert found.bandwidth_bytes_per_s / base.bandwidth_bytes_per_s == pytest.approx(
        QUALITY["copy"].bandwidth, rel=0.02
    )


def test_unit_energies_and_static_power_are_the_simulated_boards_own(simulated):
    hidden = constants(simulated.base)
    found = simulated.machine
    assert found.static_w == pytest.approx(hidden["static_w"], rel=0.01)
    assert found.j_per_byte == pytest.approx(hidden["j_per_byte"], rel=0.01)
    for dtype, j_per_flop in found.j_per_flop.items():
        assert j_per_flop == pytest.approx(hidden[f"j_per_flop.{dtype}.gemm"], rel=0.02)
    assert found.idle_w == pytest.approx(simulated.base.idle_w, rel=0.01)


def test_every_number_says_that_it_was_simulated_and_no_driver_name_matches(simulated):
    assert simulated.machine.match == ()
    assert "simulated" in simulated.machine.title
    fitted = [n for n in simulated.numbers if n.measured and n.field != "tdp_w"]
    assert all(n.source.startswith("simulated here") for n in fitted)
    assert all(n.low <= n.value <= n.high for n in fitted)


def test_the_sheet_is_read_back_equal(simulated, tmp_path):
    path = tmp_path / "sheet.yaml"
    write_sheet(simulated, path)
    assert load_machine(path) == simulated.machine
    assert load_machine(path).provenance == "measured"


def test_a_sheet_that_cannot_be_written_says_so(simulated, tmp_path):
    with pytest.raises(MachineError, match="cannot be written"):
        write_sheet(simulated, tmp_path / "missing" / "sheet.yaml")


def test_the_text_shows_the_shipped_sheet_beside_each_number(simulated):
    text = "\n".join(measured_machine_lines(simulated))
    assert f"over {simulated.base.name}" in text
    (static,) = [line for line in text.splitlines() if line.strip().startswith("static_w")]
    assert float(static.split()[-1]) == pytest.approx(0.93, abs=0.01)


def test_without_a_meter_rates_are_measured_and_energies_are_named_as_not_measured(tmp_path):
    _, found = found_on(tmp_path, "sim:h200", meter="none")
    assert found.energy is None
    assert found.energy_reason
    measured = {n.field for n in found.numbers if n.measured}
    assert {"bandwidth_bytes_per_s", "launch_s", "peak_flops_per_s.float16"} <= measured
    assert "j_per_byte" not in measured
    j_per_byte = next(n for n in found.numbers if n.field == "j_per_byte")
    assert j_per_byte.value == found.base.j_per_byte
    assert j_per_byte.source.startswith("not measured")
    text = "\n".join(measured_machine_lines(found))
    assert "no unit energies" in text


SMALL_LOOPS = """
name: machine
baseline: copy
variants:
  copy: {layer: "kernels:StreamCopy", args: {rows: $rows, columns: $columns}, cache: hot}
  gemm: {layer: "torch.nn:Linear", args: {in_features: $columns, out_features: $columns, bias: false}, cache: hot}
input: [$rows, $columns]
axes:
  loop:
    - {kernel: nothing, rows: 1, columns: 64}
    - {kernel: copy, rows: 1024, columns: 4096}
    - {kernel: gemm, rows: 256, columns: 256}
  dtype: [float32]
skip:
  - {variant: gemm, kernel: copy, because: it copies}
  - {variant: gemm, kernel: nothing, because: it does nothing}
  - {variant: copy, kernel: gemm, because: it multiplies}
quick: {kernel: [nothing, copy, gemm]}
"""


@pytest.fixture(scope="module")
def cpu(tmp_path_factory) -> MeasuredMachine:
    """The real CPU, with small loops."""
    options = RunOptions(
        device="cpu", meter="none", results=tmp_path_factory.mktemp("cpu"), plugins=KERNELS, quick=True
    )
    station = open_station(options)
    try:
        study = plan_study(parse_suite(SMALL_LOOPS), station, options)
        return measured_machine(load(run_study(study, station, options, Remembering())))
    finally:
        station.close()


def test_on_the_real_cpu_rates_are_measured_and_plausible(cpu):
    assert 1e8 < cpu.machine.bandwidth_bytes_per_s < 1e13
    assert 1e8 < cpu.machine.peak_flops_per_s["float32"] < 1e15
    assert 1e-8 < cpu.machine.launch_s < 1e-2
    assert cpu.machine.title.endswith("measured")


def test_a_cpu_without_a_meter_gets_a_sheet_without_energies_and_a_reason(cpu, tmp_path):
    assert {n.field.partition(".")[0] for n in cpu.numbers} == {"launch_s", "bandwidth_bytes_per_s", "peak_flops_per_s"}
    assert not cpu.machine.has_energy
    write_sheet(cpu, tmp_path / "cpu.yaml")
    assert "j_per" not in (tmp_path / "cpu.yaml").read_text()
    assert load_machine(tmp_path / "cpu.yaml") == cpu.machine
    text = "\n".join(measured_machine_lines(cpu))
    assert "no unit energies: no meter" in text
    assert "no joules" in text


def test_a_run_judged_by_a_sheet_without_energies_has_latencies_of_the_model_and_no_joules(cpu, tmp_path):
    write_sheet(cpu, tmp_path / "cpu.yaml")
    sheet = str(tmp_path / "cpu.yaml")
    options = RunOptions(device="cpu", meter="none", machine=sheet, results=tmp_path, plugins=KERNELS, quick=True)
    station = open_station(options)
    try:
        study = plan_study(parse_suite(SMALL_LOOPS), station, options)
        summary = summarize(load(run_study(study, station, options, Remembering())))
    finally:
        station.close()
    assert summary.machine == cpu.machine
    ran = summary.cases[summary.cases.status == "ok"]
    assert ran.attainable_latency_s.notna().all()
    assert ran.predicted_energy_per_inference_j.isna().all()
    names = {figure.name for figure in save_figures(summary, tmp_path / "figures")}
    assert "roofline" in names
    assert not [name for name in names if "energy" in name]
    predicted = load(predict_suite(parse_suite(SMALL_LOOPS), cpu.machine, tmp_path / "model", plugins=KERNELS))
    rows = summarize(predicted).cases
    rows = rows[rows.status == "ok"]
    assert rows.loop_latency_s.notna().all()
    assert rows.energy_per_inference_j.isna().all()
    with pytest.raises(MachineError, match="no powers and no unit energies"):
        SimulatedDevice(sheet)


def test_the_measured_sheet_predicts_the_loop_it_came_from(cpu):
    (case,) = [c for c in expand(parse_suite(SMALL_LOOPS))[0] if c.point["kernel"] == "gemm"]
    plan = plan_workload(case, plugins=KERNELS)
    flops = 2 * 256**3
    least_s = flops / cpu.machine.peak_flops_per_s["float32"]
    assert predicted_latency_s(plan.operators, cpu.machine) >= least_s


def test_a_run_without_matrix_products_makes_no_sheet(tmp_path):
    options = RunOptions(device="sim:t4", results=tmp_path, plugins=KERNELS, quick=True)
    station = open_station(options)
    text = SMALL_LOOPS.replace("    - {kernel: gemm, rows: 256, columns: 256}\n", "").replace(", gemm]", "]")
    text = text.replace("  - {variant: copy, kernel: gemm, because: it multiplies}\n", "")
    study = plan_study(parse_suite(text), station, options)
    folder = run_study(study, station, options, Remembering())
    with pytest.raises(MachineError, match="no loop of gemm was measured"):
        measured_machine(load(folder))


def test_copies_read_and_write_every_element_once():
    (case,) = [c for c in expand(parse_suite(SMALL_LOOPS))[0] if c.point["kernel"] == "copy"]
    (op,) = plan_workload(case, plugins=KERNELS).operators
    assert (op.read_bytes, op.write_bytes, op.family) == (1024 * 4096 * 4, 1024 * 4096 * 4, "copy")


def test_the_loops_of_a_board_move_several_times_its_cache_and_those_of_a_cpu_stay_small():
    board = SimulatedDevice("h200")
    largest = max(e["rows"] * e["columns"] * 4 for e in machine_suite(board).entries["loop"] if e["kernel"] == "copy")
    assert largest >= 7 * board.facts.l2_bytes
    cpu_device = CpuDevice()
    edges = [e["rows"] for e in machine_suite(cpu_device).entries["loop"] if e["kernel"] == "gemm"]
    assert max(edges) <= 4096
    assert "tf32" not in {e["dtype"] for e in machine_suite(cpu_device).entries["dtype"]}
