"""What does a run folder hold? Reading it, however it was left and whoever wrote it.

A folder may come from a stranger: it is data. Nothing in it is executed or unpickled, links are not followed, and
whatever it says is bounded and checked before anything is computed from it.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from energybench.columns import RESULTS, SCHEMA_VERSION, names
from energybench.errors import RunFolderError
from energybench.journal.disk import read_plain
from energybench.journal.records import OperatorRecord, RunRecord, WindowRecord
from energybench.readings import Reading

RUN_FILE = "run.json"
WINDOWS_FILE = "windows.jsonl"
OPERATORS_FILE = "operators.jsonl"
READINGS_FILE = "readings.csv.gz"

MOST_RECORD_BYTES = 2**29
MOST_LINES_BYTES = 2**32
MOST_READINGS_BYTES = 2**28
"""Of one window, unpacked: at a reading a millisecond that is most of an hour."""
BYTES_A_READING = 512
"""Several times the longest line that is written."""

_TAKEN = frozenset(names(RESULTS)) - {"batch", "dtype", "repeat"}
_MODELLED = {"latency_s", "power_w", "energy_per_iteration_j"}
Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class Run:
    """A run folder as it was found: its record, its windows and operators, and its readings on demand."""

    folder: Path
    record: RunRecord
    windows: tuple[WindowRecord, ...]
    operators: tuple[OperatorRecord, ...]

    def __repr__(self) -> str:
        """One line, for notebooks: the whole record would fill the screen."""
        state = "complete" if self.record.complete else "not complete"
        return (
            f"<Run {self.folder.name}: {self.record.name} on {self.record.device.get('title', 'unknown device')}, "
            f"{len(self.record.cases)} cases, {self.origin}, {state}>"
        )

    @property
    def simulated(self) -> bool:
        """Whether the numbers come from a simulated device."""
        return self.record.simulated

    @property
    def origin(self) -> str:
        """Where the numbers come from: ``measured``, ``simulated`` or ``modelled``."""
        if self.record.modelled:
            return "modelled"
        return "simulated" if self.record.simulated else "measured"

    def readings(self, window: WindowRecord) -> list[Reading]:
        """The raw meter readings of ``window``, in time order; empty when none were taken.

        Raises:
            RunFolderError: the bytes are missing, do not have the recorded checksum, or are not what was recorded.
        """
        at = window.readings
        if at is None:
            return []
        path = self.folder / READINGS_FILE
        try:
            member = read_plain(path, start=at.offset, length=at.length, most_bytes=MOST_READINGS_BYTES)
            if len(member) != at.length or zlib.crc32(member) != at.crc32:
                raise ValueError("checksum")
            return _unpacked(member, at.rows)
        except OSError as error:
            raise RunFolderError(f"cannot be read: {error.strerror}", where=str(path)) from error
        except (ValueError, zlib.error) as error:
            raise RunFolderError(
                f"the readings of window {window.number} are damaged",
                where=str(path),
                why="joules rebuilt from damaged readings would be wrong",
                remedy="measure again with --fresh, or restore the file from a copy",
            ) from error


def load(folder: Path | str) -> Run:
    """Read a run folder, finished or not; a torn last line is left out.

    Raises:
        RunFolderError: it is no run folder, its schema is newer, or a file is damaged in the middle.
    """
    folder = Path(folder)
    try:
        record = _record(folder)
        windows = tuple(_checked(window, folder) for window in _parse_lines(folder / WINDOWS_FILE, WindowRecord))
        operators = tuple(_parse_lines(folder / OPERATORS_FILE, OperatorRecord))
    except OSError as error:
        raise disk_error(folder, error) from error
    _check_operators(folder, record, operators)
    stopped = {window.comparison: window.stopped for window in windows if window.kind == "stopped"}
    record = record.model_copy(update={"stopped": record.stopped | stopped})
    return Run(folder, record, windows, operators)


def runs_in(results: Path, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[Run]:
    """The runs under ``results`` whose ``run.json`` is ``wanted``; what cannot be read is passed over."""
    for path in sorted(results.glob(f"*/{RUN_FILE}")) if results.is_dir() else []:
        try:
            if wanted(json.loads(read_plain(path, most_bytes=MOST_RECORD_BYTES))):
                yield load(path.parent)
        except (OSError, ValueError, RunFolderError, AttributeError, RecursionError):
            continue


def whole_lines(path: Path) -> Iterator[bytes]:
    """Every line that ends in a newline; what a kill tore off has none."""
    try:
        data = read_plain(path, most_bytes=MOST_LINES_BYTES)
    except FileNotFoundError:
        return
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start : end + 1]
        start = end + 1


def disk_error(where: Path, error: OSError) -> RunFolderError:
    """What the operating system said, as an error that says what became of the run."""
    return RunFolderError(
        f"cannot be used: {error.strerror or error}",
        where=str(where),
        why="what was measured up to here is kept and can be reported",
        remedy="free space or fix the permissions, then run the same command again to go on",
    )


def _record(folder: Path) -> RunRecord:
    path = folder / RUN_FILE
    try:
        _refuse_links(folder)
        record = RunRecord.model_validate_json(read_plain(path, most_bytes=MOST_RECORD_BYTES))
        if problem := _record_problem(record):
            raise RunFolderError(f"cannot be understood: {problem}", where=str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(
            "is not a run folder (it has no run.json)",
            where=str(folder),
            remedy="give a folder that `energybench run` wrote, e.g. one under results/",
        ) from error
    except ValidationError as error:
        raise RunFolderError(f"cannot be understood: {_first_line(error)}", where=str(path)) from error
    if record.schema_version > SCHEMA_VERSION:
        raise RunFolderError(
            f"has schema version {record.schema_version}, this energybench knows {SCHEMA_VERSION}",
            where=str(path),
            remedy="pip install --upgrade energybench",
        )
    return record


def _refuse_links(folder: Path) -> None:
    """What we write into a folder must stay in it, so that a report of a stranger's run overwrites nothing else."""
    for entry in folder.iterdir():
        if entry.is_symlink():
            why = "a report writes into the folder, and must not write elsewhere"
            raise RunFolderError("is a link; a run folder holds none", where=str(entry), why=why)


def _record_problem(record: RunRecord) -> str:
    """What is wrong with a record that has the right types, or nothing."""
    free = (record.options, record.device, record.meter, record.plan, record.sensor, record.calibration, record.machine)
    if not _finite(free) or not all(_finite(case.args) for case in record.cases):
        return "it holds a number that is not finite"
    if len({case.id for case in record.cases}) < len(record.cases):
        return "two cases have the same id"
    fields = {field for case in record.cases for field in case.point}
    wrong = [field for field in fields if field in _TAKEN or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", field)]
    if wrong:
        return f"{min(wrong)!r} cannot be a field of a case"
    for name in ("windows", "precision"):
        value = record.plan.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"plan.{name} must be a number"
    kinds = record.meter.get("kinds", [])
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        return "meter.kinds must be a list of text"
    for work, said in record.modelled.items():
        wanted = _MODELLED if "static_w" in (record.machine or {"static_w"}) else {"latency_s"}
        if not all(said.get(name, 0.0) > 0 for name in wanted):
            return f"modelled.{work} lacks one of {', '.join(sorted(wanted))}"
    return ""


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(item) for item in value)
    return not isinstance(value, float | int) or -(2**63) < value < 2**63


def _checked(window: WindowRecord, folder: Path) -> WindowRecord:
    """A window whose loop can have happened: time and iterations go on, within its begin and end."""
    stamps = window.stamps
    if stamps or window.kind == "window":
        forward = (
            len(stamps) >= 2
            and all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(stamps))
            and stamps[0][1] < stamps[-1][1]
            and max(window.start_s, stamps[0][0]) < min(window.stop_s, stamps[-1][0])
        )
        if not forward:
            what = f"the stamps of window {window.number} do not go forward"
            raise RunFolderError(what, where=str(folder / WINDOWS_FILE))
    return window


def _check_operators(folder: Path, record: RunRecord, operators: tuple[OperatorRecord, ...]) -> None:
    """The operators of each work must add up to what was planned: a file that lost its tail is not believed."""
    macs: dict[str, int] = {}
    for operator in operators:
        macs[operator.work] = macs.get(operator.work, 0) + operator.macs
    for case in record.cases:
        if operators and macs.get(case.work, 0) != case.macs:
            raise RunFolderError(
                f"the operators of {case.id!r} have {macs.get(case.work, 0)} MACs, the case has {case.macs}",
                where=str(folder / OPERATORS_FILE),
                why="predictions and bounds would be wrong",
                remedy="restore the file from a copy, or delete it to report without models",
            )


def _parse_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            raise RunFolderError(f"cannot be understood: {_first_line(error)}", where=f"{path}:{number}") from error


def _unpacked(member: bytes, rows: int) -> list[Reading]:
    """The readings of one gzip member, which may not unpack to more than its recorded rows can need.

    Raises:
        ValueError: it is not what was recorded.
    """
    most = min(rows * BYTES_A_READING, MOST_READINGS_BYTES)
    unpacker = zlib.decompressobj(wbits=31)
    text = unpacker.decompress(member, most + 1)
    if len(text) > most or not unpacker.eof or unpacker.unused_data:
        raise ValueError("more than was recorded, or less")
    lines = text.decode().splitlines()
    if len(lines) != rows:
        raise ValueError("rows are missing")
    times, kinds, values, natives, calls = zip(*(line.split(",") for line in lines), strict=True) if lines else [()] * 5
    when = [float(time_s) for time_s in times]
    if when != sorted(when) or not math.isfinite(sum(when)):
        raise ValueError("not in time order")
    native = (float(time_s) if time_s else None for time_s in natives)
    readings = map(Reading, when, kinds, map(float, values), native, map(float, calls))
    return [reading for reading in readings if math.isfinite(reading.value)]


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])[:200]}: {first['msg'].splitlines()[0]}"
