"""fakenvml/: is the fake itself true? Against the simulated sensor, and against arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakenvml import scenes
from fakenvml.boards import SQUARE, board, quiet, virtual
from fakenvml.build import FakeNvml

from energybench.sensor import SimulatedSensor


@pytest.mark.parametrize("name", ["kepler", "a100", "ga10x-fast", "consumer-500ms", "a100-part-time-counter"])
def test_the_fake_and_the_simulated_sensor_are_the_same_sensor(fake_nvml: FakeNvml, name: str) -> None:
    """Two implementations, in C and in Python, of one model: they agree to the resolution, noise apart."""
    profile = quiet(name)
    wave = {"period": 0.0271, "low": 100.0, "high": 300.0}

    def energy_j(time_s: float) -> float:
        periods = time_s // wave["period"]
        on_s = periods * 0.5 * wave["period"] + min(time_s - periods * wave["period"], 0.5 * wave["period"])
        return wave["low"] * time_s + (wave["high"] - wave["low"]) * on_s

    sensor = SimulatedSensor(profile, energy_j, seed=1)
    kinds = [stream.kind for stream in profile.streams] + (["energy_j"] if profile.counter else [])
    phases = [sensor.phase_s(kind) for kind in kinds]
    config = virtual(board(profile, SQUARE, phases_s=tuple(phases)))
    found = fake_nvml.run(scenes.polled, config, until_s=8.0, every_s=0.0171)
    assert len(found["readings"]) > 170 * len(profile.kinds)
    for time_s, kind, value, _, _ in found["readings"]:
        expected = sensor.counter_j(time_s) if kind == "energy_j" else sensor.reading(kind, time_s).value
        assert value == pytest.approx(expected, abs=0.0021), (kind, time_s)


def test_the_fakes_noise_has_the_stated_spread_and_correlation(fake_nvml: FakeNvml) -> None:
    config = virtual("device\npower from 0 250\nstream power_w refresh=0.1 span=0.1 noise=0.01 correlation=0.8\n")
    found = fake_nvml.run(scenes.polled, config, until_s=1_005.0, every_s=0.1)
    noise = np.array([reading[2] for reading in found["readings"]]) / 250 - 1
    assert len(noise) == 10_000
    assert noise.std() == pytest.approx(0.01, rel=0.1)  # 10 000 values are worth 1100: 2 % standard error
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.8, abs=0.03)


def test_ticks_come_early_and_late_as_stated_and_hold_the_joules_of_their_own_moment(fake_nvml: FakeNvml) -> None:
    """At 10 kW a counter of millijoules tells the moment of each tick to a tenth of a microsecond."""
    jitter_s, wander_s = 4e-4, 1e-4
    for stated, steps_s in ((f"jitter={jitter_s}", jitter_s * np.sqrt(2)), (f"wander={wander_s}", wander_s)):
        config = virtual(f"device\npower from 0 10000\ncounter tick=0.01 {stated} seed=3\n")
        found = fake_nvml.run(scenes.polled, config, until_s=25.0, every_s=0.003, kinds=["energy_j"])
        shown = np.array([reading[2] for reading in found["readings"]])
        assert (shown <= np.array(found["truth"])).all()
        times_s = np.unique(shown) / 1e4
        assert len(times_s) == pytest.approx(2000, abs=2)
        # The step from a tick to the next scatters by this; 2000 of them tell a standard deviation to 1.6 %.
        assert np.diff(times_s).std() == pytest.approx(steps_s, rel=0.06)
        drifted_s = times_s - times_s[0] - 0.01 * np.arange(len(times_s))
        # White errors, cut at 4 deviations, take it no further than 5.7 such steps; a walk of 2000 goes about 45.
        assert (np.abs(drifted_s).max() > 10 * steps_s) == ("wander" in stated)


def test_updates_of_a_power_value_come_early_and_late_as_stated(fake_nvml: FakeNvml) -> None:
    config = virtual("device\npower from 0 250\nstream power_w refresh=0.1 span=0.1 noise=0.01 jitter=0.005\n")
    found = fake_nvml.run(scenes.polled, config, until_s=45.0, every_s=0.001)
    times, values = np.array([(time_s, value) for time_s, _, value, _, _ in found["readings"]]).T
    changes = times[1:][np.diff(values) != 0]
    off_s = changes - 0.1 * np.round(changes / 0.1)
    assert len(changes) == pytest.approx(400, abs=2)
    assert off_s.std() == pytest.approx(0.005, rel=0.15)


def test_a_load_may_keep_the_ledger_itself(fake_nvml: FakeNvml) -> None:
    config = virtual(board(quiet("turing"), "ledger -"))
    found = fake_nvml.run(scenes.ledger, config)
    assert found["high"] == pytest.approx(300 * 1.5)
    assert found["truth"] == pytest.approx(50 + 450 + 80 * 1.5 + 200 * 2)
    assert found["truth"] - 20 <= found["counter"] <= found["truth"]  # one tick of 0.1 s at 200 W


def test_the_load_may_be_another_process(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    config = f"clock {tmp_path / 'clock'}\n" + board(quiet("turing"), f"ledger {tmp_path / 'ledger'}")
    found = fake_nvml.run(scenes.ledger_of_two_processes, config)
    assert found["now"] == 3.0
    assert found["truth"] == pytest.approx(100 * 2)
    assert found["counter"] == pytest.approx(100 * 2, abs=100 * 0.1)  # one tick


def test_power_may_follow_the_processes_own_cpu_time(fake_nvml: FakeNvml) -> None:
    found = fake_nvml.run(scenes.cpu_power, board(quiet("turing"), "cpu idle_w=20 w_per_cpu=100"))
    assert found["busy_j"] == pytest.approx(100 * 0.3, rel=0.05)
    assert found["idle_w"] == pytest.approx(20, abs=5)  # the watching thread costs a few per cent of a core


def test_a_configuration_that_is_not_understood_is_refused(fake_nvml: FakeNvml) -> None:
    said = fake_nvml.run(scenes.refusal, "device\nstream power_w refresh=fast\n")
    assert "code 999" in said["what"]
