"""What can the meter do, and did it behave while it was watched? Sources used and refused, faults, calibration."""

from __future__ import annotations

from collections.abc import Iterator

from energybench.doctor.examination import Examination
from energybench.doctor.finding import Finding
from energybench.meters import Capabilities
from energybench.readings import ENERGY, POWER, POWER_AVERAGE, POWER_INSTANT

_TITLES = {
    ENERGY: "energy counter",
    POWER_INSTANT: "fast power value",
    POWER: "plain power value",
    POWER_AVERAGE: "averaged power value",
}


def source_findings(examination: Examination) -> Iterator[Finding]:
    """Findings about the meter's sources."""
    capabilities = examination.capabilities
    if capabilities is None:
        return
    if examination.simulation:
        yield Finding("note", "simulation", examination.simulation)
    if capabilities.energy_reason:
        what, _, remedy = capabilities.energy_reason.partition("; try ")
        yield Finding("fault", "energy", what, "no joule of this device can be printed", remedy)
    yield from _used(capabilities)
    yield from _refused(capabilities)
    if not capabilities.kinds:
        return
    if capabilities.scope == "module":
        yield Finding(
            "warning",
            "scope",
            "the numbers cover the whole module: GPU, CPU and memory",
            "joules of the GPU alone cannot be told apart",
            "keep the CPU idle, and say `module` with every number",
        )
    yield from _watched(examination, capabilities)
    yield from _calibration(examination)


def _used(capabilities: Capabilities) -> Iterator[Finding]:
    sources = capabilities.details.get("sources", {})
    for kind in capabilities.kinds:
        by = next((name.partition(": ")[2] for name, said in sources.items() if _answers(name, said, kind)), "")
        yield Finding("ok", "sources", f"{_TITLES.get(kind, kind)} answers" + (f" ({by})" if by else ""))
    for domain in capabilities.details.get("domains", {}) if capabilities.kinds else ():
        yield Finding("ok", "sources", f"counter of {domain} can be read")


def _answers(name: str, said: str, kind: str) -> bool:
    return name.startswith(f"{kind}: ") and said == "answers"


def _refused(capabilities: Capabilities) -> Iterator[Finding]:
    for source, reason in capabilities.refused.items():
        what, _, remedy = f"{source} is not used: {reason}".partition("; try ")
        level = "fault" if not capabilities.kinds and not capabilities.energy_reason else "note"
        yield Finding(level, "sources", what, remedy=remedy)  # type: ignore[arg-type]
    if capabilities.kinds and ENERGY not in capabilities.kinds:
        yield Finding(
            "warning",
            "sources",
            "there is no energy counter: joules come from power readings",
            "windows must last at least 50 refreshes, 5 s on most boards, to be worth printing",
            "nothing, where the board is older than Volta; else a newer driver, or a whole board instead of a vGPU",
        )


def _watched(examination: Examination, capabilities: Capabilities) -> Iterator[Finding]:
    watch = examination.watch
    counted, asked = sum(watch.faults.values()), len(watch.readings) + sum(watch.faults.values())
    if counted:
        worst = max(watch.faults, key=lambda fault: watch.faults[fault])
        yield Finding(
            "warning",
            "readings",
            f"{counted} of {asked} readings in {watch.length_s:.2g} s were impossible; most often {worst}",
            "dropped readings make windows longer, and say that the driver is not well",
            "poll more slowly, update the driver, and look for Xid errors in `dmesg`",
        )
    totals = watch.values(ENERGY)
    if ENERGY in capabilities.kinds and len(totals) > 1 and totals[-1] == totals[0]:
        alone = capabilities.kinds == (ENERGY,)
        yield Finding(
            "fault" if alone else "warning",
            "readings",
            f"the energy counter did not move in {watch.length_s:.2g} s",
            "a counter that stands still gives 0 J",
            "reload or update the driver; joules then come from power readings",
        )
    idle = [w for kind in (POWER_INSTANT, POWER, POWER_AVERAGE) for w in watch.values(kind)[-1:]]
    if idle:
        yield Finding("ok", "readings", f"left alone, the board draws about {idle[0]:.4g} W")


def _calibration(examination: Examination) -> Iterator[Finding]:
    sensor = examination.sensor
    if sensor is not None and sensor.provenance == "calibrated":
        yield Finding("ok", "calibration", f"the sensor was calibrated: {sensor.source}")
        return
    if examination.described.get("meter") != "nvml":
        return
    why_not = examination.uncalibrated or "this sensor has not been calibrated"
    yield Finding(
        "warning",
        "calibration",
        why_not.removesuffix(": energybench calibrate"),
        "window lengths and the alias guard rest on what is typical of the generation, not on this board",
        "energybench calibrate (about 90 s)",
    )
