"""A sick sensor never makes a wrong number: every fault of the driver, in the middle of a run, on a virtual clock.

The library is the fake one under the real binding, the run is a whole one: meter, planner, runner, journal, summary.
The board draws exactly 250 W, so that any other number is wrong.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import pytest
from fakenvml.boards import STEADY, board, virtual
from fakenvml.build import FakeNvml
from fakenvml.inside import Fake

from energybench.sensor import PROFILES

POWER_W = 250.0
READY_S = 5.0
"""When the run begins: every source has shown something."""
FAULT_S = 30.0
"""Settling and idle are over, windows are being measured."""

CODES = (1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 18, 19, 21, 23, 25, 26, 27, 28, 29, 999)
"""The return codes of nvml.h that are worth distinct handling."""
ENERGY = ("field:83", "nvmlDeviceGetTotalEnergyConsumption")
POWER = ("field:185", "field:186", "nvmlDeviceGetPowerUsage")
ALL = ("nvmlDeviceGetFieldValues", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage")

NUMBERS = {
    "counter freezes": (ENERGY, "freeze"),
    "power freezes": (POWER, "freeze"),
    "everything freezes": (ENERGY + POWER, "freeze"),
    "counter reads zero": (ENERGY, "zero"),
    "power reads zero": (POWER, "zero"),
    "everything reads zero": (ENERGY + POWER, "zero"),
    "counter goes back": (ENERGY, "back=300"),
    "counter jumps ahead": (ENERGY, "back=-1000"),
    "counter is reset": (ENERGY, "reset"),
    "calls are slow": (ALL, "slow=0.05"),
    "some calls are slow": (ALL, "slow=0.2 probability=0.05"),
    "some calls fail": (ALL, "return=10 probability=0.3"),
}

JUMPS_J = (-22, -15, -8, -5, -2, 2, 5, 8, 15, 22)
"""Of a window of 1 s, which holds 250 J, 0.8 to 9 %."""

SUITE = """
name: sick
baseline: a
variants:
  a: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, groups: 8}}
  b: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, groups: 1}}
input: [16, 64, 28, 28]
method: {windows: 6, window_s: 1s}
"""


def configuration(calls, action, window=""):
    settings = tuple(f"fault {call} {action} from_s={FAULT_S}{window}" for call in calls)
    return virtual(board(PROFILES["h100"], STEADY, settings=settings))


def runs_with(configs):
    """A whole run with each configuration: its rows, and what was said."""
    os.fsync = lambda file: None  # that a disk is waited for is tested elsewhere
    return {name: one_run(config) for name, config in configs.items()}


def one_run(config):
    from quiet import Remembering

    from energybench.analysis.summary import summarize
    from energybench.devices.open import Watch
    from energybench.devices.simulated import SimulatedDevice
    from energybench.journal import load
    from energybench.meters.nvml import NvmlMeter
    from energybench.sensor import assumed_profile
    from energybench.session import RunOptions, Station, plan_study, run_study
    from energybench.suite import parse_suite

    clock = Fake()
    clock.reconfigure(config)
    clock._library.fake_set_time(0.0)
    device = SimulatedDevice("h100-sxm")
    device.clock = clock
    meter = NvmlMeter(clock)
    clock.sleep_until(READY_S)
    capabilities = meter.probe()
    board = meter.describe()
    sensor = assumed_profile(
        str(board.get("architecture", "")), str(board.get("brand", "")), board_name="", kinds=capabilities.kinds
    )
    station = Station(device, Watch(meter, capabilities, sensor), ())
    progress = Remembering()
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(results=Path(folder))
        study = plan_study(parse_suite(SUITE), station, options)
        run = load(run_study(study, station, options, progress))
        station.close()
        summary = summarize(run)
        columns = [
            "variant",
            "status",
            "reason",
            "flags",
            "power_w",
            "loop_latency_s",
            "energy_per_iteration_j",
            "windows",
            "relative_halfwidth",
            "repeated_windows",
            "excluded_windows",
        ]
        rows = summary.cases[columns].astype(object).where(summary.cases[columns].notna(), None).to_dict("records")
        times = [w.start_s for w in run.windows if w.kind == "window"]
    truth = {case.variant: run.record.truth[case.work]["latency_s"] for case in run.record.cases}
    return {"rows": rows, "notes": progress.notes, "times": [min(times), max(times)], "truth": truth}


@pytest.fixture(scope="module")
def found(fake_nvml: FakeNvml):
    configs = {f"code {code}": configuration(ALL, f"return={code}") for code in CODES}
    configs |= {
        f"code {code} for a second": configuration(ALL, f"return={code}", f" to_s={FAULT_S + 1}") for code in CODES
    }
    configs |= {name: configuration(*what) for name, what in NUMBERS.items()}
    configs |= {f"{name}, for a second": configuration(*what, f" to_s={FAULT_S + 1}") for name, what in NUMBERS.items()}
    return fake_nvml.run(runs_with, configs["code 1"], configs=configs)


def test_no_fault_makes_a_wrong_number_and_latency_is_kept(found):
    wrong = []
    for name, run in found.items():
        assert run["times"][0] < FAULT_S < run["times"][1], "the fault must come in the middle of the windows"
        for row in run["rows"]:
            sound = row["status"] == "ok" and math.isclose(
                row["loop_latency_s"], run["truth"][row["variant"]], rel_tol=5e-3
            )
            joules = row["energy_per_iteration_j"]
            if joules is None:
                sound &= row["reason"].startswith("no joules")
            else:
                sound &= math.isclose(row["power_w"], POWER_W, rel_tol=5e-3)
            if not sound:
                wrong.append((name, row))
    assert not wrong


def test_a_board_that_is_lost_ends_the_meter_and_a_source_that_is_not_needed_costs_nothing(found):
    for code in (15, 16, 999):  # lost, reset required, unknown: no later number of that board can be trusted
        assert any("the meter was lost" in note for note in found[f"code {code}"]["notes"])
        assert all("meter-lost" in row["flags"].split() for row in found[f"code {code}"]["rows"])
    for name in ("power freezes", "calls are slow"):
        assert all(row["energy_per_iteration_j"] for row in found[name]["rows"])


def test_a_counter_that_jumps_costs_the_window_it_jumped_in_and_the_row_says_so(found):
    rows = found["counter jumps ahead"]["rows"]
    (hit,) = [row for row in rows if "counter-jump" in row["flags"].split()]
    assert hit["energy_per_iteration_j"]
    assert hit["repeated_windows"] + hit["excluded_windows"] == 1


def test_small_jumps_are_left_out_or_lie_within_the_interval(fake_nvml):
    """Each at another phase of the counter's tick and of a window; those between windows change nothing."""
    configs = {
        f"{joules} J": virtual(
            board(
                PROFILES["h100"],
                STEADY,
                settings=tuple(f"fault {call} back={-joules} from_s={FAULT_S + 0.37 * k}" for call in ENERGY),
            )
        )
        for k, joules in enumerate(JUMPS_J)
    }
    found = fake_nvml.run(runs_with, configs["2 J"], configs=configs)
    seen = 0
    for name, run in found.items():
        for row in run["rows"]:
            left_out = "counter-jump" in row["flags"].split()
            seen += left_out
            # Without joules of one window, mean time is of one window more than mean joules: 0.1 % of scatter.
            allowed = 1e-3 if left_out else max(row["relative_halfwidth"], 1e-3)
            assert abs(row["power_w"] / POWER_W - 1) <= allowed, (name, row)
            assert left_out == (row["repeated_windows"] + row["excluded_windows"] > 0), (name, row)
    assert seen >= len(JUMPS_J) // 2
