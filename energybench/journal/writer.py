"""How does a run reach the disk so that nothing measured is lost? Append, repair, resume."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from energybench.errors import RunFolderError
from energybench.journal.disk import AppendedFile, cut_off, replace_file
from energybench.journal.folder import (
    OPERATORS_FILE,
    READINGS_FILE,
    RUN_FILE,
    WINDOWS_FILE,
    Run,
    disk_error,
    load,
    whole_lines,
)
from energybench.journal.records import OperatorRecord, ReadingsAt, RunRecord, WindowRecord
from energybench.readings import Reading


class Journal:
    """The writer of one run folder. A resource: open it, append, close it.

    Attributes:
        folder: where it writes.
        record: ``run.json`` as it is now.
        windows: what is in ``windows.jsonl``. Those of earlier sessions are whole; those appended are kept without
            their stamps, samples and states of the board, so that a long run stays small.

    Raises:
        RunFolderError: on creation or resumption when the folder cannot be used or is in use, on appending when the
            disk is full or the folder has gone; what was written stays.
    """

    def __init__(self, folder: Path, record: RunRecord, windows: Iterable[WindowRecord] = ()) -> None:
        self.folder = folder
        self.record = record
        self.windows = list(windows)
        self._lines = AppendedFile(folder / WINDOWS_FILE)
        if not self._lines.is_mine():
            self._lines.close()
            raise RunFolderError(
                "another energybench is measuring into it",
                where=str(folder),
                why="two writers would mix their windows",
                remedy="wait for it to end, or start a run of its own with --fresh",
            )
        self._readings = AppendedFile(folder / READINGS_FILE)

    @classmethod
    def create(cls, folder: Path, record: RunRecord, operators: Iterable[OperatorRecord]) -> Self:
        """Make a new run folder; refuses one that already holds a run, or anything else of the user's."""
        try:
            _make(folder)
            replace_file(folder / OPERATORS_FILE, _lines(operators))
            replace_file(folder / RUN_FILE, record.model_dump_json(indent=1))
            return cls(folder, record)
        except OSError as error:
            raise RunFolderError(
                f"a run folder cannot be made here: {error.strerror or error}",
                where=str(folder),
                why="nothing has been measured yet",
                remedy="give a folder that may be written, with room on its disk: --output results/NAME",
            ) from error

    @classmethod
    def resume(cls, run: Run, record: RunRecord | None = None, operators: Iterable[OperatorRecord] = ()) -> Self:
        """Take up an interrupted run: cut off what a kill left unfinished, then append after it.

        The folder is read again once no other process can write into it: one may have since it was found.

        Args:
            run: what was found in its folder, maybe a while ago.
            record: takes the place of the run's own, with ``operators``, where it goes on under other conditions.
            operators: of that record.
        """
        try:
            journal = cls(run.folder, run.record)
            with ExitStack() as opened:
                opened.callback(journal.close)
                run = load(run.folder)
                journal.record, journal.windows = record or run.record, list(run.windows)
                lines = run.folder / WINDOWS_FILE
                cut_off(lines, sum(len(line) for line in whole_lines(lines)))
                ends = [w.readings.offset + w.readings.length for w in run.windows if w.readings is not None]
                cut_off(run.folder / READINGS_FILE, max(ends, default=0))
                if record is not None:
                    replace_file(run.folder / OPERATORS_FILE, _lines(operators))
                again = {"sessions": run.record.sessions + 1, "complete": False}
                journal.update(journal.record.model_copy(update=again))
                opened.pop_all()
            return journal
        except OSError as error:
            raise disk_error(run.folder, error) from error

    def append(self, window: WindowRecord, readings: Iterable[Reading] = ()) -> WindowRecord:
        """Write one window and its readings, flushed to the disk; returns it with its number and place."""
        try:
            at = self._append_readings(readings)
            window = window.model_copy(update={"number": len(self.windows), "readings": at})
            self._lines.append(window.model_dump_json(exclude_defaults=True).encode() + b"\n")
        except OSError as error:
            raise disk_error(self.folder, error) from error
        self.windows.append(_remembered(window))
        return window

    def stop(self, comparison: str, why: str) -> None:
        """Write why a comparison ended: a line, not the whole record again, which long suites make large."""
        session = self.record.sessions - 1
        self.append(WindowRecord(number=0, kind="stopped", session=session, comparison=comparison, stopped=why))
        self.record = self.record.model_copy(update={"stopped": {**self.record.stopped, comparison: why}})

    def replace_operators(self, operators: Iterable[OperatorRecord]) -> None:
        """Replace ``operators.jsonl`` atomically: the same operators, now with what a profiler saw of them."""
        try:
            replace_file(self.folder / OPERATORS_FILE, _lines(operators))
        except OSError as error:
            raise disk_error(self.folder, error) from error

    def update(self, record: RunRecord) -> None:
        """Replace ``run.json`` atomically."""
        self.record = record
        try:
            replace_file(self.folder / RUN_FILE, record.model_dump_json(indent=1))
        except OSError as error:
            raise disk_error(self.folder, error) from error

    def close(self) -> None:
        """Close the files; the folder stays resumable unless its record says it is complete."""
        self._lines.close()
        self._readings.close()

    def _append_readings(self, readings: Iterable[Reading]) -> ReadingsAt | None:
        text = io.StringIO()
        rows = 0
        for r in readings:
            native = "" if r.native_time_s is None else f"{r.native_time_s:.6f}"
            text.write(f"{r.time_s:.9f},{r.kind},{r.value!r},{native},{r.call_s:.9f}\n")
            rows += 1
        if rows == 0:
            return None
        member = gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0)
        offset = self._readings.append(member)
        return ReadingsAt(offset=offset, length=len(member), crc32=zlib.crc32(member), rows=rows)


def _make(folder: Path) -> None:
    """Make a folder, or take one that is empty or that a run was about to begin in."""
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise RunFolderError(
                "cannot be made", where=str(folder), why=f"{part} is a file", remedy="another --output"
            )
    folder.mkdir(parents=True, exist_ok=True)
    names = {entry.name.removesuffix(".draft") for entry in folder.iterdir()}
    if RUN_FILE in names and (folder / RUN_FILE).exists():
        remedy = "choose another --output, or leave it out"
        raise RunFolderError("already holds a run", where=str(folder), remedy=remedy)
    if foreign := sorted(names - {OPERATORS_FILE, RUN_FILE}):
        raise RunFolderError(
            f"is not empty and holds no run (there is {foreign[0]!r})",
            where=str(folder),
            why="a run writes many files, and must not mix them with yours",
            remedy="choose another --output",
        )


def _lines(operators: Iterable[OperatorRecord]) -> str:
    return "".join(operator.model_dump_json() + "\n" for operator in operators)


def _remembered(window: WindowRecord) -> WindowRecord:
    """What the runner asks of a window that is on the disk: which one it was, and where its readings are."""
    return window.model_copy(update={"stamps": [], "samples_s": [], "before": None, "after": None})
