"""How does a study become a run folder? Create it or take up the newest incomplete one, measure, finish."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from energybench.analysis.joules import WindowJoules
from energybench.analysis.measured import measured_works
from energybench.analysis.updates import check_refresh
from energybench.bench import Bench, Progress
from energybench.errors import MeterError, RunFolderError
from energybench.journal import Journal, Run, RunRecord, find_resumable, load
from energybench.operators import profile_study
from energybench.run_record import operator_records, run_record
from energybench.runner import measure_comparison, worst_halfwidth
from energybench.study import RunOptions, Station, Study, open_station, plan_study

__all__ = ["RunOptions", "Station", "Study", "open_station", "plan_study", "recalled", "run_study"]


def run_study(study: Study, station: Station, options: RunOptions, progress: Progress) -> Path:
    """Measure ``study``, or what is missing of it, and return its run folder.

    Raises:
        RunFolderError: the folder cannot be used.
        KeyboardInterrupt: the user stopped it; the folder can be resumed.
    """
    record = run_record(study, station, options)
    journal = _journal(study, record, options, progress)
    clock = station.device.clock
    bench = Bench(
        device=station.device,
        meter=station.meter,
        kinds=station.capabilities.kinds,
        sensor=station.sensor,
        plan=study.plan,
        journal=journal,
        progress=progress,
        random=np.random.default_rng([options.seed, len(journal.windows)]),
        session=journal.record.sessions - 1,
        deadline_s=clock.now_s() + study.plan.budget_s if study.plan.budget_s is not None else None,
        found=recalled(journal),
    )
    stopped = dict(journal.record.stopped)
    try:
        todo = [c for c in study.comparisons if stopped.get(c.id) in (None, "budget")]
        for comparison in todo:
            stopped[comparison.id] = measure_comparison(bench, comparison, last=comparison is todo[-1])
            journal.update(journal.record.model_copy(update={"stopped": stopped}))
            if comparison is todo[0]:
                _check_sensor(journal, station)
        if options.budget_s is not None and not options.quick:
            stopped |= _refined(bench, study, stopped)
        journal.update(journal.record.model_copy(update={"stopped": stopped}))
        if options.operators:
            timed, found = profile_study(study, station, load(journal.folder).operators, progress)
            journal.replace_operators(timed)
            bench.notes += found
        journal.update(journal.record.model_copy(update={"complete": _complete(bench, study)}))
    finally:
        notes = dict.fromkeys([*journal.record.notes, *station.notes, *bench.notes])
        journal.update(journal.record.model_copy(update={"notes": list(notes)}))
        journal.close()
    return journal.folder


def _complete(bench: Bench, study: Study) -> bool:
    """Whether every piece of work was measured or has failed, with the meter there to the end.

    What a budget cut off is not complete: the same command goes on with it.
    """
    failed = {(w.comparison, w.work) for w in bench.journal.windows if w.kind in ("failed", "skipped")}
    wanted = {(c.id, work.work) for c in study.comparisons for work in c.works}
    return not bench.meter_lost and all(bench.found.get(key) or key in failed for key in wanted)


def _check_sensor(journal: Journal, station: Station) -> None:
    """Refuse a calibration that no longer fits the refresh that was just seen."""
    if station.watch.calibration is None or station.sensor is None:
        return
    run = Run(journal.folder, journal.record, tuple(journal.windows), ())
    readings = [r for w in run.windows if w.kind == "window" for r in run.readings(w)]
    problem = check_refresh(readings, station.sensor)
    if problem:
        raise MeterError(
            f"the stored calibration no longer fits this board: {problem}",
            why="windows are cut by it",
            remedy="energybench calibrate, then the same command again",
        )


def _refined(bench: Bench, study: Study, stopped: Mapping[str, str]) -> dict[str, str]:
    """Spend what is left of a budget on the comparison with the widest interval, one mirrored pair at a time."""
    found: dict[str, str] = {}
    clock, plan = bench.device.clock, study.plan
    while bench.deadline_s is not None:
        widths = {c.id: worst_halfwidth(bench, c) for c in study.comparisons if stopped.get(c.id) != "failed"}
        widest = max(study.comparisons, key=lambda c: widths.get(c.id, 0.0))
        pair_s = len(widest.works) * (2 * plan.loop_s + plan.latency_s) + plan.resettle_s
        if widths.get(widest.id, 0.0) <= plan.precision or clock.now_s() + pair_s > bench.deadline_s:
            break
        windows = 2 + max(len(bench.windows_of(widest, work.work)) for work in widest.works)
        bench.plan = replace(plan, windows=windows, max_windows=windows)
        found[widest.id] = measure_comparison(bench, widest)
    bench.plan = plan
    return found


def recalled(journal: Journal) -> dict[tuple[str, str], list[WindowJoules]]:
    """What the windows of an interrupted run said, so that the runner knows what is missing."""
    run = Run(journal.folder, journal.record, tuple(journal.windows), ())
    return {key: [w.joules for w in measured.windows] for key, measured in measured_works(run).items()}


def _journal(study: Study, record: RunRecord, options: RunOptions, progress: Progress) -> Journal:
    """Resume the newest incomplete run of the same identity, else create a folder."""
    if not options.fresh:
        run = _resumable(record, options)
        if run is not None:
            progress.note(f"resuming {run.folder}")
            return Journal.resume(run)
    folder = options.output or _new_folder(options.results, record)
    return Journal.create(folder, record, operator_records(study.cases))


def _resumable(record: RunRecord, options: RunOptions) -> Run | None:
    if options.output is None:
        return find_resumable(options.results, record.identity)
    if not (options.output / "run.json").exists():
        return None
    run = load(options.output)
    if run.record.identity != record.identity:
        raise RunFolderError(
            f"holds another run: {_difference(run.record, record)}",
            where=str(options.output),
            why="windows of two different measurements must not be mixed",
            remedy="choose another --output",
        )
    return None if run.record.complete else run


def _difference(old: RunRecord, new: RunRecord) -> str:
    if old.suite_text != new.suite_text:
        return "the suite's text differs"
    differing = [k for k in new.options if old.options.get(k) != new.options.get(k)]
    if differing:
        return "its options differ: " + ", ".join(
            f"{k} {old.options.get(k)!r} -> {new.options[k]!r}" for k in differing
        )
    was, now = (f"{r.device.get('name')} {r.versions}" for r in (old, new))
    return f"device or versions differ ({was} -> {now})"


def _new_folder(results: Path, record: RunRecord) -> Path:
    device = re.sub(r"[^a-z0-9]+", "-", str(record.device.get("short", "device")).lower()).strip("-")
    stem = f"{record.name}-{device}-{record.created_utc}"
    folder = results / stem
    for number in itertools.count(2):
        if not folder.exists():
            break
        folder = results / f"{stem}-{number}"
    return folder
