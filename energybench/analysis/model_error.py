"""How far is the model from the measurement? Signed errors case by case, and how well it ranks what it predicts.

The model is that of `predict`: kernel efficiencies on the run's machine sheet, with the error it states of itself. The
roofline stands beside it as what it is, a bound that no prediction should be judged as.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from energybench.analysis.matching import Unmatched
from energybench.analysis.run_model import RunModel
from energybench.analysis.summary import Summary
from energybench.errors import RunFolderError

QUANTITIES = ("latency", "energy")

FEWEST_TO_RANK = 3


@dataclass(frozen=True)
class Prediction:
    """One quantity, measured and predicted, in base units (s per iteration, J per inference).

    Attributes:
        measured: by the run.
        predicted: by the model.
        expected_error: mean relative error that the model states of such a prediction, None where it states none.
    """

    measured: float
    predicted: float
    expected_error: float | None = None

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
        bound: seconds of one iteration against the roofline; None without a sheet.
    """

    scope: Literal["case", "total"]
    name: str
    place: str
    variant: str
    measurement: str
    latency: Prediction | None
    energy: Prediction | None
    bound: Prediction | None


@dataclass(frozen=True)
class Score:
    """How good the predictions of one variant are, or of all; each measurement counts once, totals do not.

    Attributes:
        variant: the variant; empty for all.
        quantity: ``latency`` or ``energy``.
        measurements: how many were predicted.
        mape: mean of the absolute relative errors.
        expected_mape: what the model states that mean to be; None where it states nothing.
        bias: geometric mean of predicted over measured, - 1: what one factor would mend.
        spearman: rank correlation of predicted and measured; None for fewer than three, or where all are alike.
    """

    variant: str
    quantity: str
    measurements: int
    mape: float
    expected_mape: float | None
    bias: float
    spearman: float | None


@dataclass(frozen=True)
class ModelComparison:
    """A run against its model.

    Attributes:
        run: name of the run folder.
        device: what it was measured on.
        model: the machine sheet, where that comes from, and the kernel efficiencies.
        rows: cases, then totals.
        scores: for each quantity, every variant and then all.
        bound: the roofline's latencies scored as if they were predictions; None without a sheet.
        unmatched: cases that were not measured or not predicted, and why.
        gain: relative half-width of the sensor's gain: no error of the energy model below it means anything.
        simulated: whether a simulated device made the "measured" numbers.
    """

    run: str
    device: str
    model: str
    rows: tuple[PredictedRow, ...]
    scores: tuple[Score, ...]
    bound: Score | None
    unmatched: tuple[Unmatched, ...]
    gain: float
    simulated: bool


def compare_with_model(summary: Summary, model: RunModel) -> ModelComparison:
    """Predicted against measured latency and energy of every case and total.

    Args:
        summary: what was measured.
        model: what was predicted of it (``run_model``).

    Raises:
        RunFolderError: nothing of the run was predicted, or nothing was measured.
    """
    rows = [*_rows(summary.cases, "case", model), *_rows(summary.totals, "total", model)]
    known = [row for row in rows if row.latency or row.energy]
    if not known or summary.run.origin == "modelled":
        raise RunFolderError(_nothing(summary), where=str(summary.run.folder), remedy=_remedy(summary))
    names = {row.name for row in known}
    reasons = summary.cases[~summary.cases["case"].isin(names)].fillna({"reason": "", "status": ""})
    gains = summary.cases["energy_gain_uncertainty"].dropna()
    device = summary.run.record.device
    cases = [row for row in known if row.scope == "case"]
    bounds = [row.bound for row in _distinct(cases) if row.bound]
    return ModelComparison(
        run=summary.run.folder.name,
        device=str(device.get("title") or device.get("name") or "unknown device"),
        model=model.name,
        rows=tuple(known),
        scores=tuple(_scores(cases)),
        bound=score("", "latency", bounds) if bounds else None,
        unmatched=tuple(Unmatched(str(r.case), _absence(r), lost=False) for r in reasons.itertuples()),
        gain=float(gains.max()) if len(gains) else 0.0,
        simulated=summary.run.simulated,
    )


def score(variant: str, quantity: str, predictions: Sequence[Prediction]) -> Score:
    """How good ``predictions`` are; at least one."""
    measured = np.array([p.measured for p in predictions])
    predicted = np.array([p.predicted for p in predictions])
    expected = [p.expected_error for p in predictions if p.expected_error is not None]
    rankable = len(predictions) >= FEWEST_TO_RANK and len(set(measured)) > 1 and len(set(predicted)) > 1
    return Score(
        variant=variant,
        quantity=quantity,
        measurements=len(predictions),
        mape=float(np.mean(np.abs(predicted / measured - 1))),
        expected_mape=float(np.mean(expected)) if len(expected) == len(predictions) else None,
        bias=math.expm1(float(np.mean(np.log(predicted / measured)))),
        spearman=float(stats.spearmanr(measured, predicted).statistic) if rankable else None,
    )


def _rows(frame: pd.DataFrame, scope: Literal["case", "total"], model: RunModel) -> Iterator[PredictedRow]:
    for row in frame[frame["status"] == "ok"].to_dict("records"):
        work = row.get("work")
        name = str(row["case"])
        said = model.rows.get(name)
        measured_s, measured_j = row.get("loop_latency_s"), row.get("energy_per_inference_j")
        yield PredictedRow(
            scope=scope,
            name=name,
            place=str(row["comparison"]),
            variant=str(row["variant"]),
            measurement=str(work) if scope == "case" and pd.notna(work) else name,
            latency=_prediction(measured_s, said.latency_s, said.latency_error) if said else None,
            energy=_prediction(measured_j, said.energy_per_inference_j, said.energy_error) if said else None,
            bound=_prediction(measured_s, row.get("attainable_latency_s"), None),
        )


def _prediction(measured: Any, predicted: Any, expected_error: float | None) -> Prediction | None:
    if measured is None or predicted is None or pd.isna(measured) or pd.isna(predicted):
        return None
    if measured <= 0 or predicted <= 0:
        return None
    return Prediction(float(measured), float(predicted), expected_error)


def _distinct(cases: Iterable[PredictedRow]) -> list[PredictedRow]:
    """One row a measurement: cases that are the same work count once."""
    return list({row.measurement: row for row in cases}.values())


def _scores(cases: Sequence[PredictedRow]) -> Iterator[Score]:
    variants = list(dict.fromkeys(row.variant for row in cases))
    for quantity in QUANTITIES:
        for variant in [*variants, ""]:
            distinct = _distinct(row for row in cases if variant in ("", row.variant))
            found = [row.latency if quantity == "latency" else row.energy for row in distinct]
            predictions = [p for p in found if p is not None]
            if predictions:
                yield score(variant, quantity, predictions)


def _absence(row: Any) -> str:
    if row.status != "ok":
        return f"{row.status} {row.reason}".strip()
    return "not predicted: no machine sheet, or no known operator"


def _nothing(summary: Summary) -> str:
    if summary.run.origin == "modelled":
        return "this run is itself a prediction: nothing in it was measured"
    if not (summary.cases["status"] == "ok").any():
        return "no case of this run was measured"
    return "nothing of this run was predicted: it has no machine sheet"


def _remedy(summary: Summary) -> str:
    if summary.run.origin == "modelled":
        return "energybench compare RUN --model   on a run that was measured"
    if not (summary.cases["status"] == "ok").any():
        return "run the suite to its end first"
    return "energybench machines   lists the boards that have a sheet"
