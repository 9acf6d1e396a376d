"""Measuring a machine: the loops find the simulated board's hidden constants, and what is not measured is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from quiet import Remembering

from energybench.analysis.measured_machine import MeasuredMachine, measured_machine
from energybench.analysis.summary import summarize
from energybench.devices.cpu import CpuDevice
from energybench.devices.kernels import RepeatedRead
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import QUALITY, constants
from energybench.errors import MachineError
from energybench.journal import load
from energybench.machine import load_machine, machine_to_dict, predicted_latency_s
from energybench.measure_machine import KERNELS, machine_suite, measure_machine, write_sheet
from energybench.prediction import predict_suite
from energybench.report.figures import save_figures
from energybench.report.machine_text import measured_machine_lines
from energybench.session import RunOptions, open_station, plan_study, run_study
from energybench.suite import Suite, expand, parse_suite
from energybench.workload import plan_workload


def found_on(folder: Path, device: str, **options: object) -> tuple[Path, MeasuredMachine]:
    chosen = RunOptions(device=device, results=folder, plugins=KERNELS, **options)  # type: ignore[arg-type]
    return measure_machine(chosen, Remembering())


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


def test_the_caches_bandwidth_is_the_simulated_boards_own(simulated):
    hidden = constants(simulated.base)["l2_bandwidth_bytes_per_s"]
    found = simulated.machine.l2_bandwidth_bytes_per_s
    # The launch of 2.4 us is in it: less than 2 % of any loop.
    assert 0.98 * hidden < found < 1.002 * hidden
    (number,) = [n for n in simulated.numbers if n.field == "l2_bandwidth_bytes_per_s"]
    assert number.low < found < number.high
    assert "MiB that it holds" in number.source
    assert "l2_bandwidth_bytes_per_s" in "\n".join(measured_machine_lines(simulated))


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
  read: {layer: "kernels:RepeatedRead", args: {passes: $passes}, cache: hot}
  gemm: {layer: "torch.nn:Linear", args: {in_features: $columns, out_features: $columns, bias: false}, cache: hot}
input: [$rows, $columns]
axes:
  loop:
    - {kernel: nothing, rows: 1, columns: 64, passes: 0}
    - {kernel: copy, rows: 1024, columns: 4096, passes: 0}
    - {kernel: cached, rows: 64, columns: 4096, passes: 16}
    - {kernel: uncached, rows: 8192, columns: 4096, passes: 16}
    - {kernel: gemm, rows: 256, columns: 256, passes: 0}
  dtype: [float32]
skip:
  - {variant: gemm, kernel: copy, because: it copies}
  - {variant: gemm, kernel: nothing, because: it does nothing}
  - {variant: gemm, kernel: cached, because: it reads}
  - {variant: gemm, kernel: uncached, because: it reads}
  - {variant: copy, kernel: gemm, because: it multiplies}
  - {variant: copy, kernel: cached, because: it reads}
  - {variant: copy, kernel: uncached, because: it reads}
  - {variant: read, kernel: nothing, because: it does nothing}
  - {variant: read, kernel: copy, because: it copies}
  - {variant: read, kernel: gemm, because: it multiplies}
quick: {kernel: [nothing, copy, cached, uncached, gemm]}
"""


def without(kernel: str) -> str:
    """The small loops but for one kernel."""
    lines = [line for line in SMALL_LOOPS.splitlines() if f"kernel: {kernel}," not in line]
    return "\n".join(lines).replace(f", {kernel}", "")


def found_by(loops: str | Suite, folder: Path, device: str, **asked: object) -> MeasuredMachine:
    """What the loops of one machine's suite find on another device."""
    options = RunOptions(device=device, results=folder, plugins=KERNELS, quick=True, **asked)  # type: ignore[arg-type]
    suite = parse_suite(loops) if isinstance(loops, str) else loops
    station = open_station(options)
    try:
        study = plan_study(suite, station, options)
        return measured_machine(load(run_study(study, station, options, Remembering())))
    finally:
        station.close()


@pytest.fixture(scope="module")
def cpu(tmp_path_factory) -> MeasuredMachine:
    """The real CPU, with small loops."""
    return found_by(SMALL_LOOPS, tmp_path_factory.mktemp("cpu"), "cpu", meter="none")


def test_on_the_real_cpu_rates_are_measured_and_plausible(cpu):
    assert 1e8 < cpu.machine.bandwidth_bytes_per_s < 1e13
    assert 1e8 < cpu.machine.peak_flops_per_s["float32"] < 1e15
    assert 1e-8 < cpu.machine.launch_s < 1e-2
    assert cpu.machine.title.endswith("measured")
    noted = any(note.startswith("l2_bandwidth_bytes_per_s is not stated") for note in cpu.notes)
    cache = cpu.machine.l2_bandwidth_bytes_per_s  # which of the two it is depends on who else is using this CPU
    assert noted if cache is None else cache > 1.2 * cpu.machine.bandwidth_bytes_per_s


def test_a_cpu_without_a_meter_gets_a_sheet_without_energies_and_a_reason(cpu, tmp_path):
    rates = {"launch_s", "bandwidth_bytes_per_s", "peak_flops_per_s", "l2_bandwidth_bytes_per_s"}
    assert {n.field.partition(".")[0] for n in cpu.numbers} <= rates
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


def test_a_loop_that_the_cache_does_not_hold_says_nothing_of_the_cache(tmp_path):
    """A quarter of an H200's 50 MB are more than a P100's 4 MB: all loops read device memory."""
    found = found_by(machine_suite(SimulatedDevice("h200")), tmp_path, "sim:p100-pcie")
    assert found.machine.l2_bandwidth_bytes_per_s is None
    (note,) = [note for note in found.notes if note.startswith("l2_bandwidth_bytes_per_s is not stated")]
    assert "less than 1.2 times" in note
    assert f"note: {note}" in "\n".join(measured_machine_lines(found))


def test_without_a_loop_beyond_the_cache_nothing_says_that_it_was_the_cache(tmp_path):
    found = found_by(without("uncached"), tmp_path, "sim:t4")
    assert found.machine.l2_bandwidth_bytes_per_s is None
    assert any("the same loop beyond it was not measured" in note for note in found.notes)


def test_where_the_size_of_the_cache_is_unknown_no_loop_is_made_for_it(tmp_path):
    sheet = machine_to_dict(load_machine("t4"))
    del sheet["l2_bytes"]
    (tmp_path / "unknown.yaml").write_text(yaml.safe_dump(sheet))
    device = f"sim:{tmp_path / 'unknown.yaml'}"
    suite = machine_suite(SimulatedDevice(str(tmp_path / "unknown.yaml")))
    assert set(suite.variants) == {"copy", "gemm"}
    found = found_by(suite, tmp_path, device)
    assert found.machine.l2_bandwidth_bytes_per_s is None
    assert any("its size is not known" in note for note in found.notes)


def test_a_run_without_matrix_products_makes_no_sheet(tmp_path):
    with pytest.raises(MachineError, match="no loop of gemm was measured"):
        found_by(without("gemm"), tmp_path, "sim:t4")


def test_stretches_lie_in_the_input_and_are_summed_each():
    x = torch.arange(2 * 4096, dtype=torch.float64).reshape(2, 4096)
    flat = x.flatten()
    # Half of 8192 elements each; 4 of them begin 4096 / 4 = 1024 elements apart, the last one ends at 7168.
    expected = [float(flat[begin : begin + 4096].sum()) for begin in (0, 1024, 2048, 3072)]
    assert RepeatedRead(4)(x).tolist() == expected


def test_what_is_read_again_is_counted_apart_from_what_must_be_moved():
    (case,) = [c for c in expand(parse_suite(SMALL_LOOPS))[0] if c.point["kernel"] == "cached"]
    (op,) = plan_workload(case, plugins=KERNELS).operators
    elements, passes = 64 * 4096, 16
    length = elements // 2
    distinct = 15 * (length // passes) + length
    assert (op.read_bytes, op.write_bytes) == (4 * distinct, 4 * passes)
    assert op.reread_bytes == 4 * (passes * length - distinct)


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
