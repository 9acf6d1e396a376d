"""devices/cuda.py, devices/open.py, doctor/: is the board that is metered the board that works?

CUDA counts GPUs its own way: the fastest first unless CUDA_DEVICE_ORDER says otherwise, and CUDA_VISIBLE_DEVICES leaves
some out and renumbers the rest. NVML counts in PCI order and heeds neither. What PyTorch says of its devices is all
that is stubbed here, by CUDA's rules (CUDA C++ Programming Guide, CUDA environment variables); from there on it is our
code, nvidia-ml-py and the fake library.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fakenvml.boards import board, quiet, virtual
from fakenvml.build import FakeNvml
from fakenvml.inside import Fake

from energybench.devices.cuda import facts_of, index_of, uuid_of
from energybench.devices.open import open_meter_for, open_named_meter
from energybench.doctor import Surroundings, diagnose, examine
from energybench.errors import EnergyBenchError

SLOW, MIDDLE, FAST = 100, 200, 300
"""Three boards in PCI order, which is NVML's, known by what they draw (W); CUDA's own order is the reverse."""
UUIDS = {
    SLOW: "5a01c0de-0000-4000-8000-00000000000a",
    MIDDLE: "5a02c0de-0000-4000-8000-00000000000b",
    FAST: "beef0000-0000-4000-8000-00000000000c",
}
SLICE = "313131ab-0000-4000-8000-00000000000d"
BUSES = {SLOW: 0x0A, MIDDLE: 0x3B, FAST: 0x5E}
PCI = "PCI_BUS_ID"


def machine(*settings: str) -> str:
    """A machine with the three boards; the settings are the middle one's."""
    boards = [
        board(
            quiet("h100"),
            f"from 0 {watts}",
            settings=(
                f"uuid GPU-{UUIDS[watts]}",
                f"pci 00000000:{BUSES[watts]:02X}:00.0",
                *(settings if watts == MIDDLE else ()),
            ),
        )
        for watts in (SLOW, MIDDLE, FAST)
    ]
    return virtual(*boards)


def properties(watts: int, uuid: str | None = None) -> SimpleNamespace:
    """What PyTorch says of a board, or of a slice of it."""
    return SimpleNamespace(
        name=f"board of {watts} W",
        uuid=uuid or UUIDS[watts],
        pci_domain_id=0,
        pci_bus_id=BUSES[watts],
        pci_device_id=0,
        total_memory=80_000_000_000,
        L2_cache_size=50_000_000,
        major=9,
        minor=0,
        multi_processor_count=132,
    )


def cuda_sees(visible: str | None, order: str | None) -> list[SimpleNamespace]:
    """The devices that CUDA shows, in its order; behind a word that it does not understand it shows none."""
    listed = [SLOW, MIDDLE, FAST] if order == PCI else [FAST, MIDDLE, SLOW]
    if visible is None:
        return [properties(watts) for watts in listed]
    shown = []
    for word in visible.split(","):
        if word.startswith("MIG-"):
            shown.append(properties(MIDDLE, SLICE))
            continue
        numbered = [listed[int(word)]] if word.isdigit() and int(word) < len(listed) else []
        named = [watts for watts in listed if word.startswith("GPU-") and f"GPU-{UUIDS[watts]}".startswith(word)]
        if len(numbered or named) != 1:
            break
        shown.append(properties(*(numbered or named)))
    return shown


def mapped(tries: list[list[Any]]) -> list[dict[str, Any]]:
    """Inside a process that has the fake: whom the meter watches, for each (visible, order, --gpu), or why none."""
    found = []
    for visible, order, asked in tries:
        Fake().reconfigure(machine("mig 1") if visible == f"MIG-{SLICE}" else machine())
        seen = cuda_sees(visible, order)
        torch.cuda.device_count = lambda seen=seen: len(seen)
        torch.cuda.get_device_properties = lambda index, seen=seen: seen[index]
        try:
            found.append(watched(visible, order, asked))
        except EnergyBenchError as error:
            found.append({"error": str(error)})
    return found


def watched(visible: str | None, order: str | None, asked: str) -> dict[str, Any]:
    """What the meter that is opened for a device shows, and what the doctor says of the two."""
    clock = Fake()
    device = SimpleNamespace(facts=facts_of(index_of(asked)), clock=clock)
    around = Surroundings(visible, order)
    diagnosis = diagnose(examine(device.facts, lambda: open_named_meter(device), clock, surroundings=around))
    said = [[f.level, f.what] for f in diagnosis.of("board")] + [[f.level, f.what] for f in diagnosis.of("energy")]
    watch = open_meter_for(device, None)
    clock.sleep_until(clock.now_s() + 1.0)
    shown = {reading.kind: reading.value for reading in watch.meter.read()}
    reason, locked = watch.capabilities.energy_reason, uuid_of(asked)
    watch.meter.close()
    return {"watts": shown.get("power_instant_w"), "reason": reason, "locked": locked, "doctor": said}


WHOLE = [
    # CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER, --gpu: the board
    ((None, None, "0"), FAST),
    ((None, None, "2"), SLOW),
    ((None, PCI, "0"), SLOW),
    ((None, PCI, "2"), FAST),
    (("1", None, "0"), MIDDLE),
    (("2", None, "0"), SLOW),
    (("2", PCI, "0"), FAST),
    (("0,2", PCI, "1"), FAST),
    (("2,0", PCI, "0"), FAST),
    (("2,0", None, "0"), SLOW),
    (("2,1,0", PCI, "1"), MIDDLE),
    (("0,7,1", PCI, "0"), SLOW),  # what follows a number that does not exist is hidden
    (("GPU-5a02", None, "0"), MIDDLE),
    (("GPU-beef,GPU-5a01", PCI, "1"), SLOW),
    ((f"GPU-{UUIDS[SLOW]}", None, "0"), SLOW),
    ((None, None, f"GPU-{UUIDS[MIDDLE]}"), MIDDLE),
    ((None, None, "GPU-5a01"), SLOW),
    (("2,0", None, "beef"), FAST),
]


HIDDEN, NOTHING, TWO, ELSEWHERE = (
    ("1", None, "1"),
    ("GPU-5a0", None, "0"),  # a prefix of two boards names none to CUDA
    (None, None, "GPU-5a0"),
    ("0", PCI, "GPU-beef"),
)
SLICES = [(f"MIG-{SLICE}", None, asked) for asked in ("0", f"MIG-{SLICE}", "MIG-3131")]


@pytest.fixture(scope="module")
def found(fake_nvml: FakeNvml) -> dict[tuple[str | None, ...], dict[str, Any]]:
    tries = [*(asked for asked, _ in WHOLE), HIDDEN, NOTHING, TWO, ELSEWHERE, *SLICES]
    return dict(zip(tries, fake_nvml.run(mapped, machine(), tries=tries), strict=True))


@pytest.mark.parametrize(("asked", "watts"), WHOLE)
def test_the_meter_watches_the_board_that_works_however_cuda_counts(found, asked, watts):
    assert found[asked]["watts"] == pytest.approx(watts)
    assert found[asked]["locked"] == f"GPU-{UUIDS[watts]}"
    (same,) = [what for level, what in found[asked]["doctor"] if level == "ok" and "found by UUID" in what]
    assert UUIDS[watts] in same


def test_the_doctor_says_where_a_number_means_two_boards(found):
    assert ["note", "CUDA's number 0 is number 2 to NVML and nvidia-smi"] in found[None, None, "0"]["doctor"]
    assert ["note", "CUDA's number 1 is number 2 to NVML and nvidia-smi"] in found["0,2", PCI, "1"]["doctor"]
    assert ["ok", "CUDA's number 2 is number 2 to NVML and nvidia-smi"] in found[None, PCI, "2"]["doctor"]
    counted = "CUDA_VISIBLE_DEVICES is '2' and CUDA counts the fastest board first"
    assert ["note", counted] in found["2", None, "0"]["doctor"]
    assert not any("counts the fastest" in what for _, what in found["2", PCI, "0"]["doctor"])


def test_a_gpu_that_cuda_hides_or_that_is_not_unique_is_refused_with_those_it_shows(found):
    assert "there is no GPU 1; PyTorch sees 1" in found[HIDDEN]["error"]
    assert "there is no GPU 0; PyTorch sees 0" in found[NOTHING]["error"]
    assert "no single GPU has the UUID 'GPU-5a0'" in found[TWO]["error"]
    assert f"PyTorch sees GPU-{UUIDS[SLOW]}" in found[ELSEWHERE]["error"]


@pytest.mark.parametrize("asked", SLICES)
def test_a_slice_leads_to_its_board_which_refuses_joules(found, asked):
    """NVML knows a slice's UUID by its MIG- name only; the board is found by its slot, and is shared."""
    said = found[asked]
    assert said["watts"] is None
    assert "MIG is enabled" in said["reason"]
    what = "MIG is enabled: power and energy exist for the whole board only, not for a slice"
    assert ["fault", what] in said["doctor"]
    assert any(UUIDS[MIDDLE] in what and "found by PCI bus id" in what for _, what in said["doctor"])
