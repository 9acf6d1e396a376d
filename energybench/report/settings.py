"""Which fields of a run's axes say where one is, and which say which stage of a network?"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from energybench.journal import RunRecord
from energybench.report.places import point_label

RESERVED = ("batch", "dtype", "layout", "mode", "cache")


@dataclass(frozen=True)
class Settings:
    """The fields of a run's axes by what they are for.

    Attributes:
        texts: fields with text values that are the user's own: ``network``.
        others: batch, dtype and the other reserved fields of the run; before them numbers of axes that are not summed.
        stages: numeric fields that name a shape or a stage: ``channels``, ``size``.
        summed: whether stages add up to totals.
    """

    texts: tuple[str, ...]
    others: tuple[str, ...]
    stages: tuple[str, ...]
    summed: bool

    @property
    def all(self) -> tuple[str, ...]:
        """Every field that tells totals apart; cases too, where nothing is summed."""
        return self.texts + self.panels

    @property
    def panels(self) -> tuple[str, ...]:
        """The fields whose values are panels of one figure."""
        return self.others if self.summed else self.others + self.stages

    def panels_of(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same for ``rows`` of results: cases that are not summed up yet are told apart by their stage, too."""
        cases = self.summed and bool((rows["row"] == "case").any())
        return self.stages + self.panels if cases else self.panels


def settings_of(record: RunRecord) -> Settings:
    """The fields of ``record``'s cases, in the order of the suite."""
    values: dict[str, object] = {}
    for case in record.cases:
        for field, value in case.point.items():
            values.setdefault(field, value)
    own = [field for field in values if field not in RESERVED and field != "repeat"]
    texts = tuple(field for field in own if isinstance(values[field], str))
    numbers = [field for field in own if field not in texts]
    # Where one axis is summed, the numbers of the others (a sparsity) tell totals apart, as batch and dtype do.
    kept = [field for field in numbers if record.summed_axis and field not in record.summed_axis]
    others = (*kept, "batch", "dtype", *[field for field in RESERVED[2:] if field in values])
    return Settings(texts, others, tuple(field for field in numbers if field not in kept), bool(record.summed_axis))


def places_of(cases: pd.DataFrame, settings: Settings) -> dict[str, str]:
    """A short name of every comparison of ``cases``: the fields that vary among them, and no others."""
    known = cases[cases["variant"].notna()]
    fields = (*settings.texts, *settings.stages, *settings.others)
    varying = [f for f in fields if f in known and known[f].nunique(dropna=False) > 1]
    firsts = known.drop_duplicates("comparison").to_dict("records")
    return {str(row["comparison"]): point_label(varying, [row[f] for f in varying]) for row in firsts}
