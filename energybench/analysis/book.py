"""What does a run folder hold, opened for reading? Cases, what was measured of each, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from energybench.analysis.measured import Measured, idle_of, measured_works, observer_of, sensor_of
from energybench.analysis.ratios import Stage
from energybench.analysis.trust import distrust, foreign_of
from energybench.cost import OperatorCost
from energybench.journal import CaseRecord, OperatorRecord, Run
from energybench.machine import Machine, machine_from_dict
from energybench.readings import POWER_KINDS

Row = dict[str, Any]
"""One row of a table, by column name; what is not known is left out."""


def machine_of(run: Run) -> Machine | None:
    """The machine sheet stored with a run; None where the device has none."""
    return machine_from_dict(run.record.machine) if run.record.machine else None


def operators_of(run: Run) -> dict[str, list[OperatorCost]]:
    """The operators of each piece of work, in execution order."""
    ordered = sorted(run.operators, key=lambda o: (o.work, o.index))
    return {work: [_cost(o) for o in group] for work, group in groupby(ordered, key=lambda o: o.work)}


def operator_times_of(run: Run) -> dict[str, list[float | None]]:
    """Seconds of each operator of each piece of work, in the order of ``operators_of``; None where it was not timed."""
    ordered = sorted(run.operators, key=lambda o: (o.work, o.index))
    return {work: [o.measured_s for o in group] for work, group in groupby(ordered, key=lambda o: o.work)}


class Book:
    """A run opened for reading: every derived table is written from it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.record = run.record
        self.measured = measured_works(run)
        self.idle = idle_of(run)
        self.unsettled = any(w.kind == "settle" and "unsettled" in w.flags for w in run.windows)
        self.observer = observer_of(run)
        self.sensor = sensor_of(run)
        self.foreign = foreign_of(run)
        self.smoothed = run.record.meter.get("power_smoothing") is True
        self.machine = machine_of(run)
        self.operators = operators_of(run)
        self.operator_times = operator_times_of(run)
        self.by_place = {(c.comparison, c.variant): c for c in run.record.cases}
        self.provenance = run.origin
        on_cpu = run.record.device.get("name") == "cpu"
        for measured in self.measured.values():
            measured.distrust = distrust(measured, self.foreign, on_cpu=on_cpu)

    @property
    def idle_over_calibrated(self) -> float | None:
        """Active idle of the run over that of the sensor's calibration - 1; None where either is not known.

        A calibration saw idle between its bursts, by the same board's readings (``off_w`` of each kind).
        """
        streams = (self.record.calibration or {}).get("streams") or ()
        off_w = {s["kind"]: s["off_w"] for s in streams if s.get("off_w")}
        known_w = next((off_w[kind] for kind in POWER_KINDS if kind in off_w), None)
        return self.idle.power_w / known_w - 1 if self.idle is not None and known_w else None

    def of(self, case: CaseRecord) -> Measured:
        """What was measured for ``case``, perhaps in another comparison that is the same work.

        Of work that failed nothing counts, though its windows stay in the folder.
        """
        measured = self.measured.get(self.key(case), Measured())
        if not measured.error:
            return measured
        return Measured(latency=measured.latency, error=measured.error, skipped=measured.skipped)

    def key(self, case: CaseRecord) -> tuple[str, str]:
        """The measurement of ``case``: the comparison it was measured in, and its work."""
        return self.record.measured_as.get(case.comparison, case.comparison), case.work

    def stage(self, case: CaseRecord, by_block: Mapping[int, float], each: float = 0.0) -> Stage:
        """``case`` as a term of a total; ``each`` as in :class:`Stage`."""
        return Stage(" ".join(self.key(case)), case.repeat, by_block, each)

    def network(self, case: CaseRecord) -> str:
        """The text fields of the summed axis: what tells networks apart."""
        summed = self.record.summed_axis
        return " ".join(v for k, v in case.point.items() if k in summed and isinstance(v, str))

    def baseline(self, case: CaseRecord) -> CaseRecord | None:
        """The baseline at the point of ``case``; None where it was skipped."""
        return self.by_place.get((case.comparison, case.baseline))

    def partners(self, case: CaseRecord) -> list[tuple[CaseRecord, str]]:
        """Whom ``case`` is judged against: its partner at matched MACs, and the baseline."""
        found = []
        for name, kind in ((case.pair, "matched"), (case.baseline, "baseline")):
            other = self.by_place.get((case.comparison, name)) if name and name != case.variant else None
            if other is not None:
                found.append((other, kind))
        return found


def _cost(record: OperatorRecord) -> OperatorCost:
    return OperatorCost(**record.model_dump(exclude={"work", "index", "measured_s", "kernel"}))
