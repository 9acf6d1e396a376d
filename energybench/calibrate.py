"""What does this device's sensor do? Drive square waves on the device itself, read the meter, and identify it.

No external meter and no root. Stages: short bursts (refresh and tick), long steps (reach and delay), waves whose
period is incommensurable with the refresh (span), steady load and idle (noise, settling, agreement), and a wave a
little off the refresh (the beat test). The load's true edges come from the loop's own stamps. Only runs and records;
what it means is found by ``analysis.calibration``. Source: `docs/derivations.md` 9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from energybench.analysis.calibration import Identified, Recording, identify
from energybench.analysis.calibration_curves import calibration_curves, curves_to_dict
from energybench.analysis.calibration_report import CalibrationReport, profile_of, report_of
from energybench.analysis.calibration_words import verdict_lines, warning_lines
from energybench.analysis.sensor_fit import step_reach_s
from energybench.analysis.updates import Updates, published
from energybench.analysis.wave import Wave
from energybench.devices import Device, Prepared
from energybench.errors import MeterError
from energybench.meters import Capabilities, Meter, MeterFault
from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload

GOLDEN = 0.5 * (1 + math.sqrt(5))
"""The most irrational number: phases of a wave of this many refreshes spread most evenly."""
SLOW_REACH_S = 0.6
"""A stream that reaches this far back is an averaged one and gets a slow wave of its own."""
PAUSE_S = 1.6
"""Long enough for a 1 s average to forget, too short for most boards to leave their clocks."""
FIRST_POLL_S = 2e-3
SLOW_POLL_S = 1e-2
LEAST_POLL_S, MOST_POLL_S = 1e-3, 5e-3
AHEAD_S = 0.05
"""Work queued ahead within a burst: longer than any poll takes, short enough for the burst to end in time."""
FAULTY_POLLS = 0.05
TRIES = 2

_LOAD = """
name: calibration
about: one matrix product, a steady load well above idle
baseline: gemm
variants:
  gemm: {{layer: "torch.nn:Linear", args: {{in_features: {size}, out_features: {size}, bias: false}}}}
input: [{size}, {size}]
axes: {{dtype: [float32]}}
"""


@dataclass(frozen=True)
class Lengths:
    """How long each stage takes, in seconds; ``periods`` of a wave within its least and most.

    ``steady_s`` is for a fast stream and for an averaged one, whose updates are far more alike: correlated by 0.8,
    four times as many are needed to know the noise of their mean as well as by 0.3.
    """

    refresh_s: float
    step_s: float
    steps: int
    periods: int
    wave_s: tuple[float, float]
    slow_wave_s: float
    steady_s: tuple[float, float]
    idle_s: float
    slides: float


FULL = Lengths(3.0, 2.5, 2, 40, (20.0, 34.0), 20.0, (24.0, 60.0), 4.0, 2.0)
QUICK = Lengths(2.0, 2.0, 1, 16, (6.0, 14.0), 8.0, (6.0, 12.0), 3.0, 1.0)


@dataclass(frozen=True)
class Calibration:
    """A calibrated sensor: its profile, what was found of it, and the recording behind it."""

    profile: SensorProfile
    report: CalibrationReport
    recording: Recording
    found: Identified

    def record(self) -> dict[str, Any]:
        """What is kept of it, as JSON-able values: every number, and the curves that its figure is drawn from."""
        return self.report.to_dict() | {"curves": curves_to_dict(calibration_curves(self.recording, self.found))}


def load_for(device: Device) -> Prepared:
    """A steady load well above idle, prepared on ``device``: one matrix product, looped.

    Raises:
        CaseError: it cannot run there.
    """
    size = 512 if device.facts.name == "cpu" else 2048
    cases, _ = expand(parse_suite(_LOAD.format(size=size), "calibration"))
    return device.prepare(plan_workload(cases[0]))


def calibrate(
    device: Device,
    meter: Meter,
    capabilities: Capabilities,
    *,
    load: Prepared | None = None,
    quick: bool = False,
    name: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Identify the sensor that watches ``device``.

    Args:
        device: runs the square waves.
        meter: what is calibrated; probed already.
        capabilities: what its probe found.
        load: a steady load; None for :func:`load_for`.
        quick: the short form, for the first use of a board.
        name: of the profile; None names it after the device.
        tell: told what is being done.

    Raises:
        MeterError: the meter offers nothing, or was lost.
        CaseError: the load failed.
    """
    if not capabilities.kinds:
        raise MeterError(capabilities.energy_reason or "the meter offers no reading", remedy="energybench doctor")
    prepared = load or load_for(device)
    driver = _Driver(device, meter, prepared, set(capabilities.kinds), QUICK if quick else FULL, tell)
    try:
        driver.run()
    except MeterFault as fault:
        raise MeterError(f"the meter was lost while calibrating: {fault.what}", remedy=fault.remedy) from fault
    finally:
        if load is None:
            device.release(prepared)
    tell("identifying the sensor")
    facts = device.facts
    about = (name or facts.name.replace(":", "-"), f"{facts.title}, calibrated", capabilities.scope)
    return _identified(driver.recording(quick=quick), about, driver.poll_s)


def _identified(recording: Recording, about: tuple[str, str, str], poll_s: float) -> Calibration:
    """What a recording says; ``about`` is the profile's name, title and scope."""
    found = identify(recording)
    name, title, scope = about
    profile = profile_of(recording, found, name=name, title=title, scope=scope)
    streams, counter = report_of(recording, found)
    report = CalibrationReport(streams, counter, recording.duration_s, poll_s, recording.quick)
    verdict, warnings = tuple(verdict_lines(report)), tuple(warning_lines(report, recording))
    return Calibration(profile, replace(report, verdict=verdict, warnings=warnings), recording, found)


@dataclass
class _Driver:
    """Drives the waves and polls the meter."""

    device: Device
    meter: Meter
    load: Prepared
    kinds: set[str]
    lengths: Lengths
    tell: Callable[[str], None]
    poll_s: float = FIRST_POLL_S
    shortest_s: float = 0.0
    polls: int = 0
    readings: list[Reading] = field(default_factory=list)
    bursts: list[tuple[float, float]] = field(default_factory=list)
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    block_s: float = 0.5

    def run(self) -> None:
        """All stages, each planned from what the ones before showed."""
        self.tell("refresh period")
        self._shortest_burst()
        self._stage("refresh", self._refresh)
        self.tell("long steps")
        self._stage("steps", self._steps)
        refresh_s, reaches = self._rough()
        fast_s = min(reaches.values(), default=refresh_s)
        self.tell("square wave")
        self._stage("wave", lambda: self._wave(fast_s, refresh_s, self.lengths.wave_s))
        if max(reaches.values(), default=0.0) > SLOW_REACH_S > fast_s:
            self.tell("slow square wave, for the averaged value")
            slow_s = max(reaches.values())
            self._stage("slow wave", lambda: self._wave(slow_s, refresh_s, (self.lengths.slow_wave_s,) * 2))
        self.tell("steady load")
        least_s, most_s = self.lengths.steady_s
        steady_s = most_s if max(reaches.values(), default=0.0) > SLOW_REACH_S else max(least_s, 80 * refresh_s)
        self._stage("steady", lambda: self._on(self._now() + min(steady_s, most_s)))
        self.tell("idle")
        self._stage("idle", lambda: self._off(self._now() + max(self.lengths.idle_s, 8 * refresh_s)))
        if ENERGY in self.kinds or reaches:
            self.tell("beat test")
            self._stage("beat", lambda: self._beat(refresh_s))

    def recording(self, *, quick: bool) -> Recording:
        """Everything that was driven and read."""
        return Recording(
            tuple(self.readings), Wave.of(self.bursts), dict(self.stages), self.block_s, dict(self.meter.faults),
            self.polls, quick,
        )  # fmt: skip

    def _now(self) -> float:
        return self.device.clock.now_s()

    def _stage(self, name: str, run: Callable[[], None]) -> None:
        start_s = self._now()
        run()
        self.stages[name] = (start_s, self._now())

    def _shortest_burst(self) -> None:
        """How long a burst lasts at least: a CUDA loop ends only after what is queued."""
        for _ in range(TRIES):
            self._on(self._now())
        self.shortest_s = max(stop_s - start_s for start_s, stop_s in self.bursts[-TRIES:])

    def _refresh(self) -> None:
        """Bursts at no simple ratio to any likely refresh; fall back to slow polling where fast polling fails."""
        faults = sum(self.meter.faults.values())
        half_s = max(0.05 * GOLDEN, 1.1 * self.shortest_s)
        end_s = self._now() + self.lengths.refresh_s
        self._square(half_s, half_s, end_s)
        if self.polls and (sum(self.meter.faults.values()) - faults) / self.polls > FAULTY_POLLS * len(self.kinds):
            self.poll_s = SLOW_POLL_S
        slowest_s = max((u.refresh_s for u in self._updates().values()), default=0.5)
        self._square(half_s, half_s, end_s + max(0.0, 12 * slowest_s - self.lengths.refresh_s))
        fastest_s = min((u.refresh_s for u in self._updates(with_counter=True).values()), default=0.1)
        if self.poll_s == FIRST_POLL_S:
            self.poll_s = min(max(fastest_s / 20, LEAST_POLL_S), MOST_POLL_S)

    def _steps(self) -> None:
        for _ in range(self.lengths.steps):
            self._off(self._now() + PAUSE_S)
            self._on(self._now() + self.lengths.step_s)
        self._off(self._now() + PAUSE_S)

    def _wave(self, reach_s: float, refresh_s: float, bounds_s: tuple[float, float]) -> None:
        """A wave of golden-ratio period, long enough for the span to show in full."""
        span_s = max(reach_s - 1.5 * refresh_s, 0.2 * refresh_s)
        period_s = max(GOLDEN * refresh_s, 2 * GOLDEN * span_s)
        period_s *= math.ceil(2.2 * self.shortest_s / period_s) if self.shortest_s > 0.45 * period_s else 1
        length_s = min(max(self.lengths.periods * period_s, bounds_s[0]), bounds_s[1])
        self._square(0.5 * period_s, 0.5 * period_s, self._now() + length_s)

    def _beat(self, refresh_s: float) -> None:
        """A wave a little slower than the refresh, or than a multiple of it where bursts cannot be that short."""
        slide_s = min(max(60 * refresh_s, 6.0), 12.0)
        detune = 1 + refresh_s / slide_s
        pause_s = 0.5 * refresh_s
        multiple = max(1, math.ceil((1.05 * self.shortest_s + pause_s) / refresh_s))
        period_s = multiple * refresh_s * detune
        self.block_s = max(slide_s / 16, 3 * refresh_s)
        self._square(period_s - pause_s, pause_s, self._now() + self.lengths.slides * slide_s)

    def _square(self, on_s: float, off_s: float, end_s: float) -> None:
        """Bursts whose starts keep to the plan, whatever a single one's end does."""
        start_s, count = self._now(), 0
        while self._now() + on_s < end_s:
            self._on(max(start_s + count * (on_s + off_s) + on_s, self._now()))
            count += 1
            self._off(start_s + count * (on_s + off_s))

    def _on(self, until_s: float) -> None:
        """One burst: fed only as long as what is queued still ends in time."""
        loop = self.device.loop(self.load)
        try:
            while self._now() < until_s:
                if self._now() < until_s - self.shortest_s:
                    loop.feed(min(until_s - self._now(), AHEAD_S))
                self._poll(until_s)
        finally:
            stamps = loop.stop()
        # A device's events stand on the host's clock to some microseconds: two bursts that follow each other at once,
        # after the host was late, may seem to overlap by that.
        ended_s = self.bursts[-1][1] if self.bursts else -math.inf
        start_s = max(stamps[0].time_s, ended_s)
        self.bursts.append((start_s, max(stamps[-1].time_s, start_s)))

    def _off(self, until_s: float) -> None:
        while self._now() < until_s:
            self._poll(until_s)

    def _poll(self, until_s: float) -> None:
        next_s = self._now() + self.poll_s
        self.readings.extend(self.meter.read(self.kinds))
        self.polls += 1
        self.device.clock.sleep_until(min(next_s, until_s))

    def _updates(self, *, with_counter: bool = False) -> dict[str, Updates]:
        kinds = self.kinds if with_counter else self.kinds - {ENERGY}
        return {kind: u for kind in kinds if (u := published(self.readings, kind)) is not None}

    def _rough(self) -> tuple[float, dict[str, float]]:
        """Refresh of the fastest stream, and how far back each one looks."""
        wave, updates = Wave.of(self.bursts), self._updates()
        reaches = {kind: r for kind, u in updates.items() if (r := step_reach_s(u, wave)) is not None}
        ticks = self._updates(with_counter=True)
        refreshes = [u.refresh_s for u in (updates or ticks).values()]
        return min(refreshes, default=0.1), reaches
