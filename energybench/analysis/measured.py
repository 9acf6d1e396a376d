"""What did the windows of each piece of work say? From the raw readings of a run to numbers a window."""

from __future__ import annotations

import math
import statistics as stdlib_statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from energybench.analysis.guards import (
    ObserverEffect,
    ReadingHealth,
    clocks_differ,
    observer_effect,
    part_time_stream,
    reading_health,
)
from energybench.analysis.joules import WindowJoules, loop_latency_s, mean_power_w, window_joules
from energybench.analysis.jumps import jumps
from energybench.analysis.phases import phases_of
from energybench.analysis.rhythm import Rhythm, fit_rhythm, in_spans
from energybench.analysis.rises import out_of_place
from energybench.analysis.statistics import Interval, log_interval
from energybench.analysis.stretches import skip_s, ticks_of
from energybench.errors import RunFolderError
from energybench.journal import Run, WindowRecord, board_change_s
from energybench.readings import ENERGY, Reading
from energybench.sensor import SensorProfile

COUNTER_FAILS = 0.10
DAMAGED = "damaged on the disk"
"""The fault of a window whose readings are missing or do not have their checksum: it has no joules."""

COUNTER_FLAGS = 0.03


@dataclass(frozen=True)
class MeasuredWindow:
    """One window and what its readings say; ``phases``: when in its iteration a part-time sensor looked."""

    record: WindowRecord
    joules: WindowJoules
    health: ReadingHealth | None = None
    phases: tuple[float, ...] = ()


@dataclass
class Measured:
    """Everything measured of one piece of work in one comparison.

    Attributes:
        windows: its windows that count, in the order they were measured.
        repeated: those that drifted and were measured again, each with the reason; they count in nothing.
        latency: its latency pass, if any.
        error: why it failed or could not run here, if so and not measured since.
        skipped: whether that was for want of something the device does not have.
        distrust: why its joules must not be printed; empty where they may be.
        jumped: windows in which the counter jumped, counting or repeated: number -> why. Their joules count in nothing.
    """

    windows: list[MeasuredWindow] = field(default_factory=list)
    repeated: list[tuple[MeasuredWindow, str]] = field(default_factory=list)
    latency: WindowRecord | None = None
    error: str = ""
    skipped: bool = False
    distrust: str = ""
    jumped: dict[int, str] = field(default_factory=dict)

    @property
    def energy_by_block(self) -> dict[int, float]:
        """Joules per iteration by block, of the windows whose joules may be printed.

        Where some windows have joules from the counter, those from power readings are left out: two sources of
        different gain are never averaged. So are windows in which the counter jumped.
        """
        if self.distrust:
            return {}
        found = [w for w in self.windows if w.joules.energy_per_iteration_j is not None]
        counted = [w for w in found if w.joules.estimator == "counter" and w.record.number not in self.jumped]
        read = [w for w in found if w.joules.estimator != "counter"]
        return {w.record.block: w.joules.energy_per_iteration_j or 0.0 for w in counted or read}

    @property
    def excluded(self) -> list[MeasuredWindow]:
        """Windows whose joules are left out because the counter jumped in them, and that were not measured again."""
        return [w for w in self.windows if w.record.number in self.jumped]

    def jump_flags(self, window: MeasuredWindow) -> tuple[str, ...]:
        """``counter-jump`` for a window in which the counter jumped."""
        return ("counter-jump",) if window.record.number in self.jumped else ()

    @property
    def latency_by_block(self) -> dict[int, float]:
        """Loop seconds per iteration by block."""
        return {w.record.block: w.joules.loop_latency_s for w in self.windows}

    def counter_vs_integral(self) -> float | None:
        """Median relative disagreement of counter and integrated power; None where only one exists."""
        found = [v for w in self.windows if (v := w.joules.counter_vs_integral) is not None]
        return stdlib_statistics.median(found) if found else None

    def edge_halfwidth(self) -> float | None:
        """Median relative half-width that the readings of a window leave; None without joules."""
        found = [w.joules.edge_halfwidth for w in self.windows if w.joules.energy_per_iteration_j is not None]
        return stdlib_statistics.median(found) if found else None

    @property
    def energy_interval(self) -> Interval | None:
        """Joules per iteration with their interval; None where there are none."""
        joules = list(self.energy_by_block.values())
        return log_interval(joules, each=self.each) if joules else None

    @property
    def each(self) -> float:
        """Relative 95 % half-width that each window's joules have by themselves; 0 where there are none."""
        return self.edge_halfwidth() or 0.0

    def unaligned_error(self) -> float | None:
        """Typical size of what one window would have erred by without waiting for the counter's ticks."""
        pairs = [(w.joules.unaligned_w, w.joules.power_w) for w in self.windows]
        found = [unaligned_w / power_w - 1 for unaligned_w, power_w in pairs if unaligned_w and power_w]
        return math.sqrt(sum(error**2 for error in found) / len(found)) if found else None

    def share(self, field_name: str) -> float | None:
        """Share of the windows' time during which a cumulative board time (``throttle_*_s``) grew."""
        total_s = sum(w.record.stop_s - w.record.start_s for w in self.windows)
        grown = [board_change_s(w.record, field_name) for w in self.windows]
        if total_s <= 0 or not grown or any(g is None for g in grown):
            return None
        return min(1.0, sum(g for g in grown if g is not None) / total_s)

    @property
    def energy_kind(self) -> str:
        """The kind of reading its joules are made of; empty without joules."""
        estimators = [w.joules.estimator for w in self.windows if w.joules.energy_per_iteration_j is not None]
        if not estimators:
            return ""
        return ENERGY if "counter" in estimators else estimators[0]

    def throttle_share(self) -> float | None:
        """Share of the windows' time slowed by heat or hardware; None where unknown."""
        found = [s for s in (self.share("throttle_thermal_s"), self.share("throttle_hw_s")) if s is not None]
        return sum(found) if found else None

    def drift(self) -> float | None:
        """Median over the windows of the difference of their halves; None where none could be judged."""
        found = [v for w in self.windows if (v := w.joules.drift) is not None]
        return stdlib_statistics.median(found) if found else None

    def repeat_shift(self) -> float | None:
        """By how much the mean would differ if the windows that were measured again counted, too; joules, else time."""
        return self._shift([w for w, _ in self.repeated])

    def excluded_shift(self) -> float | None:
        """By how much mean joules would differ if the windows that are left out counted, too; None without joules."""
        return self._shift(self.excluded) if self.energy_by_block else None

    def _shift(self, left_out: Sequence[MeasuredWindow]) -> float | None:
        if not self.windows:
            return None
        energies = list(self.energy_by_block.values())
        kept = energies or list(self.latency_by_block.values())
        others = [w.joules.energy_per_iteration_j if energies else w.joules.loop_latency_s for w in left_out]
        together = kept + [value for value in others if value is not None]
        return log_interval(together).estimate / log_interval(kept).estimate - 1

    def clocks_differ(self) -> float | None:
        """Median over the windows of event time over host time - 1; None where the host never saw the end."""
        return self.median_of(clocks_differ)

    def stale_share(self) -> float | None:
        """Median over the windows of the share of time in which the source of the joules had stood still too long."""
        kind = self.energy_kind
        found = [w.health.stale_share.get(kind, 0.0) for w in self.windows if w.health is not None]
        return stdlib_statistics.median(found) if found else None

    def impossible_share(self) -> float | None:
        """Share of the values asked for that were impossible and dropped, in the windows that count."""
        counted = [w for w in self.windows if w.record.number not in self.jumped] or self.windows
        found = [w.health.impossible_share for w in counted if w.health is not None]
        return sum(found) / len(found) if found else None

    def flag_counts(self) -> Counter[str]:
        """How many windows carry each flag, those found while measuring and those found in the readings."""
        return Counter(flag for w in self.windows for flag in {*w.record.flags, *w.joules.flags})

    def median_of(self, value: Callable[[WindowRecord], float | None]) -> float | None:
        """Median over the windows of something their records say."""
        found = [v for w in self.windows if (v := value(w.record)) is not None]
        return stdlib_statistics.median(found) if found else None


@dataclass(frozen=True)
class Idle:
    """Active idle of a run: mean of before and after, half their difference as its uncertainty."""

    power_w: float
    halfwidth_w: float
    measurements: int
    unsettled: bool


def sensor_of(run: Run) -> SensorProfile | None:
    """What the run knew of its sensor; None without one."""
    return SensorProfile.from_dict(run.record.sensor) if run.record.sensor else None


def measured_works(run: Run) -> dict[tuple[str, str], Measured]:
    """Everything measured, by (comparison it was measured in, work); of a predicted run, what was predicted."""
    if run.record.modelled:
        return _modelled_works(run)
    sensor = sensor_of(run)
    said = {window.record.number: window for window in _windows_of(run, sensor)}
    found: dict[tuple[str, str], Measured] = {}
    passes: dict[str, WindowRecord] = {}
    for window in run.windows:
        if window.kind == "latency":
            passes[window.work] = window
            continue
        if window.kind not in ("window", "failed", "skipped"):
            continue
        measured = found.setdefault((window.comparison, window.work), Measured())
        measured.skipped = window.kind == "skipped"
        if window.kind != "window":
            measured.error = window.error
        else:
            if window.repeat and measured.windows and measured.windows[-1].record.block == window.block:
                measured.repeated.append((measured.windows.pop(), window.because))
            measured.windows.append(said[window.number])
            measured.error = ""
    for (_, work), measured in found.items():
        measured.latency = passes.get(work)
        everything = [*measured.windows, *(window for window, _ in measured.repeated)]
        measured.jumped = jumps([(window.record, window.joules) for window in everything])
    return found


def sound_readings(run: Run, window: WindowRecord) -> tuple[WindowRecord, list[Reading]]:
    """A window and its readings; where they are damaged on the disk, none, and a window whose faults say so."""
    try:
        return window, run.readings(window)
    except RunFolderError:
        return window.model_copy(update={"faults": {**window.faults, DAMAGED: 1}}), []


def _windows_of(run: Run, sensor: SensorProfile | None) -> Iterator[MeasuredWindow]:
    for span in in_spans(window for window in run.windows if window.kind == "window"):
        sound = [sound_readings(run, window) for window in span]
        rhythm = fit_rhythm([ticks_of(readings) for _, readings in sound])
        yield from (_measured_window(window, readings, sensor, rhythm) for window, readings in sound)


def _measured_window(
    window: WindowRecord, readings: Sequence[Reading], sensor: SensorProfile | None, rhythm: Rhythm | None
) -> MeasuredWindow:
    joules = window_joules(window, readings, sensor, rhythm)
    if sensor is None or not readings:
        return MeasuredWindow(window, joules)
    start_s = window.start_s + skip_s(sensor)
    health = reading_health(readings, window.faults, sensor, start_s, window.stop_s)
    kind = ENERGY if joules.estimator == "counter" else joules.estimator
    stream = part_time_stream(sensor, kind)
    phases = phases_of(window, readings, sensor, stream, kind) if stream is not None else ()
    return MeasuredWindow(window, joules, health, phases)


def _modelled_works(run: Run) -> dict[tuple[str, str], Measured]:
    """One stand-in window for every prediction: a value without a spread, so nothing gets an interval."""
    found = {}
    for case in run.record.cases:
        said = run.record.modelled.get(case.work)
        if said is None:
            continue
        comparison, latency_s = run.record.measured_as.get(case.comparison, case.comparison), said["latency_s"]
        record = WindowRecord(
            number=0,
            kind="window",
            work=case.work,
            comparison=comparison,
            block=0,
            stop_s=latency_s,
            stamps=[(0.0, 0), (latency_s, 1)],
            launch="modelled",
        )
        joules = WindowJoules(
            loop_latency_s=latency_s,
            power_w=said.get("power_w"),
            energy_per_iteration_j=said.get("energy_per_iteration_j"),
            interior_s=latency_s,
            estimator="model",
            edge_halfwidth=0.0,
            counter_vs_integral=None,
            reason="" if "energy_per_iteration_j" in said else "the machine sheet has no unit energies",
        )
        found[comparison, case.work] = Measured(windows=[MeasuredWindow(record, joules)])
    return found


def observer_of(run: Run) -> ObserverEffect | None:
    """How much the polling of this run slows its loops; None where that was not measured."""
    times: dict[str, list[float]] = {"dense": [], "sparse": []}
    for window in run.windows:
        if window.kind == "observer" and len(window.stamps) >= 2:
            name = "dense" if "dense" in window.flags else "sparse"
            times[name].append(loop_latency_s(window, window.start_s, window.stop_s))
    if min(len(values) for values in times.values()) < 2:
        return None
    return observer_effect(times["dense"], times["sparse"])


def idle_of(run: Run) -> Idle | None:
    """Active idle, from the same estimator as the windows; None where it was not measured."""
    sensor = sensor_of(run)
    windows = [window for window in run.windows if window.kind == "idle"]
    readings = [sound_readings(run, window)[1] for window in windows]
    found = [window_joules(window, seen, sensor) for window, seen in zip(windows, readings, strict=True)]
    # A board at rest has no iterations, whose phases could set its rises apart.
    jumped = out_of_place([replace(joules.rises, blur=0.0) for joules in found])
    powers: list[float] = []
    unsettled = False
    for window, seen, joules, jump in zip(windows, readings, found, jumped, strict=True):
        power_w = joules.power_w or mean_power_w(seen, window.start_s, window.stop_s)
        if power_w is not None and not jump:
            powers.append(power_w)
            unsettled |= "idle-unsettled" in window.flags
    if not powers:
        return None
    half = 0.5 * (max(powers) - min(powers))
    return Idle(sum(powers) / len(powers), half, len(powers), unsettled)
