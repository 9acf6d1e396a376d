"""The run folder: how does a run reach the disk so that nothing measured is lost, and how is it read again?

A run folder is the waist of the project: measuring writes it, everything else reads it. Raw readings are kept,
whatever is derived can be rebuilt. Order of writing: the readings of a window first (one gzip member), then the
line in ``windows.jsonl`` that refers to them by offset, length and checksum. A kill between the two leaves bytes
nobody refers to, which the next writer cuts off; a torn last line is recognised by its missing newline.
"""

from energybench.journal.disk import replace_file
from energybench.journal.folder import (
    OPERATORS_FILE,
    READINGS_FILE,
    RUN_FILE,
    WINDOWS_FILE,
    Run,
    disk_error,
    load,
    runs_in,
)
from energybench.journal.records import (
    BoardRecord,
    CaseRecord,
    OperatorRecord,
    ReadingsAt,
    RunRecord,
    SkippedRecord,
    WindowKind,
    WindowRecord,
    board_change_s,
)
from energybench.journal.writer import Journal

__all__ = [
    "OPERATORS_FILE",
    "READINGS_FILE",
    "RUN_FILE",
    "WINDOWS_FILE",
    "BoardRecord",
    "CaseRecord",
    "Journal",
    "OperatorRecord",
    "ReadingsAt",
    "Run",
    "RunRecord",
    "SkippedRecord",
    "WindowKind",
    "WindowRecord",
    "board_change_s",
    "disk_error",
    "load",
    "replace_file",
    "runs_in",
]
