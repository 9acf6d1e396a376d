"""How does a study become a run folder? Create it or take up the newest incomplete one, measure, finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from energybench.analysis.calibration_report import CALIBRATED
from energybench.analysis.joules import WindowJoules
from energybench.analysis.measured import measured_works
from energybench.analysis.updates import check_refresh
from energybench.errors import CaseError, EnergyBenchError, MeterError
from energybench.isolation import Step
from energybench.journal import Journal, Run, load
from energybench.planner import Plan
from energybench.runner.bench import Bench, Comparison, Progress, write_failure
from energybench.runner.budget import next_share
from energybench.runner.comparison import measure_comparison, widest
from energybench.runner.deadline import fits, loop_s
from energybench.runner.watched import Watchdog, WatchedDevice
from energybench.sensor.known import ASSUMED
from energybench.session.operators import profile_study
from energybench.session.record import run_record
from energybench.session.resuming import given_up, journal_for
from energybench.session.study import RunOptions, Station, Study
from energybench.workload import WorkPlan


class ComparisonDone(Exception):  # noqa: N818  (nothing went wrong)
    """This process of an isolated run has measured its comparison."""


def run_study(
    study: Study,
    station: Station,
    options: RunOptions,
    progress: Progress,
    abandon: Callable[[str], None] | None = None,
) -> Path:
    """Measure ``study``, or what is missing of it, and return its run folder.

    Args:
        study: what to measure.
        station: on what.
        options: as they were asked for.
        progress: is told how far we are.
        abandon: ends the process, told why, where ``options`` limit the time of a case; without it there is no limit.

    Raises:
        ComparisonDone: of an isolated run one comparison is measured; others may be left.
        DeviceLostError: a case took the device along; the folder can be resumed.
        RunFolderError: the folder cannot be used.
        KeyboardInterrupt: the user stopped it; the folder can be resumed.
    """
    bench = _bench(study, station, options, progress)
    journal = bench.journal
    watch = _watch(bench, options, abandon)
    bench.device = WatchedDevice(station.device, watch)
    for remark in study.plan.told:
        bench.note(remark)
    try:
        if options.isolated is not None and options.isolated.died:
            _blame(bench, study, options.isolated)
        _measure_comparisons(bench, study, station, options)
        if study.plan.budget_s is not None and not options.quick:
            _refine(bench, study)
        if options.operators:
            timed, found = profile_study(study, station, load(journal.folder).operators, progress)
            journal.replace_operators(timed)
            bench.notes += found
        journal.update(journal.record.model_copy(update={"complete": _complete(bench, study)}))
    finally:
        watch.close()
        notes = dict.fromkeys([*journal.record.notes, *station.notes, *bench.notes])
        journal.update(journal.record.model_copy(update={"notes": list(notes)}))
        journal.close()
    return journal.folder


def _bench(study: Study, station: Station, options: RunOptions, progress: Progress) -> Bench:
    """What the study is measured on, with what an earlier session of the same run found; its budget runs from now."""
    journal = journal_for(study, run_record(study, station, options), options, progress.note)
    budget_s = study.plan.budget_s
    if budget_s is not None and options.isolated is not None:
        budget_s -= options.isolated.spent_s()
    return Bench(
        device=station.device,
        meter=station.meter,
        kinds=station.capabilities.kinds,
        sensor=station.sensor,
        plan=_first_round(study.plan),
        journal=journal,
        progress=progress,
        random=np.random.default_rng([options.seed, len(journal.windows)]),
        session=journal.record.sessions - 1,
        deadline_s=None if budget_s is None else station.device.clock.now_s() + budget_s,
        found=recalled(journal),
        given_up=_not_to_retry(journal, options),
    )


def _measure_comparisons(bench: Bench, study: Study, station: Station, options: RunOptions) -> None:
    """Measure what is missing, as long as a budget has room for a window of it.

    Raises:
        ComparisonDone: of an isolated run one comparison is measured, and the budget has not ended.
    """
    todo = _to_measure(bench, study)
    if options.isolated is not None and not todo:
        options.isolated.note("", "")
    for place, comparison in enumerate(todo):
        if not fits(bench, bench.plan.loop_s):
            for left in todo[place:]:
                bench.journal.stop(left.id, "budget")
            break
        bench.later = _to_come(bench, todo[place + 1 :])
        bench.expects(_to_come(bench, [comparison]))
        stopped = measure_comparison(bench, comparison, last=comparison is todo[-1])
        if not bench.meter_lost:
            bench.journal.stop(comparison.id, stopped)
        if comparison is todo[0]:
            _check_sensor(bench, station)
        # What the budget has cut off, another process would only take up again.
        if options.isolated is not None and not bench.meter_lost and stopped != "budget":
            options.isolated.note(bench.measuring, "", spent_s=_spent_s(bench))
            raise ComparisonDone


def _spent_s(bench: Bench) -> float:
    """Seconds of its budget that a run has used, in this process and those before it; 0 without one."""
    if bench.deadline_s is None:
        return 0.0
    return (bench.plan.budget_s or 0.0) - (bench.deadline_s - bench.device.clock.now_s())


def _first_round(plan: Plan) -> Plan:
    """With a budget every comparison first gets the planned windows, so that an unsteady one does not eat it up."""
    return plan if plan.budget_s is None else replace(plan, max_windows=plan.windows)


def _watch(bench: Bench, options: RunOptions, abandon: Callable[[str], None] | None) -> Watchdog:
    """Note what runs for the process after this one, and give up what does not come back."""

    def entering(plan: WorkPlan) -> None:
        if options.isolated is not None:
            options.isolated.note(bench.measuring, plan.work, spent_s=_spent_s(bench))

    def overdue(plan: WorkPlan) -> None:
        reason = f"did not come back within {options.case_limit_s:g} s"
        write_failure(bench, bench.measuring, plan, CaseError(reason))
        if abandon is not None:
            abandon(f"{plan.case.id} {reason}, and a thread or kernel that hangs can only be ended with its process")

    return Watchdog(entering, options.case_limit_s if abandon is not None else None, overdue)


def _blame(bench: Bench, study: Study, step: Step) -> None:
    """Write down as failed what the process before this one died of.

    Raises:
        EnergyBenchError: it died before or after it ran anything, so that the next one would die as well.
    """
    noted = step.noted()
    works = {(c.id, work.work): work for c in study.comparisons for work in c.works}
    if noted is None or noted not in works or noted in bench.given_up:
        raise EnergyBenchError(
            f"a process of this run died ({step.died}) while it ran no case",
            remedy="the same command without --isolate shows where",
        )
    write_failure(bench, noted[0], works[noted], CaseError(f"its process died ({step.died})"))


def _not_to_retry(journal: Journal, options: RunOptions) -> dict[tuple[str, str], str]:
    """What failed before and is not tried again; with ``--retry-failed`` only what cannot run on this device."""
    found = given_up(journal.windows)
    return {key: kind for key, kind in found.items() if kind == "skipped" or not options.retry_failed}


def _to_measure(bench: Bench, study: Study) -> list[Comparison]:
    """Comparisons that were not finished, or lack a piece of work that was not given up."""
    stopped = bench.journal.record.stopped
    return [c for c in study.comparisons if stopped.get(c.id) in (None, "budget") or _missing(bench, c)]


def _missing(bench: Bench, comparison: Comparison) -> bool:
    keys = [(comparison.id, work.work) for work in comparison.works]
    return any(not bench.found.get(key) and key not in bench.given_up for key in keys)


def _to_come(bench: Bench, comparisons: Sequence[Comparison]) -> int:
    """Windows that comparisons lack of those that were planned; more where the precision asks for them."""
    keys = [(c.id, work.work) for c in comparisons for work in c.works]
    lacking = [bench.plan.windows - len(bench.found.get(key, ())) for key in keys if key not in bench.given_up]
    return sum(max(windows, 0) for windows in lacking)


def _complete(bench: Bench, study: Study) -> bool:
    """Whether every piece of work was measured or has failed, with the meter there to the end.

    What a budget cut off is not complete: the same command goes on with it.
    """
    return not bench.meter_lost and not any(_missing(bench, comparison) for comparison in study.comparisons)


def _check_sensor(bench: Bench, station: Station) -> None:
    """Refuse a calibration that no longer fits the refresh that was just seen; say where an assumption does not."""
    sensor = station.sensor
    if sensor is None or sensor.provenance not in (CALIBRATED, ASSUMED):
        return
    journal = bench.journal
    run = Run(journal.folder, journal.record, tuple(journal.windows), ())
    readings = [r for w in run.windows if w.kind == "window" for r in run.readings(w)]
    problem = check_refresh(readings, sensor)
    if problem and sensor.provenance == ASSUMED:
        bench.note(f"the sensor is not as boards of its kind are assumed to be: {problem}")
    elif problem:
        raise MeterError(
            f"the stored calibration no longer fits this board: {problem}",
            why="windows are cut by it",
            remedy="energybench calibrate, then the same command again",
        )


def _refine(bench: Bench, study: Study) -> None:
    """Spend what is left of a budget where the interval is widest; what stays too wide was stopped by the budget."""
    plan, journal = study.plan, bench.journal
    working = {c.id: c for c in study.comparisons if journal.record.stopped.get(c.id) != "failed"}
    while bench.deadline_s is not None and not bench.meter_lost:
        share = next_share({name: widest(bench, c) for name, c in working.items()}, plan.precision)
        if share is None:
            break
        comparison, windows = working[share[0]], share[1]
        pair_s = _pair_s(bench, comparison)
        pairs = int((bench.deadline_s - bench.device.clock.now_s()) / pair_s) if pair_s > 0 else 0
        if pairs < 1 or not fits(bench, pair_s):
            break
        found = [bench.windows_of(comparison, work.work) for work in comparison.works]
        before = sum(map(len, found))
        most = min(windows, widest(bench, comparison).windows + 2 * pairs)
        bench.plan = replace(plan, windows=min(plan.windows, most), max_windows=most)
        journal.stop(comparison.id, measure_comparison(bench, comparison))
        if sum(map(len, found)) == before:
            break
    bench.plan = plan
    for name, comparison in working.items():
        if widest(bench, comparison).halfwidth > plan.precision and journal.record.stopped.get(name) == "windows":
            journal.stop(name, "budget")


def _pair_s(bench: Bench, comparison: Comparison) -> float:
    """Expected length of preparing a comparison once more and measuring one mirrored pair of blocks of it."""
    prepared_s = {w.work: w.compile_s or 0.0 for w in bench.journal.windows if w.kind == "latency"}
    works = [work.work for work in comparison.works if (comparison.id, work.work) not in bench.given_up]
    pair_s = bench.plan.resettle_s
    for work in works:
        found = bench.windows_of(comparison, work)
        pair_s += 2 * loop_s(bench, found[-1].loop_latency_s if found else 0.0) + prepared_s.get(work, 0.0)
    return pair_s


def recalled(journal: Journal) -> dict[tuple[str, str], list[WindowJoules]]:
    """What the windows of an interrupted run said, so that the runner knows what is missing.

    Windows without their meter are not among them: they are measured again.
    """
    run = Run(journal.folder, journal.record, tuple(journal.windows), ())
    return {
        key: [w.joules for w in measured.windows if "meter-lost" not in w.record.flags]
        for key, measured in measured_works(run).items()
    }
