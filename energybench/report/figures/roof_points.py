"""Where does each case, and each timed operator of a network, stand under a roof?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from energybench.cost import OperatorCost
from energybench.report.operators import measured_by_case, operators_by_case

CASES_AT_MOST = 600
DOTS_AT_MOST = 800
LEAST_SHARE = 0.01
"""Share of its network's FLOPs that an operator needs for a dot of its own."""


@dataclass(frozen=True)
class RoofPoint:
    """One case, or operator, under the roof of the format it multiplies in: FLOP/byte across; FLOP/s or FLOP/J up.

    Attributes:
        variant: whose it is.
        batch: inferences of an iteration.
        dtype: the number format of most of its FLOPs.
        intensity: FLOP/byte.
        height: FLOP/s or FLOP/J.
        low: lower end of its interval, NaN without one.
        high: upper end.
        row_id: the row of the table it belongs to.
        work: identity of the work; cases that share it are one measurement.
        operator: its name in the network; empty for a case.
    """

    variant: str
    batch: int
    dtype: str
    intensity: float
    height: float
    low: float
    high: float
    row_id: str
    work: str
    operator: str = ""


def case_points(cases: pd.DataFrame, operators: pd.DataFrame, stem: str, unit: str, column: str) -> list[RoofPoint]:
    """Cases as points; the more of ``column`` (seconds or joules) an iteration takes, the lower the point.

    Raises:
        ValueError: no case has both FLOPs and ``column``.
    """
    costs = operators_by_case(operators)
    points = []
    for index, row in zip(cases.index, cases.to_dict("records"), strict=True):
        spent, mine = row[column], costs.get(row["case"], [])
        flops, traffic = sum(op.flops for op in mine), sum(op.bytes for op in mine)
        if not flops or not traffic or not (math.isfinite(spent) and spent > 0):
            continue
        ends = [flops / row[f"{stem}_{end}{unit}"] if row[f"{stem}_{end}{unit}"] > 0 else math.nan
                for end in ("high", "low")]  # fmt: skip
        points.append(
            RoofPoint(row["variant"], int(row["batch"]), _multiplied_in(mine), flops / traffic, flops / spent, ends[0],
                      ends[1], f"case-{index}", str(row["work"]))
        )  # fmt: skip
    if not points:
        raise ValueError(f"no case has both FLOPs and {column}")
    return points[:CASES_AT_MOST]


def operator_points(cases: pd.DataFrame, operators: pd.DataFrame) -> list[RoofPoint]:
    """The timed operators of networks as points of FLOP/s; those that matter little to their network are left out."""
    costs, times = operators_by_case(operators), measured_by_case(operators)
    points = []
    for index, row in zip(cases.index, cases.to_dict("records"), strict=True):
        mine = costs.get(row["case"], [])
        least = LEAST_SHARE * sum(op.flops for op in mine)
        if sum(1 for op in mine if op.flops) < 2:
            continue
        for op, seconds in zip(mine, times[row["case"]], strict=True):
            if seconds and op.bytes and op.flops > least:
                points.append(
                    RoofPoint(row["variant"], int(row["batch"]), op.dtype, op.flops / op.bytes, op.flops / seconds,
                              math.nan, math.nan, f"case-{index}", str(row["work"]), op.path or op.name)
                )  # fmt: skip
    return points[:DOTS_AT_MOST]


def shared_work(points: Sequence[RoofPoint]) -> dict[str, list[RoofPoint]]:
    """Points that are one measurement under several names, by their work: they cover each other."""
    found: dict[str, list[RoofPoint]] = {}
    for point in points:
        found.setdefault(point.work, []).append(point)
    return {work: mine for work, mine in found.items() if len({point.variant for point in mine}) > 1}


def _multiplied_in(operators: Sequence[OperatorCost]) -> str:
    """The number format of most of the FLOPs; that of a quantised layer is not that of the network around it."""
    flops: Counter[str] = Counter()
    for op in operators:
        flops[op.dtype] += op.flops
    return flops.most_common(1)[0][0]
