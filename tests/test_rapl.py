"""meters/rapl.py, on a powercap tree written by the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from energybench.clock import VirtualClock
from energybench.meters import MeterFault
from energybench.meters.rapl import RaplMeter

RANGE_UJ = 262_143_328_850  # as Intel servers report: 2^32 units of 2^-14 J


def domain(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = RANGE_UJ) -> Path:
    """One zone of the tree; returns its counter."""
    zone = root / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    return zone / "energy_uj"


def server(root: Path) -> dict[str, Path]:
    """Two packages with cores and memory of their own, and a platform domain that holds all of it."""
    return {
        "package-0": domain(root, "intel-rapl:0", "package-0", 1_000_000),
        "core": domain(root, "intel-rapl:0:0", "core", 7_000_000),
        "dram-0": domain(root, "intel-rapl:0:1", "dram", 2_000_000),
        "package-1": domain(root, "intel-rapl:1", "package-1", 3_000_000),
        "dram-1": domain(root, "intel-rapl:1:0", "dram", 4_000_000),
        "psys": domain(root, "intel-rapl:2", "psys", 9_000_000),
        "mmio": domain(root, "intel-rapl-mmio:0", "package-0", 1_000_000),
    }


def joules(meter: RaplMeter) -> float:
    (reading,) = meter.read()
    return reading.value


def test_packages_and_their_memory_are_added_and_nothing_twice(tmp_path: Path) -> None:
    counters = server(tmp_path)
    meter = RaplMeter(VirtualClock(), tmp_path)
    capabilities = meter.probe()
    assert capabilities.kinds == ("energy_j",)
    assert capabilities.scope == "CPU: package-0, package-1, package-0/dram, package-1/dram"
    assert joules(meter) == 0
    for added_uj, counter in zip((10, 20, 40, 80, 160, 320, 640), counters.values(), strict=True):
        counter.write_text(str(int(counter.read_text()) + added_uj * 1_000_000))
    assert joules(meter) == pytest.approx(10 + 40 + 80 + 160)
    assert meter.describe()["left_out"] == ["package-0/core", "psys"]


def test_a_counter_that_wraps_loses_nothing(tmp_path: Path) -> None:
    counter = domain(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 500_000)
    meter = RaplMeter(VirtualClock(), tmp_path)
    meter.probe()
    counter.write_text("1500000")
    assert joules(meter) == pytest.approx(2.0)
    counter.write_text("2500000")
    assert joules(meter) == pytest.approx(3.0)


def test_the_platform_counts_where_there_is_no_package(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "psys", 5)
    assert RaplMeter(VirtualClock(), tmp_path).probe().scope == "CPU: psys"


def test_the_other_driver_serves_where_the_first_is_missing(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 5)
    assert RaplMeter(VirtualClock(), tmp_path).probe().kinds == ("energy_j",)


def test_no_permission_is_a_reason_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server(tmp_path)
    read_text = Path.read_text

    def forbidden(path: Path) -> str:  # root may read anything, so file modes cannot show it
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", forbidden)
    meter = RaplMeter(VirtualClock(), tmp_path)
    capabilities = meter.probe()
    assert capabilities.kinds == ()
    assert "sudo chmod a+r" in capabilities.energy_reason
    assert capabilities.refused.keys() == {"package-0", "package-1", "package-0/dram", "package-1/dram"}
    assert meter.read() == []


def test_one_unreadable_package_refuses_all_joules(tmp_path: Path) -> None:
    server(tmp_path)["package-1"].write_text("not a number")
    capabilities = RaplMeter(VirtualClock(), tmp_path).probe()
    assert capabilities.kinds == ()
    assert list(capabilities.refused) == ["package-1"]
    assert "cannot be read" in capabilities.energy_reason


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    capabilities = RaplMeter(VirtualClock(), tmp_path / "nothing").probe()
    assert capabilities.kinds == ()
    assert "no RAPL energy counter" in capabilities.energy_reason
    assert "--meter none" in capabilities.energy_reason


def test_a_counter_that_vanishes_ends_the_meter(tmp_path: Path) -> None:
    counter = server(tmp_path)["package-0"]
    meter = RaplMeter(VirtualClock(), tmp_path)
    meter.probe()
    counter.unlink()
    with pytest.raises(MeterFault, match="lost while measuring"):
        meter.read()
