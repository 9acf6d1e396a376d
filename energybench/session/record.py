"""What is true of a whole run? Its record: suite, cases, device, meter, sensor, machine, plan, versions, truth."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import energybench
from energybench.clock import utc_stamp
from energybench.devices import Device
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import constants, work_truth
from energybench.journal import CaseRecord, OperatorRecord, RunRecord, SkippedRecord
from energybench.machine import machine_to_dict, missing_rate
from energybench.resolve import suite_identity
from energybench.session.study import RunOptions, Station, Study
from energybench.suite import Suite
from energybench.workload import WorkPlan


def run_record(study: Study, station: Station, options: RunOptions) -> RunRecord:
    """``run.json`` of a study that is about to begin."""
    facts, suite = station.device.facts, study.suite
    chosen = _options(options)
    installed = versions()
    identity = _identity(
        suite_identity(suite.text, options.plugins),
        chosen,
        installed,
        [facts.name, facts.title, facts.uuid, facts.details, station.meter.name, _conditions(station)],
    )
    return RunRecord(
        energybench_version=energybench.__version__,
        created_utc=utc_stamp(),
        name=suite.name,
        about=suite.about,
        suite_text=suite.text,
        identity=identity,
        command=[_without_folders(word) for word in options.command],
        options=chosen,
        analytic=None if options.against_itself else suite.analytic,
        summed_axis=summed_axis(suite),
        cases=[case_record(p) for p in study.cases],
        skipped=[SkippedRecord(case=s.case_id, because=s.because) for s in study.skipped],
        measured_as=dict(study.measured_as),
        device=_device(study, station),
        meter=_meter(station),
        sensor=station.sensor.to_dict() if station.sensor else None,
        calibration=dict(station.watch.calibration) if station.watch.calibration else None,
        machine=machine_to_dict(study.machine) if study.machine else None,
        plan=study.plan.as_record(),
        versions=installed,
        seed=options.seed,
        simulated=facts.simulated,
        energy_reason=station.capabilities.energy_reason,
        truth=_truth(study, station.device),
        notes=list(station.notes),
    )


def _device(study: Study, station: Station) -> dict[str, Any]:
    facts = station.device.facts
    return {
        "name": facts.name,
        "title": facts.title,
        "short": study.machine.name if study.machine and not facts.simulated else facts.name,
        "uuid": facts.uuid,
        "pci_bus_id": facts.pci_bus_id,
        "memory_bytes": facts.memory_bytes,
        "l2_bytes": facts.l2_bytes,
        **facts.details,
    }


def _meter(station: Station) -> dict[str, Any]:
    return {
        "name": station.meter.name,
        "kinds": list(station.capabilities.kinds),
        "refused": dict(station.capabilities.refused),
        "scope": station.capabilities.scope,
        "foreign_device": station.watch.foreign_device,
        **station.meter.describe(),
    }


def _options(options: RunOptions) -> dict[str, Any]:
    """What of the options decides what is measured."""
    return {
        "quick": options.quick,
        "against_itself": options.against_itself,
        "precision": options.precision,
        "only": list(options.only),
        "set": {axis: list(values) for axis, values in options.settings.items()},
        "plugins": [Path(p).name for p in options.plugins],
        "seed": options.seed,
        "allow_foreign": options.allow_foreign,
    }


def _conditions(station: Station) -> list[Any]:
    """What a run must not be resumed across: driver, power limit, and what is known of the sensor."""
    board = station.meter.describe()
    sensor = station.sensor.to_dict() if station.sensor else None
    return [board.get("driver"), board.get("power_limit_w"), sensor]


def _truth(study: Study, device: Device) -> dict[str, dict[str, float]]:
    """What a perfect measurement would find, by work; only a simulated device knows it."""
    if not isinstance(device, SimulatedDevice):
        return {}
    found = {"constants": constants(device.machine)}
    for plan in study.cases:
        if missing_rate(plan.operators, device.machine):
            continue
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


def summed_axis(suite: Suite) -> list[str]:
    """Fields of the axis over which totals are summed: the one whose entries say how often they repeat."""
    for entries in suite.entries.values():
        fields = list(dict.fromkeys(name for entry in entries for name in entry))
        if "repeat" in fields:
            return fields
    return []


def case_record(plan: WorkPlan) -> CaseRecord:
    """A planned case as ``run.json`` keeps it; without the suite file's path."""
    case = plan.case
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


def operator_records(plans: Sequence[WorkPlan]) -> list[OperatorRecord]:
    """``operators.jsonl``: every operator of every distinct piece of work."""
    works = {p.work: p for p in plans}
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
            out_channels=op.out_channels,
            stride=op.stride,
            input_side=op.input_side,
            weight_bytes=op.weight_bytes,
            reread_bytes=op.reread_bytes,
            known=op.known,
        )
        for plan in works.values()
        for index, op in enumerate(plan.operators)
    ]


def _identity(suite: str, options: Mapping[str, Any], versions: Mapping[str, str], device: Sequence[Any]) -> str:
    text = json.dumps([suite, options, versions, device], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of what a measurement depends on."""
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
