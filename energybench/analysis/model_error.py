"""How far is the model from the measurement? Signed errors case by case, and how well it ranks what it predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from energybench.analysis.matching import Unmatched
from energybench.analysis.summary import Summary
from energybench.errors import RunFolderError

COLUMNS = {
    "latency": ("loop_latency_s", "predicted_latency_s"),
    "energy": ("energy_per_inference_j", "predicted_energy_per_inference_j"),
}
"""Quantity -> (measured column, predicted column)."""

FEWEST_TO_RANK = 3


@dataclass(frozen=True)
class Prediction:
    """One quantity, measured and predicted, in base units (s per iteration, J per inference)."""

    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Signed relative error: predicted / measured - 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class PredictedRow:
    """One case or total: what was measured and what was predicted.

    Attributes:
        scope: ``case`` or ``total``.
        name: its id.
        place: the point of the axes.
        variant: the variant.
        measurement: which measurement it is; cases that are the same work share one.
        latency: seconds of one iteration.
        energy: joules of one inference; None where they were not measured or not predicted.
    """

    scope: Literal["case", "total"]
    name: str
    place: str
    variant: str
    measurement: str
    latency: Prediction | None
    energy: Prediction | None


@dataclass(frozen=True)
class Score:
    """How good the predictions of one variant are, or of all; each measurement counts once, totals do not.

    Attributes:
        variant: the variant; empty for all.
        quantity: ``latency`` or ``energy``.
        measurements: how many were predicted.
        mape: mean of the absolute relative errors.
        bias: geometric mean of predicted over measured, - 1: what one factor would mend.
        spearman: rank correlation of predicted and measured; None for fewer than three, or where all are alike.
    """

    variant: str
    quantity: str
    measurements: int
    mape: float
    bias: float
    spearman: float | None


@dataclass(frozen=True)
class ModelComparison:
    """A run against its model.

    Attributes:
        run: name of the run folder.
        device: what it was measured on.
        model: the machine sheet and where that comes from.
        rows: cases, then totals.
        scores: for each quantity, every variant and then all.
        unmatched: cases that were not measured or not predicted, and why.
        gain: relative half-width of the sensor's gain: no error of the energy model below it means anything.
        simulated: whether a simulated device made the "measured" numbers.
    """

    run: str
    device: str
    model: str
    rows: tuple[PredictedRow, ...]
    scores: tuple[Score, ...]
    unmatched: tuple[Unmatched, ...]
    gain: float
    simulated: bool


def compare_with_model(summary: Summary) -> ModelComparison:
    """Predicted against measured latency and energy of every case and total.

    Raises:
        RunFolderError: nothing of the run was predicted, or nothing was measured.
    """
    rows = [*_rows(summary.cases, "case"), *_rows(summary.totals, "total")]
    known = [row for row in rows if row.latency or row.energy]
    if not known:
        raise RunFolderError(_nothing(summary), where=str(summary.run.folder), remedy=_remedy(summary))
    names = {row.name for row in known}
    reasons = summary.cases[~summary.cases["case"].isin(names)].fillna({"reason": "", "status": ""})
    gains = summary.cases["energy_gain_uncertainty"].dropna()
    machine = summary.machine
    device = summary.run.record.device
    return ModelComparison(
        run=summary.run.folder.name,
        device=str(device.get("title") or device.get("name") or "unknown device"),
        model=f"{machine.title} ({machine.provenance})" if machine else "of no machine sheet",
        rows=tuple(known),
        scores=tuple(_scores([row for row in known if row.scope == "case"])),
        unmatched=tuple(Unmatched(str(r.case), _absence(r), lost=False) for r in reasons.itertuples()),
        gain=float(gains.max()) if len(gains) else 0.0,
        simulated=summary.run.simulated,
    )


def score(variant: str, quantity: str, predictions: Sequence[Prediction]) -> Score:
    """How good ``predictions`` are; at least one."""
    measured = np.array([p.measured for p in predictions])
    predicted = np.array([p.predicted for p in predictions])
    rankable = len(predictions) >= FEWEST_TO_RANK and len(set(measured)) > 1 and len(set(predicted)) > 1
    return Score(
        variant=variant,
        quantity=quantity,
        measurements=len(predictions),
        mape=float(np.mean(np.abs(predicted / measured - 1))),
        bias=math.expm1(float(np.mean(np.log(predicted / measured)))),
        spearman=float(stats.spearmanr(measured, predicted).statistic) if rankable else None,
    )


def _rows(frame: pd.DataFrame, scope: Literal["case", "total"]) -> Iterator[PredictedRow]:
    for row in frame[frame["status"] == "ok"].to_dict("records"):
        work = row.get("work")
        name = str(row["case"])
        yield PredictedRow(
            scope=scope,
            name=name,
            place=str(row["comparison"]),
            variant=str(row["variant"]),
            measurement=str(work) if scope == "case" and pd.notna(work) else name,
            latency=_prediction(row, "latency"),
            energy=_prediction(row, "energy"),
        )


def _prediction(row: dict[Any, Any], quantity: str) -> Prediction | None:
    measured, predicted = (row.get(column) for column in COLUMNS[quantity])
    if measured is None or predicted is None or pd.isna(measured) or pd.isna(predicted):
        return None
    return Prediction(float(measured), float(predicted)) if measured > 0 and predicted > 0 else None


def _scores(cases: Sequence[PredictedRow]) -> Iterator[Score]:
    variants = list(dict.fromkeys(row.variant for row in cases))
    for quantity in COLUMNS:
        for variant in [*variants, ""]:
            of_variant = [row for row in cases if variant in ("", row.variant)]
            distinct = {row.measurement: row for row in of_variant}
            found = [row.latency if quantity == "latency" else row.energy for row in distinct.values()]
            predictions = [p for p in found if p is not None]
            if predictions:
                yield score(variant, quantity, predictions)


def _absence(row: Any) -> str:
    if row.status != "ok":
        return f"{row.status} {row.reason}".strip()
    return "not predicted: no machine sheet, or no known operator"


def _nothing(summary: Summary) -> str:
    if not (summary.cases["status"] == "ok").any():
        return "no case of this run was measured"
    return "nothing of this run was predicted: it has no machine sheet"


def _remedy(summary: Summary) -> str:
    if not (summary.cases["status"] == "ok").any():
        return "run the suite to its end first"
    return "energybench machines   lists the boards that have a sheet"
