"""Which cases add up to a total? A variant's stages, summed over the axis that a network's stages are written on."""

from __future__ import annotations

from typing import Any

from energybench.journal import CaseRecord, RunRecord

Key = tuple[Any, ...]
"""The variant, then the kept fields as pairs: what one total is known by."""


def kept_fields(record: RunRecord, case: CaseRecord) -> dict[str, str | int | float | bool]:
    """The fields of ``case`` that a total keeps: all but the numbers of the summed axis."""
    summed = record.summed_axis
    return {k: v for k, v in case.point.items() if k not in summed or isinstance(v, str)}


def kept_text(record: RunRecord, case: CaseRecord) -> str:
    """The same in words."""
    return " ".join(f"{k}={v}" for k, v in kept_fields(record, case).items())


def total_id(record: RunRecord, case: CaseRecord) -> str:
    """The id of the total that ``case`` is a stage of."""
    return f"total {case.variant} | {kept_text(record, case)}"


def totals(record: RunRecord) -> dict[Key, list[CaseRecord]]:
    """Cases that add up to a total; empty where no axis is summed.

    A variant that is skipped at a stage has no total: a sum over fewer stages would pass for less energy.
    """
    summed = _summed(record)
    stages = _stages(summed)
    return {key: cases for key, cases in summed.items() if len(cases) == stages[key[1:]]}


def partial_totals(record: RunRecord) -> list[tuple[list[CaseRecord], int]]:
    """Cases that add up to less than a total, and how many stages there are in all."""
    summed = _summed(record)
    stages = _stages(summed)
    return [(cases, stages[key[1:]]) for key, cases in summed.items() if len(cases) < stages[key[1:]]]


def _summed(record: RunRecord) -> dict[Key, list[CaseRecord]]:
    found: dict[Key, list[CaseRecord]] = {}
    if record.summed_axis:
        for case in record.cases:
            found.setdefault((case.variant, *kept_fields(record, case).items()), []).append(case)
    return found


def _stages(summed: dict[Key, list[CaseRecord]]) -> dict[Key, int]:
    """How many stages some variant has, by kept fields."""
    places: dict[Key, set[str]] = {}
    for (_, *place), cases in summed.items():
        places.setdefault(tuple(place), set()).update(case.comparison for case in cases)
    return {place: len(comparisons) for place, comparisons in places.items()}
