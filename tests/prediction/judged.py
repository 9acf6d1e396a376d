"""How far off were predictions? One row of the table, from predicted and measured seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

KEYS = ["data", "family", "predicted_from", "judged_on"]
"""What names a row."""


@dataclass(frozen=True)
class Judged:
    """One row of the table.

    Attributes:
        data: data set.
        family: kernel or network family.
        predicted_from: what the prediction knows.
        judged_on: card.
        rows: latencies judged.
        mape: mean absolute percentage error, as a share.
        median_error: half of the rows are predicted better.
        spearman: rank correlation; NaN of fewer than three rows.
        roofline_mape: of the pure roofline on the same rows; NaN where there are no kernels.
        target: what is asked of ``mape``; NaN where nothing is.
    """

    data: str
    family: str
    predicted_from: str
    judged_on: str
    rows: int
    mape: float
    median_error: float
    spearman: float
    roofline_mape: float
    target: float


def judged(
    where: tuple[str, str, str, str],
    predicted_s: Sequence[float],
    measured_s: Sequence[float],
    *,
    roofline_s: Sequence[float] | None = None,
    target: float = np.nan,
) -> Judged:
    """The row that predictions of the same latencies make."""
    measured = np.asarray(measured_s)
    errors = np.abs(np.asarray(predicted_s) / measured - 1)
    roofline = np.nan if roofline_s is None else float(np.mean(np.abs(np.asarray(roofline_s) / measured - 1)))
    rank = float(spearmanr(predicted_s, measured).statistic) if len(measured) > 2 else np.nan
    return Judged(*where, len(measured), float(errors.mean()), float(np.median(errors)), rank, roofline, target)


def to_frame(rows: Sequence[Judged]) -> pd.DataFrame:
    """The table as it is committed: shares with three decimals."""
    names = [f.name for f in fields(Judged)]
    return pd.DataFrame([astuple(row) for row in rows], columns=names).round(3)
