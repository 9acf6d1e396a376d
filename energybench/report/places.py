"""Which rows of a table belong together, and what is that place called?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from energybench.report.style import plain


def split(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """``frame`` cut at the distinct values of ``columns``, in order of appearance, each part with a name.

    Columns that hold one value throughout are left out of the names; a frame that is not cut at all has the name "".
    """
    present = [c for c in columns if c in frame]
    if not present or frame.empty:
        return [("", frame)] if len(frame) else []
    varying = [c for c in present if frame[c].nunique(dropna=False) > 1]
    if not varying:
        return [("", frame)]
    parts = frame.groupby(varying, sort=False, dropna=False)
    return [(point_label(varying, _tuple(key)), part) for key, part in parts]


def constant_label(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """What all rows of ``frame`` share of ``columns``, for a subtitle."""
    fixed = [c for c in columns if c in frame and frame[c].nunique(dropna=False) == 1]
    return point_label(fixed, [frame[c].iloc[0] for c in fixed]) if len(frame) else ""


def point_label(fields: Iterable[str], values: Iterable[Any]) -> str:
    """``batch 32, float16``: text values speak for themselves, numbers need the name of their field."""
    parts = []
    for field, value in zip(fields, values, strict=True):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        parts.append(plain(value, 40) if isinstance(value, str) else f"{plain(field)} {_number(value)}")
    return ", ".join(parts)


def spread_over(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of ``items``, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(value, 24)
