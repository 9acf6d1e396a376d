"""How is a table written so that no name in it can do harm? CSV with formulas defused and control characters shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame``; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    safe = frame.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_inert)
    draft = path.with_name(path.name + ".draft")
    safe.to_csv(draft, index=False, lineterminator="\n")
    draft.replace(path)


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
    return f"'{shown}" if shown.startswith(FORMULA_STARTS) else shown
