"""What did each operator of a run take on its device? The profiler's sequence laid beside the counted one.

Both are in execution order. They are matched as a whole or not at all: where names, numbers or multiply-accumulates of
the two sequences differ, nothing is written and a note says where. Profiling comes after all windows, because it slows
what it watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from energybench.devices import Device, Prepared
from energybench.devices.profiling import ProfiledOperator, profile_operators
from energybench.errors import CaseError
from energybench.journal import OperatorRecord
from energybench.runner.bench import Progress
from energybench.session.study import Station, Study


@dataclass(frozen=True)
class OperatorTimes:
    """The operators of one piece of work, with times where they are certain.

    Attributes:
        records: as given, ``measured_s`` and ``kernel`` filled in where known.
        note: what is missing and why; empty where nothing is.
    """

    records: tuple[OperatorRecord, ...]
    note: str


def measured_operators(device: Device, prepared: Prepared, records: Sequence[OperatorRecord]) -> OperatorTimes:
    """Profile a piece of work and write what was seen into its operator records.

    Args:
        device: it was prepared on.
        prepared: the work.
        records: its operators, in execution order.
    """
    try:
        profiled = profile_operators(device, prepared)
    except CaseError as error:
        return OperatorTimes(tuple(records), f"operators not timed: {error}")
    difference = _difference(records, profiled)
    if difference:
        return OperatorTimes(tuple(records), f"operators not timed: {difference}")
    filled = tuple(
        record.model_copy(update={"measured_s": seen.seconds, "kernel": seen.kernel or None})
        for record, seen in zip(records, profiled, strict=True)
    )
    return OperatorTimes(filled, _gaps(filled))


def profile_study(
    study: Study, station: Station, records: Sequence[OperatorRecord], progress: Progress
) -> tuple[list[OperatorRecord], list[str]]:
    """Time the operators of every piece of work that has none yet; call it when all windows are measured.

    Args:
        study: what was measured.
        station: its device.
        records: all operators of the run, as ``operators.jsonl`` holds them.
        progress: who is told.

    Returns:
        The records in the same order, and notes for ``run.json``.
    """
    by_work: dict[str, list[OperatorRecord]] = {}
    for record in records:
        by_work.setdefault(record.work, []).append(record)
    plans = {plan.work: plan for plan in study.cases}
    notes = []
    for work, mine in by_work.items():
        if work not in plans or any(record.measured_s is not None for record in mine):
            continue
        progress.doing(f"operators of {plans[work].case.id}")
        try:
            prepared = station.device.prepare(plans[work])
        except CaseError as error:
            notes.append(f"{plans[work].case.id}: operators not timed: {error}")
            continue
        try:
            times = measured_operators(station.device, prepared, sorted(mine, key=lambda r: r.index))
        finally:
            station.device.release(prepared)
        by_work[work] = list(times.records)
        if times.note:
            notes.append(f"{plans[work].case.id}: {times.note}")
    return [record for mine in by_work.values() for record in mine], notes


def _gaps(records: Sequence[OperatorRecord]) -> str:
    missing = [record for record in records if record.measured_s is None]
    if not missing:
        return ""
    first = missing[0]
    why = "one call does the work of several" if first.kernel else "no kernel was seen"
    return (
        f"{len(missing)} of {len(records)} operators have no time of their own, "
        f"the first of them {first.name} ({first.path}): {why}"
    )


def _difference(records: Sequence[OperatorRecord], profiled: Sequence[ProfiledOperator]) -> str:
    """Where the counted and the profiled sequence part; empty where they are the same."""
    for record, seen in zip(records, profiled, strict=False):
        where = f"operator {record.index} ({record.path})"
        if record.name != seen.name:
            return f"{where} was counted as {record.name} and ran as {seen.name}"
        if seen.macs is not None and record.macs != seen.macs:
            return f"{where} was counted with {record.macs} multiply-accumulates and ran with {seen.macs}"
    if len(records) != len(profiled):
        return f"{len(records)} operators were counted and {len(profiled)} ran"
    return ""
