"""Is somebody else measuring here? An advisory lock on a device, that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from energybench.errors import DeviceError

LOOK_S = 0.5
"""How often one that waits looks again; who holds the lock never notices."""
MOST_NAME = 200


class DeviceLock:
    """Held while a device is being measured. The kernel drops it when the process ends, so it is never stale.

    Args:
        device: UUID or name of the device.
        holder: what others are told while it is held.
        waiting: called once with who holds it, where the lock is to be waited for; None refuses instead.

    Raises:
        DeviceError: another energybench is measuring on it.
    """

    def __init__(self, device: str, *, holder: str = "", waiting: Callable[[str], None] | None = None) -> None:
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        name = re.sub(r"[^A-Za-z0-9]+", "-", device)
        self._file = (folder / f"energybench-{os.getuid()}-{name}.lock").open("a+")
        try:
            self._take(device, waiting)
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} ({holder or 'energybench'})"[:MOST_NAME])
        self._file.flush()

    def _take(self, device: str, waiting: Callable[[str], None] | None) -> None:
        told = False
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if waiting is None:
                    raise DeviceError(
                        f"another energybench is measuring on it: {self._holder()}",
                        where=device,
                        why="two runs on one device bill each other's joules and time",
                        remedy="--wait waits for it to end; or choose another device",
                    ) from error
            if not told:
                told = True
                waiting(f"waiting for {self._holder()}, which is measuring on {device}")
            time.sleep(LOOK_S)

    def _holder(self) -> str:
        self._file.seek(0)
        said = self._file.read(MOST_NAME)
        return "".join(c for c in said if c.isprintable()) or "a process that has not said its name"

    def close(self) -> None:
        """Let others measure."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
