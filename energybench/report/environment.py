"""On what, and with what, was a run measured? Device, meter and software in words, each value with its unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from energybench.journal import RunRecord
from energybench.readings import ENERGY
from energybench.report.quantities import quantity
from energybench.report.style import plain

WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("device", "name"),
    "board": ("device", "board"),
    "architecture": ("device", "architecture"),
    "brand": ("device", "brand"),
    "compute_capability": ("device", "compute capability"),
    "sms": ("device", "streaming multiprocessors"),
    "memory_bytes": ("device", "memory"),
    "l2_bytes": ("device", "L2 cache"),
    "threads": ("device", "threads"),
    "capability": ("device", "vector instructions"),
    "nvml_index": ("device", "NVML index"),
    "uuid": ("device", "UUID"),
    "pci_bus_id": ("device", "PCI bus"),
    "vbios": ("device", "VBIOS"),
    "power_limit_w": ("device", "power limit"),
    "power_limit_default_w": ("device", "power limit, as shipped"),
    "power_limit_min_w": ("device", "power limit, least"),
    "power_limit_max_w": ("device", "power limit, most"),
    "sm_clock_max_hz": ("device", "SM clock, most"),
    "memory_clock_max_hz": ("device", "memory clock, most"),
    "persistence_mode": ("device", "persistence mode"),
    "ecc": ("device", "ECC"),
    "mig": ("device", "MIG"),
    "compute_mode": ("device", "compute mode"),
    "virtualization": ("device", "virtualization"),
    "power_smoothing": ("device", "power smoothing"),
    "meter": ("meter", "name"),
    "kinds": ("meter", "reads"),
    "scope": ("meter", "what its joules are of"),
    "domains": ("meter", "domains"),
    "foreign_device": ("meter", "watches another device than the run's"),
    "left_out": ("meter", "domains left out"),
    "profile": ("meter", "sensor profile"),
    "hypothetical": ("meter", "sensor hypothetical"),
    "refused": ("meter", "not readable"),
    "missing": ("meter", "not told by the driver"),
    "warnings": ("meter", "warnings"),
    "reason": ("meter", "why there is none"),
    "driver": ("software", "driver"),
    "nvml": ("software", "NVML"),
    "cuda": ("software", "CUDA"),
    "cudnn": ("software", "cuDNN"),
    "cudnn_benchmark": ("software", "cuDNN benchmark mode"),
}
"""Of a key of the run's record: which group it belongs to, and what it is called."""
SAID_ELSEWHERE = ("short", "simulated", "board_state", "binding", "seed")
"""Keys that say what another one says, the banner, or the command."""
STATES = ("persistence_mode", "ecc", "mig", "cudnn_benchmark")
"""Switches: off says as much as on. Of any other key, False says nothing."""
UNITS = {"_bytes": "B", "_hz": "Hz", "_w": "W", "_s": "s", "_j": "J", "_c": "°C"}
KINDS = {
    "energy_j": "energy counter",
    "power_instant_w": "instantaneous power",
    "power_w": "power",
    "power_average_w": "averaged power",
}


@dataclass(frozen=True)
class Group:
    """``device``, ``meter``, ``software`` or ``other``, with what is known of it."""

    name: str
    lines: tuple[tuple[str, str], ...]


def environment(record: RunRecord) -> Iterator[Group]:
    """What the run's record knows of its surroundings, in groups; what this version has no word for comes last."""
    found: dict[str, dict[str, str]] = {"device": {}, "meter": {}, "software": {}, "other": {}}
    for whose, part in (("device", record.device), ("meter", record.meter)):
        own = {"device": {"name": "as typed"}, "meter": {"name": "name", "title": "sensor"}}[whose]
        for key, value in part.items():
            group, word = (whose, own[key]) if key in own else WORDS.get(key, ("other", f"{whose} {_plain_key(key)}"))
            shown = "" if key in SAID_ELSEWHERE else _value(key, value)
            if shown:
                found[group].setdefault(word, shown)
    for name, version in record.versions.items():
        found["software"].setdefault(plain(name, 60), plain(version, 60))
    yield from (Group(name, tuple(lines.items())) for name, lines in found.items() if lines)


def kinds_in_words(kinds: Iterable[object]) -> str:
    """What a meter reads, for one line: ``energy counter and power``."""
    named = ["energy counter" if kind == ENERGY else "power" for kind in kinds if str(kind) in KINDS]
    return " and ".join(dict.fromkeys(named))


def _value(key: str, value: Any) -> str:
    """``value`` as people read it; empty where it says nothing."""
    if isinstance(value, bool):
        return ("on" if value else "off") if key in STATES else "yes" if value else ""
    if isinstance(value, Mapping):
        return plain(", ".join(f"{_plain_key(k)}: {v}" for k, v in value.items()), 300)
    if isinstance(value, (list, tuple)):
        return plain(", ".join(KINDS.get(str(v), str(v)) for v in value), 300)
    unit = next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")
    if unit and isinstance(value, (int, float)):
        return quantity(float(value), unit)
    return "" if value is None else plain(value, 300)


def _plain_key(key: object) -> str:
    return plain(str(key).replace("_", " "), 60)
