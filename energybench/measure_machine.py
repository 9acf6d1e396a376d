"""What can this device do, measured here? Loops that copy, read, multiply or do next to nothing, made into a sheet.

The loops are a suite like any other and leave a run folder like any other: the sheet is derived from it
(``analysis.measured_machine``), so that every number on it can be traced to raw readings.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from energybench.analysis.measured_machine import MeasuredMachine, measured_machine
from energybench.devices import Device
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import MachineError
from energybench.journal import load
from energybench.machine import machine_to_dict
from energybench.machine_sheet import sheet_from_yaml
from energybench.runner.bench import Progress
from energybench.session import RunOptions, open_station, plan_study, run_study
from energybench.suite import Suite, parse_suite

KERNELS = (str(Path(__file__).parent / "devices" / "kernels.py"),)
"""For ``RunOptions.plugins``: where the loops that copy and read are."""

NAME = "machine"
"""Of the suite of loops."""

DTYPES = ("float32", "tf32", "float16", "bfloat16")
DONE_BY = {"copy": ("nothing", "copy"), "read": ("cached", "uncached"), "gemm": ("gemm",)}
"""Which loops a variant is made for."""
CPU_LACKS = ("tf32", "float16")
"""There is no tf32 on a CPU, and its float16 products are emulated: seconds each."""

COLUMNS = 4096
CACHES = 8
"""A copy moves this many times the last-level cache, so that next to nothing of it is found there."""
HELD = (0.25, 0.5)
"""Of the last-level cache: reads that it holds with room to spare, as half of it may be far from half of the cores."""
READ_BYTES = 2**31
"""What an iteration of reads moves: about 0.3 ms of a GPU's cache, which a launch of 2 us does not change."""
FEWEST_PASSES, MOST_PASSES = 16, 256
LEAST_BYTES = 64 * 2**20
MEMORY_SHARE = 0.125


def measure_machine(options: RunOptions, progress: Progress) -> tuple[Path, MeasuredMachine]:
    """Measure bandwidths, peaks, launch and, where there is a meter, unit energies and static power of a device.

    Args:
        options: device, meter, output; its plugins must be ``KERNELS``.
        progress: is told how far we are.

    Returns:
        The run folder, and what was found.

    Raises:
        DeviceError: the device cannot be used.
        MeterError: a meter that was asked for cannot be used.
        MachineError: no copy or no matrix product could be measured.
        KeyboardInterrupt: the user stopped it; the folder can be resumed.
    """
    station = open_station(options)
    try:
        study = plan_study(machine_suite(station.device), station, options)
        folder = run_study(study, station, options, progress)
    finally:
        station.close()
    return folder, measured_machine(load(folder))


def write_sheet(measured: MeasuredMachine, path: Path) -> None:
    """Write the machine sheet to ``path``, in the layout that ``load_machine`` reads.

    Raises:
        MachineError: the file cannot be written, or the numbers contradict each other.
    """
    text = yaml.safe_dump(machine_to_dict(measured.machine), sort_keys=False, allow_unicode=True, width=120)
    sheet_from_yaml(text, origin=path.name)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"the sheet cannot be written: {error.strerror}", where=str(path)) from error


def machine_suite(device: Device) -> Suite:
    """The suite of loops that fits ``device``: copies beyond its cache, reads within it, matrix products, and launches.

    Two sizes of each, so that what is left over by the fit says how well its constants hold, and so that a cache that
    does not hold what it should is seen.
    """
    dtypes = _dtypes(device)
    loops = _loops(device)
    kernels = list(dict.fromkeys(str(loop["kernel"]) for loop in loops))
    skips: list[dict[str, str]] = [
        {"variant": variant, "kernel": kernel, "because": f"the loop {kernel} does not {variant}"}
        for variant, done in DONE_BY.items()
        for kernel in kernels
        if kernel not in done
    ]
    skips += [
        {"variant": variant, "dtype": dtype, "because": "one format is enough to learn the bandwidth"}
        for variant in ("copy", "read")
        for dtype in dtypes[1:]
    ]
    read = {"layer": "kernels:RepeatedRead", "args": {"passes": "$passes"}, "cache": "hot"}
    data: dict[str, Any] = {
        "name": NAME,
        "about": "What a device can do: copies, reads from its cache, matrix products, and launches of next to nothing",
        "baseline": "copy",
        "variants": {
            "copy": {
                "layer": "kernels:StreamCopy",
                "args": {"rows": "$rows", "columns": "$columns"},
                "cache": "hot",
            },
            **({"read": read} if "cached" in kernels else {}),
            "gemm": {
                "layer": "torch.nn:Linear",
                "args": {"in_features": "$columns", "out_features": "$columns", "bias": False},
                "cache": "hot",
            },
        },
        "input": ["$rows", "$columns"],
        "axes": {"loop": loops, "dtype": list(dtypes)},
        "quick": {"kernel": kernels, "dtype": list(dtypes)},
    }
    data["skip"] = [skip for skip in skips if skip["variant"] in data["variants"]]
    return parse_suite(yaml.safe_dump(data, sort_keys=False))


def _loops(device: Device) -> list[dict[str, object]]:
    """The values of the suite's axis: each kernel at two sizes, and reads beyond the cache to judge those within by."""
    rows = _copy_bytes(device) // (4 * COLUMNS)
    edge = _gemm_edge(device)
    held = [int(share * (device.facts.l2_bytes or 0)) // (4 * COLUMNS) for share in HELD]
    reads = [("cached", r) for r in held] + [("uncached", rows)] if min(held) > 0 else []
    return [
        {"kernel": "nothing", "rows": 1, "columns": 64, "passes": 0},
        {"kernel": "nothing", "rows": 1, "columns": 512, "passes": 0},
        *({"kernel": "copy", "rows": r, "columns": COLUMNS, "passes": 0} for r in (rows // 2, rows)),
        *({"kernel": kernel, "rows": r, "columns": COLUMNS, "passes": _passes(r)} for kernel, r in reads),
        *({"kernel": "gemm", "rows": n, "columns": n, "passes": 0} for n in (edge // 2, edge)),
    ]


def _passes(rows: int) -> int:
    """Over half of ``rows`` each: enough that a launch is next to nothing, few enough that they lie well apart."""
    return min(max(2 * READ_BYTES // (4 * COLUMNS * rows), FEWEST_PASSES), MOST_PASSES)


def _dtypes(device: Device) -> Sequence[str]:
    """Formats worth trying; one the device refuses becomes a failed case."""
    if isinstance(device, SimulatedDevice):
        return [d for d in DTYPES if d in device.machine.peak_flops_per_s]
    return [d for d in DTYPES if d not in CPU_LACKS] if device.facts.name == "cpu" else DTYPES


def _copy_bytes(device: Device) -> int:
    """Bytes of the largest copy's input."""
    wanted = max(LEAST_BYTES, CACHES * (device.facts.l2_bytes or 0))
    free = device.free_memory_bytes()
    return wanted if free is None else min(wanted, max(LEAST_BYTES, int(MEMORY_SHARE * free)))


def _gemm_edge(device: Device) -> int:
    """Side of the largest matrices: 8192 fills any GPU; on a CPU it grows with the threads."""
    if device.facts.name != "cpu":
        return 8192
    threads = int(device.facts.details.get("threads") or os.cpu_count() or 1)
    return 1024 if threads <= 4 else 2048 if threads <= 32 else 4096
