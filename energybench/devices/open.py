"""Which device and which meter? The ones that were named, or the best there is, said in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.devices import Device
from energybench.devices.board import unsteadiness
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import DeviceError, MachineError, MeterError
from energybench.meters import Capabilities, Meter, NoMeter, open_meter
from energybench.sensor import PROFILES, SensorProfile, assumed_profile, rapl_profile
from energybench.sensor.store import stored

DEFAULT_SIMULATION = "h200"
DRIVER_SIGNS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
"""Where a loaded NVIDIA driver shows, natively and under WSL."""

SIMULATED_SENSORS = (
    ("h100", "h100"),
    ("h200", "h200"),
    ("gh200", "gh200"),
    ("a100", "a100"),
    ("v100", "volta"),
    ("p100", "pascal"),
    ("p4000", "pascal"),
    ("t4", "turing"),
    ("a10", "ga10x-fast"),
    ("rtx-", "consumer-500ms"),
    ("l4", "ga10x-fast"),
)
"""Sensor profile of a simulated board, by the beginning of its machine's name; others get the H200's."""


def open_device(name: str | None, *, seed: int = 0, plugins: Sequence[str] = ()) -> tuple[Device, tuple[str, ...]]:
    """Open a device by name, or choose one.

    Args:
        name: ``cuda:0``, ``cuda:GPU-...``, ``cpu``, ``sim:h200``, ``sim:h200,warming=0.05`` (a board that is not
            steady); None chooses the first usable CUDA GPU, or a simulated H200 where there is no NVIDIA driver.
        seed: of everything random.
        plugins: modules or files whose layers may be built.

    Returns:
        The device, and what the user should be told of the choice.

    Raises:
        DeviceError: it cannot be used.
    """
    if name is None:
        return _best_device(seed, plugins)
    kind, _, which = name.partition(":")
    if kind == "cuda":
        return _cuda(which or "0", seed, plugins), ()
    if name == "cpu":
        from energybench.devices.cpu import CpuDevice

        return CpuDevice(seed=seed, plugins=plugins), ()
    if kind == "sim":
        machine, _, unsteady = (which or DEFAULT_SIMULATION).partition(",")
        try:
            device = SimulatedDevice(machine or DEFAULT_SIMULATION, seed=seed, unsteady=unsteadiness(unsteady))
            return device, (device.facts.simulation,)
        except MachineError as error:
            raise DeviceError(error.what, where=f"--device {name}", remedy=error.remedy) from error
    raise DeviceError(
        f"there is no device {name!r}", where="--device", remedy="cuda:0, cpu, or sim:h200 (energybench machines)"
    )


def lock_name(name: str | None) -> str | None:
    """Which device a name stands for, as one word that all its names share; None where there is nothing to lock.

    Asking a GPU for its UUID opens no context on it.
    """
    if name == "cpu":
        return name
    kind, _, which = (name or "cuda").partition(":")
    if kind != "cuda":
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    from energybench.devices.cuda import uuid_of

    return uuid_of(which or "0")


@dataclass(frozen=True)
class Watch:
    """A meter that was opened for a device.

    Attributes:
        meter: the meter, probed.
        capabilities: what it can do.
        sensor: what is known of its sensor; None without one.
        foreign_device: it watches another device than the one that works.
        uncalibrated: why no calibration is in force; empty where one is, or none is needed.
        calibration: the stored calibration's own record, for the run.
    """

    meter: Meter
    capabilities: Capabilities
    sensor: SensorProfile | None
    foreign_device: bool = False
    uncalibrated: str = ""
    calibration: Mapping[str, Any] | None = None


def open_meter_for(device: Device, name: str | None, *, seed: int = 0) -> Watch:
    """Open the meter that was named, or the device's own.

    Raises:
        MeterError: a meter that was asked for gives no joules here.
    """
    own = _own_meter(device)
    chosen = name or own
    try:
        meter, profile = _opened(chosen, device, seed)
    except MeterError as error:
        if name is not None:
            raise
        return _without(device, f"{error.what}. {error.remedy}".strip())
    capabilities = meter.probe()
    if not capabilities.kinds and chosen != "none":
        meter.close()
        if name is not None:
            raise MeterError(capabilities.energy_reason or "it offers no reading", where=f"--meter {name}")
        return _without(device, capabilities.energy_reason)
    foreign = chosen not in (own, "none")
    if chosen == "nvml":
        return _nvml_watch(device, meter, capabilities, foreign)
    return Watch(meter, capabilities, rapl_profile() if chosen == "rapl" else profile, foreign)


def open_named_meter(device: Device) -> Meter:
    """The device's own meter as it is, without a stand-in where it cannot be used.

    Raises:
        MeterError: it cannot be opened.
    """
    return _opened(_own_meter(device), device, 0)[0]


def _own_meter(device: Device) -> str:
    return {"cuda": "nvml", "cpu": "rapl", "sim": "sim"}[device.facts.name.split(":")[0]]


def _nvml_watch(device: Device, meter: Meter, capabilities: Capabilities, foreign: bool) -> Watch:
    """A board's sensor as it was calibrated, else as boards of its generation are assumed to be."""
    board = meter.describe()
    uuid = str(board.get("uuid") or device.facts.uuid or "")
    known = stored(uuid, str(board.get("driver", "")), capabilities.kinds)
    if known.profile is not None:
        return Watch(meter, capabilities, known.profile, foreign, "", known.report)
    assumed = assumed_profile(
        str(board.get("architecture", "")),
        str(board.get("brand", "")),
        board_name=str(board.get("board", "")),
        kinds=capabilities.kinds,
    )
    return Watch(meter, capabilities, assumed, foreign, known.reason)


def _opened(name: str, device: Device, seed: int) -> tuple[Meter, SensorProfile | None]:
    facts = device.facts
    if name == "sim":
        if not isinstance(device, SimulatedDevice):
            raise MeterError("a simulated meter needs a simulated device", remedy="--device sim:h200")
        profile = _simulated_profile(device.machine.name)
        meter = open_meter(
            "sim",
            clock=device.clock,
            true_energy_j=device.power.energy_j,
            true_temperature_c=device.power.temperature_c,
            profile=profile,
            seed=seed,
        )
        return meter, profile
    if facts.simulated and name != "none":
        raise MeterError(f"{name} cannot watch a simulated device", where=f"--meter {name}", remedy="leave --meter out")
    return open_meter(name, clock=device.clock, device_uuid=facts.uuid, pci_bus_id=facts.pci_bus_id), None


def _without(device: Device, reason: str) -> Watch:
    meter = NoMeter(device.clock, reason)
    return Watch(meter, meter.probe(), None)


def _simulated_profile(machine: str) -> SensorProfile:
    name = next((profile for start, profile in SIMULATED_SENSORS if machine.startswith(start)), DEFAULT_SIMULATION)
    return PROFILES.get(name, PROFILES[DEFAULT_SIMULATION])


def _best_device(seed: int, plugins: Sequence[str]) -> tuple[Device, tuple[str, ...]]:
    import torch

    if torch.cuda.is_available():
        device = _cuda("0", seed, plugins)
        return device, (f"measuring on {device.facts.title} ({device.facts.name}, the first usable GPU)",)
    if any(Path(sign).exists() for sign in DRIVER_SIGNS):
        raise DeviceError(
            "an NVIDIA driver is loaded, but PyTorch cannot use it",
            why="measuring something else without being asked would mislead",
            remedy=_hidden()
            or "install a CUDA build of torch that fits the driver, or say --device cpu or --device sim:h200",
        )
    device = SimulatedDevice(DEFAULT_SIMULATION, seed=seed)
    return device, ("no NVIDIA driver here: simulating an H200 (--device cpu measures this machine)",)


def _hidden() -> str:
    """What to do about a ``CUDA_VISIBLE_DEVICES`` that shows no GPU; empty where it is not set so."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not (visible == "" or visible.startswith("-1")):
        return ""
    return f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides every GPU: unset CUDA_VISIBLE_DEVICES, or set it to 0"


def _cuda(which: str, seed: int, plugins: Sequence[str]) -> Device:
    import torch

    from energybench.devices.cuda import CudaDevice

    if not re.fullmatch(r"\d+|(GPU-)?[0-9a-f-]{4,}", which, re.IGNORECASE):
        raise DeviceError(
            f"{which!r} is neither the number of a GPU nor a UUID",
            where=f"cuda:{which}",
            remedy="--gpu 0, or --gpu GPU-... as nvidia-smi -L lists it",
        )
    if not torch.cuda.is_available():
        raise DeviceError(
            "PyTorch sees no usable CUDA GPU",
            where=f"cuda:{which}",
            remedy=_hidden()
            or "check nvidia-smi and that torch is a CUDA build; --device cpu and --device sim:h200 need none",
        )
    return CudaDevice(which, seed=seed, plugins=plugins)
