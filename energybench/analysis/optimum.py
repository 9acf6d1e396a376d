"""Where does a run put the optimum group size, and where do the analytic models? One row a shape, batch and dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from energybench.analysis.group_size import GroupSizeAnswer, group_size_models, measured_optimum
from energybench.cost import OperatorCost
from energybench.errors import EnergyBenchError
from energybench.journal import Run
from energybench.machine import Machine


@dataclass(frozen=True)
class GroupedLayer:
    """The one grouped convolution of a case."""

    channels: int
    kernel_size: int
    group_size: int


def grouped_layer(operators: Sequence[OperatorCost]) -> GroupedLayer | None:
    """The convolution of a case that has exactly one operator with MACs; None for anything else."""
    working = [o for o in operators if o.macs]
    if len(working) != 1 or not working[0].group_size:
        return None
    op = working[0]
    return GroupedLayer(op.groups * op.group_size, op.kernel_size, op.group_size)


def group_size_rows(
    run: Run, cases: pd.DataFrame, operators: Mapping[str, Sequence[OperatorCost]], machine: Machine | None
) -> list[dict[str, Any]]:
    """Measured and analytic optimum for every comparison of a group-size study; empty for other studies.

    The joules of a modelled run are one more model's: its optimum is called predicted, never measured.
    """
    if run.record.analytic != "group_size":
        return []
    rows = []
    texts = _text_fields(run)
    for comparison, members in cases[cases["status"] == "ok"].groupby("comparison", sort=False):
        layers = {work: grouped_layer(operators.get(work, [])) for work in members["work"]}
        distinct = members[members["work"].map(lambda w: layers[w] is not None)].drop_duplicates("work")  # noqa: B023
        if len(distinct) < 2:
            continue
        sizes = [layer.group_size for work in distinct["work"] if (layer := layers[work]) is not None]
        first = next(layer for layer in layers.values() if layer is not None)
        rows.append(_row(str(comparison), texts, distinct, sizes, first, machine, run.origin))
    return rows


def models_of(
    layer: GroupedLayer, group_sizes: Sequence[int], case: pd.Series, machine: Machine
) -> GroupSizeAnswer | None:
    """The analytic models on the shape of a case; None where the machine has no rate for its dtype."""
    try:
        return group_size_models(
            channels=layer.channels,
            size=_side(case, layer),
            kernel=layer.kernel_size,
            batch=int(case["batch"]),
            dtype=str(case["dtype"]),
            machine=machine,
            group_sizes=sorted(group_sizes),
        )
    except EnergyBenchError:
        return None


def _row(
    comparison: str,
    texts: Sequence[str],
    distinct: pd.DataFrame,
    sizes: Sequence[int],
    layer: GroupedLayer,
    machine: Machine | None,
    origin: str,
) -> dict[str, Any]:
    case = distinct.iloc[0]
    joules = distinct["energy_per_inference_j"].astype(float).tolist()
    measured = measured_optimum(
        sizes,
        joules,
        distinct["energy_per_inference_low_j"].astype(float).tolist(),
        distinct["energy_per_inference_high_j"].astype(float).tolist(),
    )
    row: dict[str, Any] = {
        "comparison": comparison,
        "network": " ".join(str(case[t]) for t in texts),
        "channels": layer.channels,
        "size": _side(case, layer),
        "batch": int(case["batch"]),
        "dtype": case["dtype"],
        "group_sizes": " ".join(map(str, sorted(sizes))),
    }
    if measured is not None and origin == "modelled":
        row["predicted_optimum"], measured = measured.group_size, None
    if measured is not None:
        row["measured_optimum"] = measured.group_size
        row["measured_set"] = " ".join(map(str, measured.indistinguishable))
        per_mac = distinct["energy_per_mac_j"].astype(float).tolist()
        row["measured_optimum_per_mac"] = min(zip(per_mac, sizes, strict=True))[1]
    models = models_of(layer, sizes, case, machine) if machine is not None else None
    if models is None:
        return row
    row |= {
        "thesis_optimum": models.thesis.optimum.choice,
        "physical_optimum": models.physical.optimum.choice,
        "knee": models.knee.optimum.choice,
    }
    if measured is not None:
        predicted_j = models.physical.energy[models.group_sizes.index(measured.group_size)].total_j
        row["residual"] = measured.joules / predicted_j - 1
    return row


def _text_fields(run: Run) -> list[str]:
    """Text fields of the summed axis: what tells networks apart."""
    fields = run.record.summed_axis
    return [f for f in fields if any(isinstance(c.point.get(f), str) for c in run.record.cases)]


def _side(case: pd.Series, layer: GroupedLayer) -> int:
    """Output side in pixels, from the MACs: n = B S C G K^2."""
    positions = case["macs"] / (case["batch"] * layer.channels * layer.group_size * layer.kernel_size**2)
    return round(math.sqrt(positions))
