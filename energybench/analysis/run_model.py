"""What does the model of `predict` say of the cases and totals of a run, on the run's own machine sheet?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from energybench.analysis.book import machine_of, operators_of
from energybench.analysis.kernel_efficiency import Efficiency, load_efficiency
from energybench.analysis.predict import Prediction, predict_work
from energybench.analysis.stages import total_id, totals
from energybench.journal import CaseRecord, Run
from energybench.machine import missing_rate


@dataclass(frozen=True)
class Expected:
    """What one case or total should take.

    Attributes:
        latency_s: seconds of one iteration; of a total, of all its stages.
        energy_per_inference_j: joules; NaN where the sheet has no energies.
        latency_error: mean relative error that the model states of ``latency_s``.
        energy_error: the same of the joules.
    """

    latency_s: float
    energy_per_inference_j: float
    latency_error: float
    energy_error: float


@dataclass(frozen=True)
class RunModel:
    """A model of a whole run.

    Attributes:
        name: machine sheet and kernel efficiencies; empty where the run has no sheet.
        rows: what was predicted, by the id of the case or total.
    """

    name: str
    rows: Mapping[str, Expected]


def run_model(run: Run, efficiency: Efficiency | None = None) -> RunModel:
    """Every case that has kernels and rates on the run's sheet, and every total of such cases.

    Args:
        run: what was measured.
        efficiency: what kernels reach of the sheet's peaks; None: the shipped table, as in `predict`.

    Raises:
        MachineError: the table has no numbers for a kernel class.
    """
    machine = machine_of(run)
    if machine is None:
        return RunModel("", {})
    table = efficiency or load_efficiency()
    by_work = {
        work: predict_work(operators, machine, table)
        for work, operators in operators_of(run).items()
        if any(op.bytes for op in operators) and not missing_rate(operators, machine)
    }
    known = [case for case in run.record.cases if case.work in by_work]
    rows = {case.id: _expected([(1, case, by_work[case.work])]) for case in known}
    for cases in totals(run.record).values():
        if all(case.work in by_work for case in cases):
            stages = [(case.repeat, case, by_work[case.work]) for case in cases]
            rows[total_id(run.record, cases[0])] = _expected(stages)
    return RunModel(f"{machine.title} ({machine.provenance}), kernel efficiencies: {table.name}", rows)


def _expected(stages: Sequence[tuple[int, CaseRecord, Prediction]]) -> Expected:
    """Stages added up; their errors, too, since one table errs alike on kernels of one class."""
    seconds = [repeat * p.latency_s for repeat, _, p in stages]
    joules = [repeat * p.energy_per_iteration_j / case.batch for repeat, case, p in stages]
    return Expected(
        latency_s=sum(seconds),
        energy_per_inference_j=sum(joules),
        latency_error=_weighted([p.latency_error for _, _, p in stages], seconds),
        energy_error=_weighted([p.energy_error for _, _, p in stages], joules),
    )


def _weighted(errors: Sequence[float], weights: Sequence[float]) -> float:
    return sum(e * w for e, w in zip(errors, weights, strict=True)) / sum(weights)
