"""Is somebody else measuring here? An advisory lock on a device, and on a run folder, that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path
from typing import Self

from energybench.errors import DeviceError


class DeviceLock:
    """Held while a device is being measured. The kernel drops it when the process ends, so it is never stale.

    Args:
        device: UUID or name of the device.

    Raises:
        DeviceError: another energybench is measuring on it.
    """

    def __init__(self, device: str) -> None:
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        name = re.sub(r"[^A-Za-z0-9]+", "-", device)
        self._file = (folder / f"energybench-{os.getuid()}-{name}.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise DeviceError(
                "another energybench is measuring on it",
                where=device,
                why="two runs on one device bill each other's joules and time",
                remedy="wait for it to end, or choose another device",
            ) from error

    def close(self) -> None:
        """Let others measure."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
