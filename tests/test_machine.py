from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.cost import OperatorCost
from energybench.errors import MachineError
from energybench.machine import (
    EnergySplit,
    Machine,
    arithmetic_latency_s,
    attainable_latency_s,
    list_machines,
    load_machine,
    machine_for_device,
    machine_from_dict,
    machine_table,
    machine_to_dict,
    memory_latency_s,
    operator_energy_j,
    peak_for,
    predicted_energy_j,
    predicted_latency_s,
    rate_dtype,
)

ROUND = replace(
    load_machine("p100-pcie"),
    peak_flops_per_s={"float32": 10e12, "float16": 100e12},
    j_per_flop={"float32": 5e-12, "float16": 1e-12},
    bandwidth_bytes_per_s=1e12,
    j_per_byte=100e-12,
    static_w=100.0,
    tdp_w=math.inf,
    launch_s=1e-6,
)
"""A machine of round numbers: 100 FLOP/byte in float16, 10 in float32; no power limit."""


def operator(macs: int, traffic: int, dtype: str = "float16") -> OperatorCost:
    return OperatorCost("conv2d", "conv_dense", macs, traffic, 0, dtype=dtype)


def test_every_board_the_project_promises_has_a_sheet():
    assert set(list_machines()) >= {
        *("p100-pcie", "p100-sxm2", "p4000", "v100-pcie", "v100-sxm2", "t4", "a10", "l4", "l40s", "b200", "h200"),
        *("a100-pcie-40gb", "a100-pcie-80gb", "a100-sxm4-40gb", "a100-sxm4-80gb", "h100-pcie", "h100-sxm", "gh200"),
        *("rtx-3090", "rtx-4090", "rtx-5090"),
    }
    assert [machine.name for machine in machine_table()] == list_machines()


@pytest.mark.parametrize("machine", machine_table(), ids=lambda machine: machine.name)
def test_no_sheet_predicts_more_than_the_power_limit_at_full_bandwidth(machine: Machine):
    assert machine.static_w + machine.j_per_byte * machine.bandwidth_bytes_per_s <= machine.tdp_w
    assert machine.idle_w <= machine.static_w


def test_boards_of_one_generation_pay_the_same_for_an_operation_whatever_their_power_limits():
    energies: dict[tuple[float | None, str], set[float]] = {}
    for machine in machine_table():
        for dtype in ("float32", "float16"):
            if dtype in machine.j_per_flop:
                energies.setdefault((machine.compute_capability, dtype), set()).add(machine.j_per_flop[dtype])
    assert all(len(found) == 1 for found in energies.values())
    assert len(energies) < len(machine_table())  # or nothing was compared


@pytest.mark.parametrize(
    ("name", "sustained"),
    [("t4", 4.7e12), ("l4", 12.8e12)],  # best float32 products of NeuSight's data, under limits of 70 and 72 W
)
def test_boards_that_cannot_hold_their_peak_hold_the_rate_that_was_measured_at_their_power_limit(name, sustained):
    machine = load_machine(name)
    moving_w = machine.tdp_w - machine.static_w
    assert moving_w / machine.j_per_flop["float32"] == pytest.approx(sustained, rel=0.01)
    assert sustained < 0.6 * machine.peak_flops_per_s["float32"]


@pytest.mark.parametrize("machine", machine_table(), ids=lambda machine: machine.name)
def test_every_number_of_every_sheet_says_where_it_comes_from(machine: Machine):
    expected = {f"{field}.{dtype}" for field in ("peak_flops_per_s", "j_per_flop") for dtype in machine.j_per_flop}
    expected |= {
        f"float16_accumulate_peak_flops_per_s.{dtype}" for dtype in machine.float16_accumulate_peak_flops_per_s
    }
    expected |= {"bandwidth_bytes_per_s", "l2_bytes", "tdp_w", "idle_w", "static_w", "j_per_byte", "launch_s"}
    assert set(machine.sources) == expected
    assert all(machine.sources.values())
    assert "ours, assumed" in machine.sources["launch_s"]
    assert machine.match, "no device would find this sheet"


@pytest.mark.parametrize(
    ("name", "dtype", "tflops", "gbytes_per_s", "tdp_w"),
    [  # NVIDIA data sheets; GeForce tensor rates with float32 accumulation, half of the advertised ones
        ("p100-pcie", "float32", 9.3, 732, 250),
        ("p4000", "float32", 5.3, 243, 105),
        ("v100-sxm2", "float16", 125, 900, 300),
        ("a100-sxm4-80gb", "float16", 312, 2039, 400),
        ("rtx-3090", "float16", 71, 936, 350),
        ("rtx-4090", "float16", 165.2, 1008, 450),
        ("rtx-5090", "float16", 209.5, 1792, 575),
        ("h200", "bfloat16", 989.4, 4800, 700),
        ("b200", "float8", 4500, 8000, 1000),
    ],
)
def test_sheets_hold_the_data_sheets_dense_rates_in_base_units(name, dtype, tflops, gbytes_per_s, tdp_w):
    machine = load_machine(name)
    assert machine.peak_flops_per_s[dtype] == pytest.approx(tflops * 1e12)
    assert machine.bandwidth_bytes_per_s == pytest.approx(gbytes_per_s * 1e9)
    assert machine.tdp_w == tdp_w


@pytest.mark.parametrize(
    ("name", "dtype", "times"),
    [
        ("rtx-3090", "float16", 142 / 71),  # GeForce tensor cores run at half rate with float32 sums
        ("rtx-4090", "float16", 330.3 / 165.2),
        ("rtx-4090", "float8", 661 / 330.3),
        ("rtx-5090", "float16", 419 / 209.5),
        ("a100-sxm4-40gb", "float16", 312 / 312),  # data-centre tensor cores do not
        ("h100-pcie", "float16", 1),
        ("h200", "float16", 1),
        ("p100-pcie", "float16", 18.7 / 9.3),  # vector units: with float32 sums halves are widened
        ("p100-sxm2", "float16", 21.2 / 10.6),
    ],
)
def test_summing_in_float16_is_twice_as_fast_only_where_the_board_says_so(name, dtype, times):
    machine = load_machine(name)
    peak = machine.float16_accumulate_peak_flops_per_s[dtype]
    assert peak == pytest.approx(times * peak_for(machine, dtype), rel=2e-3)


def test_peaks_with_float16_sums_are_known_or_absent_and_survive_a_round_trip():
    assert not load_machine("b200").float16_accumulate_peak_flops_per_s  # no source was found
    assert "float16_accumulate_peak_flops_per_s" not in machine_to_dict(load_machine("b200"))
    machine = load_machine("rtx-4090")
    assert machine_from_dict(machine_to_dict(machine)) == machine
    assert peak_for(machine, "float16") == 1.652e14  # what is predicted with


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm4-40gb"),
        ("A100-SXM4-40GB", "a100-sxm4-40gb"),  # drivers before 470
        ("tesla p100-pcie-16gb", "p100-pcie"),
        ("NVIDIA A10G", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_a_device_finds_its_sheet_by_its_whole_name_only(device: str, name: str | None):
    machine = machine_for_device(device)
    assert (machine.name if machine else None) == name


def test_an_unknown_machine_is_answered_with_the_nearest_name():
    with pytest.raises(MachineError, match="did you mean 'rtx-3090'") as caught:
        load_machine("RTX3090")
    assert "energybench machines" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_machine_names_are_read_in_any_case():
    assert load_machine("H200") is load_machine("h200")


def test_a_sheet_is_loaded_from_a_path_as_from_its_name(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(machine_to_dict(load_machine("h200"))))
    assert load_machine(path) == load_machine(str(path)) == load_machine("h200")


def test_a_missing_sheet_file_is_a_machine_error(tmp_path: Path):
    with pytest.raises(MachineError, match="cannot be read"):
        load_machine(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("machine", machine_table(), ids=lambda machine: machine.name)
def test_a_machine_survives_json_unchanged(machine: Machine):
    assert machine_from_dict(json.loads(json.dumps(machine_to_dict(machine)))) == machine


def test_a_machine_without_a_known_cache_survives_json_unchanged():
    data = machine_to_dict(load_machine("h200"))
    del data["l2_bytes"]
    machine = machine_from_dict(data)
    assert machine.l2_bytes is None
    assert machine_to_dict(machine) == data


def test_a_wrong_number_in_a_run_folder_names_the_field():
    data = machine_to_dict(load_machine("h200"))
    data["tdp_w"]["value"] = float("nan")
    with pytest.raises(MachineError, match=r"run.json, field tdp_w.value: .*got nan"):
        machine_from_dict(data, origin="run.json")


def test_data_types_without_a_rate_fall_back_to_the_documented_one_and_no_other():
    p100 = load_machine("p100-pcie")
    assert rate_dtype(p100, "tf32") == rate_dtype(p100, "float16") == "float32"
    assert peak_for(p100, "bfloat16") == p100.peak_flops_per_s["float32"]
    assert rate_dtype(load_machine("h200"), "tf32") == "tf32"
    with pytest.raises(MachineError, match="p100-pcie has no peak for float8") as caught:
        peak_for(p100, "float8")
    assert "use one of float32" in caught.value.remedy


def test_the_longer_of_arithmetic_and_memory_decides_the_attainable_latency():
    # 1e12 FLOPs at 100e12/s take 10 ms; 4e9 bytes at 1e12/s take 4 ms, 4e10 take 40 ms
    assert attainable_latency_s(operator(500_000_000_000, 4_000_000_000), ROUND) == pytest.approx(10e-3)
    assert attainable_latency_s(operator(500_000_000_000, 40_000_000_000), ROUND) == pytest.approx(40e-3)


def test_an_operator_takes_as_long_as_its_joules_take_at_the_power_limit():
    # 1 J of operations and 1 J of bytes in 10 ms each are 200 W above static; a limit of 180 W leaves 80 W
    op = operator(500_000_000_000, 10_000_000_000)
    assert attainable_latency_s(op, replace(ROUND, tdp_w=180.0)) == pytest.approx(2 / 80)
    assert attainable_latency_s(op, replace(ROUND, tdp_w=400.0)) == pytest.approx(10e-3)


def test_energies_of_operations_bytes_and_static_power_add():
    # 1e12 FLOPs x 1 pJ, 4e9 bytes x 100 pJ, 100 W x 10 ms
    energy = operator_energy_j(operator(500_000_000_000, 4_000_000_000), ROUND, latency_s=10e-3)
    assert energy == EnergySplit(pytest.approx(1.0), pytest.approx(0.4), pytest.approx(1.0))
    assert energy.total_j == pytest.approx(2.4)


def test_a_prediction_pays_one_launch_per_operator_and_static_power_for_all_of_the_time():
    operators = [operator(500_000_000_000, 4_000_000_000), operator(0, 1_000_000_000)]
    latency_s = predicted_latency_s(operators, ROUND)
    assert latency_s == pytest.approx(10e-3 + 1e-3 + 2 * 1e-6)
    energy = predicted_energy_j(operators, ROUND)
    assert energy.static_j == pytest.approx(100 * latency_s)
    assert energy.operations_j == pytest.approx(1.0)
    assert energy.bytes_j == pytest.approx(0.5)


def test_an_operator_without_macs_needs_no_peak_for_its_data_type():
    copy = OperatorCost("copy", "copy", 0, 1_000_000, 1_000_000, dtype="int64")
    assert attainable_latency_s(copy, ROUND) == pytest.approx(2e-6)
    assert operator_energy_j(copy, ROUND, 0.0).operations_j == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**13), st.integers(0, 10**11), st.sampled_from(["float32", "float16", "tf32"]))
def test_the_attainable_latency_is_the_least_that_honours_both_limits(macs: int, traffic: int, dtype: str):
    op = operator(macs, traffic, dtype)
    both = arithmetic_latency_s(op, ROUND), memory_latency_s(op, ROUND)
    assert attainable_latency_s(op, ROUND) in both
    assert attainable_latency_s(op, ROUND) >= min(both)
    assert sum(both) >= attainable_latency_s(op, ROUND) >= sum(both) / 2
