"""How is one window measured, and when is it measured again?

A window whose halves differ by more than chance says that the board was not steady, one with a rise out of place that
its counter jumped: it is measured again, in its own place in the block, at most a few times. The last one counts,
whatever it says of drift; those before it stay in the record, and the one after them says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from energybench.analysis.guards import longest_safe_iteration_s, part_time_stream
from energybench.analysis.joules import WindowJoules, window_joules
from energybench.analysis.jumps import jump_words
from energybench.analysis.stationarity import drift_words
from energybench.devices import Prepared, Stamp
from energybench.errors import CaseError, EnergyBenchError, one_line
from energybench.journal import WindowRecord
from energybench.planner import MIN_ITERATIONS
from energybench.readings import ENERGY, POWER_KINDS
from energybench.runner.bench import (
    Bench,
    Comparison,
    append,
    append_failure,
    board_now,
    looped,
    poll_to_update,
    poll_window,
)
from energybench.runner.deadline import fits, loop_s
from energybench.sensor import Stream
from energybench.workload import compiled_graphs

MAX_STAMPS = 60
"""Stamps kept of a window: enough to see a loop slow down, few enough that long runs stay small."""


def measured_window(bench: Bench, comparison: Comparison, work: Prepared, block: int) -> bool:
    """Measure and record one window, again where it drifted; False when the work failed and must not be run again."""
    bench.progress.doing(work.plan.case.id)
    because = ""
    for repeat in range(bench.plan.repeats + 1):
        place = WindowRecord(
            number=0,
            kind="window",
            work=work.plan.work,
            comparison=comparison.id,
            block=block,
            repeat=repeat,
            because=because,
        )
        try:
            found = _recorded(bench, work, place)
        except CaseError as error:
            append_failure(bench, comparison, work.plan, error)
            return False
        because = _why_again(bench, work, found, bench.windows_of(comparison, work.plan.work))
        if not because or not fits(bench, loop_s(bench, work.iteration_s)):
            break
    bench.windows_of(comparison, work.plan.work).append(found)
    return True


def _looked_at_in_part(bench: Bench, work: Prepared) -> Stream | None:
    """The part-time stream that an iteration is long enough to alias with, were the board's idle power 0; else None."""
    sensor = bench.sensor
    kind = next((k for k in (ENERGY, *POWER_KINDS) if k in bench.kinds), None)
    if sensor is None or kind is None:
        return None
    longest_s = longest_safe_iteration_s(1.0, 0.0, sensor, kind, bench.plan.precision)
    return part_time_stream(sensor, kind) if work.iteration_s > longest_s else None


def _wait_for_phase(bench: Bench, work: Prepared, block: int) -> None:
    """Begin the windows of long iterations at phases of a part-time sensor that are spread evenly over its refresh.

    A gapless loop of iterations near a multiple of the refresh is seen at one phase; the start alone can move it.
    """
    stream = _looked_at_in_part(bench, work)
    if stream is None:
        return
    poll_to_update(bench, ENERGY if ENERGY in bench.kinds else stream.kind, 2 * stream.refresh_s)
    clock = bench.device.clock
    clock.sleep_until(clock.now_s() + bit_reversed(block) * min(work.iteration_s, stream.refresh_s))


def bit_reversed(number: int) -> float:
    """Van der Corput's sequence: 0, 1/2, 1/4, 3/4, 1/8, ...; every first 2^n of it are spread evenly over [0, 1)."""
    return int(f"{number:b}"[::-1], 2) / (1 << number.bit_length()) if number else 0.0


def _recorded(bench: Bench, work: Prepared, place: WindowRecord) -> WindowJoules:
    """Run the loop, poll the meter, write both down; what the window says."""
    _wait_for_phase(bench, work, place.block)
    before, compiled = board_now(bench), compiled_graphs()
    flags: list[str] = []
    interior_s = max(bench.plan.window_s, MIN_ITERATIONS * work.iteration_s)
    with failures_as_rows():
        loop = looped(bench, work, lambda loop, into: flags.extend(poll_window(bench, loop, into, interior_s)))
    flags += [*work.flags, *(["gap"] if loop.gaps else []), *(["meter-lost"] if bench.meter_lost else [])]
    window = loop.written(place).model_copy(
        update={
            "host_stop_s": loop.host_stop_s,
            "stamps": thinned(loop.stamps),
            "launch": work.launch,
            "recompilations": compiled_graphs() - compiled,
            "before": before,
            "after": board_now(bench),
            "flags": flags,
        }
    )
    found = window_joules(window, loop.readings, bench.sensor if bench.metered else None)
    append(bench, window, loop.readings)
    energy_j = None if found.power_w is None else found.power_w * (window.stop_s - window.start_s)
    bench.progress.window_done(found.power_w, window.after.temperature_c if window.after else None, energy_j)
    return found


def _why_again(bench: Bench, work: Prepared, found: WindowJoules, earlier: Sequence[WindowJoules]) -> str:
    """Why a window has to be measured again; empty where it need not.

    For a jump of the counter, which its ticks show beside those of the ``earlier`` windows of the same work; for drift.
    Not for speed on the CPU: its other work comes and goes, and measuring again would not cure that. Not for power that
    a part-time sensor sees through a slowly moving phase: other phases are what helps.
    """
    if jump := jump_words([*earlier, found])[-1]:
        return f"the energy counter jumped in the window before it: {jump}"
    cured = {"latency-drift", "power-drift"} & set(found.flags)
    if bench.device.facts.name == "cpu":
        cured.discard("latency-drift")
    if _looked_at_in_part(bench, work) is not None:
        cured.discard("power-drift")
    return drift_words(found.speed, found.power) if cured else ""


def thinned(stamps: Sequence[Stamp]) -> list[tuple[float, int]]:
    """At most about ``MAX_STAMPS`` of a loop's stamps, evenly, the first and the last among them."""
    stride = max(1, len(stamps) // MAX_STAMPS)
    kept = [*stamps[:-1:stride], stamps[-1]]
    return [(round(s.time_s, 9), s.iterations) for s in kept]


@contextmanager
def failures_as_rows() -> Iterator[None]:
    """Whatever a layer or a kernel raises becomes a CaseError, and so a row; our own errors pass."""
    try:
        yield
    except EnergyBenchError:
        raise
    except Exception as error:
        raise CaseError(one_line(error)) from error
