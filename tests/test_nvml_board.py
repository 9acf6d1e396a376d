"""meters/nvml_board.py: which board it is, whether it is fit for joules, its identity and its state."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fakenvml import scenes
from fakenvml.boards import H100, STEADY, board, virtual
from fakenvml.build import FakeNvml

from energybench.sensor import PROFILES

TWO_BOARDS = virtual(
    board(PROFILES["h100"], "from 0 100", settings=("name First", "uuid GPU-aaaa", "pci 00000000:0A:00.0")),
    board(PROFILES["h100"], "from 0 300", settings=("name Second", "uuid GPU-bbbb", "pci 00000000:0B:00.0")),
)


@pytest.mark.parametrize(
    ("uuid", "pci", "name", "watts"),
    [
        ("GPU-bbbb", None, "Second", 300),
        ("bbbb", None, "Second", 300),  # as torch writes it
        ("GPU-aaaa", "00000000:0B:00.0", "First", 100),  # the UUID rules
        (None, "00000000:0b:00.0", "Second", 300),
    ],
)
def test_a_board_is_found_by_what_it_is_and_never_by_its_number(
    fake_nvml: FakeNvml, uuid: str | None, pci: str | None, name: str, watts: float
) -> None:
    """CUDA's first device may be NVML's second."""
    found = fake_nvml.run(scenes.probed, TWO_BOARDS, uuid=uuid, pci=pci)
    assert found["described"]["board"] == name
    assert found["values"]["power_w"] == pytest.approx(watts, rel=0.05)
    assert found["described"]["warnings"] == []


def test_a_board_whose_uuid_is_unknown_is_found_by_pci_with_a_warning(fake_nvml: FakeNvml) -> None:
    found = fake_nvml.run(scenes.probed, TWO_BOARDS, uuid="GPU-cccc", pci="00000000:0B:00.0")
    assert found["described"]["board"] == "Second"
    assert "PCI bus id" in found["described"]["warnings"][0]


def test_a_board_that_is_not_there_is_refused_with_those_that_are(fake_nvml: FakeNvml) -> None:
    said = fake_nvml.run(scenes.refusal, TWO_BOARDS, uuid="GPU-cccc")
    assert "GPU-cccc" in said["what"]
    assert "GPU-aaaa, GPU-bbbb" in said["remedy"]


def test_an_unnamed_board_is_taken_only_where_there_is_no_other(fake_nvml: FakeNvml) -> None:
    assert fake_nvml.run(scenes.refusal, TWO_BOARDS)["what"] == "NVML does not find the only board: it sees 2 boards"
    assert fake_nvml.run(scenes.probed, H100)["described"]["board"] == "NVIDIA Fake 0"


def test_every_way_in_which_nvml_does_not_start_has_a_remedy(fake_nvml: FakeNvml) -> None:
    codes = {4: "/dev/nvidia", 8: "cables", 9: "modprobe", 15: "reset", 17: "cgroup", 18: "reboot", 999: "nvidia-smi"}
    configs = {str(code): f"fault nvmlInitWithFlags return={code}\n{H100}" for code in codes}
    for code, said in fake_nvml.run(scenes.refused_with, H100, configs=configs).items():
        assert f"code {code}" in said["what"]
        assert codes[int(code)] in said["remedy"]
        assert "time only" in said["remedy"]
        assert said["type"] == "MeterError"


def test_a_machine_without_the_library_is_told_to_install_the_driver(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    said = fake_nvml.run(scenes.refusal_without_library, H100, environment={"LD_LIBRARY_PATH": str(tmp_path)})
    if not said:
        pytest.skip("this machine has a real libnvidia-ml.so.1")
    assert "code 12" in said["what"]
    assert "install the NVIDIA driver" in said["remedy"]


@pytest.mark.parametrize(
    ("setting", "because"),
    [
        ("mig 1", "MIG is enabled"),
        ("virtualization 2", "vGPU guest"),
        ("virtualization 3", "vGPU host"),
        ("process mps 42", "1 MPS client"),
    ],
)
def test_shared_boards_refuse_joules(fake_nvml: FakeNvml, setting: str, because: str) -> None:
    found = fake_nvml.run(scenes.probed, virtual(board(PROFILES["h100"], STEADY, settings=(setting,))))
    assert found["kinds"] == []
    assert found["values"] == {}
    assert because in found["energy_reason"]
    assert "--meter none" in found["energy_reason"]


def test_an_mps_daemon_whose_pipes_are_here_refuses_joules(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    found = fake_nvml.run(scenes.probed, H100, environment=environment)
    assert found["kinds"] == []
    assert "MPS shares this board (its daemon has its pipes in CUDA_MPS_PIPE_DIRECTORY)" in found["energy_reason"]
    (tmp_path / "nvidia-cuda-mps-control.pid").write_text(f"{os.getpid()}\n")
    assert fake_nvml.run(scenes.probed, H100, environment=environment)["kinds"] == []
    (tmp_path / "nvidia-cuda-mps-control.pid").write_text(f"{2**22 + 1}\n")  # above the kernel's highest pid
    assert fake_nvml.run(scenes.probed, H100, environment=environment)["kinds"] != []


@pytest.mark.parametrize(
    ("setting", "smoothed"), [("field 251 1", True), ("field 251 0", False), ("field 300 1", True)]
)
def test_power_smoothing_is_read_from_its_fields(fake_nvml: FakeNvml, setting: str, smoothed: bool) -> None:
    found = fake_nvml.run(scenes.probed, virtual(board(PROFILES["h100"], STEADY, settings=(setting,))))
    assert found["described"]["power_smoothing"] is smoothed


def test_the_description_is_complete_and_names_what_is_missing(fake_nvml: FakeNvml) -> None:
    settings = ("architecture 9", "brand 14", "limit_w 650", "persistence 0", "compute_mode 3")
    config = "driver 580.82.07\nfault nvmlDeviceGetVbiosVersion return=3\n"
    described = fake_nvml.run(scenes.probed, config + virtual(board(PROFILES["h100"], STEADY, settings=settings)))[
        "described"
    ]
    assert described["driver"] == "580.82.07"
    assert described["architecture"] == "Hopper"
    assert described["brand"] == "NVIDIA"
    assert described["power_limit_w"] == 650
    assert described["persistence_mode"] is False
    assert described["compute_mode"] == "exclusive process"
    assert described["mig"] is False
    assert described["binding"].startswith("nvidia-ml-py ")
    assert described["missing"] == dict.fromkeys(("vbios", "power_smoothing"), "Not Supported (code 3)")
    assert described["nvml_index"] == 0
    assert Path.home().name not in json.dumps(described)


def test_a_rival_package_is_named_once(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    info = tmp_path / "pynvml-13.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pynvml\nVersion: 13.0.1\n")
    root = Path(__file__).parents[1]
    paths = os.pathsep.join(map(str, (root, root / "tests", tmp_path)))
    warnings = fake_nvml.run(scenes.probed, H100, environment={"PYTHONPATH": paths})["described"]["warnings"]
    assert len(warnings) == 1
    assert "pynvml 13.0.1" in warnings[0]
    assert "pip uninstall pynvml" in warnings[0]


def test_the_state_is_in_base_units(fake_nvml: FakeNvml) -> None:
    settings = (
        "temperature_c 61",
        "sm_clock_hz 1.755e9",
        "memory_clock_hz 2.619e9",
        "limit_w 650",
        "event_bits 4",
        "violation 74 0.5 10",
        "violation 269 0.01 10",
        "violation 270 0.002 10",
        "violation 271 0.001 10",
    )
    state = fake_nvml.run(scenes.state_now, virtual(board(PROFILES["h100"], STEADY, settings=settings)))
    assert state["time_s"] == 20.0
    assert state["temperature_c"] == 61
    assert (state["sm_clock_hz"], state["memory_clock_hz"]) == (1.755e9, 2.619e9)
    assert state["power_limit_w"] == 650
    assert state["clock_event_bits"] == 4
    assert state["throttle_power_s"] == pytest.approx(5.0)
    assert state["throttle_thermal_s"] == pytest.approx(0.1)
    assert state["throttle_hw_s"] == pytest.approx(0.03)
    assert state["processes"] is None


def test_older_drivers_answer_through_older_calls(fake_nvml: FakeNvml) -> None:
    settings = ("temperature_c 61", "event_bits 32", "violation 75 0.01 10")
    gone = "fault nvmlDeviceGetTemperatureV return=13\nfault nvmlDeviceGetCurrentClocksEventReasons return=13\n"
    state = fake_nvml.run(scenes.state_now, gone + virtual(board(PROFILES["h100"], STEADY, settings=settings)))
    assert state["temperature_c"] == 61
    assert state["clock_event_bits"] == 32
    assert state["throttle_thermal_s"] == pytest.approx(0.1)
    assert state["throttle_hw_s"] is None


def test_a_state_that_cannot_be_read_is_none_and_never_zero(fake_nvml: FakeNvml) -> None:
    calls = ["TemperatureV", "Temperature", "ClockInfo", "EnforcedPowerLimit", "FieldValues", "MemoryInfo"]
    calls += ["ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3", "MPSComputeRunningProcesses_v3"]
    calls += ["CurrentClocksEventReasons", "CurrentClocksThrottleReasons"]
    gone = "".join(f"fault nvmlDeviceGet{call} return=15\n" for call in calls)
    state = fake_nvml.run(scenes.state_now, gone + H100, processes=True)
    assert {name for name, value in state.items() if value is not None} == {"time_s", "pid"}


def test_foreign_processes_are_listed_once_and_without_our_own(fake_nvml: FakeNvml) -> None:
    assert fake_nvml.run(scenes.guests, H100) == [23, 42]
