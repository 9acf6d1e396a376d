"""What does each case have to do, as the analytic models want it? The operators' table turned into costs."""

from __future__ import annotations

from typing import Any, cast, get_args

import pandas as pd

from energybench.cost import Family, OperatorCost

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


def _cost(row: dict[Any, Any]) -> OperatorCost:
    """The table has the bytes of an operator as one number; the models need no more than that."""
    family = row["family"] if row["family"] in FAMILIES else "other"
    return OperatorCost(
        name=str(row["name"]),
        family=cast(Family, family),
        macs=int(row["macs"]),
        read_bytes=int(row["bytes"]),
        write_bytes=0,
        dtype=str(row["dtype"]),
        group_size=int(row["group_size"]),
        path=str(row["path"] or ""),
    )
