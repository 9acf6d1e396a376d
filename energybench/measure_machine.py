"""What can this device do, measured here? Loops that only copy, only multiply or do next to nothing, made into a sheet.

The loops are a suite like any other and leave a run folder like any other: the sheet is derived from it
(``analysis.measured_machine``), so that every number on it can be traced to raw readings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

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
"""For ``RunOptions.plugins``: where the copy loop is."""

DTYPES = ("float32", "tf32", "float16", "bfloat16")
CPU_LACKS = ("tf32", "float16")
"""There is no tf32 on a CPU, and its float16 products are emulated: seconds each."""

COLUMNS = 4096
CACHES = 8
"""A copy moves this many times the last-level cache, so that next to nothing of it is found there."""
LEAST_BYTES = 64 * 2**20
MEMORY_SHARE = 0.125

Reporter = Callable[[str], Progress]
"""Makes who is told how far we are, from a name."""


def measure_machine(options: RunOptions, reporter: Reporter) -> tuple[Path, MeasuredMachine]:
    """Measure bandwidth, peaks, launch and, where there is a meter, unit energies and static power of a device.

    Args:
        options: device, meter, output; its plugins must be ``KERNELS``.
        reporter: as ``progress.reporter`` with its console bound.

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
        folder = run_study(study, station, options, reporter(study.suite.name))
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
    """The suite of loops that fits ``device``: copies beyond its cache, matrix products that fill it, next to nothing.

    Two sizes of each, so that what is left over by the fit says how well its constants hold.
    """
    dtypes = _dtypes(device)
    copied = "one format is enough to learn the bandwidth"
    skips = [
        {"variant": "gemm", "kernel": "copy", "because": "this loop copies"},
        {"variant": "gemm", "kernel": "nothing", "because": "this loop does next to nothing"},
        {"variant": "copy", "kernel": "gemm", "because": "this loop multiplies"},
        *({"variant": "copy", "dtype": d, "because": copied} for d in dtypes[1:]),
    ]
    data = {
        "name": "machine",
        "about": "What a device can do: copies, matrix products, and launches of next to nothing",
        "baseline": "copy",
        "variants": {
            "copy": {
                "layer": "kernels:StreamCopy",
                "args": {"rows": "$rows", "columns": "$columns"},
                "cache": "hot",
            },
            "gemm": {
                "layer": "torch.nn:Linear",
                "args": {"in_features": "$columns", "out_features": "$columns", "bias": False},
                "cache": "hot",
            },
        },
        "input": ["$rows", "$columns"],
        "axes": {"loop": _loops(device), "dtype": list(dtypes)},
        "skip": skips,
        "quick": {"kernel": ["nothing", "copy", "gemm"], "dtype": list(dtypes)},
    }
    return parse_suite(yaml.safe_dump(data, sort_keys=False))


def _loops(device: Device) -> list[dict[str, object]]:
    """The values of the suite's axis: each kernel at two sizes."""
    rows = _copy_bytes(device) // (4 * COLUMNS)
    edge = _gemm_edge(device)
    return [
        {"kernel": "nothing", "rows": 1, "columns": 64},
        {"kernel": "nothing", "rows": 1, "columns": 512},
        *({"kernel": "copy", "rows": r, "columns": COLUMNS} for r in (rows // 2, rows)),
        *({"kernel": "gemm", "rows": n, "columns": n} for n in (edge // 2, edge)),
    ]


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
