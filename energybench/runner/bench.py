"""What does measuring stand on? A device, the meter that watches it, the journal, and how the meter is polled."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np

from energybench.analysis.joules import WindowJoules
from energybench.devices import Device, Loop, Prepared, Stamp
from energybench.errors import CaseError, DeviceLostError, UnsupportedError
from energybench.journal import BoardRecord, Journal, WindowRecord
from energybench.meters import BoardState, Meter, MeterFault
from energybench.planner import Plan
from energybench.readings import ENERGY, Reading
from energybench.runner.pace import DENSE_POLL_S, Pace
from energybench.sensor import SensorProfile
from energybench.workload import WorkPlan

FEED_S = 0.05
"""A loop is fed at least this often."""
AHEAD_S = 0.1
"""Work kept queued while polling coarsely: twice the longest pause, so that a late wake-up leaves no gap."""
AHEAD_AT_EDGES_S = 0.02
"""Work kept queued while polling densely: it must be waited for when the loop ends."""
EARLY_POLLS = 5
"""Dense polling begins this many intervals before the tick that is waited for."""
TIMELY = 3
"""A tick is sharp when the polls around it are no further apart than this many polling intervals."""
SHARP = 0.5
"""Of the polling interval of a search: polls no further apart than this time a tick well enough, late or not."""
PAUSE = 0.2
"""Of the polling interval: the driver is left alone for so long, however slow its calls and our launches are."""
LOST_TICK = 3
"""Waiting longer than this many tick periods for a tick means that the counter stands still."""


class Progress(Protocol):
    """Who is told how far we are."""

    def note(self, text: str) -> None:
        """Say something once."""

    def doing(self, what: str) -> None:
        """What is being measured now."""

    def expects(self, done: int, to_come: int) -> None:
        """Windows there are, and how many are still to come as far as is known now."""

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """One window has been written; ``energy_j`` is what the device took during it."""


@dataclass(frozen=True)
class Comparison:
    """Distinct pieces of work that are measured interleaved; the first is the baseline's."""

    id: str
    works: tuple[WorkPlan, ...]


@dataclass
class Bench:
    """What measuring needs: a device, the meter that watches it, and where the record goes.

    ``kept_s`` of the time before ``deadline_s`` are kept for what still follows the windows.
    """

    device: Device
    meter: Meter
    kinds: Collection[str]
    sensor: SensorProfile | None
    plan: Plan
    journal: Journal
    progress: Progress
    random: np.random.Generator
    session: int = 0
    measuring: str = ""
    deadline_s: float | None = None
    kept_s: float = 0.0
    settled: bool = False
    idle_before: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    meter_lost: bool = False
    found: dict[tuple[str, str], list[WindowJoules]] = field(default_factory=dict)
    given_up: dict[tuple[str, str], str] = field(default_factory=dict)
    later: int = 0
    pace: Pace | None = None

    def windows_of(self, comparison: Comparison, work: str) -> list[WindowJoules]:
        """What the windows of a piece of work have said so far, to be appended to."""
        return self.found.setdefault((comparison.id, work), [])

    def expects(self, to_come: int) -> None:
        """Tell how far we are: ``to_come`` windows of this comparison, and ``later`` ones of those that follow."""
        self.progress.expects(sum(len(windows) for windows in self.found.values()), to_come + self.later)

    def note(self, text: str) -> None:
        """Tell the user, and keep it for the record."""
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    @property
    def metered(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.kinds) and self.sensor is not None


@dataclass(frozen=True)
class Looped:
    """What a loop that has ended left behind: its stamps, and the readings taken meanwhile."""

    stamps: Sequence[Stamp]
    readings: list[Reading]
    gaps: int
    host_stop_s: float | None

    def written(self, record: WindowRecord) -> WindowRecord:
        """A record with begin and end of the loop."""
        ends = (self.stamps[0], self.stamps[-1])
        update = {"start_s": ends[0].time_s, "stop_s": ends[1].time_s, "stamps": [tuple(stamp) for stamp in ends]}
        return record.model_copy(update=update)


def looped(bench: Bench, work: Prepared, poll: Callable[[Loop, list[Reading]], object]) -> Looped:
    """Loop a piece of work while ``poll`` keeps it fed and reads the meter into the list it is given."""
    readings: list[Reading] = []
    loop = bench.device.loop(work)
    try:
        poll(loop, readings)
    finally:
        stamps = loop.stop()
    return Looped(stamps, readings, loop.gaps, loop.host_stop_s)


def poll_window(bench: Bench, loop: Loop | None, readings: list[Reading], interior_s: float) -> list[str]:
    """Poll so that two counter ticks, an interior apart, are timed sharply; coarsely in between."""
    plan, clock = bench.plan, bench.device.clock
    start_s = clock.now_s()
    flags: list[str] = []
    poll_until(bench, loop, readings, start_s + plan.skip_s)
    counting = bench.metered and ENERGY in bench.kinds
    if counting and not poll_to_tick(bench, loop, readings):
        flags.append("counter-stale")
    early_s = EARLY_POLLS * plan.edge_poll_s if counting else 0.0
    poll_until(bench, loop, readings, clock.now_s() + interior_s - early_s)
    if counting and not flags and not poll_to_tick(bench, loop, readings):
        flags.append("counter-stale")
    return flags


def poll_to_tick(bench: Bench, loop: Loop | None, readings: list[Reading]) -> bool:
    """Poll the counter densely until it moves between two timely polls; False when it stands still.

    Where the counter's pace predicts a tick, it is awaited and polled for most densely; where it does not, or the tick
    did not come, it is searched. A tick that a late poll blurred is let pass and the next one awaited: a busy host
    costs time, not precision.
    """
    clock, plan = bench.device.clock, bench.plan
    end_s = clock.now_s() + LOST_TICK * plan.align_s + 10 * plan.edge_poll_s
    pace = bench.pace = bench.pace or Pace(plan.align_s)
    moved = False
    while clock.now_s() < end_s:
        expected = pace.next_tick(clock.now_s())
        if expected is None:
            seen = _awaited(bench, loop, readings, end_s, plan.edge_poll_s)
        else:
            poll_until(bench, loop, readings, expected.time_s - expected.lead_s)
            seen = _awaited(bench, loop, readings, expected.time_s + expected.lead_s, DENSE_POLL_S)
        moved = moved or seen is not None
        if seen is not None and seen.sharp:
            pace.saw(seen.time_s, seen.within_s)
            return True
        if expected is not None and seen is None:
            pace.missed()
    return moved


class _Tick(NamedTuple):
    """A tick between two polls: the middle of them, half the time between, and whether both polls were timely."""

    time_s: float
    within_s: float
    sharp: bool


def _awaited(bench: Bench, loop: Loop | None, readings: list[Reading], until_s: float, poll_s: float) -> _Tick | None:
    """Poll the counter every ``poll_s`` until it moves; None where it did not."""
    clock = bench.device.clock
    last: Reading | None = None
    fed_s, quickest_s = -math.inf, math.inf
    while (asked_s := clock.now_s()) < until_s:
        for reading in _read(bench, (ENERGY,)):
            readings.append(reading)
            quickest_s = min(quickest_s, reading.call_s)  # a driver that is always slow cannot be polled faster
            if last is not None and reading.value != last.value:
                within_s = 0.5 * (reading.time_s - last.time_s)
                timely_s = max(TIMELY * max(poll_s, 2 * quickest_s), SHARP * bench.plan.edge_poll_s)
                return _Tick(last.time_s + within_s, within_s, 2 * within_s <= timely_s)
            last = reading
        if clock.now_s() - fed_s >= bench.plan.edge_poll_s and loop is not None:
            loop.feed(AHEAD_AT_EDGES_S)
            fed_s = clock.now_s()
        clock.sleep_until(min(max(asked_s + poll_s, clock.now_s() + PAUSE * poll_s), until_s))
    return None


def poll_to_update(bench: Bench, kind: str, patience_s: float) -> None:
    """Poll one source until it shows something new, so that what follows begins at a known phase of it."""
    clock = bench.device.clock
    end_s = clock.now_s() + patience_s
    shown: float | None = None
    while clock.now_s() < end_s:
        for reading in _read(bench, (kind,)):
            if shown is not None and reading.value != shown:
                return
            shown = reading.value
        clock.sleep_until(clock.now_s() + bench.plan.edge_poll_s)


def poll_for_observer(bench: Bench, loop: Loop, readings: list[Reading], length_s: float, *, dense: bool) -> None:
    """Keep a loop running, polling as densely as at an edge, or not at all."""
    clock = bench.device.clock
    end_s = clock.now_s() + length_s
    edge_kinds = (ENERGY,) if ENERGY in bench.kinds else None
    while dense and clock.now_s() < end_s:
        readings.extend(_read(bench, edge_kinds))
        _feed_until(bench, loop, min(clock.now_s() + bench.plan.edge_poll_s, end_s), AHEAD_AT_EDGES_S)
    _feed_until(bench, loop, end_s, AHEAD_S)


def foreign_flags(state: BoardState, *, has_context: bool) -> list[str]:
    """Whether others use the board: ``foreign-process``; ``foreign-unseen`` where the one listed is taken to be us.

    A process with a context is listed. In a container the driver lists ours under the number it has on the host, so
    that where our own number is missing exactly one of those listed is ours, whether or not some process here happens
    to have that number; every further one is another's.

    Args:
        state: the board, with its processes.
        has_context: whether this process has a context on the board; without one every process listed is another's.
    """
    others = len(state.processes or ())
    ours = int(others > 0 and has_context and not state.own_listed)
    return ["foreign-process"] if others > ours else ["foreign-unseen"] if ours else []


def poll_until(bench: Bench, loop: Loop | None, readings: list[Reading], time_s: float) -> None:
    """Read every source now and then until ``time_s``, keeping the loop fed."""
    clock = bench.device.clock
    while clock.now_s() < time_s:
        if bench.metered:
            readings.extend(_read(bench, None))
        _feed_until(bench, loop, min(clock.now_s() + bench.plan.poll_s, time_s), AHEAD_S)


def _feed_until(bench: Bench, loop: Loop | None, time_s: float, ahead_s: float) -> None:
    clock = bench.device.clock
    while True:
        more = loop is not None and loop.feed(ahead_s)
        now_s = clock.now_s()
        if now_s >= time_s:
            return
        if not more:
            clock.sleep_until(min(time_s, now_s + FEED_S))


def _read(bench: Bench, kinds: Collection[str] | None) -> Iterable[Reading]:
    """Read the meter; one that is lost is not asked again, and the run says so."""
    if bench.meter_lost:
        return ()
    try:
        return bench.meter.read(bench.kinds if kinds is None else kinds)
    except MeterFault as fault:
        bench.kinds = ()
        bench.meter_lost = True
        bench.note(f"the meter was lost: {fault.what}; from here on only latency is measured")
        return ()


def board_now(bench: Bench) -> BoardRecord | None:
    """What the board says of itself now; None without a meter."""
    return bench.meter.state() if bench.metered else None


def append(bench: Bench, window: WindowRecord, readings: Iterable[Reading] = ()) -> None:
    """Write a window and its readings to the journal."""
    total = dict(bench.meter.faults)
    new = {fault: n - bench.faults.get(fault, 0) for fault, n in total.items() if n > bench.faults.get(fault, 0)}
    bench.faults = total
    bench.journal.append(window.model_copy(update={"session": bench.session, "faults": new}), readings)


def append_failure(bench: Bench, comparison: Comparison, work: WorkPlan, error: CaseError) -> None:
    """Write that a piece of work failed, or cannot run on this device, and why; it becomes a row.

    Raises:
        DeviceLostError: it took the device along.
    """
    write_failure(bench, comparison.id, work, error)
    if fault := bench.device.fault():
        raise DeviceLostError(
            f"nothing more runs on it in this process: {fault}",
            where=bench.device.facts.name,
            why=f"{work.case.id} has failed and is kept as a row; what was measured before stands",
            remedy="the same command again goes on without it; with --isolate a run does so by itself",
        )


def write_failure(bench: Bench, comparison: str, work: WorkPlan, error: CaseError) -> None:
    """Write that a piece of work failed, and why."""
    kind: Literal["failed", "skipped"] = "skipped" if isinstance(error, UnsupportedError) else "failed"
    reason = str(error)
    bench.given_up[comparison, work.work] = kind
    bench.progress.note(f"{work.case.id} {kind}: {reason}")
    now_s = bench.device.clock.now_s()
    append(
        bench,
        WindowRecord(
            number=0,
            kind=kind,
            work=work.work,
            comparison=comparison,
            start_s=now_s,
            stop_s=now_s,
            error=reason,
        ),
    )
