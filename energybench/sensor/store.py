"""Where does a calibration live, and does it still hold? Profiles in the user's cache, one file a board.

A profile belongs to one board (UUID), one driver and one set of sources: another driver may publish on another
schedule, so a file that was made under one is refused under any other. Files are replaced whole, so that a reader
never sees half of one; one that cannot be read is refused like a foreign one, and a new calibration overwrites it.
Whether a profile still fits what a run sees is ``analysis.updates.check_refresh``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.clock import utc_stamp
from energybench.errors import MeterError
from energybench.sensor.profile import SensorProfile

SCHEMA = 1
AGAIN = "energybench calibrate"


@dataclass(frozen=True)
class Stored:
    """What the store says of a board: a profile, or why there is none (with what a new calibration would mend)."""

    profile: SensorProfile | None
    reason: str
    created_utc: str = ""
    report: Mapping[str, Any] | None = None


def profiles_folder() -> Path:
    """Where profiles are kept: ``energybench/sensors`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "energybench" / "sensors"


def save_profile(
    profile: SensorProfile,
    *,
    uuid: str,
    driver: str,
    kinds: Collection[str],
    report: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Path:
    """Keep a profile; one of the same board is replaced.

    Args:
        profile: what was found.
        uuid: of the board.
        driver: its version.
        kinds: sources that the meter offered: the capability map.
        report: everything that was found, JSON-able.
        folder: where; None for :func:`profiles_folder`.

    Returns:
        The file.

    Raises:
        MeterError: it cannot be written, or the board has no UUID to keep it under.
    """
    if not uuid:
        raise MeterError("a calibration belongs to one board, and this device has no UUID", remedy="do not store it")
    path = (folder or profiles_folder()) / _file_name(uuid)
    entry = {"schema": SCHEMA, "uuid": uuid, "driver": driver, "kinds": sorted(kinds), "created_utc": utc_stamp()}
    entry |= {"profile": profile.to_dict(), "report": dict(report) if report is not None else None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(entry, indent=1))
    except OSError as error:
        raise MeterError(
            f"the calibration cannot be kept: {error.strerror}",
            where=str(path),
            remedy="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return path


def load_profile(
    uuid: str | None, driver: str, kinds: Collection[str], *, folder: Path | None = None
) -> SensorProfile | None:
    """The stored profile of a board where it still holds; None otherwise (:func:`stored` says why)."""
    return stored(uuid, driver, kinds, folder=folder).profile


def stored(uuid: str | None, driver: str, kinds: Collection[str], *, folder: Path | None = None) -> Stored:
    """What the store says of a board; never raises.

    Args:
        uuid: of the board; None for one that has none, which is never stored.
        driver: the version that is loaded now.
        kinds: the sources that answer now.
        folder: where; None for :func:`profiles_folder`.
    """
    if not uuid:
        return Stored(None, "this device has no UUID to keep a calibration under")
    path = (folder or profiles_folder()) / _file_name(uuid)
    try:
        entry = json.loads(path.read_text())
        reason = _refusal(entry, uuid, driver, kinds)
        if reason:
            return Stored(None, reason)
        return Stored(SensorProfile.from_dict(entry["profile"]), "", entry["created_utc"], entry["report"])
    except FileNotFoundError:
        return Stored(None, f"this board has not been calibrated: {AGAIN}")
    except (OSError, ValueError, KeyError, TypeError, MeterError) as error:
        return Stored(None, f"the stored calibration cannot be read ({type(error).__name__}): {AGAIN}")


def _refusal(entry: Mapping[str, Any], uuid: str, driver: str, kinds: Collection[str]) -> str:
    if entry["schema"] != SCHEMA:
        return f"the stored calibration has schema {entry['schema']}, this version reads {SCHEMA}: {AGAIN}"
    if entry["uuid"] != uuid:
        return f"the stored calibration is another board's: {AGAIN}"
    if entry["driver"] != driver:
        return f"the stored calibration was made under driver {entry['driver']}, now it is {driver}: {AGAIN}"
    if sorted(entry["kinds"]) != sorted(kinds):
        was, now = (", ".join(sorted(k)) or "none" for k in (entry["kinds"], kinds))
        return f"the sources differ from those calibrated ({was}; now {now}): {AGAIN}"
    return ""


def _file_name(uuid: str) -> str:
    """Readable, and distinct even where two UUIDs differ only in characters that no file name takes."""
    digest = hashlib.sha256(uuid.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', uuid)[:60]}-{digest}.json"


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
