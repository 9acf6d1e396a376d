"""A board's sensor is calibrated on first use, kept, and refused in the run in which it no longer fits.

Through the real binding on the fake library, on its virtual clock: the simulated board tells the fake what it draws.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakenvml.boards import board, virtual
from fakenvml.build import FakeNvml
from fakenvml.inside import Fake
from quiet import SMALL, Remembering

from energybench.devices.board import BoardPower
from energybench.devices.open import open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import MeterError
from energybench.journal import load
from energybench.sensor import PROFILES, Counter
from energybench.session import RunOptions, Station, plan_study, run_study
from energybench.session.first_use import calibrated_on_first_use
from energybench.suite import parse_suite

A100 = PROFILES["a100"]
FASTER = replace(
    A100, streams=tuple(replace(s, refresh_s=0.04, span_s=0.01) for s in A100.streams), counter=Counter(tick_s=0.04)
)
"""The same board after its firmware changed: nothing but a look at the readings can tell."""


def configured(profile: Any, *settings: str) -> str:
    return virtual(board(profile, "ledger -", phases_s=(0.013, 0.047, 0.071), settings=settings))


class DrawnPower(BoardPower):
    """A board that tells the fake library what it draws."""

    fake: Fake

    def set(self, time_s: float, power_w: float, *, iteration_s: float = 0.0) -> None:
        super().set(time_s, power_w, iteration_s=iteration_s)
        self.fake.draw_w(power_w)


def station_on(fake: Fake) -> Station:
    device = SimulatedDevice("a100-sxm4-80gb")
    device.clock = fake  # type: ignore[assignment]
    device.power = DrawnPower(device.machine.idle_w)
    device.power.fake = fake
    device.facts = replace(device.facts, name="cuda:0", simulated=False)
    fake.draw_w(device.machine.idle_w)
    fake.sleep_until(fake.now_s() + 3.0)
    return Station(device, open_meter_for(device, None), ())


def measured_here(station: Station, folder: Path) -> Any:
    options = RunOptions(results=folder, quick=True)
    study = plan_study(parse_suite(SMALL), station, options)
    progress = Remembering()
    return load(run_study(study, station, options, progress)).record, progress.notes


def first_use(folder: str, later: str) -> dict[str, Any]:
    """Inside a process that has the fake library: a first run, a second one, and one after the board has changed."""
    fake, said = Fake(start=True), []
    first = station_on(fake)
    before = first.watch.uncalibrated
    first = calibrated_on_first_use(first, said.append)
    record, _ = measured_here(first, Path(folder) / "first")
    first.close()
    told = len(said)
    second = station_on(fake)
    unchanged = calibrated_on_first_use(second, said.append) is second
    again, _ = measured_here(second, Path(folder) / "second")
    second.close()
    fake._library.nvmlShutdown()
    fake.reconfigure(later)
    fake = Fake(start=True)
    third = station_on(fake)
    try:
        measured_here(calibrated_on_first_use(third, said.append), Path(folder) / "third")
        refused: dict[str, str] = {}
    except MeterError as error:
        refused = {"what": error.what, "why": error.why, "remedy": error.remedy, "exit": str(error.exit_code)}
    return {
        "before": before,
        "said": said,
        "told": told,
        "unchanged": unchanged,
        "first": json.loads(record.model_dump_json(include={"sensor", "calibration"})),
        "second": json.loads(again.model_dump_json(include={"sensor", "calibration"})),
        "third": refused,
    }


def assumed(folder: str, later: str) -> list[list[str]]:
    """Inside a process that has the fake library: notes of two boards that were not calibrated."""
    fake, notes = Fake(start=True), []
    for number in range(2):
        if number:
            fake._library.nvmlShutdown()
            fake.reconfigure(later)
            fake = Fake(start=True)
        station = station_on(fake)
        notes.append(measured_here(station, Path(folder) / str(number))[1])
        station.close()
    return notes


@pytest.fixture(scope="module")
def told(fake_nvml: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("first-use")
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    ampere = ("architecture 7", "name NVIDIA A100-SXM4-80GB")
    return fake_nvml.run(
        first_use,
        configured(A100, *ampere),
        environment=cache,
        folder=str(folder),
        later=configured(FASTER, *ampere),
    )


def test_a_board_is_calibrated_on_first_use_and_the_run_says_so(told: Any) -> None:
    assert told["before"] == "this board has not been calibrated: energybench calibrate"
    assert "doing it now in the short form" in told["said"][0]
    assert told["first"]["sensor"]["provenance"] == "calibrated"
    assert told["first"]["calibration"]["quick"]
    fast = next(s for s in told["first"]["sensor"]["streams"] if s["kind"] == "power_instant_w")
    assert fast["refresh_s"] == pytest.approx(0.1, rel=0.02)
    assert fast["span_s"] == pytest.approx(0.025, rel=0.05)


def test_the_next_run_uses_what_was_kept(told: Any) -> None:
    assert told["unchanged"]
    assert len(told["said"]) == told["told"]
    assert told["second"] == told["first"]


def test_a_calibration_that_no_longer_fits_ends_the_run_that_sees_it(told: Any) -> None:
    assert "the stored calibration no longer fits this board" in told["third"]["what"]
    assert "faster than its stored 0.1 s" in told["third"]["what"]
    assert told["third"]["remedy"].startswith("energybench calibrate")
    assert told["third"]["exit"] == "3"


def test_what_is_only_assumed_of_a_board_is_checked_too_and_told(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    ampere = ("architecture 7", "name NVIDIA A100-SXM4-80GB")
    fitting, faster = fake_nvml.run(
        assumed,
        configured(A100, *ampere),
        environment={"XDG_CACHE_HOME": str(tmp_path / "cache")},
        folder=str(tmp_path),
        later=configured(FASTER, *ampere),
    )
    assert any("not as boards of its kind are assumed to be" in note for note in faster)
    assert not any("assumed to be" in note for note in fitting)
