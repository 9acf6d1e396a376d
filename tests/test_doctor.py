"""doctor/: what is said of healthy and unhealthy boards, through the real binding on the fake library."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakenvml.boards import STEADY, board, virtual
from fakenvml.build import FakeNvml
from fakenvml.inside import Fake

from energybench.cli import main
from energybench.clock import VirtualClock
from energybench.devices import DeviceFacts
from energybench.devices.open import open_device
from energybench.devices.simulated import SimulatedDevice
from energybench.doctor import Surroundings, diagnose, diagnosis_lines, examine
from energybench.doctor.finding import Diagnosis
from energybench.errors import MeterError
from energybench.meters import NoMeter, open_meter
from energybench.meters.rapl import RaplMeter
from energybench.meters.simulated import SimulatedMeter
from energybench.sensor import PROFILES

HEALTHY = ("limit_w 700", "limit_default_w 700", "persistence 1", "temperature_c 35")


def h100(*settings: str, profile: str = "h100") -> str:
    return virtual(board(PROFILES[profile], STEADY, settings=(*HEALTHY, *settings)))


CONFIGS = {
    "healthy": h100(),
    "mig": h100("mig 1"),
    "vgpu": h100("virtualization 2"),
    "no counter": h100(profile="pascal"),
    "module": h100(profile="gh200"),
    "foreign": h100("process compute 4711", "process graphics 23"),
    "throttled": h100("violation 75 0.5 0", "violation 269 0.5 0", "event_bits 0x40", "temperature_c 88"),
    "limited": h100("limit_w 400"),
    "no persistence": h100("persistence 0"),
    "frozen": h100("fault field:83 freeze from_s=2", "fault nvmlDeviceGetTotalEnergyConsumption freeze from_s=2"),
    "zeros": h100("fault field:186 zero from_s=6.3"),
    "lost": h100("fault nvmlDeviceGetFieldValues return=15 from_s=6.3"),
    "library": f"fault nvmlInitWithFlags return=18\n{h100()}",
    "permission": f"fault nvmlInitWithFlags return=4\n{h100()}",
    "other board": h100("uuid GPU-other"),
    "mps": h100("process mps 42"),
    "smoothed": h100("field 251 1"),
    "not smoothed": h100("field 251 0"),
    "renumbered": virtual("device\npower from 0 90\n") + board(PROFILES["h100"], STEADY, settings=("uuid GPU-cuda",)),
    "nothing": virtual("device\npower from 0 250\n"),
}


TIMED = ("frozen", "zeros", "lost")
"""What happens at a time of the fake's clock, which goes on from one configuration to the next of a process."""


def examined(configs: dict[str, str]) -> dict[str, Any]:
    """Runs inside a process that has the fake library: the diagnosis and the page of each configuration."""
    results = {}
    for name, config in configs.items():
        fake = Fake()
        fake.reconfigure(config)
        facts = (
            DeviceFacts("cuda:0", "NVIDIA H100", uuid="GPU-cuda", pci_bus_id=None)
            if name in ("other board", "renumbered")
            else None
        )

        def opened(fake: Fake = fake, name: str = name) -> Any:
            meter = open_meter("nvml", clock=fake, device_uuid="GPU-cuda" if name == "renumbered" else None)
            fake.sleep_until(5.0)
            return meter

        diagnosis = diagnose(examine(facts, opened, fake, surroundings=Surroundings(), watch_s=1.5))
        results[name] = {**diagnosis.to_dict(), "worst": diagnosis.worst, "page": "\n".join(diagnosis_lines(diagnosis))}
    return results


@pytest.fixture(scope="module")
def seen(fake_nvml: FakeNvml) -> dict[str, Any]:
    together = {name: config for name, config in CONFIGS.items() if name not in TIMED}
    found: dict[str, Any] = fake_nvml.run(examined, CONFIGS["healthy"], configs=together)
    for name in TIMED:
        found |= fake_nvml.run(examined, CONFIGS[name], configs={name: CONFIGS[name]})
    return found


def findings(found: dict[str, Any], topic: str, level: str) -> list[dict[str, str]]:
    return [f for f in found["findings"] if f["topic"] == topic and f["level"] == level]


def test_a_healthy_board_only_wants_a_calibration(seen: dict[str, Any]) -> None:
    found = seen["healthy"]
    assert found["can_measure_energy"]
    assert [f["topic"] for f in found["findings"] if f["level"] in ("warning", "fault")] == ["calibration"]
    answering = [f["what"] for f in findings(found, "sources", "ok")]
    assert len(answering) == 4
    assert "energy counter answers (field 83)" in answering
    assert re.search(r"left alone, the board draws about 2[45]\d", found["page"])  # 250 W, noise of 1 %
    assert "energybench calibrate" in found["page"]


@pytest.mark.parametrize(
    ("name", "topic", "what", "remedy"),
    [
        ("mig", "energy", "MIG is enabled", "nvidia-smi -mig 0"),
        ("vgpu", "energy", "the board is shared", "a whole board"),
        ("mps", "energy", "MPS shares this board (the driver lists 1 MPS client)", "quit | nvidia-cuda-mps-control"),
        ("library", "meter", "NVML does not start", "reboot"),
        ("permission", "meter", "NVML does not start", "/dev/nvidia"),
        ("lost", "lost", "the board is lost", "dmesg"),
        ("other board", "board", "CUDA works on GPU-cuda, NVML watches GPU-other", "UUID"),
        ("nothing", "energy", "answers neither power nor energy", ""),
    ],
)
def test_what_makes_energy_impossible_is_a_fault_with_a_remedy(
    seen: dict[str, Any], name: str, topic: str, what: str, remedy: str
) -> None:
    found = seen[name]
    assert not found["can_measure_energy"]
    assert found["worst"] == "fault"
    faults = findings(found, topic, "fault")
    assert faults, found["page"]
    assert what in faults[0]["what"]
    assert remedy in faults[0]["what"] + faults[0]["remedy"]
    assert faults[0]["why"]
    assert "energy cannot be measured here" in found["page"]


@pytest.mark.parametrize(
    ("name", "topic", "what"),
    [
        ("no counter", "sources", "there is no energy counter"),
        ("module", "scope", "the whole module"),
        ("foreign", "sharing", "2 other processes use the board (pid 23, 4711)"),
        ("throttled", "throttling", "slowed for"),
        ("throttled", "clocks", "hardware slowdown for heat"),
        ("throttled", "heat", "88 degrees"),
        ("no persistence", "settings", "persistence mode is off"),
        ("smoothed", "settings", "the driver smooths this board's power"),
        ("frozen", "readings", "the energy counter did not move"),
        ("zeros", "readings", "impossible"),
    ],
)
def test_what_makes_energy_doubtful_is_a_warning_with_a_remedy(
    seen: dict[str, Any], name: str, topic: str, what: str
) -> None:
    found = seen[name]
    assert found["can_measure_energy"], found["page"]
    warnings = [f for f in findings(found, topic, "warning") if what in f["what"]]
    assert warnings, found["page"]
    assert warnings[0]["why"]
    assert warnings[0]["remedy"]
    assert "to heed first" in found["page"]


def test_every_warning_and_every_fault_says_why_it_matters_and_what_to_do(seen: dict[str, Any]) -> None:
    grave = [(name, f) for name, found in seen.items() for f in found["findings"] if f["level"] in ("warning", "fault")]
    assert len(grave) > 20
    for name, finding in grave:
        assert finding["why"], (name, finding)
        assert finding["remedy"], (name, finding)


def test_power_smoothing_is_asked_for_and_a_board_without_it_says_so(seen: dict[str, Any]) -> None:
    (off,) = [f for f in findings(seen["not smoothed"], "settings", "ok") if "smoothing" in f["what"]]
    assert off["what"] == "power smoothing is off"
    (without,) = [f for f in findings(seen["healthy"], "settings", "ok") if "smoothing" in f["what"]]
    assert without["what"] == "no power smoothing that the driver knows of (Not Supported (code 3))"


def test_cudas_number_and_nvmls_are_held_against_each_other(seen: dict[str, Any]) -> None:
    (note,) = [f for f in findings(seen["renumbered"], "board", "note") if "number" in f["what"]]
    assert note["what"] == "CUDA's number 0 is number 1 to NVML and nvidia-smi"
    assert note["remedy"] == "name the board by its UUID: --gpu GPU-cuda"


def test_hidden_gpus_are_a_finding_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = CliRunner().invoke(main, ["doctor", "--gpu", "0"])
    assert done.exit_code == 3
    assert "FAULT    PyTorch sees no usable CUDA GPU" in done.output
    assert "unset CUDA_VISIBLE_DEVICES" in done.output


def test_a_changed_power_limit_is_worth_a_note(seen: dict[str, Any]) -> None:
    (note,) = findings(seen["limited"], "limits", "note")
    assert "400 W, the board's default 700 W" in note["what"]
    assert "nvidia-smi -pl 700" in note["remedy"]


def rapl_tree(root: Path, *, readable: bool) -> Path:
    domain = root / "intel-rapl:0"
    domain.mkdir(parents=True)
    (domain / "name").write_text("package-0\n")
    (domain / "max_energy_range_uj").write_text("262143328850\n")
    if readable:
        (domain / "energy_uj").write_text("1000000\n")
    else:
        (domain / "energy_uj").mkdir()  # unreadable even for root
    return root


class Draining(VirtualClock):
    """Time in which a CPU draws 50 W."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._counter = root / "intel-rapl:0" / "energy_uj"

    def sleep_until(self, time_s: float) -> None:
        super().sleep_until(time_s)
        if self._counter.is_file():
            self._counter.write_text(f"{int(50e6 * self.now_s())}\n")


def rapl(root: Path) -> Diagnosis:
    clock = Draining(root)
    facts = DeviceFacts("cpu", "a CPU")
    return diagnose(examine(facts, lambda: RaplMeter(clock, root), clock, surroundings=Surroundings()))


def test_rapl_that_cannot_be_read_is_a_fault_and_one_that_can_is_not(tmp_path: Path) -> None:
    refused = rapl(rapl_tree(tmp_path / "refused", readable=False))
    assert not refused.can_measure_energy
    assert "package-0" in refused.of("sources")[0].what
    absent = rapl(tmp_path / "nowhere")
    assert not absent.can_measure_energy
    assert "no RAPL energy counter" in absent.of("energy")[0].what
    assert "modprobe" in absent.of("energy")[0].remedy
    granted = rapl(rapl_tree(tmp_path / "granted", readable=True))
    assert granted.can_measure_energy
    assert "package-0" in " ".join(f.what for f in granted.of("sources"))


def test_a_simulated_board_is_fit_and_says_that_it_is_simulated() -> None:
    device = SimulatedDevice("h200")
    meter = SimulatedMeter(device.clock, device.power.energy_j, PROFILES["h200"])
    calibrated = replace(PROFILES["h200"], provenance="calibrated")
    examination = examine(device.facts, lambda: meter, device.clock, sensor=calibrated, surroundings=Surroundings())
    diagnosis = diagnose(examination)
    assert diagnosis.can_measure_energy
    assert [(f.level, f.what) for f in diagnosis.of("simulation")] == [("note", open_device("sim:h200")[1][0])]
    assert diagnosis.of("calibration")[0].level == "ok"
    assert list(diagnosis_lines(diagnosis))[-1] == "fit to be measured"


def test_no_meter_at_all_says_why() -> None:
    clock = VirtualClock()
    diagnosis = diagnose(examine(None, lambda: NoMeter(clock, "no sensor; try another board"), clock))
    assert not diagnosis.can_measure_energy
    assert diagnosis.of("energy")[0].what == "no sensor"
    assert diagnosis.of("energy")[0].remedy == "another board"


def test_the_surroundings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    around = Surroundings.here()
    assert around == Surroundings("1", None)


def test_a_refused_opening_is_the_first_finding() -> None:
    def refuse() -> Any:
        raise MeterError("NVML does not start", why="no joules", remedy="install the driver")

    diagnosis = diagnose(examine(None, refuse, VirtualClock()))
    assert not diagnosis.can_measure_energy
    assert diagnosis.findings[0].remedy == "install the driver"
    assert diagnosis.worst == "fault"
