"""What if a board's sensor was never calibrated? Calibrate it, in the short form on first use, and keep the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from energybench.calibrate import Calibration, calibrate
from energybench.errors import EnergyBenchError
from energybench.sensor.store import save_profile
from energybench.session.study import Station


def calibrated(station: Station, *, quick: bool, tell: Callable[[str], None]) -> Calibration:
    """Calibrate a station's sensor; a reliable result of a board with a UUID is stored for later runs.

    Raises:
        MeterError: the meter offers nothing, or was lost.
        CaseError: the load failed.
    """
    found = calibrate(station.device, station.meter, station.capabilities, quick=quick, tell=tell)
    board = station.meter.describe()
    uuid = board.get("uuid")
    if found.report.reliable and uuid:
        save_profile(
            found.profile,
            uuid=str(uuid),
            driver=str(board.get("driver", "")),
            kinds=station.capabilities.kinds,
            report=found.record(),
        )
    return found


def calibrated_on_first_use(station: Station, tell: Callable[[str], None]) -> Station:
    """The station with a calibrated sensor where it was not calibrated yet; unchanged where that cannot be had."""
    if not station.watch.uncalibrated or not station.capabilities.kinds:
        return station
    tell(f"{station.watch.uncalibrated}; doing it now in the short form (under a minute, --no-calibrate skips it)")
    try:
        found = calibrated(station, quick=True, tell=tell)
    except EnergyBenchError as error:
        tell(f"the calibration failed ({error.what}); going on with what is assumed of such boards")
        return station
    if not found.report.reliable:
        tell("the calibration is not reliable and is not used: " + "; ".join(found.report.warnings))
        return station
    watch = replace(station.watch, sensor=found.profile, uncalibrated="", calibration=found.record())
    return Station(station.device, watch, station.notes, station.lock)
