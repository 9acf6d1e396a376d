"""What does each case have to do, as the analytic models want it? The operators' table turned into costs."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import pandas as pd

from energybench.cost import Family, OperatorCost
from energybench.report.places import point_label

FAMILIES = frozenset(get_args(Family))


def operators_by_case(operators: pd.DataFrame) -> dict[str, list[OperatorCost]]:
    """Costs of every case in execution order, from a frame with the columns of ``columns.OPERATORS``."""
    found: dict[str, list[OperatorCost]] = {}
    for row in operators.sort_values("index", kind="stable").to_dict("records"):
        found.setdefault(str(row["case"]), []).append(_cost(row))
    return found


def measured_by_case(operators: pd.DataFrame) -> dict[str, list[float | None]]:
    """Measured seconds of every operator of every case, in the order of ``operators_by_case``; None where unknown."""
    found: dict[str, list[float | None]] = {}
    for row in operators.sort_values("index", kind="stable").to_dict("records"):
        value = row["measured_s"]
        found.setdefault(str(row["case"]), []).append(None if pd.isna(value) else float(value))
    return found


def group_size_by_case(operators: pd.DataFrame) -> dict[str, int]:
    """Group size of the operator of each case that has the most MACs, of those that have a group size."""
    grouped = operators[operators["group_size"] > 0]
    if grouped.empty:
        return {}
    largest = grouped.loc[grouped.groupby("case", sort=False)["macs"].idxmax()]
    return {str(case): int(size) for case, size in zip(largest["case"], largest["group_size"], strict=True)}


@dataclass(frozen=True)
class Workflow:
    """What one variant runs in one iteration: its one network, or its layers as the network repeats them.

    Attributes:
        operators: in execution order; those of a layer that is repeated stand once, with all their work.
        measured_s: seconds of each, None where it was not measured.
        wall_s: seconds of all together, None where not known.
        energy_j: joules of all together, None where not known.
    """

    operators: tuple[OperatorCost, ...]
    measured_s: tuple[float | None, ...]
    wall_s: float | None
    energy_j: float | None


def workflows(cases: pd.DataFrame, operators: pd.DataFrame, stages: Collection[str] = ()) -> dict[str, Workflow]:
    """What every variant of one setting runs.

    Args:
        cases: the cases of one setting (one network, batch and dtype), columns of ``columns.RESULTS``.
        operators: columns of ``columns.OPERATORS``.
        stages: columns that name a layer among those of its variant.
    """
    costs, times = operators_by_case(operators), measured_by_case(operators)
    found: dict[str, Workflow] = {}
    for variant, rows in cases.groupby("variant", sort=False):
        sequence: list[OperatorCost] = []
        measured: list[float | None] = []
        wall_s = energy_j = 0.0
        for row in rows.to_dict("records"):
            repeat = int(row["repeat"]) if not pd.isna(row["repeat"]) else 1
            latency_s = float(row["loop_latency_s"])
            wall_s += repeat * latency_s
            energy_j += repeat * float(row["energy_per_iteration_j"] or math.nan)
            name = point_label(stages, [row.get(s) for s in stages]) if len(rows) > 1 else ""
            sequence += [repeated(op, repeat, name) for op in costs.get(row["case"], [])]
            mine = _times(times.get(row["case"], []), latency_s)
            measured += [None if seconds is None else repeat * seconds for seconds in mine]
        found[str(variant)] = Workflow(tuple(sequence), tuple(measured), _positive(wall_s), _positive(energy_j))
    return found


def _positive(value: float) -> float | None:
    return value if math.isfinite(value) and value > 0 else None


def _times(measured: list[float | None], latency_s: float) -> list[float | None]:
    """Measured operator times; the loop's latency is that of a lone operator's."""
    if len(measured) == 1 and measured[0] is None and math.isfinite(latency_s):
        return [latency_s]
    return measured


def repeated(op: OperatorCost, repeat: int, name: str = "") -> OperatorCost:
    """``repeat`` runs of an operator as one; ``name`` is put before its path."""
    return replace(
        op, macs=op.macs * repeat, read_bytes=op.read_bytes * repeat, write_bytes=op.write_bytes * repeat,
        weight_bytes=op.weight_bytes * repeat, path=" ".join(filter(None, (name, op.path))),
    )  # fmt: skip


def _cost(row: dict[Any, Any]) -> OperatorCost:
    family = row["family"] if row["family"] in FAMILIES else "other"
    return OperatorCost(
        name=str(row["name"]),
        family=cast(Family, family),
        macs=int(row["macs"]),
        read_bytes=int(row["read_bytes"]),
        write_bytes=int(row["write_bytes"]),
        dtype=str(row["dtype"]),
        groups=int(row["groups"]),
        group_size=int(row["group_size"]),
        kernel_size=int(row["kernel_size"]),
        out_channels=int(row["out_channels"]),
        stride=int(row["stride"]),
        input_side=int(row["input_side"]),
        weight_bytes=int(row["weight_bytes"]),
        path=str(row["path"] or ""),
        known=bool(row["known"]),
    )
