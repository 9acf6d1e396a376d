"""meters/simulated.py and opening meters by name."""

from __future__ import annotations

import json

import pytest

from energybench.clock import VirtualClock
from energybench.errors import MeterError
from energybench.meters import open_meter
from energybench.meters.simulated import SimulatedMeter
from energybench.sensor import PROFILES, SensorProfile, SimulatedSensor


def steady_j(time_s: float) -> float:
    return 300.0 * time_s


def test_it_shows_what_the_sensor_shows_at_the_clocks_time() -> None:
    clock = VirtualClock()
    meter = SimulatedMeter(clock, steady_j, PROFILES["h100"], seed=3)
    sensor = SimulatedSensor(PROFILES["h100"], steady_j, seed=3)
    clock.sleep_until(7.0)
    readings = {reading.kind: reading for reading in meter.read()}
    assert readings["energy_j"].value == sensor.counter_j(7.0)
    assert readings["power_instant_w"].value == sensor.reading("power_instant_w", 7.0).value
    assert {reading.time_s for reading in readings.values()} == {7.0}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_it_offers_the_kinds_of_its_profile(profile: SensorProfile) -> None:
    capabilities = SimulatedMeter(VirtualClock(10.0), steady_j, profile).probe()
    assert capabilities.kinds == profile.kinds
    assert capabilities.scope == profile.scope
    assert capabilities.energy_reason == ""
    assert ("energy_j" in capabilities.refused) == (profile.counter is None)


def test_only_the_kinds_asked_for_are_read() -> None:
    meter = SimulatedMeter(VirtualClock(10.0), steady_j, PROFILES["h100"])
    assert [reading.kind for reading in meter.read({"energy_j"})] == ["energy_j"]


def test_a_call_costs_nothing_unless_told() -> None:
    clock = VirtualClock(10.0)
    assert SimulatedMeter(clock, steady_j, PROFILES["h100"]).read()[0].call_s == 0
    assert clock.now_s() == 10.0
    reading = SimulatedMeter(clock, steady_j, PROFILES["h100"], call_s=0.004).read()[0]
    assert reading.call_s == 0.004
    assert reading.time_s == pytest.approx(10.002)
    assert clock.now_s() == pytest.approx(10.004)


def test_zeros_are_counted_and_never_shown() -> None:
    clock = VirtualClock(10.0)
    meter = SimulatedMeter(clock, steady_j, PROFILES["lossy"], seed=1)
    shown = []
    for poll in range(2_000):
        clock.sleep_until(10.0 + 0.1 * poll)
        shown += meter.read({"power_instant_w"})
    assert all(reading.value > 250 for reading in shown)
    assert len(shown) + meter.faults["power_instant_w: not above 0"] == 2_000
    assert meter.faults["power_instant_w: not above 0"] > 0


def test_no_reading_claims_to_know_when_the_sensor_was_renewed() -> None:
    readings = SimulatedMeter(VirtualClock(10.0), steady_j, PROFILES["h100"]).read()
    assert {reading.native_time_s for reading in readings} == {None}


def test_its_description_says_that_it_is_simulated_and_hypothetical() -> None:
    described = open_meter("sim", clock=VirtualClock(), true_energy_j=steady_j).describe()
    assert described["simulated"]
    assert described["hypothetical"]  # the default is the H200's sensor, which nobody has published
    assert json.loads(json.dumps(described)) == described


def test_its_board_never_throttles_and_has_no_guests() -> None:
    meter = SimulatedMeter(VirtualClock(), steady_j, PROFILES["h100"])
    assert meter.state().processes is None
    state = meter.state(processes=True)
    assert state.processes == ()
    assert (state.throttle_thermal_s, state.throttle_power_s, state.throttle_hw_s) == (0, 0, 0)


def test_no_meter_says_why_there_is_no_energy() -> None:
    meter = open_meter("none", clock=VirtualClock(), reason="this board is a MIG slice")
    assert meter.probe().energy_reason == "this board is a MIG slice"
    assert meter.probe().kinds == ()
    assert meter.read() == []
    assert open_meter("none", clock=VirtualClock()).probe().energy_reason


def test_an_unknown_meter_is_refused_with_those_there_are() -> None:
    with pytest.raises(MeterError, match="nvml, rapl, sim, none"):
        open_meter("wattmeter", clock=VirtualClock())


def test_a_simulated_meter_wants_a_simulated_device() -> None:
    with pytest.raises(MeterError, match="--device sim"):
        open_meter("sim", clock=VirtualClock())
