"""How is a table written so that no name in it can do harm? CSV with formulas defused and control characters shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from energybench.journal import disk_error, replace_file

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets take for the beginning of a formula; the last four are the wide forms of the first four."""


def csv_text(frame: pd.DataFrame) -> str:
    """``frame`` as CSV; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    safe = frame.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_inert)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame`` as ``csv_text`` gives it.

    Raises:
        RunFolderError: the file cannot be written.
    """
    try:
        replace_file(path, csv_text(frame))
    except OSError as error:
        raise disk_error(path, error) from error


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
    return f"'{shown}" if value.lstrip().startswith(FORMULA_STARTS) or value.startswith(FORMULA_STARTS) else shown
