"""What watches a device while it works? One protocol for every source of watts and joules, and how to open one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from energybench.clock import Clock
from energybench.errors import MeterError
from energybench.journal import BoardRecord
from energybench.readings import Reading
from energybench.sensor import PROFILES, SensorProfile

__all__ = ["METERS", "BoardState", "Capabilities", "Meter", "MeterFault", "NoMeter", "Reading", "open_meter"]

METERS = ("nvml", "rapl", "sim", "none")
DEFAULT_PROFILE = "h200"


class MeterFault(MeterError):  # noqa: N818  (the word of the whole project for it)
    """A meter was lost while measuring; what was read before stands, nothing more will come."""


@dataclass(frozen=True)
class Capabilities:
    """What a meter turned out to be able to do when every source was tried once.

    Attributes:
        kinds: kinds of reading it gives, the energy counter first; empty where joules must be refused.
        refused: source -> why it is not used.
        scope: what the numbers cover: ``board``, ``module`` or the names of CPU domains.
        energy_reason: why there can be no joules, with the remedy; empty when there can.
        details: JSON-able, for the record.
    """

    kinds: tuple[str, ...]
    refused: Mapping[str, str]
    scope: str
    energy_reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class BoardState(BoardRecord):
    """The board at one moment, and who else was on it; a run folder keeps the former alone.

    Attributes:
        processes: pids of others that use the board; None unless asked for (and readable).
        own_listed: whether our own process was among those listed, under the number it has here.
    """

    processes: tuple[int, ...] | None = None
    own_listed: bool | None = None


class Meter(Protocol):
    """A source of readings. One thread reads it at a time."""

    @property
    def name(self) -> str:
        """One of :data:`METERS`."""

    @property
    def faults(self) -> Mapping[str, int]:
        """How often a value was no reading, by what was wrong with it: ``power_w: not above 0``."""

    def probe(self) -> Capabilities:
        """Try every source once; what cannot be used is a reason, not an exception.

        Raises:
            MeterFault: the board was lost meanwhile.
        """

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:
        """One reading of each of these kinds (None: of all), fewer where a value was faulty. After ``probe``.

        Raises:
            MeterFault: nothing more will come from this meter.
        """

    def state(self, *, processes: bool = False) -> BoardState:
        """The board now; ``processes`` costs milliseconds. Never raises."""

    def describe(self) -> dict[str, Any]:
        """Who was watched, JSON-able; ``missing`` says why an entry is not there, ``warnings`` what to heed."""

    def close(self) -> None:
        """Give the source back; closing twice is harmless."""


class NoMeter:
    """The meter of a run that measures time only.

    Args:
        reason: why there is no energy, with the remedy; it ends up in the report.
    """

    name = "none"

    def __init__(self, clock: Clock, reason: str = "no meter was asked for (--meter none)") -> None:
        self._clock = clock
        self._reason = reason
        self.faults: dict[str, int] = {}

    def probe(self) -> Capabilities:
        """Nothing, and why."""
        return Capabilities((), {}, "", self._reason)

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:  # noqa: ARG002  (the protocol's)
        """No readings."""
        return []

    def state(self, *, processes: bool = False) -> BoardState:  # noqa: ARG002  (the protocol's)
        """The time, and nothing else."""
        return BoardState(time_s=self._clock.now_s())

    def describe(self) -> dict[str, Any]:
        """Its name and the reason."""
        return {"meter": self.name, "reason": self._reason}

    def close(self) -> None:
        """Nothing to give back."""


def open_meter(
    name: str,
    *,
    clock: Clock,
    device_uuid: str | None = None,
    pci_bus_id: str | None = None,
    true_energy_j: Callable[[float], float] | None = None,
    true_temperature_c: Callable[[float], float] | None = None,
    profile: SensorProfile | None = None,
    seed: int = 0,
    reason: str = "",
) -> Meter:
    """Open a meter by name.

    Args:
        name: one of :data:`METERS`.
        clock: stamps the readings.
        device_uuid: which NVIDIA board, as NVML or torch write it.
        pci_bus_id: the same, ``00000000:3B:00.0``; used where the UUID is unknown to the driver.
        true_energy_j: for ``sim``: exact cumulative joules of the simulated board.
        true_temperature_c: for ``sim``: its temperature over time; by default constant.
        profile: for ``sim``: its sensor; by default the hypothetical H200's.
        seed: for ``sim``.
        reason: for ``none``: why there is no energy.

    Raises:
        MeterError: there is no such meter, or this one is not usable here at all.
    """
    if name == "nvml":
        from energybench.meters.nvml import NvmlMeter

        return NvmlMeter(clock, device_uuid=device_uuid, pci_bus_id=pci_bus_id)
    if name == "rapl":
        from energybench.meters.rapl import RaplMeter

        return RaplMeter(clock)
    if name == "sim":
        from energybench.meters.simulated import SimulatedMeter

        if true_energy_j is None:
            raise MeterError("a simulated meter needs a simulated device", remedy="add --device sim:h200")
        sensor = profile or PROFILES[DEFAULT_PROFILE]
        return SimulatedMeter(clock, true_energy_j, sensor, true_temperature_c=true_temperature_c, seed=seed)
    if name == "none":
        return NoMeter(clock, reason) if reason else NoMeter(clock)
    raise MeterError(f"there is no meter {name!r}", remedy=f"--meter with one of: {', '.join(METERS)}")
