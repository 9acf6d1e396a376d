"""meters/nvml.py: the real nvidia-ml-py on the fake library, each time in a process of its own."""

from __future__ import annotations

import pytest
from fakenvml import scenes
from fakenvml.boards import H100, SQUARE, STEADY, board, virtual
from fakenvml.build import FakeNvml

from energybench.sensor import PROFILES


def test_the_sources_of_every_profile_are_found(fake_nvml: FakeNvml) -> None:
    configs = {name: virtual(board(profile, STEADY)) for name, profile in PROFILES.items()}
    for name, found in fake_nvml.run(scenes.probed_with, H100, configs=configs).items():
        assert set(found["kinds"]) == set(PROFILES[name].kinds), name
        assert found["reason"] == ""
        assert found["scope"] == PROFILES[name].scope
        counted = found["values"].pop("energy_j", 1)
        assert 0 < counted <= 250 * 5.1, name  # at 5 s; a part-time counter also holds the sample at 0 s
        assert list(found["values"].values()) == pytest.approx([250] * len(found["values"]), rel=0.1)


def test_what_is_not_supported_is_a_reason_and_never_zero(fake_nvml: FakeNvml) -> None:
    """Each call and each field in turn, with every code that means that a source does not exist."""
    source_of = {
        "field:186": "power_instant_w",
        "field:185": "power_average_w",
        "nvmlDeviceGetPowerUsage": "power_w",
    }
    configs = {
        f"{call} {code}": f"fault {call} return={code}\n{H100}"
        for call in (*source_of, "field:83", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues")
        for code in (3, 4, 6, 13, 21, 999)
    }
    for name, found in fake_nvml.run(scenes.probed_with, H100, configs=configs).items():
        call, code = name.split()
        gone = {source_of[call]} if call in source_of else set()
        if call == "nvmlDeviceGetFieldValues":
            gone = {"power_instant_w", "power_average_w"}
        assert set(PROFILES["h100"].kinds) - set(found["kinds"]) == gone, name
        assert found["values"].keys() == set(found["kinds"]), name
        assert min(found["values"].values()) > 100, name
        assert any(f"code {code}" in reason for reason in found["refused"].values()), name


def test_a_board_that_answers_nothing_is_told_why_it_has_no_energy(fake_nvml: FakeNvml) -> None:
    found = fake_nvml.run(scenes.probed, virtual("device\npower from 0 250\n"))
    assert found["kinds"] == []
    assert found["values"] == {}
    assert "neither power nor energy" in found["energy_reason"]
    assert "nvmlDeviceGetPowerUsage: Not Supported (code 3)" in found["energy_reason"]


def test_a_value_that_only_the_module_answers_is_labelled_as_such(fake_nvml: FakeNvml) -> None:
    lines = "device\npower from 0 400\nstream power_instant_w refresh=0.1 span=0.02 scope=1\n"
    found = fake_nvml.run(scenes.probed, virtual(lines))
    assert found["kinds"] == ["power_instant_w"]
    assert found["scope"] == "module"
    assert found["values"]["power_instant_w"] == pytest.approx(400)


SUPERCHIP = """device
power from 0 400
stream power_instant_w refresh=0.1 span=0.02 scope=1
stream power_average_w refresh=0.1 span=1 scope=1
counter tick=0.1 scope=1
"""
GPU_ALONE = """stream power_instant_w refresh=0.1 span=0.02 gain=0.6
stream power_average_w refresh=0.1 span=1 gain=0.6
counter tick=0.1 gain=0.6
"""
NO_CALLS = "fault nvmlDeviceGetTotalEnergyConsumption return=3\nfault nvmlDeviceGetPowerUsage return=3\n"


def test_what_only_the_module_answers_is_found_and_what_covers_something_else_is_left_out(fake_nvml: FakeNvml) -> None:
    """Fields at the GPU's scope fail, or say what the GPU alone draws (0.6 of it); joules must cover what watts do."""
    named = "name NVIDIA GH200 480GB\n"
    configs = {
        "only the module answers": virtual(SUPERCHIP + NO_CALLS),  # as zeus PR 242 met it
        "and so does the call": virtual(SUPERCHIP + named),
        "both answer": virtual(SUPERCHIP + GPU_ALONE + named),
        "both answer on a board of no known name": virtual(SUPERCHIP + GPU_ALONE),
        "a counter of the GPU, power of the module": virtual(
            SUPERCHIP.replace("counter tick=0.1 scope=1", "counter tick=0.1 gain=0.6")
        ),
    }
    found = fake_nvml.run(scenes.probed_with, H100, configs=configs)
    both = {"energy_j", "power_instant_w", "power_average_w"}
    for name in list(configs)[:4]:
        share = 0.6 if "no known" in name else 1.0
        assert set(found[name]["kinds"]) == both, name
        assert found[name]["scope"] == ("board" if "no known" in name else "module"), name
        assert found[name]["values"]["power_instant_w"] == pytest.approx(share * 400), name
        # By 5 s: 50 ticks of a tenth of a second.
        assert found[name]["values"]["energy_j"] == pytest.approx(share * 400 * 5.0, rel=0.025), name
    last = found["a counter of the GPU, power of the module"]
    assert (last["kinds"], last["scope"]) == (["energy_j"], "board")
    assert (
        last["refused"]["power_instant_w: field 186 (module)"]
        == "it covers the whole module, field 83 the GPU's board alone"
    )


@pytest.mark.parametrize("name", ["volta", "a100", "consumer-500ms", "h100", "lossy"])
def test_counter_ticks_are_the_programmed_joules_within_a_step(fake_nvml: FakeNvml, name: str) -> None:
    every_s = 0.002
    config = virtual(board(PROFILES[name], SQUARE, phases_s=(0.0013, 0.0047, 0.0071, 0.0093)))
    found = fake_nvml.run(scenes.polled, config, until_s=9.0, every_s=every_s, kinds=["energy_j"])
    shown = [reading[2] for reading in found["readings"]]
    ticks = [poll for poll in range(1, len(shown)) if shown[poll] > shown[poll - 1]]
    counter = PROFILES[name].counter
    assert counter is not None
    assert len(ticks) > 0.7 * 4.0 / counter.tick_s - 2
    for poll in ticks:  # it ticked between two polls
        assert found["truth"][poll - 1] - 0.001 - 1e-6 <= shown[poll] <= found["truth"][poll] + 1e-6


def test_impossible_values_are_counted_and_never_read(fake_nvml: FakeNvml) -> None:
    faults = (
        "fault field:83 back=200 from_s=6.0 to_s=6.5",
        "fault field:186 zero from_s=7.0 to_s=7.2",
        "fault field:185 back=-2000 from_s=7.5 to_s=7.7",
        "fault nvmlDeviceGetPowerUsage return=10 from_s=8.0 to_s=8.3",
    )
    config = virtual(board(PROFILES["h100"], STEADY, settings=faults))
    found = fake_nvml.run(scenes.polled, config, until_s=10.0, every_s=0.01)
    assert found["end"] == ""
    assert found["faults"] == {
        "energy_j: went back": 50,
        "power_instant_w: not above 0": 20,
        "power_average_w: above 2 x the enforced power limit": 20,
        "power_w: Timeout (code 10)": 30,
    }
    energies = [value for _, kind, value, _, _ in found["readings"] if kind == "energy_j"]
    assert energies == sorted(energies)
    assert all(200 < value < 300 for _, kind, value, _, _ in found["readings"] if kind != "energy_j")
    assert len(found["readings"]) == 4 * 500 - 120


def test_one_value_that_fails_does_not_spoil_its_neighbours(fake_nvml: FakeNvml) -> None:
    """One request of several fields succeeds while one of them has a code of its own."""
    config = virtual(board(PROFILES["h100"], STEADY, settings=("fault field:186 return=3 from_s=6",)))
    found = fake_nvml.run(scenes.polled, config, until_s=7.0, every_s=0.1, kinds=["energy_j", "power_instant_w"])
    after = [kind for time_s, kind, *_ in found["readings"] if time_s > 6.05]
    assert set(after) == {"energy_j"}
    assert found["faults"] == {"power_instant_w: Not Supported (code 3)": 11}


@pytest.mark.parametrize("code", [15, 16, 999])
def test_a_lost_board_ends_the_meter(fake_nvml: FakeNvml, code: int) -> None:
    config = virtual(
        board(PROFILES["h100"], STEADY, settings=(f"fault nvmlDeviceGetFieldValues return={code} from_s=6",))
    )
    found = fake_nvml.run(scenes.polled, config, until_s=9.0, every_s=0.1)
    assert found["at_s"] == pytest.approx(6.0, abs=0.11)
    assert f"code {code}" in found["end"]
    assert "dmesg" in found["end"]


def test_a_counter_that_was_reset_is_given_up_and_power_goes_on(fake_nvml: FakeNvml) -> None:
    config = virtual(board(PROFILES["h100"], STEADY, settings=("fault field:83 reset from_s=7",)))
    found = fake_nvml.run(scenes.polled, config, until_s=10.0, every_s=0.1)
    kinds = {kind for time_s, kind, *_ in found["readings"] if time_s > 7.05}
    assert kinds == {"power_instant_w", "power_average_w", "power_w"}
    assert found["faults"]["energy_j: given up"] == 1
    bad = found["faults"]["energy_j: not above 0"] + found["faults"]["energy_j: went back"]
    assert bad == 21  # two seconds at 0.1 s, both ends included


def test_a_meter_whose_last_source_dies_says_so(fake_nvml: FakeNvml) -> None:
    config = virtual(board(PROFILES["pascal"], STEADY, settings=("fault nvmlDeviceGetPowerUsage zero from_s=6",)))
    found = fake_nvml.run(scenes.polled, config, until_s=10.0, every_s=0.1)
    assert found["at_s"] == pytest.approx(8.0, abs=0.11)
    assert "no good value for 2 s" in found["end"]


def test_single_zeros_while_probing_do_not_refuse_a_source(fake_nvml: FakeNvml) -> None:
    config = virtual(board(PROFILES["h100"], STEADY, settings=("fault field:186 zero to_call=2",)))
    found = fake_nvml.run(scenes.probed, config)
    assert "power_instant_w" in found["kinds"]


def test_a_source_that_only_ever_answers_zero_is_refused(fake_nvml: FakeNvml) -> None:
    settings = ("fault field:186 zero", "fault field:83 zero", "fault nvmlDeviceGetTotalEnergyConsumption zero")
    found = fake_nvml.run(scenes.probed, virtual(board(PROFILES["h100"], STEADY, settings=settings)))
    assert set(found["kinds"]) == {"power_w", "power_average_w"}
    assert found["refused"]["power_instant_w: field 186"] == "not above 0"
    assert found["refused"]["energy_j: nvmlDeviceGetTotalEnergyConsumption"] == "not above 0"


def test_time_stamps_enclose_the_moment_of_a_value(fake_nvml: FakeNvml) -> None:
    """On the real clock, with a driver that takes 2 ms a call, and however busy this machine is."""
    slow = "fault nvmlDeviceGetFieldValues slow=0.002"
    found = fake_nvml.run(scenes.real_time, board(PROFILES["turing"], STEADY, settings=(slow,)))
    assert found["least"] - 0.002 <= found["counted"] <= found["most"] + 0.002  # the counter's steps are 1 mJ
    assert found["call_s"] >= 0.002
    assert 0 <= found["native_lag_s"] < 5.0
