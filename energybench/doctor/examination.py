"""What do the device, its meter and the surroundings say? Everything a diagnosis needs, asked for once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from energybench.clock import Clock
from energybench.errors import DeviceError, MeterError
from energybench.meters import BoardState, Capabilities, Meter, MeterFault
from energybench.readings import Reading
from energybench.sensor import SensorProfile
from energybench.sensor.store import stored

if TYPE_CHECKING:
    from energybench.devices import DeviceFacts

WATCH_S = 1.5
"""Three ticks of the slowest board: long enough to see whether its counter moves."""
WATCH_POLLS = 60


@dataclass(frozen=True)
class Surroundings:
    """What of the environment bears on the device.

    Attributes:
        visible_devices: ``CUDA_VISIBLE_DEVICES``; None where unset.
        device_order: ``CUDA_DEVICE_ORDER``; None where unset.
    """

    visible_devices: str | None = None
    device_order: str | None = None

    @classmethod
    def here(cls) -> Surroundings:
        """As they are now."""
        return cls(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"))


@dataclass(frozen=True)
class Watch:
    """What the meter showed while the device was left alone for a moment."""

    length_s: float
    readings: tuple[Reading, ...] = ()
    faults: Mapping[str, int] = field(default_factory=dict)

    def values(self, kind: str) -> list[float]:
        """The readings of one kind."""
        return [r.value for r in self.readings if r.kind == kind]


@dataclass(frozen=True)
class Examination:
    """Everything a diagnosis is made from.

    Attributes:
        device: name and title; empty where no device could be opened.
        refused: why it could not; None where it could.
        simulation: what to know of a simulated device; empty for any other.
        number: what CUDA calls it: ``cuda:0``; empty where it is no CUDA device.
        uuid: the working device's, as CUDA tells it; None where it has none.
        pci_bus_id: the same.
        failure: why there is no meter, or why it was lost; None while all went well.
        capabilities: of the meter; None without one.
        described: who the meter watches.
        state: the board's.
        watch: a moment of readings.
        surroundings: the environment.
        sensor: what is known of the sensor.
        uncalibrated: why no calibration is in force; empty where one is.
    """

    device: str = ""
    refused: DeviceError | None = None
    simulation: str = ""
    number: str = ""
    uuid: str | None = None
    pci_bus_id: str | None = None
    failure: MeterError | None = None
    capabilities: Capabilities | None = None
    described: Mapping[str, Any] = field(default_factory=dict)
    state: BoardState | None = None
    watch: Watch = Watch(0.0)
    surroundings: Surroundings = Surroundings()
    sensor: SensorProfile | None = None
    uncalibrated: str = ""


def examine(
    facts: DeviceFacts | None,
    opened: Callable[[], Meter],
    clock: Clock,
    *,
    sensor: SensorProfile | None = None,
    uncalibrated: str = "",
    surroundings: Surroundings | None = None,
    watch_s: float = WATCH_S,
    refused: DeviceError | None = None,
) -> Examination:
    """Open the meter, ask it everything once, watch it for a moment, and close it.

    Args:
        facts: of the working device; None where it could not be opened.
        opened: opens the meter; its refusal is a finding.
        clock: times the watch, which lasts ``watch_s``.
        sensor: what is known of the sensor; None asks the store of calibrations.
        uncalibrated: why no calibration is in force.
        surroundings: None for those of this process.
        watch_s: as above.
        refused: why the device could not be opened.
    """
    about: dict[str, Any] = {
        "surroundings": surroundings or Surroundings.here(),
        "sensor": sensor,
        "uncalibrated": uncalibrated,
        "refused": refused,
    }
    if facts is not None:
        about |= {"device": f"{facts.title} ({facts.name})", "uuid": facts.uuid, "pci_bus_id": facts.pci_bus_id}
        about["simulation"] = facts.simulation
        about["number"] = facts.name if facts.name.startswith("cuda:") else ""
    try:
        meter = opened()
    except MeterError as error:
        return Examination(**about, failure=error)
    try:
        about["described"] = meter.describe()
        about["state"] = meter.state(processes=True)
        about["capabilities"] = meter.probe()
        if sensor is None and about["described"].get("uuid"):
            about |= _calibration(about["described"], about["capabilities"])
        about["watch"] = _watched(meter, clock, watch_s)
        return Examination(**about)
    except MeterFault as fault:
        return Examination(**about, failure=fault)
    finally:
        meter.close()


def _calibration(board: Mapping[str, Any], capabilities: Capabilities) -> dict[str, Any]:
    known = stored(str(board["uuid"]), str(board.get("driver", "")), capabilities.kinds)
    return {"sensor": known.profile, "uncalibrated": known.reason}


def _watched(meter: Meter, clock: Clock, length_s: float) -> Watch:
    before = dict(meter.faults)
    readings: list[Reading] = []
    start_s = clock.now_s()
    for poll in range(WATCH_POLLS):
        clock.sleep_until(start_s + poll * length_s / WATCH_POLLS)
        readings += meter.read()
    new = {fault: n - before.get(fault, 0) for fault, n in meter.faults.items() if n > before.get(fault, 0)}
    return Watch(clock.now_s() - start_s, tuple(readings), new)
