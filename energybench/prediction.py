"""What would a suite cost on another machine? A run folder like any other, its provenance ``modelled``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import energybench
from energybench.analysis.kernel_efficiency import load_efficiency
from energybench.analysis.predict import predictions
from energybench.clock import utc_stamp
from energybench.journal import Journal, RunRecord, SkippedRecord
from energybench.machine import Machine, machine_to_dict
from energybench.session.record import case_record, operator_records, summed_axis, versions
from energybench.session.study import comparisons_of
from energybench.suite import Suite
from energybench.suite.cases import expand
from energybench.workload import plan_workload

LIBRARIES = "libraries"
"""The shipped efficiencies: what public measurements of vendor libraries reached."""


def efficiency_beside(sheet: str) -> str:
    """The table that ``fit`` wrote beside a sheet file (``X.yaml``, ``X.efficiency.yaml``), else the shipped one.

    The two belong together: a fitted sheet's joules per FLOP are those of its cheapest kernels, and the table has the
    factors for the others.
    """
    path = Path(sheet)
    beside = path.with_name(f"{path.stem}.efficiency.yaml")
    return str(beside) if path.suffix == ".yaml" and beside.is_file() else LIBRARIES


def predict_suite(
    suite: Suite, machine: Machine, folder: Path, *, efficiency: str = LIBRARIES, plugins: Sequence[str] = ()
) -> Path:
    """Predict every case of ``suite`` on ``machine`` and write a run folder.

    Args:
        suite: what to predict.
        machine: where.
        folder: the run folder to make.
        efficiency: name or path of what kernels reach of a machine's peaks.
        plugins: modules or files whose layers may be named.

    Raises:
        RunFolderError: the folder already holds a run.
        SuiteError: a case cannot be constructed or run by shape.
    """
    cases, skipped = expand(suite)
    plans = tuple(plan_workload(case, plugins=plugins) for case in cases)
    _, measured_as = comparisons_of(plans)
    found = predictions(plans, machine, load_efficiency(efficiency))
    record = RunRecord(
        energybench_version=energybench.__version__,
        created_utc=utc_stamp(),
        name=suite.name,
        about=suite.about,
        suite_text=suite.text,
        identity="",
        command=["energybench", "predict", suite.name, "--machine", machine.name],
        options={"efficiency": Path(efficiency).name},
        analytic=suite.analytic,
        summed_axis=summed_axis(suite),
        cases=[case_record(p) for p in plans],
        skipped=[SkippedRecord(case=s.case_id, because=s.because) for s in skipped],
        measured_as=measured_as,
        device={
            "name": f"model:{machine.name}",
            "title": f"model of {machine.title}",
            "short": f"model-{machine.name}",
        },
        meter={"name": "none", "kinds": []},
        energy_reason="" if machine.has_energy else f"the sheet of {machine.name} has no powers and no unit energies",
        machine=machine_to_dict(machine),
        versions=versions(),
        modelled={work: prediction.as_record() for work, prediction in found.items()},
        complete=True,
    )
    Journal.create(folder, record, operator_records(plans)).close()
    return folder
