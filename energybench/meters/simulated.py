"""What would a sensor of this profile have shown of a board whose true energy is known? A meter for simulated boards.

Its readings carry no native time stamp: real drivers stamp the query, not the update, so no estimator may lean on one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from energybench.clock import Clock
from energybench.meters import BoardState, Capabilities
from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile, SimulatedSensor

_TEMPERATURE_C = 50.0
_SM_CLOCK_HZ = 1.5e9
_MEMORY_CLOCK_HZ = 2.5e9


class SimulatedMeter:
    """A meter that reads a :class:`~energybench.sensor.SimulatedSensor`.

    Args:
        clock: the simulated board's clock.
        true_energy_j: exact cumulative joules of the board up to a time.
        profile: the sensor.
        true_temperature_c: the board's temperature over time; None for a constant.
        seed: of its phases, noise and faults.
        call_s: what one ``read`` costs; the clock is moved on by it.
    """

    name = "sim"

    def __init__(
        self,
        clock: Clock,
        true_energy_j: Callable[[float], float],
        profile: SensorProfile,
        *,
        true_temperature_c: Callable[[float], float] | None = None,
        seed: int = 0,
        call_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._profile = profile
        self._true_temperature_c = true_temperature_c
        self._seed = seed
        self._sensor = SimulatedSensor(profile, true_energy_j, seed)
        self._call_s = call_s
        self.faults: Counter[str] = Counter()

    def probe(self) -> Capabilities:
        """What the profile has."""
        profile = self._profile
        refused = {} if profile.counter else {ENERGY: "this simulated board has no energy counter"}
        return Capabilities(profile.kinds, refused, profile.scope, details={"simulated": True, "profile": profile.name})

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:
        """What the sensor shows now; values not above 0 W are counted as faults."""
        now_s = self._clock.now_s()
        if self._call_s:
            self._clock.sleep_until(now_s + self._call_s)
            now_s += 0.5 * self._call_s
        readings = []
        for kind in self._profile.kinds:
            if kinds is not None and kind not in kinds:
                continue
            value = self._sensor.counter_j(now_s) if kind == ENERGY else self._sensor.reading(kind, now_s).value
            if kind != ENERGY and value <= 0:
                self.faults[f"{kind}: not above 0"] += 1
                continue
            readings.append(Reading(now_s, kind, value, None, self._call_s))
        return readings

    def state(self, *, processes: bool = False) -> BoardState:
        """The board's temperature in whole degrees, and constants that a healthy board could show."""
        now_s = self._clock.now_s()
        warm = self._true_temperature_c
        return BoardState(
            time_s=now_s,
            temperature_c=_TEMPERATURE_C if warm is None else float(round(warm(now_s))),
            sm_clock_hz=_SM_CLOCK_HZ,
            memory_clock_hz=_MEMORY_CLOCK_HZ,
            throttle_thermal_s=0.0,
            throttle_power_s=0.0,
            throttle_hw_s=0.0,
            clock_event_bits=0,
            processes=() if processes else None,
        )

    def describe(self) -> dict[str, Any]:
        """The profile and its seed; that clocks and throttling are constants."""
        return {
            "meter": self.name,
            "simulated": True,
            "profile": self._profile.name,
            "title": self._profile.title,
            "hypothetical": self._profile.hypothetical,
            "seed": self._seed,
            "board_state": "simulated constants",
            "warnings": [],
        }

    def close(self) -> None:
        """Nothing to give back."""
