"""How does a run reach the disk so that nothing measured is lost? The run folder: append, repair, resume, load.

A run folder is the waist of the project: measuring writes it, everything else reads it. Raw readings are kept,
whatever is derived can be rebuilt. Order of writing: the readings of a window first (one gzip member), then the
line in ``windows.jsonl`` that refers to them by offset, length and checksum. A kill between the two leaves bytes
nobody refers to, which the next writer cuts off; a torn last line is recognised by its missing newline.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from energybench.columns import SCHEMA_VERSION
from energybench.errors import RunFolderError
from energybench.readings import Reading

RUN_FILE = "run.json"
WINDOWS_FILE = "windows.jsonl"
OPERATORS_FILE = "operators.jsonl"
READINGS_FILE = "readings.csv.gz"

WindowKind = Literal["window", "idle", "settle", "observer", "latency", "failed"]
Record = TypeVar("Record", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class CaseRecord(_Record):
    """One case as it was planned: what it is and what it must do."""

    id: str
    variant: str
    layer: str
    args: dict[str, Any] = Field(default_factory=dict)
    inputs: list[dict[str, Any]] = Field(default_factory=list)
    point: dict[str, str | int | float | bool] = Field(default_factory=dict)
    comparison: str
    batch: int
    dtype: str
    layout: str = "contiguous"
    mode: str = "inference"
    cache: str = "hot"
    compile: bool = False
    repeat: int = 1
    baseline: str
    pair: str | None = None
    top1: float | None = None
    work: str
    macs: int
    params: int
    compulsory_bytes: int
    eager_bytes: int
    peak_memory_bytes: int
    unknown_operators: list[str] = Field(default_factory=list)


class SkippedRecord(_Record):
    """A case that is not measured, and why."""

    case: str
    because: str


class OperatorRecord(_Record):
    """One operator of a piece of work, in execution order."""

    work: str
    index: int
    path: str = ""
    name: str
    family: str
    macs: int
    read_bytes: int
    write_bytes: int
    dtype: str
    groups: int = 1
    group_size: int = 0
    kernel_size: int = 0
    known: bool = True
    measured_s: float | None = None
    kernel: str | None = None


class BoardRecord(_Record):
    """What the board said of itself at one moment; cumulative throttle times in seconds."""

    time_s: float
    temperature_c: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_limit_w: float | None = None
    throttle_thermal_s: float | None = None
    throttle_power_s: float | None = None
    throttle_hw_s: float | None = None
    clock_event_bits: int | None = None


class ReadingsAt(_Record):
    """Where the readings of a window lie in ``readings.csv.gz``."""

    offset: int
    length: int
    crc32: int
    rows: int


class WindowRecord(_Record):
    """One line of ``windows.jsonl``.

    ``stamps`` are (seconds on the session's clock, iterations done by then). A ``latency`` line carries
    ``samples_s`` (seconds per iteration, each the mean of ``iterations_per_sample``), a ``failed`` line an ``error``.
    """

    number: int
    kind: WindowKind
    session: int = 0
    work: str = ""
    comparison: str = ""
    block: int = -1
    start_s: float = 0.0
    stop_s: float = 0.0
    stamps: list[tuple[float, int]] = Field(default_factory=list)
    samples_s: list[float] = Field(default_factory=list)
    iterations_per_sample: int = 1
    launch: str = ""
    compile_s: float | None = None
    peak_memory_bytes: int | None = None
    before: BoardRecord | None = None
    after: BoardRecord | None = None
    faults: dict[str, int] = Field(default_factory=dict)
    flags: list[str] = Field(default_factory=list)
    error: str = ""
    readings: ReadingsAt | None = None


class RunRecord(_Record):
    """``run.json``: everything that is true of the whole run. No user, host or absolute path."""

    schema_version: int = SCHEMA_VERSION
    energybench_version: str
    created_utc: str
    name: str
    about: str = ""
    suite_text: str
    identity: str
    command: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    analytic: str | None = None
    summed_axis: list[str] = Field(default_factory=list)
    cases: list[CaseRecord]
    skipped: list[SkippedRecord] = Field(default_factory=list)
    measured_as: dict[str, str] = Field(default_factory=dict)
    device: dict[str, Any] = Field(default_factory=dict)
    meter: dict[str, Any] = Field(default_factory=dict)
    sensor: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    plan: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    simulated: bool = False
    energy_reason: str = ""
    truth: dict[str, dict[str, float]] = Field(default_factory=dict)
    modelled: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    sessions: int = 1
    complete: bool = False
    stopped: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run folder as it was found: its record, its windows and operators, and its readings on demand."""

    folder: Path
    record: RunRecord
    windows: tuple[WindowRecord, ...]
    operators: tuple[OperatorRecord, ...]

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
            RunFolderError: the bytes are missing or do not have the recorded checksum.
        """
        at = window.readings
        if at is None:
            return []
        path = self.folder / READINGS_FILE
        try:
            with path.open("rb") as file:
                file.seek(at.offset)
                member = file.read(at.length)
        except OSError as error:
            raise RunFolderError(f"cannot read: {error.strerror}", where=str(path)) from error
        if len(member) != at.length or zlib.crc32(member) != at.crc32:
            raise RunFolderError(
                f"the readings of window {window.number} are damaged",
                where=str(path),
                why="joules rebuilt from damaged readings would be wrong",
                remedy="measure again with --fresh, or restore the file from a copy",
            )
        return list(_parse_readings(member))


class Journal:
    """The writer of one run folder. A resource: open it, append, close it.

    Raises:
        RunFolderError: on creation or resumption when the folder cannot be used, on appending when the disk is
            full or the folder has gone; what was written stays.
    """

    def __init__(self, folder: Path, record: RunRecord, windows: Iterable[WindowRecord] = ()) -> None:
        self.folder = folder
        self.record = record
        self.windows = list(windows)
        self._lines = (folder / WINDOWS_FILE).open("ab")
        self._readings = (folder / READINGS_FILE).open("ab")

    @classmethod
    def create(cls, folder: Path, record: RunRecord, operators: Iterable[OperatorRecord]) -> Self:
        """Make a new run folder; refuses one that already holds a run."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / RUN_FILE).exists():
                raise RunFolderError(
                    "already holds a run", where=str(folder), remedy="choose another --output, or leave it out"
                )
            lines = "".join(operator.model_dump_json() + "\n" for operator in operators)
            _replace(folder / OPERATORS_FILE, lines)
            _replace(folder / RUN_FILE, record.model_dump_json(indent=1))
            return cls(folder, record)
        except OSError as error:
            raise _disk_error(folder, error) from error

    @classmethod
    def resume(cls, run: Run) -> Self:
        """Take up an interrupted run: cut off what a kill left unfinished, then append after it."""
        try:
            lines = run.folder / WINDOWS_FILE
            _truncate(lines, sum(len(line) for line in _whole_lines(lines)))
            ends = [w.readings.offset + w.readings.length for w in run.windows if w.readings is not None]
            _truncate(run.folder / READINGS_FILE, max(ends, default=0))
            record = run.record.model_copy(update={"sessions": run.record.sessions + 1, "complete": False})
            journal = cls(run.folder, record, run.windows)
            journal.update(record)
            return journal
        except OSError as error:
            raise _disk_error(run.folder, error) from error

    def append(self, window: WindowRecord, readings: Iterable[Reading] = ()) -> WindowRecord:
        """Write one window and its readings, flushed to the disk; returns it with its number and place."""
        try:
            at = self._append_readings(readings)
            window = window.model_copy(update={"number": len(self.windows), "readings": at})
            self._lines.write(window.model_dump_json(exclude_defaults=True).encode() + b"\n")
            _flush(self._lines)
        except OSError as error:
            raise _disk_error(self.folder, error) from error
        self.windows.append(window)
        return window

    def update(self, record: RunRecord) -> None:
        """Replace ``run.json`` atomically."""
        self.record = record
        try:
            _replace(self.folder / RUN_FILE, record.model_dump_json(indent=1))
        except OSError as error:
            raise _disk_error(self.folder, error) from error

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
        offset = self._readings.seek(0, os.SEEK_END)
        self._readings.write(member)
        _flush(self._readings)
        return ReadingsAt(offset=offset, length=len(member), crc32=zlib.crc32(member), rows=rows)


def load(folder: Path | str) -> Run:
    """Read a run folder, finished or not; a torn last line is left out.

    Raises:
        RunFolderError: it is no run folder, its schema is newer, or a file is damaged in the middle.
    """
    folder = Path(folder)
    path = folder / RUN_FILE
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(
            "is not a run folder (it has no run.json)",
            where=str(folder),
            remedy="give a folder that `energybench run` wrote, e.g. one under results/",
        ) from error
    except OSError as error:
        raise _disk_error(folder, error) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise RunFolderError(f"cannot be understood: {_first_line(error)}", where=str(path)) from error
    if record.schema_version > SCHEMA_VERSION:
        raise RunFolderError(
            f"has schema version {record.schema_version}, this energybench knows {SCHEMA_VERSION}",
            where=str(path),
            remedy="pip install --upgrade energybench",
        )
    windows = tuple(_parse_lines(folder / WINDOWS_FILE, WindowRecord))
    operators = tuple(_parse_lines(folder / OPERATORS_FILE, OperatorRecord))
    return Run(folder, record, windows, operators)


def find_resumable(results: Path, identity: str) -> Run | None:
    """The newest incomplete run of this identity under ``results``; None where there is none."""
    if not results.is_dir():
        return None
    found: list[Run] = []
    for path in results.glob(f"*/{RUN_FILE}"):
        try:
            head = json.loads(path.read_bytes())
            if head.get("identity") == identity and not head.get("complete", True):
                found.append(load(path.parent))
        except (OSError, ValueError, RunFolderError, AttributeError):
            continue
    return max(found, key=lambda run: (run.record.created_utc, run.folder.name), default=None)


def _parse_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    try:
        for number, line in enumerate(_whole_lines(path), start=1):
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                raise RunFolderError(f"cannot be understood: {_first_line(error)}", where=f"{path}:{number}") from error
    except OSError as error:
        raise _disk_error(path, error) from error


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Every line that ends in a newline; what a kill tore off has none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _parse_readings(member: bytes) -> Iterator[Reading]:
    for line in gzip.decompress(member).decode().splitlines():
        time_s, kind, value, native, call_s = line.split(",")
        number = float(value)
        if math.isfinite(number):
            yield Reading(float(time_s), kind, number, float(native) if native else None, float(call_s))


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        _flush(file)
    draft.replace(path)


def _truncate(path: Path, length: int) -> None:
    if path.exists() and path.stat().st_size > length:
        os.truncate(path, length)


def _disk_error(where: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot be used: {error.strerror or error}",
        where=str(where),
        why="what was measured up to here is kept and can be reported",
        remedy="free space or fix the permissions, then run the same command again to go on",
    )


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]


def board_change_s(window: WindowRecord, field: str) -> float | None:
    """How much a cumulative time of the board (``throttle_*_s``) grew over a window; None where unknown."""
    if window.before is None or window.after is None:
        return None
    before, after = getattr(window.before, field), getattr(window.after, field)
    return None if before is None or after is None else after - before
