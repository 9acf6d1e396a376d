"""Which machine is the card that a published file names? Shipped sheets, and cards that only these files need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from energybench.machine import Machine, load_machine, machine_table

ALIASES: Mapping[str, str] = {
    "p100": "p100pcie",
    "v100": "v100sxm2",
    "a100": "a100sxm440gb",
    "h100": "h100sxm",
    "1080ti": "gtx1080ti",
    "titanx": "titanxmaxwell",  # DeepBench's best product on it runs at 6.8 TFLOP/s; the Pascal one has 11
}
"""What files call a card -> the plain name of its machine, where no sheet's ``match`` says it."""

DP4A_FROM = 6.1
"""Compute capability from which every lane multiplies four 8-bit integers at once, tensor cores or not."""


def board(card: str) -> Machine | None:
    """The machine of a card as a data set names it, 8-bit rate included; None where nobody knows it."""
    plain = _plain(card)
    return _boards().get(ALIASES.get(plain, plain))


@cache
def _boards() -> dict[str, Machine]:
    found = {}
    for machine in (*machine_table(), *_without_sheet()):
        for name in (machine.name, machine.title, *machine.match):
            found[_plain(name)] = _with_dp4a(machine)
    return found


def _plain(card: str) -> str:
    words = re.sub(r"nvidia|geforce|tesla", "", card.casefold())
    return re.sub(r"[^a-z0-9]", "", words)


def _without_sheet() -> list[Machine]:
    """Cards of the data sets that no sheet describes: rated peaks and power limits, as NVIDIA published them."""
    return [
        _pascal("gtx-1080ti", 11.3e12, 484e9, 2.75, 250, 6.1),
        _pascal("titan-x-pascal", 11.0e12, 480e9, 3, 250, 6.1),
        _pascal("titan-xp", 12.1e12, 547.7e9, 3, 250, 6.1),
        _pascal("titan-x-maxwell", 6.6e12, 336.5e9, 3, 250, 5.2),
        _pascal("m40", 6.8e12, 288e9, 3, 250, 5.2),
        _pascal("p4", 5.7e12, 192e9, 2, 75, 6.1),
    ]


def _pascal(name: str, flops: float, bandwidth: float, l2_mib: float, tdp_w: float, capability: float) -> Machine:
    """A card of float32 lanes; unit energies of the shipped sheet of its kind, static power by the sheets' rule."""
    base = load_machine("p4000")
    return replace(
        base,
        name=name,
        title=name,
        match=(),
        peak_flops_per_s={"float32": flops},
        j_per_flop={"float32": base.j_per_flop["float32"]},
        bandwidth_bytes_per_s=bandwidth,
        l2_bytes=l2_mib * 2**20,
        tdp_w=tdp_w,
        static_w=min(110.0, 0.3 * tdp_w),
        compute_capability=capability,
    )


def _with_dp4a(machine: Machine) -> Machine:
    capability = machine.compute_capability or 0.0
    if "int8" in machine.peak_flops_per_s or capability < DP4A_FROM:
        return machine
    return replace(
        machine,
        peak_flops_per_s={**machine.peak_flops_per_s, "int8": 4 * machine.peak_flops_per_s["float32"]},
        j_per_flop={**machine.j_per_flop, "int8": machine.j_per_flop["float32"] / 4},
    )
