"""How does a command become a run folder? Open a device and its meter, plan, create or resume, measure, finish.

The only module that knows all the parts; each part's own question is answered in its own module.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import energybench
from energybench.analysis.measured import measured_works
from energybench.bench import Bench, Comparison, Progress
from energybench.clock import utc_stamp
from energybench.devices import Device
from energybench.devices.open import open_device, open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import constants, work_truth
from energybench.errors import RunFolderError, SuiteError
from energybench.expand import Case, Skipped, expand
from energybench.journal import (
    CaseRecord,
    Journal,
    OperatorRecord,
    Run,
    RunRecord,
    SkippedRecord,
    find_resumable,
    load,
)
from energybench.machine import Machine, machine_for_device, machine_to_dict, predicted_energy_j, predicted_latency_s
from energybench.meters import Capabilities, Meter
from energybench.planner import Estimate, Plan, estimate, plan_measurement
from energybench.resolve import suite_identity
from energybench.runner import measure_comparison
from energybench.sensor import SensorProfile
from energybench.suite import Suite
from energybench.workload import WorkPlan, plan_workload


@dataclass(frozen=True)
class RunOptions:
    """What the command line asked for."""

    device: str | None = None
    meter: str | None = None
    output: Path | None = None
    results: Path = Path("results")
    quick: bool = False
    precision: float | None = None
    budget_s: float | None = None
    only: tuple[str, ...] = ()
    settings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    fresh: bool = False
    seed: int = 0
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A suite as it will be measured on one device: cases, shared work, comparisons, plan and estimate.

    Attributes:
        suite: the suite.
        cases: every case with what it must do.
        skipped: what is left out, and why.
        comparisons: distinct sets of work, each measured once.
        measured_as: comparison of a case -> comparison it is measured in.
        plan: how windows are measured.
        estimate: what it will take.
        machine: the device's sheet, None where there is none.
    """

    suite: Suite
    cases: tuple[WorkPlan, ...]
    skipped: tuple[Skipped, ...]
    comparisons: tuple[Comparison, ...]
    measured_as: Mapping[str, str]
    plan: Plan
    estimate: Estimate
    machine: Machine | None

    @property
    def works(self) -> int:
        """Distinct measurements: pieces of work, counted once in every comparison that has them."""
        return sum(len(c.works) for c in self.comparisons)


@dataclass
class Station:
    """An opened device and the meter that watches it. A resource: close it."""

    device: Device
    meter: Meter
    capabilities: Capabilities
    sensor: SensorProfile | None
    notes: tuple[str, ...]
    foreign_device: bool = False

    def close(self) -> None:
        """Close both."""
        self.meter.close()
        self.device.close()


def open_station(options: RunOptions) -> Station:
    """Open what the options name, or the best there is.

    Raises:
        DeviceError: a device that was asked for cannot be used.
        MeterError: a meter that was asked for cannot be used.
    """
    device, notes = open_device(options.device, seed=options.seed, plugins=options.plugins)
    meter, capabilities, sensor, foreign = open_meter_for(device, options.meter, seed=options.seed)
    return Station(device, meter, capabilities, sensor, notes, foreign)


def plan_study(suite: Suite, station: Station, options: RunOptions) -> Study:
    """Cases, shared work, comparisons and estimates of ``suite`` on ``station``.

    Raises:
        SuiteError: a case cannot be constructed or run by shape.
    """
    cases, skipped = expand(suite, quick=options.quick, only=options.only, settings=options.settings)
    if not cases:
        raise SuiteError("no case is left to measure", where=suite.source, remedy="look at skip:, --only and --set")
    plans = tuple(plan_workload(case, plugins=options.plugins) for case in cases)
    comparisons, measured_as = _comparisons(plans)
    method = suite.method
    if options.budget_s is not None:
        method = method.model_copy(update={"budget_s": options.budget_s})
    sensor = station.sensor if station.capabilities.kinds else None
    plan = plan_measurement(method, sensor, quick=options.quick, precision=options.precision)
    machine = _machine_of(station.device)
    works = sum(len(c.works) for c in comparisons)
    power_w = _expected_power_w(plans, machine) if sensor else None
    expected = estimate(plan, works, len(comparisons), power_w)
    return Study(suite, plans, tuple(skipped), comparisons, measured_as, plan, expected, machine)


def run_study(study: Study, station: Station, options: RunOptions, progress: Progress) -> Path:
    """Measure ``study``, or what is missing of it, and return its run folder.

    Raises:
        RunFolderError: the folder cannot be used.
        KeyboardInterrupt: the user stopped it; the folder can be resumed.
    """
    record = _record(study, station, options)
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
        values=recalled_values(journal),
    )
    stopped = dict(journal.record.stopped)
    try:
        todo = [c for c in study.comparisons if c.id not in stopped]
        for comparison in todo:
            stopped[comparison.id] = measure_comparison(bench, comparison, last=comparison is todo[-1])
            journal.update(journal.record.model_copy(update={"stopped": stopped}))
        notes = [*journal.record.notes, *station.notes]
        journal.update(journal.record.model_copy(update={"complete": True, "notes": list(dict.fromkeys(notes))}))
    finally:
        journal.close()
    return journal.folder


def recalled_values(journal: Journal) -> dict[tuple[str, str], list[float]]:
    """Joules (else seconds) per iteration of every window so far: what the runner judges precision by."""
    run = Run(journal.folder, journal.record, tuple(journal.windows), ())
    return {
        key: [w.joules.energy_per_iteration_j or w.joules.loop_latency_s for w in measured.windows]
        for key, measured in measured_works(run).items()
    }


def _comparisons(plans: Sequence[WorkPlan]) -> tuple[tuple[Comparison, ...], dict[str, str]]:
    """Comparisons with the same set of work are one; within one, the same work is measured once."""
    by_set: dict[tuple[str, ...], Comparison] = {}
    measured_as: dict[str, str] = {}
    for name, group in itertools.groupby(plans, key=lambda p: p.case.comparison):
        members = list(group)
        baseline = next((p for p in members if p.case.variant == p.case.baseline), members[0])
        works = {p.work: p for p in [baseline, *members]}
        key = (baseline.work, *sorted(works))
        comparison = by_set.setdefault(key, Comparison(name, tuple(works.values())))
        measured_as[name] = comparison.id
    return tuple(by_set.values()), measured_as


def _machine_of(device: Device) -> Machine | None:
    if isinstance(device, SimulatedDevice):
        return device.machine
    return machine_for_device(device.facts.title)


def _expected_power_w(plans: Sequence[WorkPlan], machine: Machine | None) -> float | None:
    """Mean of the modelled powers; None without a machine sheet."""
    if machine is None:
        return None
    powers = [
        predicted_energy_j(p.operators, machine).total_j / predicted_latency_s(p.operators, machine) for p in plans
    ]
    return min(sum(powers) / len(powers), machine.tdp_w)


def _journal(study: Study, record: RunRecord, options: RunOptions, progress: Progress) -> Journal:
    """Resume the newest incomplete run of the same identity, else create a folder."""
    if not options.fresh:
        run = _resumable(record, options)
        if run is not None:
            progress.note(f"resuming {run.folder}")
            return Journal.resume(run)
    folder = options.output or _new_folder(options.results, record)
    return Journal.create(folder, record, _operator_records(study))


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


def _record(study: Study, station: Station, options: RunOptions) -> RunRecord:
    facts, suite = station.device.facts, study.suite
    chosen = {
        "quick": options.quick,
        "precision": options.precision,
        "only": list(options.only),
        "set": {axis: list(values) for axis, values in options.settings.items()},
        "plugins": [Path(p).name for p in options.plugins],
        "seed": options.seed,
    }
    versions = _versions()
    identity = _identity(
        suite_identity(suite.text, options.plugins),
        chosen,
        versions,
        [facts.name, facts.title, facts.uuid, station.meter.name],
    )
    truth = _truth(study, station.device)
    return RunRecord(
        energybench_version=energybench.__version__,
        created_utc=utc_stamp(),
        name=suite.name,
        about=suite.about,
        suite_text=suite.text,
        identity=identity,
        command=[_without_folders(word) for word in options.command],
        options=chosen,
        analytic=suite.analytic,
        summed_axis=_summed_axis(suite),
        cases=[_case_record(p) for p in study.cases],
        skipped=[SkippedRecord(case=s.case_id, because=s.because) for s in study.skipped],
        measured_as=dict(study.measured_as),
        device={
            "name": facts.name,
            "title": facts.title,
            "short": study.machine.name if study.machine and not facts.simulated else facts.name,
            "uuid": facts.uuid,
            "pci_bus_id": facts.pci_bus_id,
            "memory_bytes": facts.memory_bytes,
            "l2_bytes": facts.l2_bytes,
            **facts.details,
        },
        meter={
            "name": station.meter.name,
            "kinds": list(station.capabilities.kinds),
            "refused": dict(station.capabilities.refused),
            "scope": station.capabilities.scope,
            "foreign_device": station.foreign_device,
            **station.meter.describe(),
        },
        sensor=station.sensor.to_dict() if station.sensor and station.capabilities.kinds else None,
        machine=machine_to_dict(study.machine) if study.machine else None,
        plan=study.plan.as_record(),
        versions=versions,
        seed=options.seed,
        simulated=facts.simulated,
        energy_reason=station.capabilities.energy_reason,
        truth=truth,
        notes=list(station.notes),
    )


def _truth(study: Study, device: Device) -> dict[str, dict[str, float]]:
    """What a perfect measurement would find, by work; only a simulated device knows it."""
    if not isinstance(device, SimulatedDevice):
        return {}
    found = {"constants": constants(device.machine)}
    for plan in study.cases:
        truth = work_truth(plan.operators, device.machine)
        found[plan.work] = {
            "latency_s": truth.latency_s,
            "power_w": truth.power_w,
            "energy_per_iteration_j": truth.energy_per_iteration_j,
            "operations_j": truth.operations_j,
            "bytes_j": truth.bytes_j,
            "static_j": truth.static_j,
        }
    return found


def _summed_axis(suite: Suite) -> list[str]:
    """Fields of the axis over which totals are summed: the one whose entries say how often they repeat."""
    for entries in suite.entries.values():
        fields = list(dict.fromkeys(name for entry in entries for name in entry))
        if "repeat" in fields:
            return fields
    return []


def _case_record(plan: WorkPlan) -> CaseRecord:
    case: Case = plan.case
    return CaseRecord(
        id=case.id,
        variant=case.variant,
        layer=case.layer,
        args=dict(case.args),
        inputs=[{"shape": list(i.shape), "integers": i.integers} for i in case.inputs],
        point=dict(case.point),
        comparison=case.comparison,
        batch=case.batch,
        dtype=case.dtype,
        layout=case.layout,
        mode=case.mode,
        cache=case.cache,
        compile=case.compile,
        repeat=case.repeat,
        baseline=case.baseline,
        pair=case.pair,
        top1=case.accuracy.top1 if case.accuracy else None,
        work=plan.work,
        macs=plan.macs,
        params=plan.params,
        compulsory_bytes=plan.compulsory_bytes,
        eager_bytes=plan.eager_bytes,
        peak_memory_bytes=plan.peak_memory_bytes,
        unknown_operators=list(plan.unknown),
    )


def _operator_records(study: Study) -> list[OperatorRecord]:
    works = {p.work: p for p in study.cases}
    return [
        OperatorRecord(
            work=plan.work,
            index=index,
            path=op.path,
            name=op.name,
            family=op.family,
            macs=op.macs,
            read_bytes=op.read_bytes,
            write_bytes=op.write_bytes,
            dtype=op.dtype,
            groups=op.groups,
            group_size=op.group_size,
            kernel_size=op.kernel_size,
            known=op.known,
        )
        for plan in works.values()
        for index, op in enumerate(plan.operators)
    ]


def _identity(suite: str, options: Mapping[str, Any], versions: Mapping[str, str], device: Sequence[Any]) -> str:
    text = json.dumps([suite, options, versions, device], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "energybench": energybench.__version__}
    for name in ("torch", "nvidia-ml-py", "numpy", "pandas"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found | {"platform": sys.platform}


def _without_folders(word: str) -> str:
    """A word of the command line without the absolute folder it may name."""
    return Path(word).name if word.startswith("/") else word
